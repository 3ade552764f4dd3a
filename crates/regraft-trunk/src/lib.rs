//! A frozen network, or the frozen part of one, compiled once and run on plain slices.
//!
//! [`Plan::compile`] takes the program of what a value of a [`Graph`](regraft_onnx::Graph) needs: weights are packed or
//! transformed, and every activation gets a place in memory that it shares with others in turn. [`Plan::run`] does the rest with the kernels of
//! `regraft-kernels`, for any number of images, without allocating once its [`Buffers`] have grown. A network with an
//! operator that is not known here is [refused](Unsupported) before anything is computed, so that a caller can run it
//! elsewhere.
//!
//! Data flows one way: graph → program (`regraft-program`) → layouts (`channels_last`) → kernels and places (`kernel`, `liveness`)
//! → run.

mod channels_last;
mod error;
mod kernel;
mod liveness;
mod memory;
mod ops;
mod plan;
mod run;

pub use error::Error;
pub use plan::Plan;
pub use regraft_kernels::{Precision, has_bf16};
pub use regraft_program::Unsupported;
pub use run::{Buffers, StepTime};

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
