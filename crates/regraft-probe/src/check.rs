//! Input that cannot be solved or scored, found before anything is computed.

use std::ops::Range;

use crate::error::Error;
use crate::targets::Targets;

/// Refuses features that are no numbers.
pub(crate) fn finite(features: &[f32], width: usize) -> Result<(), Error> {
    match features.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::NotFinite {
            row: at / width,
            column: at % width,
            value: features[at],
        }),
        None => Ok(()),
    }
}

/// Refuses targets that are none, and features that are no matrix with a row an image; the number of images and of
/// features otherwise.
pub(crate) fn shape(
    features: &[f32],
    targets: Targets<'_>,
    classes: usize,
) -> Result<(usize, usize), Error> {
    let images = targets.check(classes)?;
    if features.is_empty() || images == 0 || !features.len().is_multiple_of(images) {
        return Err(Error::Length {
            values: features.len(),
            images,
        });
    }
    let width = features.len() / images;
    finite(features, width)?;
    Ok((images, width))
}

/// Refuses groups of columns that images do not have.
pub(crate) fn groups(groups: &[Range<usize>], width: usize) -> Result<(), Error> {
    match groups.iter().position(|columns| columns.end > width) {
        Some(group) => Err(Error::Group {
            group,
            end: groups[group].end,
            width,
        }),
        None => Ok(()),
    }
}

/// Refuses what does not come once an image.
pub(crate) fn per_image<T>(
    what: &'static str,
    given: Option<&[T]>,
    images: usize,
) -> Result<(), Error> {
    match given.map_or(images, <[T]>::len) {
        given if given != images => Err(Error::PerImage {
            what,
            given,
            images,
        }),
        _ => Ok(()),
    }
}

/// Refuses images that count less than nothing.
pub(crate) fn not_negative(weights: &[f32]) -> Result<(), Error> {
    let valid = |weight: &f32| weight.is_finite() && *weight >= 0.0;
    match weights.iter().position(|weight| !valid(weight)) {
        Some(row) => Err(Error::Weight {
            row,
            value: weights[row],
        }),
        None => Ok(()),
    }
}

/// Refuses weights that are none for so many images, or all 0.
pub(crate) fn weights(weights: Option<&[f32]>, images: usize) -> Result<(), Error> {
    per_image("weights", weights, images)?;
    let Some(weights) = weights else {
        return Ok(());
    };
    not_negative(weights)?;
    match weights.iter().any(|weight| *weight > 0.0) {
        true => Ok(()),
        false => Err(Error::NoWeight),
    }
}
