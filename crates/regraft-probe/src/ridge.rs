//! Ridge regression on any number of images: from sums that are all it needs to know of them.

use std::ops::Range;

use crate::check;
use crate::error::Error;
use crate::linear::Linear;
use crate::matrix::Matrix;
use crate::standard::Standard;
use crate::targets::Targets;

/// What ridge regression needs to know of images: their number, and the sums, squares and products of features and targets.
///
/// Images are added in parts of any size, so that memory does not grow with their number: 8 bytes x (width² + width x outputs).
/// Two parts of a set, added up apart, can be joined.
#[derive(Debug, Clone)]
pub struct Sums {
    width: usize,
    outputs: usize,
    /// Added to every feature before it is summed: sums of numbers near zero lose least.
    shift: Vec<f64>,
    /// Sum of image weights.
    weight: f64,
    /// `[width]`.
    features: Vec<f64>,
    /// `[outputs]`.
    targets: Vec<f64>,
    /// `[width, width]`, the lower triangle.
    squares: Matrix,
    /// `[width, outputs]`.
    products: Matrix,
}

impl Sums {
    /// Of no images yet.
    pub fn new(width: usize, outputs: usize) -> Self {
        Self {
            width,
            outputs,
            shift: Vec::new(),
            weight: 0.0,
            features: vec![0.0; width],
            targets: vec![0.0; outputs],
            squares: Matrix::zeros(width, width),
            products: Matrix::zeros(width, outputs),
        }
    }

