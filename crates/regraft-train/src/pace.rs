//! How long a run will take, from one measured step.

use std::time::Instant;

use regraft_nn::Activation;
use serde::{Deserialize, Serialize};

use crate::cache::Source;
use crate::error::Error;
use crate::loss;
use crate::trainer::Trainer;

/// Images in the measured step: enough to fill the cores, few enough not to keep anybody waiting.
const IMAGES: usize = 4;
/// A forward pass's share of a training step: backward costs about two of them.
const FORWARD_SHARE: f64 = 1.0 / 3.0;

/// What an image costs on this device, and what the run adds up to; loading images apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Seconds an image takes through the trunk.
    pub trunk_seconds: f64,
    /// Seconds an image takes above the cut, forward, backward and update.
    pub rest_seconds: f64,
    /// Whether the trunk's features are computed once and kept.
    pub cached: bool,
    /// Seconds of the whole run, validation included.
    pub seconds: f64,
}

impl Trainer<'_> {
    /// Takes two steps on a grey image with a network of its own, and times the second; trains and writes nothing.
    ///
    /// # Errors
    /// When the network cannot be built or run.
    pub fn pace(&self) -> Result<Pace, Error> {
        let mut network = self.network(self.config.trunk_precision)?;
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
            loss.clone().backward();
            Activation::R1(loss.without_autodiff()).into_values()?;
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
        Ok(Pace {
            trunk_seconds: trunk,
            rest_seconds: rest,
            cached,
            seconds: trunk_passes * trunk * (train + validation)
                + epochs * rest * (train + FORWARD_SHARE * validation),
        })
    }
}
