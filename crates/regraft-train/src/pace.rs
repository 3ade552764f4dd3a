//! How long a run will take, from one measured step.

use std::collections::HashSet;
use std::time::Instant;

use regraft_data::Loader;
use regraft_freeze::Phase;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::feature_store::Source;
use crate::objective::Target;
use crate::phases::Span;
use crate::session::Session;
use crate::trainer::Trainer;

/// Images in the measured step: enough to fill the cores, few enough not to keep anybody waiting.
const IMAGES: usize = 4;
/// A forward pass's share of a training step: backward costs about two of them.
const FORWARD_SHARE: f64 = 1.0 / 3.0;
/// Bytes that reach a disk in a second, flushed: what a solid-state drive of any age does.
const DISK: f64 = 400e6;

/// What an image costs on this device, and what the run adds up to; loading images apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Seconds an image takes through the trunk.
    pub trunk_seconds: f64,
    /// Seconds an image takes above the cut, forward, backward and update.
    pub rest_seconds: f64,
    /// Seconds that everything besides images takes: making the networks for training and for the evaluation at the end, and
    /// writing models and checkpoints.
    pub fixed_seconds: f64,
    /// Whether the trunk's features are computed once and kept.
    pub cached: bool,
    /// Seconds of the whole run, validation included.
    pub seconds: f64,
}

/// What an image costs in one phase.
struct Step {
    trunk: f64,
    rest: f64,
    cached: bool,
    /// Seconds to build the network.
    build: f64,
}

impl Trainer<'_> {
    /// Takes two steps of every phase on grey images with a network of its own, and times the second; trains and writes
    /// nothing. `test`: images to evaluate on after training, besides those of the validation.
    ///
    /// # Errors
    /// When the network cannot be built or run.
    pub fn pace(&self, test: usize) -> Result<Pace, Error> {
        self.pace_of(test, IMAGES, 2)
    }

    /// [`Trainer::pace`] from the quickest of so many steps, the first apart, of so many images: as many as a batch has tell
    /// most exactly.
    ///
    /// # Errors
    /// As that.
    pub fn pace_of(&self, test: usize, images_a_step: usize, steps: usize) -> Result<Pace, Error> {
        if self.phases.is_empty() {
            return Err(Error::NoPhase);
        }
        let images = |loader: &Loader| loader.set().samples.len() as f64;
        let train = images(&self.train);
        let validation = self.validation.as_ref().map_or(0.0, images);
        let spans = Span::of(self.phases, self.settings.epochs);
        let mut seconds = 0.0;
        let mut last = None;
        for span in &spans {
            let step = self.step_of(&self.phases[span.phase], images_a_step, steps)?;
            let epochs = span.epochs as f64;
            let trunk_passes = if step.cached { 1.0 } else { epochs };
            seconds += trunk_passes * step.trunk * (train + validation)
                + epochs * step.rest * (train + FORWARD_SHARE * validation)
                + step.build;
            last = Some(step);
        }
        let step = last.ok_or(Error::NoPhase)?;
        // After training the written model is evaluated, from pixels.
        let forward = step.trunk + FORWARD_SHARE * step.rest;
        seconds += forward * (validation + test as f64);
        // A checkpoint holds each trained value and two of the optimizer's.
        let [whole, trained] = self.model_bytes();
        let epochs = self.settings.epochs as f64;
        let written = epochs * (whole + 3.0 * trained) + 2.0 * whole;
        let fixed_seconds = 2.0 * step.build + written / DISK;
        Ok(Pace {
            trunk_seconds: step.trunk,
            rest_seconds: step.rest,
            fixed_seconds,
            cached: step.cached,
            // The last phase's network is among what is fixed.
            seconds: seconds - step.build + fixed_seconds,
        })
    }

    fn step_of(&self, phase: &Phase, images: usize, steps: usize) -> Result<Step, Error> {
        let start = Instant::now();
        let mut session = Session::new(self.session_options(), phase)?;
        let build = start.elapsed().as_secs_f64();
        let mode = self.settings.training_cache();
        let cached = Source::caches(session.network(), &self.train, mode);
        let count = images.clamp(1, self.train.options().batch_size);
        let [channels, height, width] = self.graph.image_shape();
        let pixels = vec![0.5; count * channels * height * width];
        let targets = vec![Target::Class(0); count];
        let (mut trunk, mut rest) = (f64::INFINITY, f64::INFINITY);
        for step in 0..steps.max(2) {
            let start = Instant::now();
            let network = session.network();
            let shape = [count, channels, height, width];
            let features = network.features_of_pixels(pixels.clone(), shape)?;
            // Devices may compute later than asked; reading back waits for them.
            let features = features.into_values()?;
            let below = start.elapsed().as_secs_f64() / count as f64;
            let start = Instant::now();
            let features = network.cached_features(features, count)?;
            let learner = session.learner();
            let total = learner.objective.total(&targets);
            let gradients = learner.gradients(features, &targets, total, 0)?;
            session.learner_mut().apply(gradients, self.settings.lr);
            self.device
                .sync()
                .map_err(|error| regraft_nn::Error::Device {
                    reason: error.to_string(),
                })?;
            // The first step pays for what is made once.
            if step > 0 {
                trunk = below.min(trunk);
                rest = (start.elapsed().as_secs_f64() / count as f64).min(rest);
            }
        }
        if !session.network().has_trunk() {
            trunk = 0.0;
        }
        Ok(Step {
            trunk,
            rest,
            cached,
            build,
        })
    }

    /// Bytes of all parameters, and of those that train in any phase.
    fn model_bytes(&self) -> [f64; 2] {
        let trained: HashSet<&str> = self
            .phases
            .iter()
            .flat_map(|phase| &phase.parameters)
            .filter(|parameter| parameter.trained)
            .map(|parameter| parameter.name.as_str())
            .collect();
        let mut bytes = [0.0; 2];
        for parameter in &self.graph.parameters {
            let size = (size_of::<f32>() * parameter.data.len()) as f64;
            bytes[0] += size;
            if trained.contains(parameter.name.as_str()) {
                bytes[1] += size;
            }
        }
        bytes
    }
}
