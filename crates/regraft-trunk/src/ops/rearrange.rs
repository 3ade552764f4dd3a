//! Values that only move: concatenation, slices, padding, other orders of axes.

use rayon::prelude::*;

use super::CHUNK;
use crate::extents::{Extents, MAX_RANK};

/// Copies a part of a concatenation: rows of `row` values to every `pitch` values of the output, from `at` on.
pub(crate) fn place(part: &[f32], row: usize, at: usize, pitch: usize, output: &mut [f32]) {
    output
        .par_chunks_mut(pitch)
        .zip(part.par_chunks(row))
        .with_min_len(CHUNK.div_ceil(row))
        .for_each(|(to, from)| to[at..at + row].copy_from_slice(from));
}

/// What a slice takes of an axis.
#[derive(Debug)]
pub(crate) struct Range {
    pub axis: usize,
    pub start: usize,
    pub step: usize,
}

/// Takes `count` indices of an axis.
pub(crate) fn slice(range: &Range, input: &[f32], extents: Extents, output: &mut [f32]) {
    let inner: usize = extents[range.axis + 1..].iter().product();
    let outer: usize = extents[..range.axis].iter().product();
    let count = output.len() / (inner * outer);
    output
        .par_chunks_mut(inner * count)
        .zip(input.par_chunks(inner * extents[range.axis]))
        .with_min_len(CHUNK.div_ceil(inner * count))
        .for_each(|(to, from)| {
            let from = &from[range.start * inner..];
            if range.step == 1 {
                to.copy_from_slice(&from[..count * inner]);
                return;
            }
            for (to, from) in to
                .chunks_exact_mut(inner)
                .zip(from.chunks(range.step * inner))
            {
                to.copy_from_slice(&from[..inner]);
            }
        });
}

/// Pads planes of `size` with a value: top, left, bottom, right.
pub(crate) fn pad(
    [top, left, bottom, right]: [usize; 4],
    value: f32,
    size: [usize; 2],
    input: &[f32],
    output: &mut [f32],
) {
    let width = left + size[1] + right;
    let plane = (top + size[0] + bottom) * width;
    output
        .par_chunks_mut(plane)
        .zip(input.par_chunks(size[0] * size[1]))
        .with_min_len(CHUNK.div_ceil(plane))
        .for_each(|(to, from)| {
            to.fill(value);
            let rows = to[top * width..].chunks_exact_mut(width);
            for (to, from) in rows.zip(from.chunks_exact(size[1])) {
                to[left..left + size[1]].copy_from_slice(from);
            }
        });
}

/// Reorders axes: axis `i` of the output is axis `perm[i]` of the input.
pub(crate) fn transpose(perm: &[usize], input: &[f32], extents: Extents, output: &mut [f32]) {
    let own = extents.strides();
    let mut to = [1; MAX_RANK];
    let mut strides = [0; MAX_RANK];
    let mut rank = 0;
    // Axes that stay side by side are one.
    for &axis in perm {
        if extents[axis] == 1 {
            continue;
        }
        if rank > 0 && strides[rank - 1] == own[axis] * extents[axis] {
            to[rank - 1] *= extents[axis];
            strides[rank - 1] = own[axis];
        } else {
            (to[rank], strides[rank]) = (extents[axis], own[axis]);
            rank += 1;
        }
    }
    let rank = rank.max(1);
    let (inner, step) = (to[rank - 1], strides[rank - 1]);
    output
        .par_chunks_mut(inner)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(inner))
        .for_each(|(mut row, run)| {
            let mut offset = 0;
            for axis in (0..rank - 1).rev() {
                offset += row % to[axis] * strides[axis];
                row /= to[axis];
            }
            if step == 1 {
                run.copy_from_slice(&input[offset..offset + inner]);
                return;
            }
            for (i, value) in run.iter_mut().enumerate() {
                *value = input[offset + i * step];
            }
        });
}
