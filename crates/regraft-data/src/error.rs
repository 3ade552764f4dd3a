//! What can be wrong with a folder of images.

use std::path::PathBuf;

/// Why images could not be found or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused to read something.
    #[error("reading `{path}`")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// There is no such folder.
    #[error(
        "`{path}`: there is no such folder; images are read from a folder with one folder a class"
    )]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// The folder is not laid out as expected.
    #[error(
        "`{path}`: {reason}; expected one folder a class with its images in it, or train/ (and val/, test/) of those, or IDX files (`train-images-idx3-ubyte.gz` and so on)"
    )]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A class that holds no image.
    #[error("class `{class}` in `{path}` has no images; add some or remove its folder")]
    EmptyClass {
        /// Its name.
        class: String,
        /// The split's folder.
        path: PathBuf,
    },
    /// A class that training does not know.
    #[error("class `{class}` in `{path}` is not among the known classes: {}", some(.known))]
    UnknownClass {
        /// Its name.
        class: String,
        /// The split's folder.
        path: PathBuf,
        /// The classes there are.
        known: Vec<String>,
    },
    /// A file that cannot be decoded.
    #[error(
        "image `{path}` cannot be read: {reason}; replace it, remove it, or set `data.on_bad_image = \"skip\"`"
    )]
    BadImage {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file in IDX format that cannot be used.
    #[error("`{path}`: {reason}")]
    Idx {
        /// The file, or the folder that lacks one.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A choice of classes or images that makes no sense.
    #[error("{reason}")]
    Selection {
        /// What is wrong and what would work.
        reason: String,
    },
    /// A preprocessing table that makes no sense.
    #[error(transparent)]
    Preprocess(#[from] regraft_spec::InvalidPreprocess),
    /// An image that cannot be resized.
    #[error("resizing: {reason}")]
    Resize {
        /// What is wrong.
        reason: String,
    },
    /// A label that no class has.
    #[error("image `{path}` has the label {label}, and there are {classes} classes")]
    Label {
        /// The file.
        path: PathBuf,
        /// Its label, counted from 0.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A list of images and splits that cannot be read.
    #[error("`{path}`: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A worker ended early.
    #[error("a loading thread stopped unexpectedly")]
    Worker,
}

/// Names to show in a message: all of up to ten, else the first ten and the number of the others.
pub fn some(names: &[String]) -> String {
    const SHOWN: usize = 10;
    match names.len() {
        0..=SHOWN => names.join(", "),
        all => format!("{} and {} more", names[..SHOWN].join(", "), all - SHOWN),
    }
}
