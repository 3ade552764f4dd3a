//! The second stage: a logistic regression on the outputs of the first, which turns them into logits.
//!
//! Ridge regression to one-hot targets cannot tell classes apart whose means lie in a row (Hastie, Tibshirani and
//! Friedman 2009, 4.2: masking); a multinomial logistic regression on its outputs can, and two linear maps are one.
//! Where any number of classes may be true, one logistic regression a class takes the outputs of all: what is true of
//! an image often tells what else is.

use rayon::prelude::*;

use crate::calibrate::calibrate;
use crate::loss::Loss;
use crate::matrix::Matrix;
use crate::minimise::{Effort, minimise};
use crate::problem::Problem;
use crate::targets::Targets;
use crate::temperature;

/// Folds that its cross-validation has.
const FOLDS: usize = 5;
/// The penalty on offsets beside that on the matrix.
const OFFSET: f64 = 0.01;

/// One factor on all outputs, and an offset a class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    pub factor: f64,
    /// `[classes]`.
    pub offsets: Vec<f64>,
}

impl Scaling {
    /// As a linear map, `[classes + 1, classes]`: a matrix, and offsets in the last row.
    pub fn map(&self) -> Matrix {
        let classes = self.offsets.len();
        Matrix::from_fn(classes + 1, classes, |row, column| match row {
            row if row == classes => self.offsets[column],
            row if row == column => self.factor,
            _ => 0.0,
        })
    }

    /// `[n, classes]` for outputs `[n, classes]`.
    fn apply(&self, outputs: &Matrix) -> Matrix {
        Matrix::from_fn(outputs.rows(), outputs.columns(), |row, class| {
            self.offsets[class] + outputs[(row, class)] * self.factor
        })
    }

    /// The map that does what this and then `values`, a map row by row, do.
    fn then(&self, values: &[f64]) -> Matrix {
        let classes = self.offsets.len();
        Matrix::from_fn(classes + 1, classes, |row, column| {
            let value = values[row * classes + column];
            if row < classes {
                return value * self.factor;
            }
            let offsets = self.offsets.iter().enumerate();
            let through = offsets.map(|(at, offset)| offset * values[at * classes + column]);
            value + through.sum::<f64>()
        })
    }
}

/// What cross-validation says of a stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judged {
    /// Logits for each image from the images of other folds, `[n, classes]`.
    pub logits: Matrix,
    /// Their loss for each image, in nats, as [`Problem::losses`] gives it.
    pub losses: Vec<f64>,
}

/// What the second stage learns from.
pub(crate) struct Stacking<'a> {
    /// First-stage outputs for each image from other images, `[n, classes]`.
    pub outputs: &'a Matrix,
    pub problem: &'a Problem,
    /// The fold of each image, below five.
    pub folds: &'a [usize],
    pub effort: Effort,
}

