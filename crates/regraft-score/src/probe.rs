//! The linear probe: how well a linear classifier on the features does on images that it has not seen.

use rayon::prelude::*;

use crate::error::Error;
use crate::folds::stratified;
use crate::ridge::{Ridge, Side};

/// How a probe is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeOptions {
    /// Parts of the cross-validation, at least 2. No more are made than there are images to validate.
    pub folds: usize,
    /// Regularisation strengths to try, each finite and above 0, in units of the mean eigenvalue of the standardised features' Gram
    /// matrix: 1 halves an average direction, whatever the number of images and features.
    pub strengths: Vec<f64>,
    /// Decides which image lies in which fold. Folds depend on labels and seed alone, so scores of other features of the same images
    /// are comparable image by image.
    pub seed: u64,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            folds: 5,
            strengths: vec![1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0],
            seed: 42,
        }
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeScore {
    /// Share of validated images that were classified rightly, in [0, 1], at the best strength. Slightly optimistic: the strength was
    /// chosen by this very number.
    pub accuracy: f64,
    /// Its standard error, above 0: of a proportion, with two successes and two failures added, so that a perfect score on few images
    /// is not taken for certain (Agresti and Coull 1998).
    pub error: f64,
    /// The strength that did best; of several the strongest.
    pub strength: f64,
    /// Folds used.
    pub folds: usize,
    /// Images validated, each once: all but the only images of their class.
    pub validated: usize,
}

/// Scores features by the accuracy of a linear classifier under stratified cross-validation (Alain and Bengio 2016).
///
/// `features`: `[n, d]`, row-major, a row an image. `labels`: `[n]`, each below `classes`. In each fold the features are
/// standardised by its training part, and a ridge regression with intercept to one-hot targets is solved by Cholesky
/// factorisation, of `[d, d]` or `[n, n]`, whichever is smaller. The largest output is the predicted class. An image that is the
/// only one of its class is trained on and never validated; classes without images are left out.
///
/// Same input, same bytes on one kind of machine, whatever the number of threads. Cost: folds x (min(n, d)² max(n, d) + strengths x min(n, d)³ / 3)
/// operations; 2,000 images with 4,096 features take seconds. Memory: 8 bytes x (n d + 3 min(n, d)²) a fold, and folds run in parallel.
///
/// # Errors
/// When lengths do not fit, a label is out of range, a feature is not finite, fewer than two classes have images, all classes have
/// just one, or an option is out of its range.
pub fn linear_probe(
    features: &[f32],
    labels: &[usize],
    classes: usize,
    options: &ProbeOptions,
) -> Result<ProbeScore, Error> {
    check(features, labels, classes, options)?;
    let (labels, classes) = compact(labels, classes)?;
    let validated = images_to_validate(&labels, classes);
    if validated == 0 {
        return Err(Error::NothingToValidate);
    }
    let folds = options.folds.min(validated);
    let assigned = stratified(&labels, classes, folds, options.seed);
    // Strongest first: the first of equals is the simplest model.
    let mut strengths = options.strengths.clone();
    strengths.sort_by(|a, b| b.total_cmp(a));
    let correct = cross_validate(
        features,
        &labels,
        classes,
        &assigned,
        folds,
        &strengths,
        Side::Smaller,
    )?;
    let mut best = 0;
    for index in 1..strengths.len() {
        if correct[index] > correct[best] {
            best = index;
        }
    }
    Ok(ProbeScore {
        accuracy: correct[best] as f64 / validated as f64,
        error: standard_error(correct[best], validated),
        strength: strengths[best],
        folds,
        validated,
    })
}

fn check(
    features: &[f32],
    labels: &[usize],
    classes: usize,
    options: &ProbeOptions,
) -> Result<(), Error> {
    if options.folds < 2 {
        return Err(Error::Folds {
            folds: options.folds,
        });
    }
    if options.strengths.is_empty() {
        return Err(Error::NoStrengths);
    }
    let sound = |strength: f64| strength.is_finite() && strength > 0.0;
    if let Some(&strength) = options.strengths.iter().find(|s| !sound(**s)) {
        return Err(Error::Strength { strength });
    }
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
    match features.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::NotFinite {
            row: at / width,
            column: at % width,
            value: features[at],
        }),
        None => Ok(()),
    }
}

