//! A running mean of weights over steps, which is often better than the last weights.

use std::collections::HashMap;

use regraft_nn::{Network, Weights};

use crate::error::Error;

/// An exponential moving average of weights (Polyak and Juditsky 1992), as timm's and TensorFlow's.
///
/// After step `t` (from 1) the mean keeps `min(decay, (1 + t) / (10 + t))` of itself, so that the first steps do not hold it
/// back. Running statistics of batch norm are not averaged: those of the last step count.
#[derive(Debug, Clone)]
pub struct Averager {
    decay: f64,
    steps: usize,
    mean: Weights,
}

impl Averager {
    /// Begins with weights as they are. `decay` from 0 to below 1.
    pub fn new(decay: f64, weights: &Weights) -> Self {
        Self {
            decay,
            steps: 0,
            mean: weights.clone(),
        }
    }

    /// Takes in the weights after a step.
    pub fn update(&mut self, weights: &Weights) {
        self.steps += 1;
        let steps = self.steps as f64;
        let kept = self.decay.min((1.0 + steps) / (10.0 + steps));
        self.mean = self.mean.blend(weights, 1.0 - kept);
    }

    /// Steps taken in.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Lets `look` see the network with the averaged weights; afterwards it has its own again.
    pub fn with<T>(&self, network: &mut Network, look: impl FnOnce(&mut Network) -> T) -> T {
        let own = network.weights().clone();
        network.update(|_| self.mean.clone());
        let seen = look(network);
        network.update(|_| own);
        seen
    }

    /// Goes on from saved values, by canonical name.
    pub(crate) fn restore(
        &mut self,
        network: &mut Network,
        steps: usize,
        values: &HashMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let own = network.weights().clone();
        network.restore(values)?;
        self.mean = network.weights().clone();
        self.steps = steps;
        network.update(|_| own);
        Ok(())
    }
}
