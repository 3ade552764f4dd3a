//! The kernels of everything that is not a convolution, by kin. All write a whole output; those that work element by
//! element can do so where their input lies.

pub(crate) mod elementwise;
pub(crate) mod function;
pub(crate) mod normalise;
pub(crate) mod product;
pub(crate) mod rearrange;

/// Values of a task: a chunk that stays in the first-level cache while several things are done to it.
pub(crate) const CHUNK: usize = 4096;
