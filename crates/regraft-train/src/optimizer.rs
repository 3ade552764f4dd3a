//! SGD, AdamW, Lion and LAMB for Burn's module optimiser, with a group for every learning-rate multiplier and weight decay of a freeze plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::{ParamGroup, ParamId};
use burn::optim::{
    GradientsParams, LearningRate, ModuleOptimizer, Optimizer, RecordState, StateSink, StateSource,
};
use burn::tensor::{Device, Tensor, TensorData};
use regraft_freeze::Phase;
use regraft_nn::{Weights, parameter_id};
use regraft_ops::{AdaptiveStep, adaptive_step, weighted_squares, weighted_sum};
use regraft_spec::Optimizer as Choice;

/// Stochastic gradient descent with momentum, as PyTorch defines it: the velocity is not damped, and the rate not part of it.
#[derive(Clone)]
struct Sgd {
    /// What the learning rate is multiplied by: Burn's groups choose an optimiser, not a rate.
    factor: f64,
    momentum: f64,
    nesterov: bool,
    decay: f64,
    finite: Finite,
}

/// Whether every number of an optimiser's state was finite when it was last written out.
#[derive(Clone)]
pub(crate) struct Finite(Arc<AtomicBool>);

impl Default for Finite {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Finite {
    /// Whether it was; asked once for each time that the state is written.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }

    fn look(&self, data: &TensorData) {
        let finite = data
            .as_slice::<f32>()
            .is_ok_and(|values| values.iter().all(|value| value.is_finite()));
        if !finite {
            self.0.store(false, Ordering::Relaxed);
        }
    }
}

/// What is kept of a parameter from step to step.
#[derive(Clone)]
struct Velocity<const D: usize> {
    velocity: Tensor<D>,
    finite: Finite,
}

impl<const D: usize> RecordState for Velocity<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        let data = self.velocity.clone().into_data();
        self.finite.look(&data);
        out.push_tensor(prefix, "velocity", data);
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let data = source.take_tensor(prefix, "velocity")?;
        Some(Self {
            velocity: Tensor::from_data(data, device),
            finite: Finite::default(),
        })
    }
}

impl Optimizer for Sgd {
    type State<const D: usize> = Velocity<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Velocity<D>>,
    ) -> (Tensor<D>, Option<Velocity<D>>) {
        let back = -(lr * self.factor) as f32;
        let momentum = self.momentum as f32;
        let gradient = if self.decay > 0.0 {
            weighted_sum(gradient, weight.clone(), [1.0, self.decay as f32])
        } else {
            gradient
        };
        if momentum == 0.0 {
            return (weighted_sum(weight, gradient, [1.0, back]), None);
        }
        let velocity = match state {
            Some(state) => weighted_sum(state.velocity, gradient.clone(), [momentum, 1.0]),
            None => gradient.clone(),
        };
        let direction = if self.nesterov {
            weighted_sum(velocity.clone(), gradient, [momentum, 1.0])
        } else {
            velocity.clone()
        };
        let weight = weighted_sum(weight, direction, [1.0, back]);
        let finite = self.finite.clone();
        (weight, Some(Velocity { velocity, finite }))
    }

    fn to_device<const D: usize>(state: Velocity<D>, device: &Device) -> Velocity<D> {
        Velocity {
            velocity: state.velocity.to_device(device),
            finite: state.finite,
        }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
#[derive(Clone)]
struct AdamW {
    /// As that of [`Sgd`].
    factor: f64,
    betas: (f64, f64),
    epsilon: f64,
    decay: f64,
    finite: Finite,
}

/// Running means of a parameter's gradient and of its square.
#[derive(Clone)]
struct Moments<const D: usize> {
    /// Steps taken.
    steps: usize,
    first: Tensor<D>,
    second: Tensor<D>,
    finite: Finite,
}

impl<const D: usize> RecordState for Moments<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, "steps", self.steps.into());
        for (name, moment) in [("first", &self.first), ("second", &self.second)] {
            let data = moment.clone().into_data();
            self.finite.look(&data);
            out.push_tensor(prefix, name, data);
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let steps = usize::try_from(source.take_scalar(prefix, "steps")?).ok()?;
        let first = source.take_tensor(prefix, "first")?;
        let second = source.take_tensor(prefix, "second")?;
        Some(Self {
            steps,
            first: Tensor::from_data(first, device),
            second: Tensor::from_data(second, device),
            finite: Finite::default(),
        })
    }
}