impl Stacking<'_> {
    /// The logistic regression that is held back by the last of `pulls`, on all images, as a map `[classes + 1,
    /// classes]`.
    pub fn regression(&self, scaling: &Scaling, pulls: &[f64]) -> Option<Matrix> {
        self.path(&self.all(), scaling, pulls, self.effort).pop()
    }

    /// The stage that only scales, and how it is judged. For softmax it needs no offsets, and is judged on the images
    /// that its one number was found on.
    pub fn scaling(&self) -> (Scaling, Judged) {
        match &self.problem.loss {
            Loss::Softmax => {
                let scaling = self.tempered();
                let judged = self.judged(scaling.apply(self.outputs));
                (scaling, judged)
            }
            Loss::Sigmoid { sides } => {
                let scaling = self.calibrated(&self.all(), sides, None);
                let start = Some(&scaling);
                let judged = self.left_out(1, |outside, own| {
                    vec![self.calibrated(outside, sides, start).apply(own)]
                });
                (scaling, judged.into_iter().next().unwrap_or_default())
            }
        }
    }

    /// A logistic regression for each of `pulls`, strongest first, judged on images left out: it is held near a scaling
    /// by a penalty of `pull / n`.
    pub fn regressions(&self, scaling: &Scaling, pulls: &[f64]) -> Vec<Judged> {
        self.left_out(pulls.len(), |outside, own| {
            let effort = self.effort.of_fold();
            let maps = match &self.problem.loss {
                Loss::Softmax => self.path(outside, scaling, pulls, effort),
                Loss::Sigmoid { sides } => {
                    let scaling = self.calibrated(outside, sides, Some(scaling));
                    self.path(outside, &scaling, pulls, effort)
                }
            };
            maps.iter().map(|map| apply(map, own)).collect()
        })
    }

    fn all(&self) -> Vec<usize> {
        (0..self.outputs.rows()).collect()
    }

    fn judged(&self, logits: Matrix) -> Judged {
        Judged {
            losses: self.problem.losses(&logits),
            logits,
        }
    }

    /// Logits of so many stages: `fit` gives those of each for the outputs of a fold, from the images outside.
    fn left_out(
        &self,
        stages: usize,
        fit: impl Fn(&[usize], &Matrix) -> Vec<Matrix> + Sync,
    ) -> Vec<Judged> {
        if stages == 0 {
            return Vec::new();
        }
        let rows_of = |fold: usize, inside: bool| -> Vec<usize> {
            let chosen = |row: &usize| (self.folds[*row] == fold) == inside;
            self.all().into_iter().filter(chosen).collect()
        };
        let fits: Vec<Vec<Matrix>> = (0..FOLDS)
            .into_par_iter()
            .map(|fold| {
                fit(
                    &rows_of(fold, false),
                    &self.outputs.rows_at(&rows_of(fold, true)),
                )
            })
            .collect();
        let mut sizes = [0; FOLDS];
        let places: Vec<usize> = self
            .folds
            .iter()
            .map(|&fold| {
                sizes[fold] += 1;
                sizes[fold] - 1
            })
            .collect();
        let (rows, classes) = (self.outputs.rows(), self.outputs.columns());
        (0..stages)
            .map(|stage| {
                self.judged(Matrix::from_fn(rows, classes, |row, class| {
                    fits[self.folds[row]][stage][(places[row], class)]
                }))
            })
            .collect()
    }

    /// The scaling for one class an image: a factor alone.
    fn tempered(&self) -> Scaling {
        let single = |values: &Matrix| -> Vec<f32> {
            values.values().iter().map(|value| *value as f32).collect()
        };
        let (outputs, targets) = (single(self.outputs), single(&self.problem.targets));
        let classes = self.outputs.columns();
        Scaling {
            factor: temperature::weighted(&outputs, Targets::Soft(&targets), classes, |row| {
                self.problem.importance[row]
            }),
            offsets: vec![0.0; classes],
        }
    }

    /// The scaling for several classes an image, from some images.
    fn calibrated(&self, rows: &[usize], sides: &[[f64; 2]], start: Option<&Scaling>) -> Scaling {
        let truths = self.problem.targets.rows_at(rows).transpose();
        let weights: Vec<f64> = rows.iter().map(|&row| self.problem.weights[row]).collect();
        calibrate(
            self.outputs.rows_at(rows).transpose(),
            &truths,
            &weights,
            sides,
            start,
        )
    }

    /// The regressions on some images, each begun where the one before ended.
    fn path(
        &self,
        rows: &[usize],
        scaling: &Scaling,
        pulls: &[f64],
        effort: Effort,
    ) -> Vec<Matrix> {
        let classes = self.outputs.columns();
        let problem = self.problem;
        let total: f64 = rows.iter().map(|&row| problem.weights[row]).sum();
        // On scaled outputs the start is the identity, whatever the scale of outputs.
        let inputs = scaling.apply(&self.outputs.rows_at(rows));
        let start: Vec<f64> = (0..(classes + 1) * classes)
            .map(|at| f64::from(u8::from(at / classes == at % classes)))
            .collect();
        let mut values = start.clone();
        pulls
            .iter()
            .map(|pull| {
                let penalty = pull / problem.images() as f64;
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
                        let share = problem.weights[row] / total;
                        logits.copy_from_slice(&values[classes * classes..]);
                        let own = inputs.row(at);
                        for (input, map) in own.iter().zip(values.chunks_exact(classes)) {
                            for (logit, weight) in logits.iter_mut().zip(map) {
                                *logit += input * weight;
                            }
                        }
                        let targets = problem.targets.row(row);
                        loss += share * problem.loss.differentiate(&mut logits, targets);
                        for (input, map) in own.iter().zip(gradient.chunks_exact_mut(classes)) {
                            let input = input * share;
                            for (sum, slope) in map.iter_mut().zip(&logits) {
                                *sum += input * slope;
                            }
                        }
                        let offsets = &mut gradient[classes * classes..];
                        for (sum, slope) in offsets.iter_mut().zip(&logits) {
                            *sum += share * slope;
                        }
                    }
                    loss
                };
                minimise(&mut values, effort, objective);
                scaling.then(&values)
            })
            .collect()
    }
}

