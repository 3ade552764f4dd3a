//! Values made of the values at the same place: the sum at the end of a residual block with its activation, and the steps of
//! optimisers.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::fresh::{self, Fresh};
use crate::function::{Function, with_function};
use crate::isa::dispatch;
use crate::simd::Simd;
use crate::{Activation, Isa};

/// Values of a task.
const PIECE: usize = 16 * 1024;

/// `activation(left + right)`
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn sum(isa: Isa, left: &[f32], right: &[f32], activation: Activation) -> Vec<f32> {
    with_function!(activation, F => each(isa, left, right, |left, right| F::of(left + right)))
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
    with_function!(activation, F => each(isa, output, output_gradient, F::back))
}

/// `weights[0] left + weights[1] right`
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn weighted_sum(isa: Isa, left: &[f32], right: &[f32], weights: [f32; 2]) -> Vec<f32> {
    each(isa, left, right, |left, right| {
        weights[0] * left + weights[1] * right
    })
}

/// `weights[0] left + weights[1] right²`
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn weighted_squares(isa: Isa, left: &[f32], right: &[f32], weights: [f32; 2]) -> Vec<f32> {
    each(isa, left, right, |left, right| {
        weights[0] * left + weights[1] * (right * right)
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
        let quotient = |first: f32, second: f32| {
            self.rate * first / ((self.correction * second).sqrt() + self.epsilon)
        };
        let delta = each(isa, first, second, quotient);
        each(isa, weight, &delta, |weight, delta| {
            self.keep * weight - delta
        })
    }
}

/// `f` of pairs, by all threads.
fn each(isa: Isa, a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "lengths of operands");
    let write = |out: &mut Fresh| {
        let pieces = out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE));
        pieces.zip(b.par_chunks(PIECE)).for_each(|((out, a), b)| {
            dispatch!(isa, S => S::run(
                #[inline(always)]
                || {
                    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
                        out.write(f(*a, *b));
                    }
                },
            ));
        });
    };
    // SAFETY: the pieces cover the output, and each of its values is made of the operands'.
    unsafe { fresh::written(a.len(), write) }
}
