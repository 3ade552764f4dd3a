//! Images to tell apart, as linear algebra wants them.

use crate::choose::Judgement;
use crate::dual::Folds;
use crate::error::Error;
use crate::folds::{fifths, iterative, rarer_sides, sample_labels, sample_sides};
use crate::loss::Loss;
use crate::matrix::Matrix;
use crate::solve::SolveOptions;
use crate::targets::Targets;

/// Below so many images a class, choices are made with more caution.
const FEW: usize = 20;
/// The logit of a class without images, beside zero for the others' mean.
const NEVER: f32 = -20.0;

/// Targets of the classes that tell images apart, how images count, and what is left out together.
pub(crate) struct Problem {
    /// Classes that tell images apart, as the caller numbers them: those that are true of some images, and where there
    /// may be any number of them false of others.
    pub present: Vec<usize>,
    /// Of several classes an image those that are true of all.
    pub always: Vec<usize>,
    /// Number of `present`.
    pub classes: usize,
    /// `[n, classes]`.
    pub targets: Matrix,
    pub loss: Loss,
    /// How much images count as the caller says, `[n]`, their mean 1.
    pub importance: Vec<f64>,
    /// The same times what makes classes count alike, `[n]`, their mean 1.
    pub weights: Vec<f64>,
    pub folds: Folds,
}

impl Problem {
    /// Of the targets at `rows`.
    pub fn new(
        targets: Targets<'_>,
        classes: usize,
        rows: &[usize],
        options: &SolveOptions<'_>,
    ) -> Result<Self, Error> {
        let (present, always) = match targets {
            Targets::Labels(labels) => {
                // Sorted labels and not a table of `classes` entries: a promise of 2^60 classes must not be believed.
                let mut present: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
                present.sort_unstable();
                present.dedup();
                (present, Vec::new())
            }
            Targets::Soft(_) | Targets::MultiLabel(_) => {
                let value = |row: &usize, class| targets.value(*row, class, classes);
                let some = |class: &usize| rows.iter().any(|row| value(row, *class) > 0.0);
                let all = |class: &usize| rows.iter().all(|row| value(row, *class) > 0.0);
                let several = matches!(targets, Targets::MultiLabel(_));
                let (always, rest): (Vec<usize>, Vec<usize>) =
                    (0..classes).partition(|class| several && all(class));
                (rest.into_iter().filter(some).collect(), always)
            }
        };
        let loss = match targets {
            Targets::MultiLabel(_) if present.is_empty() => {
                return Err(Error::NoClassVaries { classes });
            }
            Targets::MultiLabel(_) => Loss::Sigmoid {
                sides: vec![[1.0; 2]; present.len()],
            },
            _ if present.len() < 2 => {
                return Err(Error::TooFewClasses {
                    present: present.len(),
                    classes,
                });
            }
            _ => Loss::Softmax,
        };
        let folds = match options.objects {
            None => Folds::EachImage,
            Some(objects) => {
                let mut known: Vec<usize> = rows.iter().map(|&row| objects[row]).collect();
                known.sort_unstable();
                known.dedup();
                if known.len() < 2 {
                    return Err(Error::OneObject);
                }
                let number = |&row: &usize| known.binary_search(&objects[row]).ok();
                Folds::Parts(rows.iter().map(number).collect())
            }
        };
        let totals: Vec<f64> = rows
            .iter()
            .map(|&row| targets.total(row, classes))
            .collect();
        let importance = match options.weights {
            None => vec![1.0; rows.len()],
            Some(weights) => {
                let own = rows.iter().map(|&row| f64::from(weights[row]));
                let mean = own.clone().sum::<f64>() / rows.len() as f64;
                own.map(|weight| weight / mean).collect()
            }
        };
        let mut problem = Self {
            targets: Matrix::from_fn(rows.len(), present.len(), |row, class| {
                targets.value(rows[row], present[class], classes) / totals[row]
            }),
            weights: importance.clone(),
            importance,
            classes: present.len(),
            loss,
            present,
            always,
            folds,
        };
        if options.balanced {
            problem.balance();
        }
        Ok(problem)
    }

    /// Lets every class count as if all had the same number of images; where there may be several, its two sides as if
    /// both had.
    fn balance(&mut self) {
        let mut counts = vec![0.0; self.classes];
        for (row, weight) in self.importance.iter().enumerate() {
            for (count, target) in counts.iter_mut().zip(self.targets.row(row)) {
                *count += weight * target;
            }
        }
        let total: f64 = self.importance.iter().sum();
        match &mut self.loss {
            Loss::Softmax => {
                let share = total / self.classes as f64;
                for (row, weight) in self.weights.iter_mut().enumerate() {
                    let own = self.targets.row(row).iter().zip(&counts);
                    let factors = own.map(|(target, count)| target * (share / count));
                    *weight *= factors.sum::<f64>();
                }
            }
            Loss::Sigmoid { sides } => {
                for (sides, count) in sides.iter_mut().zip(counts) {
                    *sides = [total / (2.0 * (total - count)), total / (2.0 * count)];
                }
            }
        }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.weights.len()
    }

