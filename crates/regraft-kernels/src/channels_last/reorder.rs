//! From channels first to channels last and back.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::Isa;
use crate::isa::dispatch;
use crate::simd::{NARROW, Simd};

/// Rows of a block: what a task reads and writes stays in the first-level cache.
const BLOCK: usize = 64;

/// `[N, C, P]` to `[N, P, C]`.
///
/// # Panics
/// Where the slices have not the length of such tensors.
pub fn channels_to_last(channels: usize, pixels: usize, input: &[f32], output: &mut [f32]) {
    transpose([channels, pixels], input, output);
}

/// `[N, P, C]` to `[N, C, P]`.
///
/// # Panics
/// Where the slices have not the length of such tensors.
pub fn channels_to_first(channels: usize, pixels: usize, input: &[f32], output: &mut [f32]) {
    transpose([pixels, channels], input, output);
}

/// Matrices of `[rows, columns]` turned around.
fn transpose([rows, columns]: [usize; 2], input: &[f32], output: &mut [f32]) {
    let size = rows * columns;
    assert!(
        input.len() == output.len() && size > 0 && input.len().is_multiple_of(size),
        "{} and {} values of matrices of {rows} by {columns}",
        input.len(),
        output.len()
    );
    dispatch!(Isa::detect(), S => {
        // Tasks are runs of rows of the output, which are columns of the input.
        output
            .par_chunks_mut(size)
            .zip(input.par_chunks(size))
            .for_each(|(output, input)| {
                output
                    .par_chunks_mut(BLOCK * rows)
                    .enumerate()
                    .for_each(|(block, output)| {
                        S::run(#[inline(always)] || turn::<S>(input, [rows, columns], block * BLOCK, output));
                    });
            });
    });
}

/// The columns of `input` from `first` on as rows.
#[inline(always)]
fn turn<S: Simd>(input: &[f32], [rows, columns]: [usize; 2], first: usize, output: &mut [f32]) {
    let width = output.len() / rows;
    assert!(
        first + width <= columns && input.len() == rows * columns && output.len() == width * rows
    );
    for row in (0..rows).step_by(NARROW) {
        for column in (0..width).step_by(NARROW) {
            if row + NARROW <= rows && column + NARROW <= width {
                let mut block = [S::Narrow::splat(0.0); NARROW];
                // SAFETY: eight rows of eight values on both sides, by the condition and the assertion.
                unsafe {
                    for (i, vector) in block.iter_mut().enumerate() {
                        let at = (row + i) * columns + first + column;
                        *vector = S::Narrow::load(input.as_ptr().add(at));
                    }
                    let turned = S::Narrow::transpose(block);
                    for (i, vector) in turned.iter().enumerate() {
                        let at = (column + i) * rows + row;
                        S::Narrow::store(output.as_mut_ptr().add(at), *vector);
                    }
                }
                continue;
            }
            for i in row..rows.min(row + NARROW) {
                for j in column..width.min(column + NARROW) {
                    output[j * rows + i] = input[i * columns + first + j];
                }
            }
        }
    }
}
