//! Nearest neighbours: what features are worth without any fitting.

use rayon::prelude::*;

use crate::check;
use crate::error::Error;
use crate::targets::Targets;

/// Share of images whose label is the one that most of their `k` nearest other images have, by the distance of their features;
/// of equals the label of the nearest.
///
/// `features`: `[n, width]`; `labels`: `[n]`, each below `classes`. n² x width operations.
///
/// # Errors
/// When lengths do not fit, a label is out of range, or a feature is not finite.
pub fn nearest_neighbours(
    features: &[f32],
    labels: &[usize],
    classes: usize,
    k: usize,
) -> Result<f64, Error> {
    let (count, width) = check::shape(features, Targets::Labels(labels), classes)?;
    let right: usize = (0..count)
        .into_par_iter()
        .map(|row| {
            let own = &features[row * width..(row + 1) * width];
            let mut others: Vec<(f64, usize)> = features
                .chunks_exact(width)
                .enumerate()
                .filter(|(other, _)| *other != row)
                .map(|(other, values)| {
                    let pairs = own.iter().zip(values);
                    let distance = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
                    (distance, other)
                })
                .collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            others.truncate(k.max(1));
            let votes = |label: usize| others.iter().filter(|(_, o)| labels[*o] == label).count();
            let said = others.iter().map(|(_, other)| labels[*other]);
            // The first of those with most votes: nearest first.
            let said = said.reduce(|best, label| {
                if votes(label) > votes(best) {
                    label
                } else {
                    best
                }
            });
            usize::from(said == Some(labels[row]))
        })
        .sum();
    Ok(right as f64 / count as f64)
}