    /// Adds images with their classes: features `[n, width]`, targets of as many classes as there are outputs, and how
    /// much each image counts, `[n]`.
    ///
    /// # Errors
    /// When lengths do not fit, targets are none, a feature is not finite, or a weight is negative.
    pub fn add_targets<'a>(
        &mut self,
        features: &[f32],
        targets: impl Into<Targets<'a>>,
        weights: &[f32],
    ) -> Result<(), Error> {
        self.add(features, &targets.into().rows(self.outputs)?, weights)
    }

    /// Adds images: features `[n, width]`, targets of any kind `[n, outputs]`, and how much each counts, `[n]`.
    ///
    /// # Errors
    /// When lengths do not fit, a feature or target is not finite, or a weight is negative.
    pub fn add(&mut self, features: &[f32], targets: &[f32], weights: &[f32]) -> Result<(), Error> {
        let rows = weights.len();
        if features.len() != rows * self.width || targets.len() != rows * self.outputs {
            return Err(Error::Length {
                values: features.len(),
                images: rows,
            });
        }
        check::finite(features, self.width)?;
        check::not_negative(weights)?;
        if let Some(at) = targets.iter().position(|value| !value.is_finite()) {
            return Err(Error::TargetNotFinite {
                row: at / self.outputs,
                output: at % self.outputs,
                value: targets[at],
            });
        }
        if rows == 0 {
            return Ok(());
        }
        if self.shift.is_empty() {
            self.shift = (0..self.width)
                .map(|column| {
                    let values = features[column..].iter().step_by(self.width);
                    -values.map(|v| f64::from(*v)).sum::<f64>() / rows as f64
                })
                .collect();
        }
        let shifted = Matrix::from_fn(rows, self.width, |row, column| {
            f64::from(features[row * self.width + column]) + self.shift[column]
        });
        let root = |row: usize| f64::from(weights[row]).sqrt();
        let across = Matrix::from_fn(self.width, rows, |column, row| {
            shifted[(row, column)] * root(row)
        });
        let goals = Matrix::from_fn(rows, self.outputs, |row, output| {
            f64::from(targets[row * self.outputs + output]) * root(row)
        });
        self.squares.add_gram(&across, 1.0);
        self.products.add_product(&across, &goals, 1.0);
        for row in 0..rows {
            let weight = f64::from(weights[row]);
            self.weight += weight;
            for (column, sum) in self.features.iter_mut().enumerate() {
                *sum += weight * shifted[(row, column)];
            }
            for (output, sum) in self.targets.iter_mut().enumerate() {
                *sum += weight * f64::from(targets[row * self.outputs + output]);
            }
        }
        Ok(())
    }

    /// Adds the images of other sums.
    ///
    /// # Errors
    /// When those are about other features or outputs.
    pub fn join(&mut self, other: &Self) -> Result<(), Error> {
        if (self.width, self.outputs) != (other.width, other.outputs) {
            return Err(Error::Join {
                width: self.width,
                outputs: self.outputs,
                other_width: other.width,
                other_outputs: other.outputs,
            });
        }
        if self.shift.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        if other.shift.is_empty() {
            return Ok(());
        }
        // The other's features, moved to this one's origin: x + a = (x + b) + (a - b).
        let moved: Vec<f64> = self
            .shift
            .iter()
            .zip(&other.shift)
            .map(|(a, b)| a - b)
            .collect();
        for row in 0..self.width {
            for column in 0..=row {
                self.squares[(row, column)] += other.squares[(row, column)]
                    + moved[row] * other.features[column]
                    + moved[column] * other.features[row]
                    + other.weight * moved[row] * moved[column];
            }
            for output in 0..self.outputs {
                self.products[(row, output)] +=
                    other.products[(row, output)] + moved[row] * other.targets[output];
            }
            self.features[row] += other.features[row] + other.weight * moved[row];
        }
        for (sum, other) in self.targets.iter_mut().zip(&other.targets) {
            *sum += other;
        }
        self.weight += other.weight;
        Ok(())
    }

    /// Sum of the weights of the images so far.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The ridge solution. Columns come in `groups`, each of which counts as much as any other; the penalty is `strength`
    /// times the variance of an image's standardised features.
    ///
    /// # Errors
    /// When a group ends beyond the features, no feature varies (as where no image counts), or the strength is too
    /// small for features this alike.
    pub fn solve(&self, strength: f64, groups: &[Range<usize>]) -> Result<Linear, Error> {
        check::groups(groups, self.width)?;
        let moments: Vec<(f64, f64)> = (0..self.width)
            .map(|column| {
                let mean = self.features[column] / self.weight;
                let variance = self.squares[(column, column)] / self.weight - mean * mean;
                (mean, variance)
            })
            .collect();
        let standard = Standard::new(&moments, groups);
        let kept = standard.columns();
        let mut system = Matrix::from_fn(kept.len(), kept.len(), |row, column| {
            if column > row {
                return 0.0;
            }
            let (a, b) = (&kept[row], &kept[column]);
            let product = self.squares[(a.index, b.index)] - self.weight * a.mean * b.mean;
            product * a.scale * b.scale
        });
        let trace: f64 = (0..kept.len()).map(|index| system[(index, index)]).sum();
        if kept.is_empty() || trace <= 0.0 {
            return Err(Error::Constant);
        }
        for index in 0..kept.len() {
            system[(index, index)] += strength * trace / self.weight;
        }
        let offset: Vec<f64> = self.targets.iter().map(|sum| sum / self.weight).collect();
        let mut solution = Matrix::from_fn(kept.len(), self.outputs, |row, output| {
            let column = &kept[row];
            let product =
                self.products[(column.index, output)] - self.weight * column.mean * offset[output];
            product * column.scale
        });
        if !system.cholesky() {
            return Err(Error::Singular { strength });
        }
        system.solve(&mut solution);
        let mut linear = Linear::unstandardised(&standard, &solution, &offset);
        // The bias so far is for shifted features.
        for (output, bias) in linear.bias.iter_mut().enumerate() {
            let row = &linear.weights[output * self.width..][..self.width];
            let moved = row.iter().zip(&self.shift);
            let moved: f64 = moved
                .map(|(weight, shift)| f64::from(*weight) * shift)
                .sum();
            *bias = (f64::from(*bias) + moved) as f32;
        }
        Ok(linear)
    }
}
