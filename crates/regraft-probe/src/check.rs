//! Input that cannot be solved or scored, found before anything is computed.

use crate::error::Error;

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

/// Refuses weights of other classes, and weights that are no numbers above 0.
pub(crate) fn weights(weights: &[f64], classes: usize) -> Result<(), Error> {
    let sound = weights
        .iter()
        .all(|weight| weight.is_finite() && *weight > 0.0);
    match sound && (weights.is_empty() || weights.len() == classes) {
        true => Ok(()),
        false => Err(Error::Weights {
            weights: weights.len(),
            classes,
        }),
    }
}

/// Refuses features that are no matrix with a row a label, and labels beyond the classes.
pub(crate) fn shape(features: &[f32], labels: &[usize], classes: usize) -> Result<usize, Error> {
    if features.is_empty() || labels.is_empty() || !features.len().is_multiple_of(labels.len()) {
        return Err(Error::Length {
            values: features.len(),
            labels: labels.len(),
        });
    }
    if let Some(row) = labels.iter().position(|&label| label >= classes) {
        return Err(Error::Label {
            row,
            label: labels[row],
            classes,
        });
    }
    let width = features.len() / labels.len();
    finite(features, width)?;
    Ok(width)
}
