//! Differentiable operations on Burn tensors, with kernels of our own where a backend runs on the CPU.
//!
//! [`conv2d`] takes the place of Burn's: the same arguments, the same result within rounding. On other backends it is
//! Burn's own. [`batch_norm`] is one step with the activation behind it, and there only where [`has_batch_norm`] says so;
//! [`pool2d`] only where [`pool_shape`] gives windows. [`add`], [`concatenate`] and the steps of
//! optimisers are Burn's own elsewhere.
//!
//! The features `flex`, `ndarray` and `cuda` must name the backends that Burn is built with.

// With no backend in memory the extensions have no arm that reads their arguments.
#![cfg_attr(not(any(feature = "flex", feature = "ndarray")), allow(unused))]

mod activation;
mod concatenation;
mod convolution;
mod host;
mod kernels;
mod normalisation;
mod normalised;
mod optimiser;
mod pooling;
mod residual;

pub use activation::activate;
pub use concatenation::concatenate;
pub use convolution::conv2d;
pub use host::is_host;
pub use normalisation::{NormOptions, batch_norm, channel_statistics, has_batch_norm};
pub use normalised::Norm;
pub use optimiser::{adaptive_step, weighted_squares, weighted_sum};
pub use pooling::{Pooled, pool_shape, pool2d};
pub use regraft_kernels::{Activation, AdaptiveStep, Divisor, PoolShape, PoolSpec, Rounding};
pub use residual::add;
