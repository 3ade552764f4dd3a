//! Trains the rest of a network above its frozen trunk: schedules, parameter groups, feature cache, checkpoints, metrics.
//!
//! [`Trainer`] takes a grafted model, a freeze plan, loaders and a recipe's `[train]` section, and writes into a run
//! folder; what happens is told as [`Event`]s. Everything random is a function of the seed, so the same recipe gives the
//! same bytes, and a run that was killed and resumed gives those of the uninterrupted one.
//!
//! No backend is named here: a trainer takes a Burn `Device`.

mod cache;
mod checkpoint;
mod error;
mod evaluate;
mod event;
pub mod files;
mod loss;
mod metrics;
mod optimizer;
mod pace;
mod schedule;
mod trainer;

pub use checkpoint::Standing;
pub use error::Error;
pub use evaluate::{Evaluation, Prediction, evaluate};
pub use event::{EpochReport, Event, NO_VALIDATION, StepReport};
pub use pace::Pace;
pub use schedule::learning_rate;
pub use trainer::{Outcome, Trainer};
