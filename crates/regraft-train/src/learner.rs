//! One step of training in two halves: gradients of a batch, and what an optimiser makes of them.
//!
//! Between them lie summing over parts of a batch and clipping.

use std::collections::BTreeMap;
use std::fmt;

use burn::module::ParamId;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};
use regraft_nn::{Activation, Network, RunningStatistics, Weights};
use regraft_ops::weighted_sum;

use crate::averager::Averager;
use crate::error::Error;
use crate::objective::{Objective, Target};
use crate::optimizer::{self, Finite};

/// A network and the optimiser that changes it.
pub struct Learner {
    pub(crate) network: Network,
    pub(crate) optimizer: ModuleOptimizer,
    /// Whether the optimiser's state was finite when it was last written out.
    pub(crate) finite: Finite,
    pub(crate) averager: Option<Averager>,
    /// Whether steps are taken into the mean of weights.
    pub(crate) averages: bool,
    /// Weights that the others are drawn back to, and how strongly.
    pub(crate) anchor: Option<(Weights, f64)>,
    /// What the gradients are of.
    pub objective: Objective,
    /// Largest norm of all gradients together; 0: no limit.
    pub grad_clip: f64,
    pub(crate) device: Device,
}

impl fmt::Debug for Learner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Learner")
            .field("network", &self.network)
            .field("objective", &self.objective)
            .field("grad_clip", &self.grad_clip)
            .finish_non_exhaustive()
    }
}

/// What a batch, or a part of one, says about the weights.
pub struct Gradients {
    params: GradientsParams,
    running: Vec<(RunningStatistics, usize)>,
    /// Loss of the images, as a share of the batch's mean.
    pub loss: f64,
    /// Images classified right, before the step.
    pub right: usize,
    /// Images.
    pub images: usize,
}

impl fmt::Debug for Gradients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gradients")
            .field("loss", &self.loss)
            .field("right", &self.right)
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

impl Learner {
    /// Gradients of `images` of a batch, of which `features` are the activations at the cut, `[N, ...]`.
    ///
    /// `total` is [`Objective::total`] of the whole batch's targets: of these, or of more where this is a part of a batch.
    /// Gradients of parts then add up to those of the batch. `noise` decides the dropout masks. Where the loss is not finite there are no gradients.
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn gradients(
        &self,
        features: Activation,
        targets: &[Target],
        total: f64,
        noise: u64,
    ) -> Result<Gradients, Error> {
        let (logits, running) = self.network.training_pass(features, noise)?;
        let classes = logits.dims()[1];
        let loss = self
            .objective
            .loss(logits.clone(), targets, total, &self.device);
        let values = Activation::R2(logits.without_autodiff()).into_values()?;
        let right = values
            .chunks_exact(classes)
            .zip(targets)
            .filter(|(row, target)| self.objective.is_right(row, target))
            .count();
        let value = Activation::R1(loss.clone().without_autodiff()).into_values()?;
        let value = f64::from(value.first().copied().unwrap_or(f32::NAN));
        let params = match value.is_finite() {
            true => GradientsParams::from_grads(loss.backward(), self.network.weights()),
            false => GradientsParams::new(),
        };
        Ok(Gradients {
            params,
            running: vec![(running, targets.len())],
            loss: value,
            right,
            images: targets.len(),
        })
    }

    /// The sum of the gradients of a batch's parts, added up in their order.
    pub fn sum(&self, parts: Vec<Gradients>) -> Option<Gradients> {
        let mut parts = parts.into_iter();
        let mut sum = parts.next()?;
        for part in parts {
            sum.loss += part.loss;
            sum.right += part.right;
            sum.images += part.images;
            sum.running.extend(part.running);
            let mut params = part.params;
            for (id, rank) in self.network.weights().ids_and_ranks() {
                match rank {
                    1 => add::<1>(&mut sum.params, &mut params, id),
                    2 => add::<2>(&mut sum.params, &mut params, id),
                    3 => add::<3>(&mut sum.params, &mut params, id),
                    4 => add::<4>(&mut sum.params, &mut params, id),
                    _ => add::<5>(&mut sum.params, &mut params, id),
                }
            }
        }
        Some(sum)
    }

    /// Takes an optimisation step at learning rate `lr`, gradients clipped before, and takes over running statistics.
    pub fn apply(&mut self, gradients: Gradients, lr: f64) {
        let Gradients {
            params,
            mut running,
            images,
            ..
        } = gradients;
        let updated = match running.len() {
            1 => running.swap_remove(0).0,
            _ => {
                let share = |count: usize| count as f32 / images.max(1) as f32;
                let passes = running.into_iter().map(|(pass, n)| (pass, share(n)));
                RunningStatistics::mean(passes.collect())
            }
        };
        self.network.set_running(updated);
        let weights = self.network.weights();
        let params = optimizer::clip(params, weights, self.grad_clip);
        let optimizer = &mut self.optimizer;
        self.network
            .update(|weights| optimizer.step(lr, weights, params));
        if let Some((anchor, pull)) = &self.anchor {
            let share = (lr * pull).min(1.0);
            self.network.update(|weights| weights.blend(anchor, share));
        }
        if let Some(averager) = self.averager.as_mut().filter(|_| self.averages) {
            averager.update(&self.network);
        }
    }

    /// Whether the steps from here on are taken into the mean of weights, where there is one. Where they are not, the mean
    /// begins anew. At first they are.
    pub fn set_averaging(&mut self, averages: bool) {
        self.averages = averages;
        if let Some(averager) = self.averager.as_mut().filter(|_| !averages) {
            averager.forget();
        }
    }

    /// The gradients by the canonical names of their parameters, in row-major order.
    ///
    /// # Errors
    /// When the device fails to hand them back.
    pub fn values(&self, gradients: &Gradients) -> Result<BTreeMap<String, Vec<f32>>, Error> {
        let mut values = BTreeMap::new();
        let ids = self.network.weights().ids_and_ranks();
        for (name, (id, rank)) in self.network.parameter_names().zip(ids) {
            let params = &gradients.params;
            let gradient = match rank {
                1 => params.get::<1>(id).map(Activation::R1),
                2 => params.get::<2>(id).map(Activation::R2),
                3 => params.get::<3>(id).map(Activation::R3),
                4 => params.get::<4>(id).map(Activation::R4),
                5 => params.get::<5>(id).map(Activation::R5),
                _ => params.get::<6>(id).map(Activation::R6),
            };
            if let Some(gradient) = gradient {
                values.insert(name.to_owned(), gradient.into_values()?);
            }
        }
        Ok(values)
    }

    /// The network as it now is.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Lets `look` see the network as it would be written: with averaged weights where they are kept.
    pub fn as_written<T>(&mut self, look: impl FnOnce(&mut Network) -> T) -> T {
        match &self.averager {
            Some(averager) => averager.with(&mut self.network, look),
            None => look(&mut self.network),
        }
    }
}

fn add<const D: usize>(sum: &mut GradientsParams, part: &mut GradientsParams, id: ParamId) {
    let total: Option<Tensor<D>> = match (sum.remove::<D>(id), part.remove::<D>(id)) {
        (Some(left), Some(right)) => Some(weighted_sum(left, right, [1.0, 1.0])),
        (left, right) => left.or(right),
    };
    if let Some(total) = total {
        sum.register(id, total);
    }
}