/// `[n, classes]` for outputs `[n, classes]`, of a map `[classes + 1, classes]`.
fn apply(map: &Matrix, outputs: &Matrix) -> Matrix {
    let classes = outputs.columns();
    Matrix::from_fn(outputs.rows(), classes, |row, class| {
        let sum = |input| outputs[(row, input)] * map[(input, class)];
        map[(classes, class)] + (0..classes).map(sum).sum::<f64>()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::solve::SolveOptions;

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
        let all: Vec<usize> = (0..rows).collect();
        let options = SolveOptions::default();
        let problem = Problem::new(Targets::Labels(&labels), 3, &all, &options).unwrap();
        let stacking = Stacking {
            outputs: &outputs,
            problem: &problem,
            folds: &folds,
            effort: Effort::USUAL,
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
        let (scaling, factor) = stacking.scaling();
        assert!(right(&factor) <= 2 * rows / 3 + 20);
        let better = stacking.regressions(&scaling, &[10.0, 0.1]).pop().unwrap();
        assert_eq!(right(&better), rows);
        let mean = |judged: &Judged| judged.losses.iter().sum::<f64>() / rows as f64;
        assert!(mean(&better) < mean(&factor) / 2.0);
    }

    /// Whether logits are held back by a penalty, and what they are for the first three images.
    type Case = (&'static str, Option<f64>, [[f64; 4]; 3]);

    /// From tests/stack_reference.py.
    const REFERENCE: [Case; 15] = include!("../tests/stack_reference.in");

    #[test]
    fn the_second_stage_is_that_of_the_reference() {
        let (images, classes) = (60, 4);
        let entries = |of: &dyn Fn(usize, usize) -> usize| -> Vec<usize> {
            let entry = |at: usize| of(at / classes, at % classes);
            (0..images * classes).map(entry).collect()
        };
        let hash = |i: usize, c: usize| (i * 37 + c * 101 + i * c * 13) % 17;
        let parts = entries(&|i, c| usize::from(hash(i, c) < 6) * 4 + (i * 11 + c * 7) % 5);
        let soft: Vec<f32> = parts
            .chunks(classes)
            .flat_map(|row| {
                let sum: usize = row.iter().sum();
                let share = move |part: &usize| *part as f64 / sum as f64;
                row.iter().map(move |part| share(part) as f32)
            })
            .collect();
        let truths = entries(&|i, c| usize::from(hash(i, c) < 3 + 2 * c));
        let truths: Vec<bool> = truths.into_iter().map(|truth| truth == 1).collect();
        let uneven: Vec<f32> = (0..images).map(|row| 0.5 + (row % 3) as f32).collect();
        let rows: Vec<usize> = (0..images).collect();
        for (name, pull, expected) in REFERENCE {
            let targets = match name.starts_with("soft") {
                true => Targets::Soft(&soft),
                false => Targets::MultiLabel(&truths),
            };
            let options = SolveOptions {
                balanced: name.ends_with("balanced"),
                weights: name.ends_with("uneven").then_some(&uneven),
                ..SolveOptions::default()
            };
            let problem = Problem::new(targets, classes, &rows, &options).unwrap();
            let outputs = Matrix::from_fn(images, classes, |row, class| {
                let noise = ((row * classes + class) * 7919 + 13) % 2003;
                let own = problem.targets[(row, class)];
                let other = problem.targets[(row, (class + classes - 1) % classes)];
                0.5 * own + 0.3 * other + 0.3 * (noise as f64 / 1001.5 - 1.0)
            });
            let stacking = Stacking {
                outputs: &outputs,
                problem: &problem,
                folds: &problem.fifths(0),
                effort: Effort {
                    steps: 1000,
                    enough: 0.0,
                },
            };
            let (scaling, _) = stacking.scaling();
            let map = match pull {
                None => scaling.map(),
                Some(pull) => stacking.regression(&scaling, &[pull]).unwrap(),
            };
            let logits = apply(&map, &outputs);
            for (row, expected) in expected.iter().enumerate() {
                for (found, expected) in logits.row(row).iter().zip(expected) {
                    let near = (found - expected).abs() < 1e-4;
                    assert!(near, "{name} {pull:?}: {found} {expected}");
                }
            }
        }
    }
}
