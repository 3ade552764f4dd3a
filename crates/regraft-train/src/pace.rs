//! How long a run will take, from one measured step.

use std::collections::HashSet;
use std::time::Instant;

use burn::optim::GradientsParams;
use serde::{Deserialize, Serialize};

use crate::cache::Source;
use crate::error::Error;
use crate::loss;
use crate::optimizer;
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

impl Trainer<'_> {
    /// Takes two steps on grey images with a network of its own, and times the second; trains and writes nothing. `test`:
    /// images to evaluate on after training, besides those of the validation.
    ///
    /// # Errors
    /// When the network cannot be built or run.
    pub fn pace(&self, test: usize) -> Result<Pace, Error> {
        let start = Instant::now();
        let mut network = self.network(self.config.trunk_precision)?;
        let build = start.elapsed().as_secs_f64();
        let (mut optimizer, _) = optimizer::build(&self.config.optimizer, self.phase);
        let rate = self.config.learning_rate();
        let cached = Source::caches(&network, &self.train, self.config.feature_cache);
        let count = IMAGES.min(self.config.batch_size);
        let [channels, height, width] = self.graph.image_shape();
        let pixels = vec![0.5; count * channels * height * width];
        let (mut trunk, mut rest) = (0.0, 0.0);
        for _ in 0..2 {
            let start = Instant::now();
            let features = network.features(pixels.clone(), [count, channels, height, width])?;
            // Devices may compute later than asked; reading back waits for them.
            let features = features.into_values()?;
            trunk = start.elapsed().as_secs_f64() / count as f64;
            let start = Instant::now();
            let features = network.cached_features(features, count)?;
            let logits = network.train_logits(features, 0)?;
            let loss = loss::cross_entropy(logits, &vec![0; count], 0.0, &self.device);
            let grads = loss.backward();
            let weights = network.weights();
            let grads = GradientsParams::from_grads(grads, weights);
            let grads = optimizer::clip(grads, weights, self.config.grad_clip);
            network.update(|weights| optimizer.step(rate, weights, grads));
            self.device
                .sync()
                .map_err(|error| regraft_nn::Error::Device {
                    reason: error.to_string(),
                })?;
            rest = start.elapsed().as_secs_f64() / count as f64;
        }
        if !network.has_trunk() {
            trunk = 0.0;
        }
        let train = self.train.set().samples.len() as f64;
        let validation = self
            .validation
            .as_ref()
            .map_or(0.0, |loader| loader.set().samples.len() as f64);
        let epochs = self.config.epochs as f64;
        let trunk_passes = if cached { 1.0 } else { epochs };
        // After training the written model is evaluated, from pixels.
        let forward = trunk + FORWARD_SHARE * rest;
        let evaluated = validation + test as f64;
        // A checkpoint holds each trained value and two of the optimizer's.
        let [whole, trained] = self.model_bytes();
        let written = epochs * (whole + 3.0 * trained) + 2.0 * whole;
        let fixed_seconds = 2.0 * build + written / DISK;
        Ok(Pace {
            trunk_seconds: trunk,
            rest_seconds: rest,
            fixed_seconds,
            cached,
            seconds: trunk_passes * trunk * (train + validation)
                + epochs * rest * (train + FORWARD_SHARE * validation)
                + forward * evaluated
                + fixed_seconds,
        })
    }

    /// Bytes of all parameters, and of those that train.
    fn model_bytes(&self) -> [f64; 2] {
        let trained: HashSet<&str> = self
            .phase
            .parameters
            .iter()
            .filter(|parameter| parameter.trained)
            .map(|parameter| parameter.name.as_str())
            .collect();
        let mut bytes = [0.0; 2];
        for parameter in &self.graph.parameters {
            let own = (size_of::<f32>() * parameter.data.len()) as f64;
            bytes[0] += own;
            if trained.contains(parameter.name.as_str()) {
                bytes[1] += own;
            }
        }
        bytes
    }
}
