//! A running mean of weights over steps, which is often better than the last weights.

use std::collections::HashMap;

use regraft_nn::{Network, RunningStatistics, Weights};

use crate::error::Error;

/// How weights are averaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Averaging {
    /// Exponentially (Polyak and Juditsky 1992), as timm's and TensorFlow's.
    ///
    /// After step `t` (from 1) the mean keeps `min(decay, (1 + t) / (10 + t))` of itself, so that the first steps do not hold it
    /// back. Running statistics of batch norm are not averaged: those of the last step count.
    Exponential {
        /// Share of the mean that stays in each step, 0 to below 1.
        decay: f64,
    },
    /// Every step the same (stochastic weight averaging, Izmailov 2018).
    ///
    /// Running statistics of batch norm are averaged like weights, as PyTorch's `AveragedModel(use_buffers=True)`. The paper
    /// computes them anew in a pass over the training images.
    Equal,
}

/// The mean of a network's weights over steps.
#[derive(Debug, Clone)]
pub struct Averager {
    averaging: Averaging,
    steps: usize,
    mean: Weights,
    running: RunningStatistics,
}

impl Averager {
    /// Begins with a network as it is.
    pub fn new(averaging: Averaging, network: &Network) -> Self {
        Self {
            averaging,
            steps: 0,
            mean: network.weights().clone(),
            running: network.running(),
        }
    }

    /// Takes in the network after a step.
    pub fn update(&mut self, network: &Network) {
        self.steps += 1;
        let steps = self.steps as f64;
        let kept = match self.averaging {
            Averaging::Exponential { decay } => decay.min((1.0 + steps) / (10.0 + steps)),
            Averaging::Equal => (steps - 1.0) / steps,
        };
        self.mean = self.mean.blend(network.weights(), 1.0 - kept);
        if self.averaging == Averaging::Equal {
            self.running = self.running.blend(&network.running(), 1.0 - kept);
        }
    }

    /// Forgets what it took in: the next step is the first.
    pub fn forget(&mut self) {
        self.steps = 0;
    }

    /// Steps taken in.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Lets `look` see the network with the averaged weights; afterwards it has its own again. Before the first step that is
    /// the network as it is.
    pub fn with<T>(&self, network: &mut Network, look: impl FnOnce(&mut Network) -> T) -> T {
        if self.steps == 0 {
            return look(network);
        }
        let (own, running) = (network.weights().clone(), network.running());
        network.update(|_| self.mean.clone());
        if self.averaging == Averaging::Equal {
            network.set_running(self.running.clone());
        }
        let seen = look(network);
        network.update(|_| own);
        network.set_running(running);
        seen
    }

    /// Goes on from saved values, by canonical name.
    pub(crate) fn restore(
        &mut self,
        network: &mut Network,
        steps: usize,
        values: &HashMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let (own, running) = (network.weights().clone(), network.running());
        network.restore(values)?;
        self.mean = network.weights().clone();
        self.running = network.running();
        self.steps = steps;
        network.update(|_| own);
        network.set_running(running);
        Ok(())
    }
}
