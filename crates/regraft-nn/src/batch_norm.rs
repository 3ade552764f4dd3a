//! Batch normalisation with three separate ideas kept apart: whether scale and shift train (their `Param` says), and
//! whether running statistics are used as they are or replaced by the batch's and updated ([`Statistics`]).

use burn::tensor::{Tensor, module};
use regraft_ops::{NormOptions, activate};
use regraft_spec::Statistics;

use crate::activation::{Activation, each_rank};
use crate::operators::Output;

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
    pub statistics: Statistics,
    /// The activation behind it, computed in the same step.
    pub activation: regraft_ops::Activation,
    /// Whether its only reader is to compute it.
    pub recomputed: bool,
}

impl Mode {
    /// As it is in inference.
    pub(crate) const INFERENCE: Self = Self {
        statistics: Statistics::Frozen,
        activation: regraft_ops::Activation::None,
        recomputed: false,
    };
}

impl Mode {
    fn output(&self, norm: regraft_ops::Norm) -> Output {
        if self.recomputed {
            Output::Norm(norm)
        } else {
            Output::Value(Activation::R4(norm.output()))
        }
    }
}

/// Normalises by the running statistics, then applies the activation.
pub(crate) fn frozen(input: Activation, norm: Norm, epsilon: f64, mode: Mode) -> Option<Output> {
    let activation = mode.activation;
    if let Activation::R4(tensor) = &input
        && regraft_ops::has_batch_norm(tensor)
    {
        return Some(mode.output(regraft_ops::Norm {
            input: tensor.clone(),
            learned: [norm.scale, norm.shift],
            statistics: [norm.mean, norm.variance],
            options: NormOptions {
                epsilon,
                activation,
                own: false,
            },
        }));
    }
    let factor = norm.scale * norm.variance.add_scalar(epsilon).sqrt().recip();
    let offset = norm.shift - norm.mean * factor.clone();
    if input.dims().len() < 2 {
        return None;
    }
    let output = each_rank!(input, tensor => activate(scaled(tensor, factor, offset), activation));
    Some(Output::Value(output))
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
    mode: Mode,
) -> Option<(Output, Tensor<1>, Tensor<1>)> {
    let activation = mode.activation;
    let dims = input.dims();
    let count: usize = dims.iter().product::<usize>() / dims.get(1).copied().unwrap_or(1).max(1);
    let (output, mean, variance) = match input {
        Activation::R4(tensor) if regraft_ops::has_batch_norm(&tensor) => {
            let statistics = regraft_ops::channel_statistics(&tensor);
            let [mean, variance] = statistics.clone();
            let output = mode.output(regraft_ops::Norm {
                input: tensor,
                learned: [norm.scale, norm.shift],
                statistics,
                options: NormOptions {
                    epsilon,
                    activation,
                    own: true,
                },
            });
            (output, mean, variance)
        }
        Activation::R4(tensor) => {
            let result = module::batch_norm_train(tensor, norm.scale, norm.shift, epsilon);
            let output = activate(result.output, activation);
            let output = Output::Value(Activation::R4(output));
            (output, result.mean, result.variance)
        }
        Activation::R2(tensor) => {
            let result = module::batch_norm_train(tensor, norm.scale, norm.shift, epsilon);
            let output = activate(result.output, activation);
            let output = Output::Value(Activation::R2(output));
            (output, result.mean, result.variance)
        }
        Activation::R3(tensor) => {
            let result = module::batch_norm_train(tensor, norm.scale, norm.shift, epsilon);
            let output = activate(result.output, activation);
            let output = Output::Value(Activation::R3(output));
            (output, result.mean, result.variance)
        }
        Activation::R1(_) | Activation::R5(_) | Activation::R6(_) => return None,
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
