//! Activations as Burn computes them, on any device.

use burn::tensor::{Tensor, activation as function};
use regraft_kernels::Activation;

/// `activation(tensor)`
pub fn activate<const D: usize>(tensor: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::None => tensor,
        Activation::Relu => function::relu(tensor),
        Activation::Relu6 => tensor.clamp(0.0, 6.0),
        Activation::Silu => function::silu(tensor),
        Activation::HardSwish => function::hard_swish(tensor),
    }
}
