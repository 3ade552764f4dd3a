//! Burn's optimisers with a group for every learning-rate multiplier and weight decay of a freeze plan.

use std::collections::BTreeMap;

use burn::module::{ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdamW, AdamWConfig, GradientsParams, LearningRate, ModuleOptimizer, Optimizer, Sgd, SgdConfig,
};
use burn::tensor::{Device, Tensor};
use regraft_freeze::Phase;
use regraft_nn::{Weights, parameter_id};
use regraft_recipe::Optimizer as Choice;

/// An optimiser whose learning rate is multiplied: Burn's groups choose an optimiser, not a rate.
#[derive(Clone)]
struct Scaled<O> {
    inner: O,
    factor: f64,
}

impl<O: Optimizer> Optimizer for Scaled<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        self.inner.step(lr * self.factor, tensor, grad, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        O::to_device(state, device)
    }
}

/// The optimiser for a phase: parameters with the same multiplier and decay form a group, by exact ids.
pub(crate) fn build(choice: &Choice, phase: &Phase) -> ModuleOptimizer {
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
    let mut optimizer = match choice {
        Choice::Sgd { .. } => ModuleOptimizer::from(sgd(choice, false)),
        Choice::Adamw { .. } => ModuleOptimizer::from(adamw(choice, false)),
    };
    for ((factor, decays), ids) in groups {
        let (group, factor) = (ParamGroup::from_ids(ids), f64::from_bits(factor));
        optimizer = match choice {
            Choice::Sgd { .. } => optimizer.with_group(
                group,
                Scaled {
                    inner: sgd(choice, decays),
                    factor,
                },
                None,
            ),
            Choice::Adamw { .. } => optimizer.with_group(
                group,
                Scaled {
                    inner: adamw(choice, decays),
                    factor,
                },
                None,
            ),
        };
    }
    optimizer
}

fn sgd(choice: &Choice, decays: bool) -> Sgd {
    let mut config = SgdConfig::new();
    if let Choice::Sgd {
        momentum,
        weight_decay,
        nesterov,
    } = choice
    {
        if *momentum > 0.0 {
            let momentum = MomentumConfig::new()
                .with_momentum(*momentum)
                .with_dampening(0.0);
            config = config.with_momentum(Some(momentum.with_nesterov(*nesterov)));
        }
        if decays && *weight_decay > 0.0 {
            config = config.with_weight_decay(Some(WeightDecayConfig::new(*weight_decay as f32)));
        }
    }
    config.build()
}

fn adamw(choice: &Choice, decays: bool) -> AdamW {
    let mut config = AdamWConfig::new();
    if let Choice::Adamw {
        betas,
        epsilon,
        weight_decay,
    } = choice
    {
        config = config
            .with_beta_1(betas.0 as f32)
            .with_beta_2(betas.1 as f32)
            .with_epsilon(*epsilon as f32)
            .with_weight_decay(if decays { *weight_decay as f32 } else { 0.0 });
    }
    config.build()
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