impl Optimizer for AdamW {
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Moments<D>>,
    ) -> (Tensor<D>, Option<Moments<D>>) {
        let rate = lr * self.factor;
        let shares = |beta: f64| [beta as f32, (1.0 - beta) as f32];
        let (steps, first, second) = match state {
            Some(state) => (state.steps + 1, state.first, state.second),
            None => (1, gradient.zeros_like(), gradient.zeros_like()),
        };
        let first = weighted_sum(first, gradient.clone(), shares(self.betas.0));
        let second = weighted_squares(second, gradient, shares(self.betas.1));
        let correction = |beta: f64| 1.0 - beta.powf(steps as f64);
        let step = AdaptiveStep {
            keep: (1.0 - rate * self.decay) as f32,
            rate: (rate / correction(self.betas.0)) as f32,
            correction: (1.0 / correction(self.betas.1)) as f32,
            epsilon: self.epsilon as f32,
        };
        let weight = adaptive_step(weight, [first.clone(), second.clone()], step);
        let finite = self.finite.clone();
        let state = Moments {
            steps,
            first,
            second,
            finite,
        };
        (weight, Some(state))
    }

    fn to_device<const D: usize>(state: Moments<D>, device: &Device) -> Moments<D> {
        Moments {
            first: state.first.to_device(device),
            second: state.second.to_device(device),
            ..state
        }
    }
}

/// The sign of a mean of gradients (Chen 2023), with decoupled weight decay.
#[derive(Clone)]
struct Lion {
    /// As that of [`Sgd`].
    factor: f64,
    betas: (f64, f64),
    decay: f64,
    finite: Finite,
}

impl Optimizer for Lion {
    type State<const D: usize> = Velocity<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Velocity<D>>,
    ) -> (Tensor<D>, Option<Velocity<D>>) {
        let rate = lr * self.factor;
        let shares = |beta: f64| [beta as f32, (1.0 - beta) as f32];
        let mean = state.map_or_else(|| gradient.zeros_like(), |state| state.velocity);
        let direction = weighted_sum(mean.clone(), gradient.clone(), shares(self.betas.0)).sign();
        let kept = (1.0 - rate * self.decay) as f32;
        let weight = weighted_sum(weight, direction, [kept, -rate as f32]);
        let velocity = weighted_sum(mean, gradient, shares(self.betas.1));
        let finite = self.finite.clone();
        (weight, Some(Velocity { velocity, finite }))
    }

    fn to_device<const D: usize>(state: Velocity<D>, device: &Device) -> Velocity<D> {
        Sgd::to_device(state, device)
    }
}

/// Adam whose step of each parameter is as long as the parameter's norm times the rate (You 2020).
#[derive(Clone)]
struct Lamb {
    /// As that of [`Sgd`].
    factor: f64,
    betas: (f64, f64),
    epsilon: f64,
    decay: f64,
    finite: Finite,
}

impl Optimizer for Lamb {
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        weight: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Moments<D>>,
    ) -> (Tensor<D>, Option<Moments<D>>) {
        // Adam's step at rate 1 from zero, turned round, is its direction.
        let adam = AdamW {
            factor: 1.0,
            betas: self.betas,
            epsilon: self.epsilon,
            decay: 0.0,
            finite: self.finite.clone(),
        };
        let (step, state) = adam.step(1.0, weight.zeros_like(), gradient, state);
        let direction = weighted_sum(step, weight.clone(), [-1.0, self.decay as f32]);
        let norm = square_sum(weight.clone()).sqrt();
        let length = square_sum(direction.clone()).sqrt();
        // A parameter of zeros has no length to go by.
        let trust = match norm > 0.0 && length > 0.0 {
            true => norm / length,
            false => 1.0,
        };
        let back = -(lr * self.factor * trust) as f32;
        (weighted_sum(weight, direction, [1.0, back]), state)
    }

    fn to_device<const D: usize>(state: Moments<D>, device: &Device) -> Moments<D> {
        AdamW::to_device(state, device)
    }
}

