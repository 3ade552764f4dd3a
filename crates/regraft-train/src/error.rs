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
    /// The model could not be written.
    #[error(transparent)]
    Model(#[from] regraft_onnx::Error),
    /// A file of the run folder could not be read or written.
    #[error("{action} `{path}`: {source}")]
    Io {
        /// `reading` or `writing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint `{path}`: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The loss left the numbers.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step}, at learning rate {lr:e}; the last good checkpoint is kept. Try a lower `train.lr`, or `train.grad_clip = 1.0`"
    )]
    Diverged {
        /// The loss: NaN or infinite.
        loss: f64,
        /// Counted from 1.
        epoch: usize,
        /// Counted from 1 in the epoch.
        step: usize,
        /// Learning rate of the step.
        lr: f64,
    },
    /// Somebody asked to stop.
    #[error("interrupted; `regraft resume {}` goes on from the last checkpoint", .run.display())]
    Interrupted {
        /// The run folder.
        run: PathBuf,
    },
    /// No image was left to train on.
    #[error("none of the training images could be decoded")]
    NoImages,
}
