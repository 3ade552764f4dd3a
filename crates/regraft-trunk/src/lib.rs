//! A frozen network, or the frozen part of one, compiled once and run on plain slices.
//!
//! [`Plan::compile`] takes what a value of a [`Graph`](regraft_onnx::Graph) needs: batch norm goes into convolutions,
//! residual sums and activations into what writes their operand, weights are packed or transformed, and every
//! activation gets a place in memory that it shares with others in turn. [`Plan::run`] does the rest with the kernels of
//! `regraft-kernels`, for any number of images, without allocating once its [`Buffers`] have grown. A network with an
//! operator that is not known here is [refused](Unsupported) before anything is computed, so that a caller can run it
//! elsewhere.
//!
//! Data flows one way: graph → drafts (`read`, `fuse`) → kernels and places (`kernel`, `liveness`) → run.

mod channels_last;
mod draft;
mod error;
mod extents;
mod fuse;
mod gelu;
mod kernel;
mod liveness;
mod memory;
mod ops;
mod plan;
mod read;
mod run;

pub use draft::{activation_of, gated_by};
pub use error::{Error, Unsupported};
pub use plan::Plan;
pub use regraft_kernels::{Precision, has_bf16};
pub use run::{Buffers, StepTime};

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