/// The optimiser for a phase: parameters with the same multiplier and decay form a group, by exact ids.
/// With it the word on whether its state is finite.
pub(crate) fn build(choice: &Choice, phase: &Phase) -> (ModuleOptimizer, Finite) {
    let finite = Finite::default();
    let mut groups: BTreeMap<(u64, bool), Vec<ParamId>> = BTreeMap::new();
    for parameter in phase
        .parameters
        .iter()
        .filter(|parameter| parameter.trained)
    {
        let key = (parameter.lr_multiplier.to_bits(), parameter.weight_decay);
        groups
            .entry(key)
            .or_default()
            .push(parameter_id(&parameter.name));
    }
    let optimizer = match choice {
        Choice::Sgd {
            momentum,
            weight_decay,
            nesterov,
        } => grouped(groups, |factor, decays| Sgd {
            factor,
            momentum: *momentum,
            nesterov: *nesterov,
            decay: if decays { *weight_decay } else { 0.0 },
            finite: finite.clone(),
        }),
        Choice::Adamw {
            betas,
            epsilon,
            weight_decay,
        } => grouped(groups, |factor, decays| AdamW {
            factor,
            betas: *betas,
            epsilon: *epsilon,
            decay: if decays { *weight_decay } else { 0.0 },
            finite: finite.clone(),
        }),
        Choice::Lion {
            betas,
            weight_decay,
        } => grouped(groups, |factor, decays| Lion {
            factor,
            betas: *betas,
            decay: if decays { *weight_decay } else { 0.0 },
            finite: finite.clone(),
        }),
        Choice::Lamb {
            betas,
            epsilon,
            weight_decay,
        } => grouped(groups, |factor, decays| Lamb {
            factor,
            betas: *betas,
            epsilon: *epsilon,
            decay: if decays { *weight_decay } else { 0.0 },
            finite: finite.clone(),
        }),
    };
    (optimizer, finite)
}

/// The optimiser without any state of parameters that do not train in `phase`.
pub(crate) fn forget_resting(
    optimizer: ModuleOptimizer,
    choice: &Choice,
    phase: &Phase,
) -> ModuleOptimizer {
    let resting: Vec<ParamId> = phase
        .parameters
        .iter()
        .filter(|parameter| !parameter.trained)
        .map(|parameter| parameter_id(&parameter.name))
        .collect();
    // A group that is added forgets the state of its parameters; these get no gradients.
    let group = ParamGroup::from_ids(resting);
    match *choice {
        Choice::Sgd {
            momentum,
            weight_decay: decay,
            nesterov,
        } => {
            let rule = Sgd {
                factor: 1.0,
                momentum,
                nesterov,
                decay,
                finite: Finite::default(),
            };
            optimizer.with_group(group, rule, None)
        }
        Choice::Adamw {
            betas,
            epsilon,
            weight_decay: decay,
        } => {
            let rule = AdamW {
                factor: 1.0,
                betas,
                epsilon,
                decay,
                finite: Finite::default(),
            };
            optimizer.with_group(group, rule, None)
        }
        Choice::Lion {
            betas,
            weight_decay: decay,
        } => {
            let rule = Lion {
                factor: 1.0,
                betas,
                decay,
                finite: Finite::default(),
            };
            optimizer.with_group(group, rule, None)
        }
        Choice::Lamb {
            betas,
            epsilon,
            weight_decay: decay,
        } => {
            let rule = Lamb {
                factor: 1.0,
                betas,
                epsilon,
                decay,
                finite: Finite::default(),
            };
            optimizer.with_group(group, rule, None)
        }
    }
}

/// One optimiser a group, `of` its multiplier and whether it decays.
fn grouped<O: Optimizer>(
    groups: BTreeMap<(u64, bool), Vec<ParamId>>,
    of: impl Fn(f64, bool) -> O,
) -> ModuleOptimizer {
    let whole = ModuleOptimizer::from(of(1.0, false));
    groups
        .into_iter()
        .fold(whole, |all, ((factor, decays), ids)| {
            let one = of(f64::from_bits(factor), decays);
            all.with_group(ParamGroup::from_ids(ids), one, None)
        })
}

