//! Matrices of f64, row by row: products, Cholesky factorisation, and the solution by it.
//!
//! One thread each: folds are what runs in parallel, and sums keep their order. Nearly all of the work is products, which are
//! the `gemm` crate's; this is a fraction of what compiling a linear-algebra library takes.

use std::ops::{Index, IndexMut};

use gemm::{Parallelism, gemm};

/// Columns that are factored before the rest is updated by a product.
const BLOCK: usize = 64;

/// A matrix, `[rows, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    pub fn from_fn(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .map(|(row, column)| f(row, column))
            .collect();
        Self {
            rows,
            columns,
            values,
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn transpose(&self) -> Self {
        Self::from_fn(self.columns, self.rows, |row, column| self[(column, row)])
    }

    /// `self other`.
    pub fn product(&self, other: &Self) -> Self {
        let mut whole = Self::zeros(self.rows, other.columns);
        let (left, right) = (self.part(0, 0), other.part(0, 0));
        let shape = [self.rows, other.columns, self.columns];
        add_product(whole.part_mut(0, 0), [left, right], shape, 1.0);
        whole
    }

    /// Replaces the lower triangle of a symmetric matrix `A` by the factor `L` of `A = L Lᵀ`; says whether `A` is positive
    /// definite. What is above the diagonal is neither read nor of any meaning afterwards.
    pub fn cholesky(&mut self) -> bool {
        let side = self.rows;
        for start in (0..side).step_by(BLOCK) {
            let end = (start + BLOCK).min(side);
            // The block's columns, from the diagonal down.
            for column in start..end {
                let done = &self.values[column * side + start..column * side + column];
                let pivot = self[(column, column)] - dot(done, done);
                if pivot.is_nan() || pivot <= 0.0 {
                    return false;
                }
                let pivot = pivot.sqrt();
                self[(column, column)] = pivot;
                let (above, below) = self.values.split_at_mut((column + 1) * side);
                let own = &above[column * side + start..column * side + column];
                for row in below.chunks_exact_mut(side) {
                    let sum = dot(&row[start..column], own);
                    row[column] = (row[column] - sum) / pivot;
                }
            }
            if end == side {
                break;
            }
            // What is right of and below the block, a strip of rows at a time up to the diagonal.
            let panel = Self::from_fn(side - end, end - start, |row, column| {
                self[(end + row, start + column)]
            });
            let across = panel.transpose();
            for first in (end..side).step_by(BLOCK) {
                let last = (first + BLOCK).min(side);
                let shape = [last - first, last - end, end - start];
                let operands = [panel.part(first - end, 0), across.part(0, 0)];
                add_product(self.part_mut(first, end), operands, shape, -1.0);
            }
        }
        true
    }

    /// Solves `L Lᵀ X = B` in place of `B`, with `L` the lower triangle of `self` as [`cholesky`](Self::cholesky) left it.
    pub fn solve(&self, b: &mut Self) {
        let (side, width) = (self.rows, b.columns);
        for row in 0..side {
            let (done, rest) = b.values.split_at_mut(row * width);
            let own = &mut rest[..width];
            for (factor, other) in self.values[row * side..]
                .iter()
                .zip(done.chunks_exact(width))
            {
                subtract(own, other, *factor);
            }
            own.iter_mut().for_each(|value| *value /= self[(row, row)]);
        }
        for row in (0..side).rev() {
            let (before, rest) = b.values.split_at_mut(row * width);
            let own = &mut rest[..width];
            own.iter_mut().for_each(|value| *value /= self[(row, row)]);
            // Row `row` of `L` is a column of `Lᵀ`: the rows before this one lose their share of it.
            let factors = &self.values[row * side..][..row];
            for (factor, other) in factors.iter().zip(before.chunks_exact_mut(width)) {
                subtract(other, own, *factor);
            }
        }
    }

    fn part(&self, row: usize, column: usize) -> Part<'_> {
        Part {
            values: &self.values[row * self.columns + column..],
            stride: self.columns,
        }
    }

    fn part_mut(&mut self, row: usize, column: usize) -> PartMut<'_> {
        PartMut {
            values: &mut self.values[row * self.columns + column..],
            stride: self.columns,
        }
    }
}

fn subtract(from: &mut [f64], what: &[f64], factor: f64) {
    for (value, other) in from.iter_mut().zip(what) {
        *value -= factor * other;
    }
}

/// In eight sums, so that they need not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// A rectangle of a matrix, from its first value on.
#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f64],
    stride: usize,
}

struct PartMut<'a> {
    values: &'a mut [f64],
    stride: usize,
}

/// `target += factor left right`, of shape `[rows, columns, inner]`.
#[allow(unsafe_code)]
fn add_product(
    target: PartMut<'_>,
    [left, right]: [Part<'_>; 2],
    [rows, columns, inner]: [usize; 3],
    factor: f64,
) {
    if rows == 0 || columns == 0 || inner == 0 {
        return;
    }
    assert!(
        target.values.len() >= (rows - 1) * target.stride + columns
            && left.values.len() >= (rows - 1) * left.stride + inner
            && right.values.len() >= (inner - 1) * right.stride + columns
    );
    // SAFETY: the assertion holds every row and column of the three rectangles to their slices, and the target is borrowed
    // mutably, so that it overlaps neither operand.
    unsafe {
        gemm(
            rows,
            columns,
            inner,
            target.values.as_mut_ptr(),
            1,
            target.stride as isize,
            true,
            left.values.as_ptr(),
            1,
            left.stride as isize,
            right.values.as_ptr(),
            1,
            right.stride as isize,
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

impl Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (row, column): (usize, usize)) -> &f64 {
        &self.values[row * self.columns + column]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut f64 {
        &mut self.values[row * self.columns + column]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers between -1 and 1 that look random.
    fn scene(rows: usize, columns: usize, seed: usize) -> Matrix {
        Matrix::from_fn(rows, columns, |row, column| {
            let number = (row * 7919 + column * 104_729 + seed * 31) % 2003;
            number as f64 / 1001.5 - 1.0
        })
    }

    proptest! {
        #[test]
        fn a_solution_solves(side in 1usize..200, width in 1usize..5, seed in 0usize..100) {
            let z = scene(side, side + 3, seed);
            let mut gram = z.product(&z.transpose());
            for index in 0..side {
                gram[(index, index)] += 1.0;
            }
            let targets = scene(side, width, seed + 1);
            let mut factor = gram.clone();
            prop_assert!(factor.cholesky());
            let mut solution = targets.clone();
            factor.solve(&mut solution);
            let back = gram.product(&solution);
            for (a, b) in back.values.iter().zip(&targets.values) {
                prop_assert!((a - b).abs() < 1e-8, "{} and {}", a, b);
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let mut zero = Matrix::zeros(3, 3);
        assert!(!zero.cholesky());
        let mut negative =
            Matrix::from_fn(2, 2, |row, column| if row == column { -1.0 } else { 0.0 });
        assert!(!negative.cholesky());
        let mut nan = Matrix::from_fn(2, 2, |_, _| f64::NAN);
        assert!(!nan.cholesky());
    }
}
