//! Trains the rest of a network above its frozen trunk: phases, parameter groups, stored features, checkpoints, metrics.
//!
//! From small to large, each of use without those that follow:
//!
//! | | |
//! |---|---|
//! | [`StateDict`] | values by canonical name, whatever the cut, phase or device |
//! | [`Objective`], [`Target`] | the loss, and what an image is to be told as |
//! | [`Learner`] | [`Learner::gradients`] of a batch, [`Learner::apply`]: clipping, summing over parts, averaging |
//! | [`Session`] | a state under one phase of a plan; [`Session::enter`] goes on to the next |
//! | [`Averager`] | a running mean of weights |
//! | [`FeatureStore`], [`Source`] | where batches come from |
//! | [`Trainer`] | epochs, validation, checkpoints in a run folder |
//! | [`RangeTest`] | a trial with a growing learning rate, for choosing one |
//! | [`Observer`] | hears of every [`Event`] |
//!
//! Everything random is a function of the seed, so the same settings give the same bytes, and a run that was killed and
//! resumed gives those of the uninterrupted one. No file format of networks and no recipe is known here: [`Settings`] are
//! plain data, and whoever trains writes the networks ([`Trainer::keep`]). No backend is named: a trainer takes a Burn
//! `Device`.
//!
//! A [`Session`] can move to another thread (`Send`); [`Trainer::run`] works on the thread that calls it, and its kernels use
//! the rayon pool that it is called in.

mod averager;
mod checkpoint;
mod error;
mod evaluate;
mod feature_folder;
mod feature_store;
mod learner;
mod metrics;
mod objective;
mod observer;
mod optimizer;
mod pace;
mod phases;
mod range_test;
mod schedule;
mod session;
mod settings;
mod state_dict;
mod stop;
mod trainer;

pub use averager::{Averager, Averaging};
pub use checkpoint::{CHECKPOINTS, Standing};
pub use error::Error;
pub use evaluate::{Evaluation, Prediction, evaluate};
pub use feature_folder::{Columns, FeatureFolder};
pub use feature_store::{FeatureStore, Features, Source};
pub use learner::{Gradients, Learner};
pub use metrics::{METRICS_CSV, METRICS_JSONL};
pub use objective::{Objective, Target};
pub use observer::{EpochReport, Event, NO_VALIDATION, Observer, Silent, StepReport};
pub use pace::Pace;
pub use phases::Span;
pub use range_test::{RangeCurve, RangePoint, RangeTest};
pub use schedule::learning_rate;
pub use session::{SavedSession, Session, SessionOptions, Values};
pub use settings::Settings;
pub use state_dict::StateDict;
pub use stop::Stop;
pub use trainer::{Keep, Kept, Outcome, Trainer};
