//! The freeze-policy engine: which parameters of a pretrained network train, how fast, and what batch norm does meanwhile.
//!
//! A pure function: [`resolve`] takes an [`Outline`] of a network, [`DataFacts`] and a [`FreezeConfig`], and gives a
//! [`FreezePlan`]. No tensors, no files.
//!
//! ```
//! use regraft_freeze::{BlockOutline, DataFacts, FreezeConfig, Outline, ParameterKind, ParameterOutline, Policy, resolve};
//!
//! let block = |name: &str, head| BlockOutline { name: name.into(), head, macs: 0, activations: 0, largest: 0, output_values: 0 };
//! let weight = |name: &str, block, fresh| ParameterOutline {
//!     name: name.into(), kind: ParameterKind::Weight, shape: vec![8, 8], block, fresh,
//! };
//! let outline = Outline {
//!     blocks: vec![block("layer1", false), block("layer2", false), block("head", true)],
//!     parameters: vec![weight("layer1.weight", 0, false), weight("layer2.weight", 1, false), weight("head.weight", 2, true)],
//!     norms: vec![],
//!     untrained: false,
//! };
//! let facts = DataFacts { train_images: 500, classes: 10, batch_size: 32 };
//! let config = FreezeConfig { policy: Policy::LastBlocks(1), ..FreezeConfig::default() };
//! let plan = resolve(&outline, &facts, &config)?;
//! assert_eq!(plan.phases[0].frozen_blocks, 1);
//! # Ok::<(), regraft_freeze::Error>(())
//! ```
//!
//! A [`Phase`] is read by name ([`Phase::trains`], [`Phase::learning_rate`], [`Phase::statistics`]) or by the groups that
//! optimizers take ([`Phase::groups`]). A plan is plain data that can be kept as JSON; [`FreezePlan::check`] refuses one for
//! another network.
//!
//! [`Policy::Auto`] names no parameters: whoever trains tries several policies and keeps the best.

mod check;
mod contradictions;
mod error;
mod globs;
mod groups;
mod outline;
mod plan;
mod policy;
mod reading;
mod resolve;
mod table;
mod text;
mod written;

pub use error::Error;
pub use groups::ParameterGroup;
pub use outline::{BlockOutline, NormOutline, Outline, ParameterKind, ParameterOutline};
pub use plan::{FreezePlan, NormPlan, ParameterPlan, Phase};
pub use policy::{BatchNorm, FreezeConfig, Policy, PolicyPart, Rule};
pub use regraft_spec::Statistics;
pub use resolve::{
    DataFacts, RelativeGradients, SMALL_BATCH, SMALL_DATA_IMAGES, resolve, resolve_measured,
};
pub use table::{Estimate, Footprint, estimate, table};

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
