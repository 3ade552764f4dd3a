//! Why training stopped before its end.

use std::path::PathBuf;

/// What went wrong, and what would work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Images could not be read.
    #[error(transparent)]
    Data(#[from] regraft_data::Error),
    /// The network could not run.
    #[error(transparent)]
    Network(#[from] regraft_nn::Error),
    /// A file of the run folder could not be read or written.
    #[error(transparent)]
    File(#[from] regraft_spec::files::FileError),
    /// The trained network could not be written.
    #[error(transparent)]
    Write(Box<dyn std::error::Error + Send + Sync>),
    /// A setting that is out of its range.
    #[error("the training setting `{setting}` is out of range; expected {expected}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// An optimiser's state that cannot be written or read.
    #[error("the optimizer's state: {reason}")]
    OptimizerState {
        /// Why.
        reason: String,
    },
    /// An optimiser's state with a number that is not finite.
    #[error("the optimizer's running mean of a gradient is no longer finite")]
    OptimizerNotFinite,
    /// A checkpoint that cannot be used.
    #[error("checkpoint `{path}`: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Training left the finite numbers.
    #[error(
        "{what} became {value} in epoch {epoch}, step {step}, at learning rate {lr:e}; {}. Try a lower `train.lr`, or `train.grad_clip = 1.0`",
        kept(.checkpoint)
    )]
    Diverged {
        /// What is no finite number any more: the loss, the validation loss, a parameter.
        what: String,
        /// NaN or infinite.
        value: f64,
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1 in the epoch.
        step: usize,
        /// Learning rate of the step.
        lr: f64,
        /// Epochs done in the newest checkpoint, where there is one; all of its numbers are finite.
        checkpoint: Option<usize>,
    },
    /// Somebody asked to stop.
    #[error("interrupted; `regraft resume {}` goes on from here", .run.display())]
    Interrupted {
        /// The run folder.
        run: PathBuf,
    },
    /// A plan without a phase.
    #[error("the plan has no phase, so that nothing would train")]
    NoPhase,
    /// No image was left to train on.
    #[error("none of the training images could be decoded")]
    NoImages,
    /// Features of an image that are no finite numbers.
    #[error(
        "the network's features for image `{}` are not finite; does the preprocessing fit the model?", .path.display()
    )]
    FeaturesNotFinite {
        /// Position in the set's samples.
        index: usize,
        /// The file.
        path: PathBuf,
    },
    /// A label that the network has no output for.
    #[error("image `{path}` has the label {label}, and the network tells {classes} classes apart")]
    Label {
        /// The image's file.
        path: PathBuf,
        /// Its label, counted from 0.
        label: usize,
        /// Number of outputs.
        classes: usize,
    },
    /// Early stopping without anything to stop by.
    #[error(
        "`train.early_stopping` needs validation images, and there are none; set `data.validation` above 0, add a `val` folder, or leave `train.early_stopping` out"
    )]
    NothingToStopBy,
}

fn kept(checkpoint: &Option<usize>) -> String {
    match checkpoint {
        Some(epochs) => format!("the last good checkpoint, after epoch {epochs}, is kept"),
        None => "no checkpoint was written yet".to_owned(),
    }
}
