//! Opens a data set: read by the source that knows its layout, part of it selected, a share held out.

use std::path::Path;

use crate::dataset::{Dataset, ImageSet};
use crate::error::{Error, some};
use crate::select::Selection;
use crate::source;
use crate::split;

/// How to split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenOptions {
    /// Share of the training images to validate on where the folder has no such split, 0 to 1 (exclusive); 0: none.
    pub validation: f64,
    /// Decides which.
    pub seed: u64,
}

/// Opens a folder of class folders, of train/, val/ and test/ of those, or of IDX files (`train-images-idx3-ubyte` and its
/// labels; `t10k-…` or `test-…` to test on; with `.gz` or without).
///
/// IDX classes are called by their numbers, or as the lines of a file `labels.txt` beside the data say.
///
/// # Errors
/// When the folder is missing or laid out otherwise, a class is empty, a split has a class that training lacks, or an IDX
/// file is damaged.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Dataset, Error> {
    open_part(path, options, &Selection::default())
}

/// As [`open`], but only some of the classes, or of the images of each.
///
/// # Errors
/// As [`open`]; also when a selected class does not exist.
pub fn open_part(
    path: &Path,
    options: &OpenOptions,
    selection: &Selection,
) -> Result<Dataset, Error> {
    check_folder(path)?;
    let whole = source::of(path).read(path)?;
    let part = selection.apply(whole, options.seed)?;
    Ok(without_empty_splits(with_validation(part, options)))
}

/// Holds out a share of the training images, where that is asked for and the data has no validation split of its own.
fn with_validation(mut data: Dataset, options: &OpenOptions) -> Dataset {
    if data.validation.is_some() || options.validation <= 0.0 {
        return data;
    }
    let (train, held_out, too_small) =
        split::stratified(data.train, options.validation, options.seed);
    match too_small.as_slice() {
        [] => {}
        [class] => data.warnings.push(format!(
            "class `{class}` has a single image, which stays in training: it is not validated"
        )),
        classes => data.warnings.push(format!(
            "{} classes have a single image, which stays in training: they are not validated ({})",
            classes.len(),
            some(classes)
        )),
    }
    Dataset {
        train,
        validation: Some(held_out),
        validation_is_drawn: true,
        ..data
    }
}

/// A split without images says nothing of a network, so it is none.
fn without_empty_splits(mut data: Dataset) -> Dataset {
    for (name, split) in [
        ("validation", &mut data.validation),
        ("test", &mut data.test),
    ] {
        if split.as_ref().is_some_and(|set| set.samples.is_empty()) {
            *split = None;
            data.warnings.push(format!(
                "no image is left in the {name} split, so there is no {name}"
            ));
        }
    }
    data
}

/// Opens one folder of class folders, against a given list of classes where there is one (a model's labels, in their
/// order). Of IDX files, those to test on where there are any.
///
/// # Errors
/// As [`open`]; also when the folder has a class that is not in the list.
pub fn open_split(path: &Path, classes: Option<&[String]>) -> Result<ImageSet, Error> {
    check_folder(path)?;
    source::of(path).read_one(path, classes)
}

fn check_folder(path: &Path) -> Result<(), Error> {
    if path.is_file() {
        return Err(Error::Layout {
            path: path.to_owned(),
            reason: "it is a file".to_owned(),
        });
    }
    if !path.exists() {
        return Err(Error::Missing {
            path: path.to_owned(),
        });
    }
    Ok(())
}