/// Labels over the classes that have images, in the same order, and how many those are.
fn compact(labels: &[usize], classes: usize) -> Result<(Vec<usize>, usize), Error> {
    // Sorted labels and not a table of `classes` entries: a promise of 2^60 classes must not be believed.
    let mut present = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    if present.len() < 2 {
        return Err(Error::TooFewClasses {
            present: present.len(),
            classes,
        });
    }
    let compacted = labels
        .iter()
        .map(|&label| present.partition_point(|&other| other < label))
        .collect();
    Ok((compacted, present.len()))
}

/// Images whose class has another one.
fn images_to_validate(labels: &[usize], classes: usize) -> usize {
    let mut counts = vec![0usize; classes];
    for &label in labels {
        counts[label] += 1;
    }
    counts.into_iter().filter(|&count| count > 1).sum()
}

/// Images classified rightly over all folds, for each strength.
fn cross_validate(
    features: &[f32],
    labels: &[usize],
    classes: usize,
    assigned: &[Option<usize>],
    folds: usize,
    strengths: &[f64],
    side: Side,
) -> Result<Vec<usize>, Error> {
    let by_fold: Vec<Vec<usize>> = (0..folds)
        .into_par_iter()
        .map(|fold| {
            let part = |inside: bool| -> Vec<usize> {
                (0..labels.len())
                    .filter(|&row| (assigned[row] == Some(fold)) == inside)
                    .collect()
            };
            let (train, valid) = (part(false), part(true));
            let ridge = Ridge::new(features, labels, classes, &train, &valid, side);
            strengths
                .iter()
                .map(|&strength| {
                    let predicted = ridge.predict(strength)?;
                    let pairs = predicted.iter().zip(&valid);
                    Ok(pairs
                        .filter(|(class, row)| **class == labels[**row])
                        .count())
                })
                .collect::<Result<Vec<usize>, Error>>()
        })
        .collect::<Result<_, _>>()?;
    let total = |index: usize| by_fold.iter().map(|counts| counts[index]).sum();
    Ok((0..strengths.len()).map(total).collect())
}

fn standard_error(correct: usize, validated: usize) -> f64 {
    let count = validated as f64 + 4.0;
    let share = (correct as f64 + 2.0) / count;
    (share * (1.0 - share) / count).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn noise(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..rows * columns)
            .map(|_| random.random::<f32>() - 0.5)
            .collect()
    }

    #[test]
    fn the_order_of_rows_does_not_matter_under_the_same_folds() {
        let (rows, columns) = (60, 9);
        let mut features = noise(rows, columns, 3);
        let labels: Vec<usize> = (0..rows).map(|row| row % 3).collect();
        for row in 0..rows {
            features[row * columns] += labels[row] as f32 * 0.4;
        }
        let assigned = stratified(&labels, 3, 5, 1);
        let strengths = [0.01, 1.0];
        let expected = cross_validate(
            &features,
            &labels,
            3,
            &assigned,
            5,
            &strengths,
            Side::Smaller,
        )
        .unwrap();
        let order: Vec<usize> = (0..rows).map(|row| (row * 17 + 5) % rows).collect();
        let moved: Vec<f32> = order
            .iter()
            .flat_map(|&row| features[row * columns..(row + 1) * columns].to_vec())
            .collect();
        let moved_labels: Vec<usize> = order.iter().map(|&row| labels[row]).collect();
        let moved_folds: Vec<Option<usize>> = order.iter().map(|&row| assigned[row]).collect();
        assert_eq!(
            cross_validate(
                &moved,
                &moved_labels,
                3,
                &moved_folds,
                5,
                &strengths,
                Side::Smaller
            )
            .unwrap(),
            expected
        );
    }

    #[test]
    fn both_sides_of_the_ridge_give_the_same_counts() {
        let labels: Vec<usize> = (0..40).map(|row| row % 4).collect();
        for columns in [3, 31, 32, 33, 90] {
            let features = noise(40, columns, columns as u64);
            let assigned = stratified(&labels, 4, 5, 1);
            let count = |side| {
                cross_validate(&features, &labels, 4, &assigned, 5, &[0.01, 1.0], side).unwrap()
            };
            assert_eq!(count(Side::Primal), count(Side::Dual), "{columns} columns");
        }
    }

    #[test]
    fn the_standard_error_is_that_of_a_proportion_and_never_zero() {
        // 100 images, 50 right: sqrt(0.25 / 104). 16 images, all right: 18 of 20, sqrt(0.9 * 0.1 / 20).
        assert!((standard_error(50, 100) - (0.25f64 / 104.0).sqrt()).abs() < 1e-15);
        assert!((standard_error(16, 16) - 0.0045f64.sqrt()).abs() < 1e-15);
    }
}
