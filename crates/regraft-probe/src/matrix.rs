//! Matrices of f64, row by row: products, Cholesky factorisation, and the solution by it.
//!
//! Work is dealt out in parts of fixed size, each with its sums in a fixed order: any number of threads gives the same bytes.
//! Nearly all of it is products, which are the `gemm` crate's; this is a fraction of what compiling a linear-algebra library
//! takes.

use std::ops::{Index, IndexMut};

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

/// Columns that are factored before the rest is updated by a product.
const BLOCK: usize = 128;
/// Right-hand sides that one thread solves for.
const RIGHT_SIDES: usize = 16;
/// Columns whose products are summed in 32 bits.
const COLUMNS_OF_32: usize = 512;
/// Rows or columns of a product that one thread computes.
const STRIP: usize = 256;

/// A matrix, `[rows, columns]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        // Written and not asked of the system as zeros: pages that are first read and then written cost twice.
        let mut values = Vec::with_capacity(rows * columns);
        values.resize(rows * columns, 0.0);
        Self {
            rows,
            columns,
            values,
        }
    }

    pub fn from_fn(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64 + Sync) -> Self {
        let mut whole = Self::zeros(rows, columns);
        if columns > 0 {
            let lines = whole.values.par_chunks_mut(columns);
            let each = |(row, line): (usize, &mut [f64])| {
                for (column, value) in line.iter_mut().enumerate() {
                    *value = f(row, column);
                }
            };
            // Small ones are not worth waking anybody.
            let least = (1 << 14) / columns + 1;
            lines.enumerate().with_min_len(least).for_each(each);
        }
        whole
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

    /// A row's values.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The first so many rows.
    pub fn first_rows(&self, rows: usize) -> Self {
        Self {
            rows,
            columns: self.columns,
            values: self.values[..rows * self.columns].to_vec(),
        }
    }

    /// `self += other`.
    pub fn add(&mut self, other: &Self) {
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            *value += other;
        }
    }

    /// The sum of squares of a row.
    pub fn square_of_row(&self, row: usize) -> f64 {
        dot(self.row(row), self.row(row))
    }

    /// Some of the rows, in the order given.
    pub fn rows_at(&self, rows: &[usize]) -> Self {
        Self::from_fn(rows.len(), self.columns, |row, column| {
            self[(rows[row], column)]
        })
    }

    /// `self other`.
    pub fn product(&self, other: &Self) -> Self {
        let mut whole = Self::zeros(self.rows, other.columns);
        whole.add_product(self, other, 1.0);
        whole
    }

    /// `self += factor left right`, in strips of rows.
    pub fn add_product(&mut self, left: &Self, right: &Self, factor: f64) {
        let (columns, inner) = (self.columns, left.columns);
        if columns == 0 || self.rows == 0 || inner == 0 {
            return;
        }
        let strips = self.values.par_chunks_mut(STRIP * columns);
        strips.enumerate().for_each(|(strip, values)| {
            let rows = values.len() / columns;
            let target = PartMut {
                values,
                stride: columns,
            };
            let operands = [left.part(strip * STRIP, 0), right.part(0, 0)];
            add_product(target, operands, [rows, columns, inner], factor);
        });
    }

    /// `self += factor z zᵀ`, the lower triangle alone: what is above the diagonal is of no meaning afterwards.
    pub fn add_gram(&mut self, z: &Self, factor: f64) {
        let (side, inner) = (self.columns, z.columns);
        if side == 0 || inner == 0 {
            return;
        }
        let strips = self.values.par_chunks_mut(STRIP * side);
        strips.enumerate().for_each(|(strip, values)| {
            let rows = values.len() / side;
            let width = strip * STRIP + rows;
            let target = PartMut {
                values,
                stride: side,
            };
            let operands = [z.part(strip * STRIP, 0), z.turned()];
            add_product(target, operands, [rows, width, inner], factor);
        });
    }

    /// `self += z zᵀ` of 32-bit numbers `[n, width]`, the lower triangle alone: products of a few hundred columns at a time are
    /// summed in 32 bits, those sums in 64.
    pub fn add_gram_of(&mut self, z: &[f32], width: usize) {
        let side = self.columns;
        if side == 0 || width == 0 {
            return;
        }
        let strips = self.values.par_chunks_mut(STRIP * side);
        strips.enumerate().for_each(|(strip, values)| {
            let rows = values.len() / side;
            let across = strip * STRIP + rows;
            let mut sums = vec![0f32; rows * across];
            for first in (0..width).step_by(COLUMNS_OF_32) {
                let inner = COLUMNS_OF_32.min(width - first);
                sums.fill(0.0);
                let left = Part {
                    values: &z[strip * STRIP * width + first..],
                    stride: width,
                    step: 1,
                };
                let right = Part {
                    values: &z[first..],
                    stride: 1,
                    step: width,
                };
                let target = PartMut {
                    values: &mut sums,
                    stride: across,
                };
                add_product(target, [left, right], [rows, across, inner], 1.0);
                let lines = values.chunks_exact_mut(side).zip(sums.chunks_exact(across));
                for (line, sums) in lines {
                    for (value, sum) in line.iter_mut().zip(sums) {
                        *value += f64::from(*sum);
                    }
                }
            }
        });
    }

    /// `self += factor zᵀ y`, in strips of rows.
    pub fn add_turned_product(&mut self, z: &Self, y: &Self, factor: f64) {
        let (columns, inner) = (self.columns, z.rows);
        if columns == 0 || inner == 0 {
            return;
        }
        let strips = self.values.par_chunks_mut(STRIP * columns);
        strips.enumerate().for_each(|(strip, values)| {
            let rows = values.len() / columns;
            let target = PartMut {
                values,
                stride: columns,
            };
            let left = Part {
                values: &z.values[strip * STRIP..],
                ..z.turned()
            };
            add_product(target, [left, y.part(0, 0)], [rows, columns, inner], factor);
        });
    }

    /// Replaces the lower triangle of a symmetric matrix `A` by the factor `L` of `A = L Lᵀ`; says whether `A` is positive
    /// definite. What is above the diagonal is neither read nor of any meaning afterwards.
    pub fn cholesky(&mut self) -> bool {
        let side = self.rows;
        for start in (0..side).step_by(BLOCK) {
            let end = (start + BLOCK).min(side);
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
                for row in below[..(end - column - 1) * side].chunks_exact_mut(side) {
                    let sum = dot(&row[start..column], own);
                    row[column] = (row[column] - sum) / pivot;
                }
            }
            if end == side {
                break;
            }
            let (above, below) = self.values.split_at_mut(end * side);
            let block = &above[start * side..];
            below.par_chunks_mut(side).with_min_len(16).for_each(|row| {
                for column in start..end {
                    let own = &block[(column - start) * side..][start..column];
                    let sum = dot(&row[start..column], own);
                    let pivot = block[(column - start) * side + column];
                    row[column] = (row[column] - sum) / pivot;
                }
            });
            // What is right of and below the block, a strip of rows at a time up to the diagonal.
            let panel = Self::from_fn(side - end, end - start, |row, column| {
                self[(end + row, start + column)]
            });
            let strips = self.values[end * side..].par_chunks_mut(BLOCK * side);
            strips.enumerate().for_each(|(strip, values)| {
                let rows = values.len() / side;
                let first = strip * BLOCK;
                let target = PartMut {
                    values: &mut values[end..],
                    stride: side,
                };
                let operands = [panel.part(first, 0), panel.turned()];
                let shape = [rows, first + rows, end - start];
                add_product(target, operands, shape, -1.0);
            });
        }
        true
    }

    /// Solves `L Lᵀ X = B` in place of `B`, with `L` the lower triangle of `self` as [`cholesky`](Self::cholesky) left it.
    pub fn solve(&self, b: &mut Self) {
        if b.columns <= RIGHT_SIDES {
            return self.solve_few(b);
        }
        let starts: Vec<usize> = (0..b.columns).step_by(RIGHT_SIDES).collect();
        let solved: Vec<Self> = starts
            .par_iter()
            .map(|&first| {
                let width = RIGHT_SIDES.min(b.columns - first);
                let mut part = Self::from_fn(b.rows, width, |row, column| b[(row, first + column)]);
                self.solve_few(&mut part);
                part
            })
            .collect();
        for (first, part) in starts.into_iter().zip(solved) {
            for row in 0..part.rows {
                for column in 0..part.columns {
                    b[(row, first + column)] = part[(row, column)];
                }
            }
        }
    }

    fn solve_few(&self, b: &mut Self) {
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

    /// `L⁻¹` of the lower triangle `L` that [`cholesky`](Self::cholesky) left.
    pub fn inverse_of_factor(&self) -> Self {
        let side = self.rows;
        let mut inverse = Self::zeros(side, side);
        for start in (0..side).step_by(BLOCK) {
            let end = (start + BLOCK).min(side);
            let (above, below) = inverse.values.split_at_mut(start * side);
            // Rows of the block: minus L's rows times what is known, then through the block's own triangle.
            if start > 0 {
                let shape = [end - start, start, start];
                let known = Part {
                    values: above,
                    stride: side,
                    step: 1,
                };
                let target = PartMut {
                    values: &mut below[..(end - start) * side],
                    stride: side,
                };
                add_product_wide(target, [self.part(start, 0), known], shape, -1.0);
            }
            for row in start..end {
                let (done, rest) = below.split_at_mut((row - start) * side);
                let own = &mut rest[..end];
                own[row] += 1.0;
                for (other, index) in done.chunks_exact(side).zip(start..row) {
                    subtract(&mut own[..=index], &other[..=index], self[(row, index)]);
                }
                let pivot = self[(row, row)];
                own[..=row].iter_mut().for_each(|value| *value /= pivot);
            }
        }
        inverse
    }

    fn part(&self, row: usize, column: usize) -> Part<'_> {
        Part {
            values: &self.values[row * self.columns + column..],
            stride: self.columns,
            step: 1,
        }
    }

    /// The transposed matrix, read where it lies.
    fn turned(&self) -> Part<'_> {
        Part {
            values: &self.values,
            stride: 1,
            step: self.columns,
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
struct Part<'a, T = f64> {
    values: &'a [T],
    /// From a row to the next.
    stride: usize,
    /// From a column to the next.
    step: usize,
}