/// Scales all gradients so that their common Euclidean norm is at most `limit`; 0 leaves them.
pub(crate) fn clip(mut grads: GradientsParams, weights: &Weights, limit: f64) -> GradientsParams {
    if limit <= 0.0 {
        return grads;
    }
    let ids = weights.ids_and_ranks();
    let squares: f64 = ids
        .iter()
        .filter_map(|&(id, rank)| match rank {
            1 => grads.get::<1>(id).map(square_sum),
            2 => grads.get::<2>(id).map(square_sum),
            3 => grads.get::<3>(id).map(square_sum),
            4 => grads.get::<4>(id).map(square_sum),
            _ => grads.get::<5>(id).map(square_sum),
        })
        .sum();
    let norm = squares.sqrt();
    if norm <= limit || !norm.is_finite() {
        return grads;
    }
    let factor = limit / norm;
    for (id, rank) in ids {
        match rank {
            1 => scale::<1>(&mut grads, id, factor),
            2 => scale::<2>(&mut grads, id, factor),
            3 => scale::<3>(&mut grads, id, factor),
            4 => scale::<4>(&mut grads, id, factor),
            _ => scale::<5>(&mut grads, id, factor),
        }
    }
    grads
}

fn square_sum<const D: usize>(grad: Tensor<D>) -> f64 {
    (grad.clone() * grad).sum().into_scalar::<f32>().into()
}

fn scale<const D: usize>(grads: &mut GradientsParams, id: ParamId, factor: f64) {
    if let Some(grad) = grads.remove::<D>(id) {
        grads.register(id, grad.mul_scalar(factor));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::optim::decay::WeightDecayConfig;
    use burn::optim::momentum::MomentumConfig;
    use burn::optim::{AdamWConfig, LambConfig, LionConfig, SgdConfig};

    use super::*;

    /// The weights after five steps on made-up gradients.
    fn after_steps<O: Optimizer>(optimizer: &O, rate: f64) -> Vec<f32> {
        let device = regraft_backend::built().find_map(|name| regraft_backend::open(name).ok());
        let device = device.unwrap();
        let of = |f: fn(f32) -> f32| Tensor::<1>::from_data([0.3f32, -2.0, 5.0].map(f), &device);
        let (mut weight, mut state) = (of(|x| x), None);
        for step in 1..=5 {
            let gradient = of(f32::sin) * weight.clone().mul_scalar(f64::from(step) - 2.5);
            (weight, state) = optimizer.step(rate, weight, gradient, state);
        }
        weight.into_data().try_to_vec().unwrap()
    }

    fn assert_close(ours: &[f32], burns: &[f32]) {
        for (a, b) in ours.iter().zip(burns) {
            assert!(
                (a - b).abs() < 1e-6 * b.abs().max(1.0),
                "{ours:?} and {burns:?}"
            );
        }
    }

    #[test]
    fn steps_are_those_of_burns_optimisers() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.8, true)] {
            let ours = Sgd {
                factor: 0.5,
                momentum,
                nesterov,
                decay: 0.01,
                finite: Finite::default(),
            };
            let mut burns = SgdConfig::new().with_weight_decay(Some(WeightDecayConfig::new(0.01)));
            if momentum > 0.0 {
                let config = MomentumConfig::new().with_momentum(momentum);
                let config = config.with_dampening(0.0).with_nesterov(nesterov);
                burns = burns.with_momentum(Some(config));
            }
            assert_close(&after_steps(&ours, 0.2), &after_steps(&burns.build(), 0.1));
        }
        let ours = AdamW {
            factor: 2.0,
            betas: (0.9, 0.99),
            epsilon: 1e-8,
            decay: 0.1,
            finite: Finite::default(),
        };
        let burns = AdamWConfig::new()
            .with_beta_2(0.99)
            .with_epsilon(1e-8)
            .with_weight_decay(0.1);
        assert_close(&after_steps(&ours, 0.05), &after_steps(&burns.build(), 0.1));
        let ours = Lion {
            factor: 0.5,
            betas: (0.8, 0.95),
            decay: 0.2,
            finite: Finite::default(),
        };
        let burns = LionConfig::new()
            .with_beta_1(0.8)
            .with_beta_2(0.95)
            .with_weight_decay(0.2);
        assert_close(&after_steps(&ours, 0.2), &after_steps(&burns.build(), 0.1));
        for decay in [0.0, 0.1] {
            let ours = Lamb {
                factor: 2.0,
                betas: (0.9, 0.99),
                epsilon: 1e-6,
                decay,
                finite: Finite::default(),
            };
            let burns = LambConfig::new()
                .with_beta_1(0.9)
                .with_beta_2(0.99)
                .with_epsilon(1e-6)
                .with_weight_decay(decay as f32);
            assert_close(&after_steps(&ours, 0.05), &after_steps(&burns.build(), 0.1));
        }
    }
}
