//! What a training says while it works, and who listens.

use serde::{Deserialize, Serialize};

/// The warning that goes with [`Event::NoValidation`].
pub const NO_VALIDATION: &str = "none of the validation images could be decoded: there is no validation, and the last epoch is kept";

/// Whoever wants to hear of what happens: a progress bar, a file of metrics, a chart.
///
/// A closure `|event: &Event<'_>| ...` is one; [`Silent`] listens to nothing.
pub trait Observer {
    /// Called for every event, in the order in which they happen, on the thread that trains.
    fn observe(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn observe(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _: &Event<'_>) {}
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Images are read before training: to record which they are, or to choose how much of the network trains.
    Reading {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// Something to tell the user.
    Note(&'a str),
    /// The trunk is computing features that will be reused in every epoch.
    Features {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// A phase of the plan begins.
    Phase {
        /// Counted from 1.
        phase: usize,
        /// Phases in all.
        phases: usize,
        /// What it is about, as the plan says.
        name: &'a str,
        /// Its first epoch, counted from 1.
        epoch: usize,
    },
    /// Images are being evaluated.
    Evaluating {
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// An epoch begins.
    EpochStarted {
        /// Counted from 1.
        epoch: usize,
        /// Epochs in all.
        epochs: usize,
        /// Steps in this epoch.
        steps: usize,
    },
    /// A step is done.
    Step(&'a StepReport),
    /// An epoch is done.
    Epoch(&'a EpochReport),
    /// None of the validation images could be decoded: there is no validation, and the last epoch is kept.
    NoValidation,
    /// A checkpoint was written because somebody asked to stop.
    Saved {
        /// Epochs done.
        epoch: usize,
        /// Steps done of the epoch in hand.
        step: usize,
    },
    /// An image was left out.
    Skipped(&'a regraft_data::Skipped),
    /// What rounding the trunk to bf16 changed.
    Rounded {
        /// Of the features of a batch, relative to their root mean square.
        difference: f64,
        /// Validation accuracy with the trunk rounded, and with the trunk of the written file.
        accuracy: Option<[f64; 2]>,
    },
    /// No improvement for as many epochs as asked: training ends here.
    StoppedEarly {
        /// The last epoch, counted from 1.
        epoch: usize,
    },
}

/// One optimisation step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub epoch: usize,
    /// Counted from 1 in the epoch.
    pub step: usize,
    /// Mean cross-entropy of the batch, in nats.
    pub loss: f64,
    /// Learning rate before multipliers.
    pub lr: f64,
    /// Time of the step without loading data.
    pub step_seconds: f64,
    /// Images of the batch by `step_seconds`.
    pub images_per_second: f64,
}

/// One epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean training loss, in nats.
    pub train_loss: f64,
    /// Share of training images classified right, as they were seen in training: a mixed one counts as its stronger class.
    pub train_accuracy: f64,
    /// Mean validation loss, in nats.
    pub validation_loss: Option<f64>,
    /// Share of validation images classified right.
    pub validation_accuracy: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Time of the epoch, loading and validation included.
    pub seconds: f64,
    /// Training images by the time spent on them, loading included.
    pub images_per_second: f64,
    /// Whether it is the best so far.
    pub best: bool,
}
