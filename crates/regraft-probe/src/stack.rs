//! The second stage: a multinomial logistic regression on the outputs of the first, which turns them into logits.
//!
//! Ridge regression to one-hot targets cannot tell classes apart whose means lie in a row (Hastie, Tibshirani and Friedman
//! 2009, 4.2: masking); a logistic regression on its outputs can, and two linear maps are one.

use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::minimise::minimise;
use crate::temperature::temperature;

/// Folds that its cross-validation has.
const FOLDS: usize = 5;
/// Steps of the minimiser on all images, and on those of a fold.
const STEPS: [usize; 2] = [60, 40];
/// The penalty on offsets beside that on the matrix.
const OFFSET: f64 = 0.01;

/// A linear map on outputs, `[classes + 1, classes]`: a matrix, and offsets in the last row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    pub map: Matrix,
}

/// What cross-validation says of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// Logits for each image from the images of other folds, `[n, classes]`.
    pub logits: Matrix,
    /// Their loss for each image, in nats.
    pub losses: Vec<f64>,
}

impl Stage {
    /// Outputs times a factor.
    pub fn factor(factor: f64, classes: usize) -> Self {
        Self {
            map: Matrix::from_fn(classes + 1, classes, |row, column| {
                if row == column { factor } else { 0.0 }
            }),
        }
    }

    /// `[n, classes]` for outputs `[n, classes]`.
    pub fn apply(&self, outputs: &Matrix) -> Matrix {
        let classes = outputs.columns();
        Matrix::from_fn(outputs.rows(), classes, |row, class| {
            let sum = |input| outputs[(row, input)] * self.map[(input, class)];
            self.map[(classes, class)] + (0..classes).map(sum).sum::<f64>()
        })
    }
}

/// What the second stage learns from.
pub(crate) struct Stacking<'a> {
    /// First-stage outputs for each image from other images, `[n, classes]`.
    pub outputs: &'a Matrix,
    pub labels: &'a [usize],
    /// How much each image counts, `[n]`.
    pub weights: &'a [f64],
    /// The fold of each image, below five.
    pub folds: &'a [usize],
}

impl Stacking<'_> {
    /// The logistic regression that is held back by the last of `pulls`, on all images.
    pub fn regression(&self, factor: f64, pulls: &[f64]) -> Option<Stage> {
        let all: Vec<usize> = (0..self.labels.len()).collect();
        self.path(&all, factor, pulls, STEPS[0]).pop()
    }

    /// One factor on all outputs, and how it is judged.
    pub fn factor(&self) -> (f64, Judged) {
        let classes = self.outputs.columns();
        let flat: Vec<f32> = self.outputs.values().iter().map(|v| *v as f32).collect();
        let factor = temperature(&flat, self.labels, classes);
        let logits = Stage::factor(factor, classes).apply(self.outputs);
        let losses = losses(&logits, self.labels);
        (factor, Judged { logits, losses })
    }

    /// A logistic regression for each of `pulls`, strongest first, judged on images left out: it is held near a factor by a
    /// penalty of `pull / n`.
    pub fn regressions(&self, factor: f64, pulls: &[f64]) -> Vec<Judged> {
        let rows = self.labels.len();
        let part = |fold: usize| -> Vec<usize> {
            let outside = |row: &usize| self.folds[*row] != fold;
            (0..rows).filter(outside).collect()
        };
        let fits: Vec<Vec<Stage>> = (0..FOLDS)
            .into_par_iter()
            .map(|fold| self.path(&part(fold), factor, pulls, STEPS[1]))
            .collect();
        (0..pulls.len())
            .map(|pull| {
                let by_fold: Vec<Matrix> = fits
                    .iter()
                    .map(|stages| stages[pull].apply(self.outputs))
                    .collect();
                let logits = Matrix::from_fn(rows, self.outputs.columns(), |row, class| {
                    by_fold[self.folds[row]][(row, class)]
                });
                Judged {
                    losses: losses(&logits, self.labels),
                    logits,
                }
            })
            .collect()
    }

    /// The regressions on some images, each begun where the one before ended.
    fn path(&self, rows: &[usize], factor: f64, pulls: &[f64], steps: usize) -> Vec<Stage> {
        let classes = self.outputs.columns();
        let total: f64 = rows.iter().map(|&row| self.weights[row]).sum();
        // In units of the factor the start is the identity, whatever the scale of outputs.
        let start: Vec<f64> = Stage::factor(1.0, classes).map.values().to_vec();
        let mut values = start.clone();
        let outputs = self.outputs.rows_at(rows);
        pulls
            .iter()
            .map(|pull| {
                let penalty = pull / self.labels.len() as f64;
                let objective = |values: &[f64], gradient: &mut [f64]| -> f64 {
                    let mut loss = 0.0;
                    for (index, (value, start)) in values.iter().zip(&start).enumerate() {
                        let held = match index < classes * classes {
                            true => penalty,
                            false => penalty * OFFSET,
                        };
                        loss += held * (value - start).powi(2) / 2.0;
                        gradient[index] = held * (value - start);
                    }
                    let mut logits = vec![0.0; classes];
                    for (at, &row) in rows.iter().enumerate() {
                        let share = self.weights[row] / total;
                        logits.copy_from_slice(&values[classes * classes..]);
                        let own = outputs.row(at);
                        for (output, map) in own.iter().zip(values.chunks_exact(classes)) {
                            let output = output * factor;
                            for (logit, weight) in logits.iter_mut().zip(map) {
                                *logit += output * weight;
                            }
                        }
                        loss += share * softmax_loss(&mut logits, self.labels[row]);
                        logits[self.labels[row]] -= 1.0;
                        for (output, map) in own.iter().zip(gradient.chunks_exact_mut(classes)) {
                            let output = output * factor * share;
                            for (sum, slope) in map.iter_mut().zip(&logits) {
                                *sum += output * slope;
                            }
                        }
                        let offsets = &mut gradient[classes * classes..];
                        for (sum, slope) in offsets.iter_mut().zip(&logits) {
                            *sum += share * slope;
                        }
                    }
                    loss
                };
                minimise(&mut values, steps, objective);
                Stage {
                    map: Matrix::from_fn(classes + 1, classes, |row, column| {
                        let scale = if row < classes { factor } else { 1.0 };
                        values[row * classes + column] * scale
                    }),
                }
            })
            .collect()
    }
}

