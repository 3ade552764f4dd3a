//! Runs an imported ONNX network on Burn: a frozen trunk without autodiff, the trainable rest above it.
//!
//! [`outline`] tells the freeze-policy engine what a graph is made of; [`Network`] runs the graph by the resulting plan.
//! Below the plan's cut lies the [`Trunk`]: no gradients, batch norm folded into convolutions, results that may be cached.
//! Above it the trainable rest keeps every parameter as a Burn `Param` whose id derives from its canonical name.
//!
//! No backend is named here: a Burn `Device` carries it.

mod activation;
mod batch_norm;
mod error;
mod fingerprint;
mod network;
mod operators;
mod outline;
mod taps;
mod trunk;
mod weights;

pub use activation::Activation;
pub use error::Error;
pub use fingerprint::fingerprint;
pub use network::{Dropout, Network, RunningStatistics, cut_of, kept_values};
pub use outline::outline;
pub use regraft_trunk::Precision;
pub use taps::Taps;
pub use trunk::Trunk;
pub use weights::{Weights, parameter_id};

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