struct PartMut<'a, T = f64> {
    values: &'a mut [T],
    stride: usize,
}

/// What is multiplied.
trait Number: Copy + 'static {
    const ONE: Self;
}

impl Number for f64 {
    const ONE: Self = 1.0;
}

impl Number for f32 {
    const ONE: Self = 1.0;
}

/// `target += factor left right`, of shape `[rows, columns, inner]`.
#[allow(unsafe_code)]
fn add_product<T: Number>(
    target: PartMut<'_, T>,
    [left, right]: [Part<'_, T>; 2],
    [rows, columns, inner]: [usize; 3],
    factor: T,
) {
    if rows == 0 || columns == 0 || inner == 0 {
        return;
    }
    assert!(
        target.values.len() >= (rows - 1) * target.stride + columns
            && left.values.len() > (rows - 1) * left.stride + (inner - 1) * left.step
            && right.values.len() > (inner - 1) * right.stride + (columns - 1) * right.step
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
            left.step as isize,
            left.stride as isize,
            right.values.as_ptr(),
            right.step as isize,
            right.stride as isize,
            T::ONE,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// The same for few rows: in strips of columns.
fn add_product_wide(
    target: PartMut<'_>,
    [left, right]: [Part<'_>; 2],
    [rows, columns, inner]: [usize; 3],
    factor: f64,
) {
    let stride = target.stride;
    let mut rest: Vec<&mut [f64]> = target.values.chunks_mut(stride).take(rows).collect();
    let mut strips: Vec<Vec<&mut [f64]>> = Vec::new();
    for _ in (0..columns).step_by(STRIP) {
        let mut strip = Vec::with_capacity(rows);
        for row in &mut rest {
            let taken = std::mem::take(row);
            let (own, left) = taken.split_at_mut(STRIP.min(taken.len()));
            *row = left;
            strip.push(own);
        }
        strips.push(strip);
    }
    strips
        .into_par_iter()
        .enumerate()
        .for_each(|(index, mut strip)| {
            let first = index * STRIP;
            let width = STRIP.min(columns - first);
            let mut values = vec![0.0; rows * width];
            let operands = [
                left,
                Part {
                    values: &right.values[first..],
                    ..right
                },
            ];
            let part = PartMut {
                values: &mut values,
                stride: width,
            };
            add_product(part, operands, [rows, width, inner], factor);
            for (row, sums) in strip.iter_mut().zip(values.chunks_exact(width)) {
                for (value, sum) in row.iter_mut().zip(sums) {
                    *value += sum;
                }
            }
        });
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

    proptest! {
        #[test]
        fn the_inverse_of_a_factor_inverts(side in 1usize..300, seed in 0usize..100) {
            let z = scene(side, side + 3, seed);
            let mut gram = Matrix::zeros(side, side);
            gram.add_gram(&z, 1.0);
            for index in 0..side {
                gram[(index, index)] += 1.0;
            }
            prop_assert!(gram.cholesky());
            let inverse = gram.inverse_of_factor();
            let lower = Matrix::from_fn(side, side, |row, column| {
                if column <= row { gram[(row, column)] } else { 0.0 }
            });
            let unit = lower.product(&inverse);
            for row in 0..side {
                for column in 0..side {
                    let expected = f64::from(u8::from(row == column));
                    prop_assert!((unit[(row, column)] - expected).abs() < 1e-8);
                }
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
