//! What solving gives: a linear map from features to an output a class.

use crate::matrix::Matrix;
use crate::standard::Standard;

/// A linear classifier: `outputs = weights features + bias`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Linear {
    /// `[outputs, width]`, row by row.
    pub weights: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
    /// Features of an image.
    pub width: usize,
}

impl Linear {
    /// The map on features as they are that does what `solution`, `[kept columns, outputs]`, does on standardised ones.
    pub(crate) fn unstandardised(standard: &Standard, solution: &Matrix, offset: &[f64]) -> Self {
        let (outputs, width) = (solution.columns(), standard.width());
        let mut weights = vec![0.0; outputs * width];
        let mut bias = offset.to_vec();
        for (row, column) in standard.columns().iter().enumerate() {
            for output in 0..outputs {
                let weight = solution[(row, output)] * column.scale;
                weights[output * width + column.index] = weight as f32;
                bias[output] -= weight * column.mean;
            }
        }
        Self {
            weights,
            bias: bias.into_iter().map(|value| value as f32).collect(),
            width,
        }
    }

    /// Outputs `[n, outputs]` for features `[n, width]`.
    pub fn outputs(&self, features: &[f32]) -> Vec<f32> {
        let rows = features.chunks_exact(self.width.max(1));
        rows.flat_map(|row| {
            let classes = self.weights.chunks_exact(self.width.max(1)).zip(&self.bias);
            classes.map(move |(weights, bias)| {
                let sum: f64 = row
                    .iter()
                    .zip(weights)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum();
                (sum + f64::from(*bias)) as f32
            })
        })
        .collect()
    }

    /// The classifier with a map `[outputs + 1, outputs]` on its outputs: a matrix, and offsets in the last row.
    pub(crate) fn mapped(&self, map: &Matrix) -> Self {
        let outputs = map.columns();
        let through = |value: &dyn Fn(usize) -> f64, output: usize| -> f64 {
            (0..outputs).map(|at| value(at) * map[(at, output)]).sum()
        };
        let mut weights = Vec::with_capacity(self.weights.len());
        let mut bias = Vec::with_capacity(outputs);
        for output in 0..outputs {
            for column in 0..self.width {
                let weight = |at: usize| f64::from(self.weights[at * self.width + column]);
                weights.push(through(&weight, output) as f32);
            }
            let own = |at: usize| f64::from(self.bias[at]);
            bias.push((through(&own, output) + map[(outputs, output)]) as f32);
        }
        Self {
            weights,
            bias,
            width: self.width,
        }
    }

    /// Outputs for all classes: those that are known go where `places` says, the others are those of `rest` for every
    /// image.
    pub(crate) fn spread(self, places: &[usize], rest: &[f32]) -> Self {
        let classes = rest.len();
        if places.len() == classes {
            return self;
        }
        let mut spread = Self {
            weights: vec![0.0; classes * self.width],
            bias: rest.to_vec(),
            width: self.width,
        };
        for (from, &to) in places.iter().enumerate() {
            let row = &self.weights[from * self.width..(from + 1) * self.width];
            spread.weights[to * self.width..(to + 1) * self.width].copy_from_slice(row);
            spread.bias[to] = self.bias[from];
        }
        spread
    }
}
