//! Batch normalisation with three separate ideas kept apart: whether scale and shift train (their `Param` says), and
//! whether running statistics are used as they are or replaced by the batch's and updated ([`BatchNormStatistics`]).

use burn::tensor::{Tensor, activation, module};
use regraft_ops::{Clamp, NormOptions};

use crate::activation::{Activation, each_rank};

/// What a batch normalisation normalises by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchNormStatistics {
    /// Running statistics, which stay as they are: inference, and fine-tuning on little data.
    Frozen,
    /// The batch's own, which also update the running ones.
    Updated,
}

/// A normalisation's parameters and running statistics, each `[C]`.
pub(crate) struct Norm {
    pub scale: Tensor<1>,
    pub shift: Tensor<1>,
    pub mean: Tensor<1>,
    pub variance: Tensor<1>,
}

/// How a batch normalisation is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub statistics: BatchNormStatistics,
    /// The activation behind it, computed in the same step.
    pub clamp: Clamp,
}

impl Mode {
    /// As it is in inference.
    pub(crate) const INFERENCE: Self = Self {
        statistics: BatchNormStatistics::Frozen,
        clamp: Clamp::Free,
    };
}

fn clamped<const D: usize>(tensor: Tensor<D>, clamp: Clamp) -> Tensor<D> {
    match clamp {
        Clamp::Free => tensor,
        Clamp::Relu => activation::relu(tensor),
        Clamp::Relu6 => tensor.clamp(0.0, 6.0),
    }
}

/// Normalises by the running statistics, then applies the activation.
pub(crate) fn frozen(
    input: Activation,
    norm: Norm,
    epsilon: f64,
    clamp: Clamp,
) -> Option<Activation> {
    if let Activation::R4(tensor) = &input
        && regraft_ops::has_batch_norm(tensor)
    {
        let options = NormOptions {
            epsilon,
            clamp,
            own: false,
        };
        let learned = [norm.scale, norm.shift];
        let running = [norm.mean, norm.variance];
        return Some(Activation::R4(regraft_ops::batch_norm(
            tensor.clone(),
            learned,
            running,
            options,
        )));
    }
    let factor = norm.scale * norm.variance.add_scalar(epsilon).sqrt().recip();
    let offset = norm.shift - norm.mean * factor.clone();
    if input.dims().len() < 2 {
        return None;
    }
    Some(each_rank!(input, tensor => clamped(scaled(tensor, factor, offset), clamp)))
}

/// `tensor * factor + offset`, each channel with its own.
fn scaled<const D: usize>(tensor: Tensor<D>, factor: Tensor<1>, offset: Tensor<1>) -> Tensor<D> {
    let mut shape = [1; D];
    shape[1] = factor.dims()[0];
    tensor * factor.reshape(shape) + offset.reshape(shape)
}

/// Normalises by the batch, applies the activation, and returns the updated running mean and variance, cut off from autodiff.
///
/// `running = momentum * running + (1 - momentum) * batch` with ONNX's momentum and, as PyTorch does, the unbiased
/// batch variance.
pub(crate) fn updated(
    input: Activation,
    norm: Norm,
    epsilon: f64,
    momentum: f64,
    clamp: Clamp,
) -> Option<(Activation, Tensor<1>, Tensor<1>)> {
    let dims = input.dims();
    let count: usize = dims.iter().product::<usize>() / dims.get(1).copied().unwrap_or(1).max(1);
    let (output, mean, variance) = match input {
        Activation::R4(tensor) if regraft_ops::has_batch_norm(&tensor) => {
            let statistics = regraft_ops::channel_statistics(&tensor);
            let options = NormOptions {
                epsilon,
                clamp,
                own: true,
            };
            let learned = [norm.scale, norm.shift];
            let output = regraft_ops::batch_norm(tensor, learned, statistics.clone(), options);
            let [mean, variance] = statistics;
            (Activation::R4(output), mean, variance)
        }
        Activation::R4(tensor) => {
            let result = module::batch_norm_train(tensor, norm.scale, norm.shift, epsilon);
            let output = clamped(result.output, clamp);
            (Activation::R4(output), result.mean, result.variance)
        }
        Activation::R2(tensor) => {
            let result = module::batch_norm_train(tensor, norm.scale, norm.shift, epsilon);
            let output = clamped(result.output, clamp);
            (Activation::R2(output), result.mean, result.variance)
        }
        Activation::R3(tensor) => {
            let result = module::batch_norm_train(tensor, norm.scale, norm.shift, epsilon);
            let output = clamped(result.output, clamp);
            (Activation::R3(output), result.mean, result.variance)
        }
        Activation::R1(_) | Activation::R5(_) => return None,
    };
    let unbiased = if count > 1 {
        count as f64 / (count - 1) as f64
    } else {
        1.0
    };
    let blend = |running: Tensor<1>, batch: Tensor<1>| {
        running.without_autodiff().mul_scalar(momentum)
            + batch.without_autodiff().mul_scalar(1.0 - momentum)
    };
    Some((
        output,
        blend(norm.mean, mean),
        blend(norm.variance, variance.mul_scalar(unbiased)),
    ))
}
