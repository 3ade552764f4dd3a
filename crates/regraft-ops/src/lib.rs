//! Differentiable operations on Burn tensors, with kernels of our own where a backend runs on the CPU.
//!
//! [`conv2d`] takes the place of Burn's: the same arguments, the same result within rounding. On other backends it is
//! Burn's own.
//!
//! The features `flex`, `ndarray` and `cuda` must name the backends that Burn is built with.

mod convolution;
mod host;
mod kernels;

pub use convolution::conv2d;
pub use host::is_host;
