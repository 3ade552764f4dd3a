//! Columns of equal spread: what makes one strength fit them all.

use std::ops::Range;

use rayon::prelude::*;

use crate::matrix::Matrix;

/// Columns of which one thread computes mean and spread.
const COLUMNS: usize = 256;

/// How a column that varies is standardised: `(value - mean) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Column {
    /// Its place among the features.
    pub index: usize,
    pub mean: f64,
    pub scale: f64,
}

/// Share of a group's mean variance that is added to each column's, so that columns that hardly vary are not blown up.
const FLOOR: f64 = 1e-3;

/// The columns that vary; a constant one tells nothing, and has no scale.
///
/// Columns come in groups, the features of one tap each: within a group all have about the same spread, and every group has
/// a variance of 1 in all, however wide it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standard {
    columns: Vec<Column>,
    width: usize,
}

impl Standard {
    /// Of columns whose mean and variance are known.
    pub fn new(moments: &[(f64, f64)], groups: &[Range<usize>]) -> Self {
        let mut columns = Vec::new();
        for group in groups {
            // What rounding makes of a constant is no variance.
            let varies = |index: &usize| {
                let (mean, variance) = moments[*index];
                variance > 1e-14 * mean * mean && variance > 0.0
            };
            let varying = group.clone().filter(varies);
            let (sum, count) = varying.fold((0.0, 0.0), |(sum, count), index| {
                (sum + moments[index].1, count + 1.0)
            });
            let floor = FLOOR * sum / f64::max(count, 1.0);
            let first = columns.len();
            columns.extend(group.clone().filter(varies).map(|index| {
                let (mean, variance) = moments[index];
                Column {
                    index,
                    mean,
                    scale: (variance + floor).sqrt().recip(),
                }
            }));
            let spread = |column: &Column| moments[column.index].1 * column.scale.powi(2);
            let total: f64 = columns[first..].iter().map(spread).sum();
            for column in &mut columns[first..] {
                column.scale /= total.sqrt();
            }
        }
        Self {
            columns,
            width: moments.len(),
        }
    }

    /// Of features `[n, width]`, of images that count `weights`, `[n]`.
    pub fn of(features: &[f32], width: usize, weights: &[f64], groups: &[Range<usize>]) -> Self {
        let total: f64 = weights.iter().sum();
        let parts: Vec<usize> = (0..width).step_by(COLUMNS).collect();
        let moments: Vec<(f64, f64)> = parts
            .into_par_iter()
            .flat_map_iter(|first| {
                let last = (first + COLUMNS).min(width);
                let part = |row: usize| &features[row * width + first..row * width + last];
                let mut means = vec![0.0; last - first];
                for (row, weight) in weights.iter().enumerate() {
                    for (mean, value) in means.iter_mut().zip(part(row)) {
                        *mean += weight * f64::from(*value) / total;
                    }
                }
                let mut squares = vec![0.0; last - first];
                for (row, weight) in weights.iter().enumerate() {
                    for ((square, mean), value) in squares.iter_mut().zip(&means).zip(part(row)) {
                        *square += weight * (f64::from(*value) - mean).powi(2) / total;
                    }
                }
                means.into_iter().zip(squares).collect::<Vec<_>>()
            })
            .collect();
        Self::new(&moments, groups)
    }

    /// The columns that vary, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Columns in all.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The products of all rows' standardised columns in `range` with each other are added to `gram`, `[n, n]`.
    pub fn add_gram(&self, features: &[f32], range: Range<usize>, gram: &mut Matrix) {
        let inside = |column: &&Column| range.contains(&column.index);
        let kept: Vec<Column> = self.columns.iter().filter(inside).copied().collect();
        let mut z = vec![0f32; gram.rows() * kept.len()];
        if kept.is_empty() {
            return;
        }
        let rows = z
            .par_chunks_mut(kept.len())
            .zip(features.par_chunks_exact(self.width));
        rows.for_each(|(line, row)| {
            for (value, column) in line.iter_mut().zip(&kept) {
                *value = ((f64::from(row[column.index]) - column.mean) * column.scale) as f32;
            }
        });
        gram.add_gram_of(&z, kept.len());
    }

    /// The standardised columns that lie in `range`, of all rows: `[n, kept]`.
    pub fn apply(&self, features: &[f32], range: Range<usize>) -> Matrix {
        let inside = |column: &&Column| range.contains(&column.index);
        let kept: Vec<Column> = self.columns.iter().filter(inside).copied().collect();
        Matrix::from_fn(features.len() / self.width.max(1), kept.len(), |row, at| {
            let column = &kept[at];
            (f64::from(features[row * self.width + column.index]) - column.mean) * column.scale
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_variance_of_one_and_constants_are_left_out() {
        let features = [1.0, 0.1, 5.0, 9.0, 3.0, 0.1, 7.0, -9.0];
        let standard = Standard::of(&features, 4, &[1.0, 1.0], &[0..2, 2..4]);
        let kept: Vec<usize> = standard.columns().iter().map(|c| c.index).collect();
        assert_eq!(kept, [0, 2, 3]);
        let z = standard.apply(&features, 0..4);
        let variance = |columns: Range<usize>| -> f64 {
            let values = (0..2).flat_map(|row| columns.clone().map(move |column| (row, column)));
            values.map(|at| z[at] * z[at] / 2.0).sum()
        };
        assert!((variance(0..1) - 1.0).abs() < 1e-12);
        assert!((variance(1..3) - 1.0).abs() < 1e-12);
    }
}