/// The loss of a label under softmax of `logits`, in nats; they become probabilities.
fn softmax_loss(logits: &mut [f64], label: usize) -> f64 {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let own = logits[label] - largest;
    let mut total = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        total += *logit;
    }
    logits.iter_mut().for_each(|value| *value /= total);
    total.ln() - own
}

/// The loss of each row, in nats.
pub(crate) fn losses(logits: &Matrix, labels: &[usize]) -> Vec<f64> {
    let rows = labels.iter().enumerate();
    rows.map(|(row, &label)| softmax_loss(&mut logits.row(row).to_vec(), label))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Three classes in a row along one direction: ridge regression's outputs for the middle one never win.
    #[test]
    fn classes_in_a_row_are_told_apart() {
        let rows = 300;
        let labels: Vec<usize> = (0..rows).map(|row| row % 3).collect();
        let along = |row: usize| (row % 3) as f64 - 1.0 + ((row * 37) % 101) as f64 / 250.0 - 0.2;
        let outputs = Matrix::from_fn(rows, 3, |row, class| {
            1.0 / 3.0 + (class as f64 - 1.0) * along(row) / 2.0
        });
        let folds: Vec<usize> = (0..rows).map(|row| row / 3 % FOLDS).collect();
        let stacking = Stacking {
            outputs: &outputs,
            labels: &labels,
            weights: &vec![1.0; rows],
            folds: &folds,
        };
        let right = |judged: &Judged| {
            let best = |row: usize| {
                let row = judged.logits.row(row);
                (1..3).fold(
                    0,
                    |best, class| if row[class] > row[best] { class } else { best },
                )
            };
            (0..rows).filter(|&row| best(row) == labels[row]).count()
        };
        let (times, factor) = stacking.factor();
        assert!(right(&factor) <= 2 * rows / 3 + 20);
        let better = stacking.regressions(times, &[10.0, 0.1]).pop().unwrap();
        assert_eq!(right(&better), rows);
        let mean = |judged: &Judged| judged.losses.iter().sum::<f64>() / rows as f64;
        assert!(mean(&better) < mean(&factor) / 2.0);
    }
}
