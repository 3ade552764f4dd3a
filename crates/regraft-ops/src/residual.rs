//! The sum at the end of a residual block with the activation behind it, as an extension of Burn's backends that lie in memory.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use regraft_kernels::Activation;

use crate::activation::activate;
use crate::host::is_readable;

/// Sums of `[N, C, H, W]` with an activation behind them.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait Residual: Backend {
    /// `activation(left + right)`
    fn sum_activated(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The gradient of both operands, from the output and its gradient.
    fn sum_gradient(
        output: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

/// The backward step, which needs the output: where it is neither 0 nor 6 the gradient passes.
#[derive(Debug)]
struct Step;

impl<B: Residual> Backward<B, 2> for Step {
    type State = (FloatTensor<B>, Activation);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (output, activation) = ops.state;
        let gradient = B::sum_gradient(output, gradient, activation);
        for node in ops.parents.into_iter().flatten() {
            gradients.register::<B>(node.id, gradient.clone());
        }
    }
}

impl<B: Residual, C: CheckpointStrategy> Residual for Autodiff<B, C> {
    fn sum_activated(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [left.node(), right.node()];
        let prep = Step.prepare::<C>(nodes).compute_bound().stateful();
        let (left, right) = (left.into_primitive(), right.into_primitive());
        let output = B::sum_activated(left, right, activation);
        match prep {
            OpsKind::Tracked(prep) => prep.finish((output.clone(), activation), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn sum_gradient(
        output: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let (output, gradient) = (output.into_primitive(), output_gradient.into_primitive());
        Self::from_inner(B::sum_gradient(output, gradient, activation))
    }
}

/// `activation(left + right)` for tensors `[N, C, H, W]` of the same shape; the activation is ReLU or ReLU6.
///
/// Keeps the output for the gradients, and nothing else.
///
/// # Panics
/// Where shapes differ or the activation is another.
pub fn add(left: Tensor<4>, right: Tensor<4>, activation: Activation) -> Tensor<4> {
    if !(is_readable(&left) && is_readable(&right)) {
        return activate(left + right, activation);
    }
    Tensor::from_dispatch(Dispatch::sum_activated(
        left.into_dispatch(),
        right.into_dispatch(),
        activation,
    ))
}
