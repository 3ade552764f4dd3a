//! Concatenation of channels, as an extension of Burn's backends that lie in memory: Burn copies with one thread.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Slice, Tensor};

use crate::host::is_readable;

/// Concatenations of `[N, C, H, W]` along the channels. Extensions take no lists: there is one for each number of parts.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait Concatenation: Backend {
    /// Two parts.
    fn concatenate_two(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Three parts.
    fn concatenate_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Four parts.
    fn concatenate_four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The backward step: each part's gradient is a view of the output's.
#[derive(Debug)]
struct Step;

impl<B: Backend, const N: usize> Backward<B, N> for Step {
    /// Channels of the parts.
    type State = [usize; N];

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let mut first = 0;
        for (node, channels) in ops.parents.into_iter().zip(ops.state) {
            if let Some(node) = node {
                let part = Slice::from(first..first + channels);
                let part = B::float_slice(gradient.clone(), &[Slice::full(), part]);
                gradients.register::<B>(node.id, part);
            }
            first += channels;
        }
    }
}

/// Tracks what `join` computes.
fn tracked<B: Backend, C: CheckpointStrategy, const N: usize>(
    parts: [FloatTensor<Autodiff<B, C>>; N],
    join: impl FnOnce([FloatTensor<B>; N]) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = parts.each_ref().map(|part| part.node());
    let channels = parts.each_ref().map(|part| part.shape()[1]);
    let prep = Backward::<B, N>::prepare::<C>(Step, nodes);
    let output = join(parts.map(|part| part.into_primitive()));
    match prep.compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(channels, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

impl<B: Concatenation, C: CheckpointStrategy> Concatenation for Autodiff<B, C> {
    fn concatenate_two(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        tracked::<B, C, 2>([a, b], |[a, b]| B::concatenate_two(a, b))
    }

    fn concatenate_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        tracked::<B, C, 3>([a, b, c], |[a, b, c]| B::concatenate_three(a, b, c))
    }

    fn concatenate_four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        tracked::<B, C, 4>([a, b, c, d], |[a, b, c, d]| B::concatenate_four(a, b, c, d))
    }
}

/// The channels of `parts` `[N, C, H, W]` one behind the other. More than four parts are Burn's to join.
///
/// # Panics
/// Where there are none, or images of different sizes.
pub fn concatenate(parts: Vec<Tensor<4>>) -> Tensor<4> {
    if !parts.iter().all(is_readable) {
        return Tensor::cat(parts, 1);
    }
    let parts = match <[Tensor<4>; 2]>::try_from(parts) {
        Ok(parts) => {
            let [a, b] = parts.map(Tensor::into_dispatch);
            return Tensor::from_dispatch(Dispatch::concatenate_two(a, b));
        }
        Err(parts) => parts,
    };
    let parts = match <[Tensor<4>; 3]>::try_from(parts) {
        Ok(parts) => {
            let [a, b, c] = parts.map(Tensor::into_dispatch);
            return Tensor::from_dispatch(Dispatch::concatenate_three(a, b, c));
        }
        Err(parts) => parts,
    };
    match <[Tensor<4>; 4]>::try_from(parts) {
        Ok(parts) => {
            let [a, b, c, d] = parts.map(Tensor::into_dispatch);
            Tensor::from_dispatch(Dispatch::concatenate_four(a, b, c, d))
        }
        Err(parts) => Tensor::cat(parts, 1),
    }
}
