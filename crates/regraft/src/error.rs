//! Why a verb failed, and whose fault it was.

use std::path::{Path, PathBuf};

/// What went wrong, with what would work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe.
    #[cfg(feature = "recipe")]
    #[error(transparent)]
    Recipe(#[from] regraft_recipe::Error),
    /// The freeze policy does not fit the network.
    #[error("`freeze.policy`")]
    Freeze(#[from] regraft_freeze::Error),
    /// The model file.
    #[error("model `{path}`")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: regraft_onnx::Error,
    },
    /// No such model.
    #[error(
        "no model `{name}`: there is no file or run folder of that name, and the zoo has none{}; give the path of an ONNX file, or a name of `regraft models list`", and_near(.near)
    )]
    NoModel {
        /// What was asked for.
        name: String,
        /// Names of the zoo that look like it.
        near: Vec<String>,
    },
    /// A model of the zoo whose file is not here yet.
    #[error(
        "model `{name}` is in the zoo, but not on this machine; fetch it with `regraft models get {name}`"
    )]
    NotFetched {
        /// Its name.
        name: String,
    },
    /// The probe of the policy `auto`.
    #[cfg(feature = "recipe")]
    #[error(
        "`freeze.policy = \"auto\"` measures how far the features serve, and cannot; choose a policy by hand, e.g. \"feature-extractor\""
    )]
    Probe(#[from] regraft_probe::Error),
    /// The zoo.
    #[cfg(feature = "zoo")]
    #[error(transparent)]
    Zoo(#[from] regraft_zoo::Error),
    /// A network to build.
    #[error(transparent)]
    Architecture(#[from] regraft_arch::Error),
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
    /// A file that was to be read or written whole.
    #[error(transparent)]
    File(#[from] regraft_spec::files::FileError),
    /// A file or folder.
    #[error("{action} `{path}`")]
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
    /// The data or settings of a run are not those that it began with.
    #[error("run folder `{path}`: {reason}")]
    Changed {
        /// The folder.
        path: PathBuf,
        /// What differs, and what would work.
        reason: String,
    },
    /// A setting that does not go with the model or the data.
    #[error("`{key}`: {reason}")]
    Setting {
        /// The recipe's key.
        key: &'static str,
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
    /// What is wrong with the model in the file `path`.
    pub(crate) fn model(path: &Path, source: regraft_onnx::Error) -> Self {
        Self::Model {
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the words or files that a person gave are wrong, rather than something that happened on the way.
    pub fn is_usage(&self) -> bool {
        match self {
            #[cfg(feature = "recipe")]
            Error::Recipe(_) => true,
            #[cfg(feature = "zoo")]
            Error::Zoo(regraft_zoo::Error::Unknown { .. }) => true,
            other => other.is_wrong_argument(),
        }
    }

    fn is_wrong_argument(&self) -> bool {
        matches!(
            self,
            Error::Freeze(_)
                | Error::NoModel { .. }
                | Error::NotFetched { .. }
                | Error::Architecture(_)
                | Error::Device(_)
                | Error::Setting { .. }
                | Error::Train(regraft_train::Error::NothingToStopBy)
                | Error::Data(
                    regraft_data::Error::Missing { .. }
                        | regraft_data::Error::Selection { .. }
                        | regraft_data::Error::Preprocess(_)
                )
                | Error::Model {
                    source: regraft_onnx::Error::NoSuchName { .. },
                    ..
                }
        )
    }

    /// Whether the run was stopped on purpose and can go on.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Error::Train(regraft_train::Error::Interrupted { .. }))
    }
}

fn and_near(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; near: `{}`", names.join("`, `")),
    }
}
