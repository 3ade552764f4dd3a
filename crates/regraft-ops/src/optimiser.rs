//! The steps of optimisers, as an extension of Burn's backends that lie in memory: Burn takes a pass over memory for each
//! operation, on one thread.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use regraft_kernels::AdaptiveStep;

use crate::host::is_readable;

/// What optimisers compute of tensors of one shape, of any rank.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"))]
pub trait Optimiser: Backend {
    /// `weights[0] left + weights[1] right`
    fn weighted_sum(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        weights: [f32; 2],
    ) -> FloatTensor<Self>;

    /// `weights[0] left + weights[1] right²`
    fn weighted_squares(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        weights: [f32; 2],
    ) -> FloatTensor<Self>;

    /// [`AdaptiveStep::apply`]
    fn adaptive_step(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdaptiveStep,
    ) -> FloatTensor<Self>;
}

/// `weights[0] left + weights[1] right`, for tensors cut off from autodiff.
///
/// # Panics
/// Where shapes differ.
pub fn weighted_sum<const D: usize>(
    left: Tensor<D>,
    right: Tensor<D>,
    weights: [f32; 2],
) -> Tensor<D> {
    if !(is_readable(&left) && is_readable(&right)) {
        return left.mul_scalar(weights[0]) + right.mul_scalar(weights[1]);
    }
    let (left, right) = (left.into_dispatch(), right.into_dispatch());
    Tensor::from_dispatch(Dispatch::weighted_sum(left, right, weights))
}

/// `weights[0] left + weights[1] right²`, for tensors cut off from autodiff.
///
/// # Panics
/// Where shapes differ.
pub fn weighted_squares<const D: usize>(
    left: Tensor<D>,
    right: Tensor<D>,
    weights: [f32; 2],
) -> Tensor<D> {
    if !(is_readable(&left) && is_readable(&right)) {
        return left.mul_scalar(weights[0]) + right.square().mul_scalar(weights[1]);
    }
    let (left, right) = (left.into_dispatch(), right.into_dispatch());
    Tensor::from_dispatch(Dispatch::weighted_squares(left, right, weights))
}

/// The weights after a step of Adam with decoupled weight decay: [`AdaptiveStep::apply`], for tensors cut off from autodiff.
///
/// # Panics
/// Where shapes differ.
pub fn adaptive_step<const D: usize>(
    weight: Tensor<D>,
    [first, second]: [Tensor<D>; 2],
    step: AdaptiveStep,
) -> Tensor<D> {
    if ![&weight, &first, &second].into_iter().all(is_readable) {
        let root = second.mul_scalar(step.correction).sqrt();
        let delta = first.mul_scalar(step.rate) / root.add_scalar(step.epsilon);
        return weight.mul_scalar(step.keep) - delta;
    }
    Tensor::from_dispatch(Dispatch::adaptive_step(
        weight.into_dispatch(),
        first.into_dispatch(),
        second.into_dispatch(),
        step,
    ))
}
