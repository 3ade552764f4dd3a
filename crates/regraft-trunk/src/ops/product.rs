//! Matrix products, by the `gemm` crate: linear layers and attention.
#![allow(unsafe_code)]

use gemm::Parallelism;
use rayon::prelude::*;

use super::CHUNK;
use super::function::apply;
use crate::draft::Linear;

/// A matrix in a slice.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From row to row and from column to column.
    steps: [usize; 2],
}

impl<'a> Matrix<'a> {
    fn by_rows(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            steps: [columns, 1],
        }
    }

    fn by_columns(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            steps: [1, rows],
        }
    }

    fn fits(&self) -> bool {
        self.rows * self.columns == self.values.len()
    }
}

/// `output = left right`, or added to what is there.
fn multiply(
    left: Matrix<'_>,
    right: Matrix<'_>,
    add: bool,
    threads: Parallelism,
    output: &mut [f32],
) {
    assert!(
        left.fits() && right.fits() && left.columns == right.rows,
        "operands of a product"
    );
    assert_eq!(
        left.rows * right.columns,
        output.len(),
        "output of a product"
    );
    let step = |matrix: &Matrix<'_>, axis: usize| matrix.steps[axis].cast_signed();
    // SAFETY: the matrices fill their slices by rows or by columns, which was just checked; the output is a slice of
    // its own, by rows.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            output.as_mut_ptr(),
            1,
            right.columns.cast_signed(),
            add,
            left.values.as_ptr(),
            step(&left, 1),
            step(&left, 0),
            right.values.as_ptr(),
            step(&right, 1),
            step(&right, 0),
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

fn all_threads() -> Parallelism {
    Parallelism::Rayon(rayon::current_num_threads())
}

/// `output = after(input W + b)`, row by row.
pub(crate) fn linear(layer: &Linear, weight: &[f32], input: &[f32], output: &mut [f32]) {
    let rows = input.len() / layer.inputs;
    let left = Matrix::by_rows(input, rows, layer.inputs);
    let right = if layer.transposed {
        Matrix::by_columns(weight, layer.inputs, layer.outputs)
    } else {
        Matrix::by_rows(weight, layer.inputs, layer.outputs)
    };
    if let Some(bias) = &layer.bias {
        for row in output.chunks_exact_mut(layer.outputs) {
            row.copy_from_slice(bias);
        }
    }
    multiply(left, right, layer.bias.is_some(), all_threads(), output);
    if let Some(after) = layer.after {
        output
            .par_chunks_mut(CHUNK)
            .for_each(|chunk| apply(after, chunk));
    }
}

/// Products of pairs of matrices `[rows, depth]` and `[depth, columns]`.
pub(crate) fn matrices(
    [rows, depth, columns]: [usize; 3],
    left: &[f32],
    right: &[f32],
    output: &mut [f32],
) {
    let pairs = left
        .par_chunks_exact(rows * depth)
        .zip(right.par_chunks_exact(depth * columns));
    output
        .par_chunks_exact_mut(rows * columns)
        .zip(pairs)
        .for_each(|(output, (left, right))| {
            let left = Matrix::by_rows(left, rows, depth);
            let right = Matrix::by_rows(right, depth, columns);
            multiply(left, right, false, Parallelism::None, output);
        });
}
