//! Values made of the values at the same place: the sum at the end of a residual block with its activation, and the steps of
//! optimisers.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::function::{Function, with_function};
use crate::isa::dispatch;
use crate::simd::Simd;
use crate::{Activation, Isa, fresh};

/// Values of a task.
const PIECE: usize = 16 * 1024;

/// `activation(left + right)`
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn sum(isa: Isa, left: &[f32], right: &[f32], activation: Activation) -> Vec<f32> {
    with_function!(activation, F => each(isa, [left, right], |[left, right]| F::of(left + right)))
}

/// The gradient of both operands of a [`sum`], from its output, which says where the activation let them through, and the output's
/// gradient.
///
/// # Panics
/// Where the lengths differ, or the activation is none of `None`, `Relu` and `Relu6`.
#[must_use]
pub fn sum_gradient(
    isa: Isa,
    output: &[f32],
    output_gradient: &[f32],
    activation: Activation,
) -> Vec<f32> {
    assert!(
        activation.is_told_by_output(),
        "the output of {activation:?} does not say what it was of"
    );
    with_function!(activation, F => each(isa, [output, output_gradient], |[output, gradient]| F::back(output, gradient)))
}

/// `weights[0] left + weights[1] right`
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn weighted_sum(isa: Isa, left: &[f32], right: &[f32], [a, b]: [f32; 2]) -> Vec<f32> {
    each(isa, [left, right], |[left, right]| a * left + b * right)
}

/// `weights[0] left + weights[1] right²`
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn weighted_squares(isa: Isa, left: &[f32], right: &[f32], [a, b]: [f32; 2]) -> Vec<f32> {
    each(isa, [left, right], |[left, right]| {
        a * left + b * (right * right)
    })
}

/// The numbers of a step of Adam with decoupled weight decay (Loshchilov and Hutter 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveStep {
    /// What decay leaves of a weight: one less the learning rate times the decay.
    pub keep: f32,
    /// The learning rate, divided by the correction of the first moment.
    pub rate: f32,
    /// What the second moment is multiplied by to correct it.
    pub correction: f32,
    /// Added to the root.
    pub epsilon: f32,
}

impl AdaptiveStep {
    /// The new weights: `keep weight - rate first / (sqrt(correction second) + epsilon)`.
    ///
    /// # Panics
    /// Where the lengths differ.
    #[must_use]
    pub fn apply(self, isa: Isa, weight: &[f32], [first, second]: [&[f32]; 2]) -> Vec<f32> {
        each(isa, [weight, first, second], |[weight, first, second]| {
            let root = (self.correction * second).sqrt();
            self.keep * weight - self.rate * first / (root + self.epsilon)
        })
    }
}

/// `f` of the values at the same place, by all threads.
fn each<const N: usize>(
    isa: Isa,
    operands: [&[f32]; N],
    f: impl Fn([f32; N]) -> f32 + Sync,
) -> Vec<f32> {
    let len = operands[0].len();
    assert!(
        operands.iter().all(|operand| operand.len() == len),
        "lengths of operands"
    );
    let write = |out: &mut [f32]| {
        let pieces = out.par_chunks_mut(PIECE).enumerate();
        pieces.for_each(|(piece, out)| {
            let operands = operands.map(|operand| &operand[piece * PIECE..][..out.len()]);
            dispatch!(isa, S => S::run(
                #[inline(always)]
                || {
                    for (i, out) in out.iter_mut().enumerate() {
                        *out = f(operands.map(|operand| operand[i]));
                    }
                },
            ));
        });
    };
    // SAFETY: the pieces cover the output, and each of its values is made of the operands'.
    unsafe { fresh::written(len, write) }
}
