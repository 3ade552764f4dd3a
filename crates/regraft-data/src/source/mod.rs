//! The layouts that data comes in: a line each in one table.

mod folder;
mod idx;

use std::path::Path;

use crate::dataset::{Dataset, ImageSet};
use crate::error::Error;

pub use folder::is_image;

/// A layout of data.
pub(crate) struct Source {
    /// Whether the data at a path is laid out so.
    fits: fn(&Path) -> bool,
    read: fn(&Path) -> Result<Dataset, Error>,
    read_one: fn(&Path, Option<&[String]>) -> Result<ImageSet, Error>,
}

/// The last one takes what no other does.
const SOURCES: [Source; 2] = [
    Source {
        fits: idx::is_idx,
        read: idx::read,
        read_one: idx::read_one,
    },
    FOLDER,
];

const FOLDER: Source = Source {
    fits: |_| true,
    read: folder::read,
    read_one: |path, classes| folder::read_set(path, classes, &mut Vec::new()),
};

/// The source that knows the layout of the data at a path.
pub(crate) fn of(path: &Path) -> Source {
    let fitting = SOURCES.into_iter().find(|source| (source.fits)(path));
    fitting.unwrap_or(FOLDER)
}

impl Source {
    /// All splits that the data has of its own.
    pub fn read(&self, path: &Path) -> Result<Dataset, Error> {
        (self.read)(path)
    }

    /// One set to measure on, against a given list of classes where there is one.
    pub fn read_one(&self, path: &Path, classes: Option<&[String]>) -> Result<ImageSet, Error> {
        (self.read_one)(path, classes)
    }
}