    /// Whether there are so few images that every choice is a risk.
    pub fn is_small(&self) -> bool {
        let images = match self.loss {
            Loss::Softmax => self.images(),
            Loss::Sigmoid { .. } => self.sides().iter().map(Vec::len).sum(),
        };
        images < FEW * self.classes
    }

    /// For every image one of five folds, stratified.
    pub fn fifths(&self, seed: u64) -> Vec<usize> {
        match self.loss {
            Loss::Softmax => fifths(&self.labels(), self.classes, seed),
            Loss::Sigmoid { .. } => self.iterative(5, seed),
        }
    }

    /// For every image one of `count` parts, each of which the first stage leaves out once.
    pub fn parts(&self, count: usize) -> Vec<usize> {
        match (&self.loss, &self.folds) {
            (Loss::Softmax, Folds::EachImage) => {
                let fifths = self.fifths(0).into_iter();
                fifths.map(|fifth| fifth % count).collect()
            }
            (Loss::Softmax, Folds::Parts(objects)) => {
                let objects = objects.iter().enumerate();
                objects
                    .map(|(row, object)| object.unwrap_or(row) % count)
                    .collect()
            }
            (Loss::Sigmoid { .. }, _) => self.iterative(count, 0),
        }
    }

    /// At most about `most` of the images, stratified.
    pub fn sample(&self, most: usize, seed: u64) -> Vec<usize> {
        match self.loss {
            Loss::Softmax => sample_labels(&self.labels(), self.classes, most, seed),
            Loss::Sigmoid { .. } => sample_sides(&self.sides(), self.classes, most, seed),
        }
    }

    /// The most probable class of each image.
    fn labels(&self) -> Vec<usize> {
        let rows = 0..self.images();
        rows.map(|row| largest(self.targets.row(row))).collect()
    }

    /// For each image the classes on whose rarer side it is.
    fn sides(&self) -> Vec<Vec<usize>> {
        rarer_sides(self.images(), self.classes, |row, class| {
            self.targets[(row, class)] > 0.5
        })
    }

    fn iterative(&self, count: usize, seed: u64) -> Vec<usize> {
        let objects: Option<Vec<usize>> = match &self.folds {
            Folds::EachImage => None,
            Folds::Parts(objects) => Some(objects.iter().copied().flatten().collect()),
        };
        let shares = vec![1.0 / count as f64; count];
        iterative(
            &self.sides(),
            self.classes,
            objects.as_deref(),
            &shares,
            seed,
        )
    }

    /// The logit, for every image, of a class that tells no images apart.
    pub fn logit_without(&self, class: usize) -> f32 {
        // Laplace's rule of succession: a class that was true of none of n images has a probability of 1 in n + 2.
        let never = -(self.images() as f32 + 1.0).ln();
        match self.loss {
            Loss::Softmax => NEVER,
            Loss::Sigmoid { .. } if self.always.contains(&class) => -never,
            Loss::Sigmoid { .. } => never,
        }
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

    /// The loss of each image by its logits, in nats a decision, times how much the image counts: what choices go by.
    pub fn losses(&self, logits: &Matrix) -> Vec<f64> {
        let losses = self.loss.of_rows(logits, &self.targets).into_iter();
        let weighted = losses.zip(&self.importance);
        weighted.map(|(loss, weight)| loss * weight).collect()
    }

    /// What logits for images left out say.
    pub fn judgement(&self, logits: &Matrix) -> Judgement {
        let rows = 0..self.images();
        let right: Vec<f64> = rows.map(|row| self.right(row, logits.row(row))).collect();
        let losses = self.loss.unweighted().of_rows(logits, &self.targets);
        let total: f64 = self.importance.iter().sum();
        let sum = |values: &mut dyn Iterator<Item = f64>| -> f64 {
            let weighted = values.zip(&self.importance);
            weighted.map(|(value, weight)| value * weight).sum()
        };
        let correct = sum(&mut right.iter().copied());
        let uneven = sum(&mut right.iter().map(|share| share * (1.0 - share)));
        // Images that count differently say as much as fewer that count alike (Kish 1965).
        let squares: f64 = self.importance.iter().map(|weight| weight * weight).sum();
        let images = total * total / squares;
        // Two successes and two failures added, so that a perfect score on few images is not taken for certain (Agresti and
        // Coull 1998).
        let added = 2.0 / self.loss.decisions() as f64;
        let count = images + 2.0 * added;
        let share = (correct * (images / total) + added) / count;
        let variance = share * (1.0 - share) - uneven * (images / total) / count;
        Judgement {
            accuracy: correct / total,
            accuracy_error: (variance.max(0.0) / count).sqrt(),
            loss: sum(&mut losses.into_iter()) / total,
        }
    }

    /// The share of an image's decisions that are right.
    fn right(&self, row: usize, logits: &[f64]) -> f64 {
        let targets = self.targets.row(row);
        match self.loss {
            Loss::Softmax => {
                // A class that is as probable as any other is right.
                let own = targets[largest(logits)];
                f64::from(u8::from(own >= targets[largest(targets)]))
            }
            Loss::Sigmoid { .. } => {
                let pairs = logits.iter().zip(targets);
                let right = pairs.filter(|(logit, target)| (**logit > 0.0) == (**target > 0.5));
                right.count() as f64 / self.classes as f64
            }
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
