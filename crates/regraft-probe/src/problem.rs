//! Images to tell apart, as linear algebra wants them.

use crate::choose::Judgement;
use crate::dual::Folds;
use crate::error::Error;
use crate::matrix::Matrix;
use crate::solve::SolveOptions;

/// Below so many images a class, choices are made with more caution.
const FEW: usize = 20;

/// Labels over the classes that have images, one-hot targets, weights and folds.
pub(crate) struct Problem {
    /// `[n]`, over the classes present.
    pub labels: Vec<usize>,
    /// The classes present, as the caller numbers them.
    pub present: Vec<usize>,
    pub classes: usize,
    /// `[n, classes]`.
    pub targets: Matrix,
    /// `[n]`, their mean 1.
    pub weights: Vec<f64>,
    pub folds: Folds,
}

impl Problem {
    /// Of the labels at `rows`, or of all.
    pub fn new(
        labels: &[usize],
        classes: usize,
        rows: Option<&[usize]>,
        objects: Option<&[usize]>,
    ) -> Result<Self, Error> {
        let all: Vec<usize> = (0..labels.len()).collect();
        let rows = rows.unwrap_or(&all);
        // Sorted labels and not a table of `classes` entries: a promise of 2^60 classes must not be believed.
        let mut present: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
        present.sort_unstable();
        present.dedup();
        if present.len() < 2 {
            return Err(Error::TooFewClasses {
                present: present.len(),
                classes,
            });
        }
        let labels: Vec<usize> = rows
            .iter()
            .map(|&row| present.partition_point(|&other| other < labels[row]))
            .collect();
        let folds = match objects {
            None => Folds::EachImage,
            Some(objects) => {
                let mut known: Vec<usize> = rows
                    .iter()
                    .filter_map(|&r| objects.get(r))
                    .copied()
                    .collect();
                known.sort_unstable();
                known.dedup();
                let number = |&row: &usize| {
                    let object = objects.get(row)?;
                    known.binary_search(object).ok()
                };
                Folds::Parts(rows.iter().map(number).collect())
            }
        };
        Ok(Self {
            targets: Matrix::from_fn(labels.len(), present.len(), |row, class| {
                f64::from(u8::from(labels[row] == class))
            }),
            weights: vec![1.0; labels.len()],
            classes: present.len(),
            labels,
            present,
            folds,
        })
    }

    /// Lets images count as the options say, one in the mean.
    pub fn weigh(&mut self, options: &SolveOptions<'_>) {
        if options.balanced {
            self.balance();
        }
        for (weight, &label) in self.weights.iter_mut().zip(&self.labels) {
            let class = options.class_weights.get(self.present[label]);
            *weight *= class.copied().unwrap_or(1.0);
        }
        let mean = self.weights.iter().sum::<f64>() / self.weights.len() as f64;
        // Where every image counts the same, nothing is to be rounded.
        if mean != 1.0 {
            self.weights.iter_mut().for_each(|weight| *weight /= mean);
        }
    }

    /// Lets every class count as if all had the same number of images.
    pub fn balance(&mut self) {
        let mut counts = vec![0usize; self.classes];
        for &label in &self.labels {
            counts[label] += 1;
        }
        let share = self.labels.len() as f64 / self.classes as f64;
        for (weight, &label) in self.weights.iter_mut().zip(&self.labels) {
            *weight = share / counts[label] as f64;
        }
    }

    /// Whether there are so few images that every choice is a risk.
    pub fn is_small(&self) -> bool {
        self.labels.len() < FEW * self.classes
    }

    /// What is added to the diagonal of the images' products: `strength` times their variance, less for images that count
    /// more. None where they do not vary.
    pub fn penalty(&self, gram: &Matrix, strength: f64) -> Option<Vec<f64>> {
        let rows = gram.rows();
        let total: f64 = self.weights.iter().sum();
        let trace: f64 = (0..rows)
            .map(|row| self.weights[row] * gram[(row, row)])
            .sum();
        let variance = trace / total;
        let penalty = |weight: &f64| strength * variance / weight;
        (variance > 0.0).then(|| self.weights.iter().map(penalty).collect())
    }

    /// What logits for images left out say.
    pub fn judgement(&self, logits: &Matrix, losses: &[f64]) -> Judgement {
        let right: Vec<f64> = self
            .labels
            .iter()
            .enumerate()
            .map(|(row, &label)| f64::from(u8::from(largest(logits.row(row)) == label)))
            .collect();
        let correct: f64 = right.iter().sum();
        // Two successes and two failures added, so that a perfect score on few images is not taken for certain (Agresti and
        // Coull 1998).
        let count = right.len() as f64 + 4.0;
        let share = (correct + 2.0) / count;
        Judgement {
            accuracy: correct / right.len() as f64,
            accuracy_error: (share * (1.0 - share) / count).sqrt(),
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
        }
    }
}

/// Some rows of features `[n, width]`, in the order given.
pub(crate) fn rows_of(features: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    let row = |&row: &usize| features[row * width..(row + 1) * width].iter().copied();
    rows.iter().flat_map(row).collect()
}

/// The place of the largest value; of equals the first.
pub(crate) fn largest(values: &[f64]) -> usize {
    (1..values.len()).fold(
        0,
        |best, at| if values[at] > values[best] { at } else { best },
    )
}

/// The mean of values, and its standard error.
pub(crate) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / count;
    (mean, (variance / count).sqrt())
}
