//! Why a verb failed, and whose fault it was.

use std::path::PathBuf;

/// What went wrong, with what would work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] regraft_recipe::Error),
    /// The freeze policy does not fit the network.
    #[error("`freeze.policy`: {0}")]
    Freeze(#[from] regraft_freeze::Error),
    /// The model file.
    #[error("model `{path}`: {source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: regraft_onnx::Error,
    },
    /// No such model.
    #[error(
        "no model `{name}`: there is no file or run folder of that name, and names from a model zoo are not available yet; give the path of an ONNX file"
    )]
    NoModel {
        /// What was asked for.
        name: String,
    },
    /// The images.
    #[error(transparent)]
    Data(#[from] regraft_data::Error),
    /// The device.
    #[error(transparent)]
    Device(#[from] regraft_backend::Error),
    /// Training.
    #[error(transparent)]
    Train(#[from] regraft_train::Error),
    /// The network.
    #[error(transparent)]
    Network(#[from] regraft_nn::Error),
    /// A file or folder.
    #[error("{action} `{path}`: {source}")]
    Io {
        /// `reading`, `writing`, `locking`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A run folder that cannot be used.
    #[error("run folder `{path}`: {reason}")]
    Run {
        /// The folder.
        path: PathBuf,
        /// Why, and what would work.
        reason: String,
    },
    /// The model lacks what the verb needs.
    #[error("{reason}")]
    Unfit {
        /// What is missing and what would work.
        reason: String,
    },
}

impl Error {
    /// Whether the words or files that a person gave are wrong, rather than something that happened on the way.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Error::Recipe(_) | Error::Freeze(_) | Error::NoModel { .. } | Error::Device(_)
        )
    }

    /// Whether the run was stopped on purpose and can go on.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Error::Train(regraft_train::Error::Interrupted { .. }))
    }
}
