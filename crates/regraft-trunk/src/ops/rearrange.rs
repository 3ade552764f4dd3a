//! Values that only move: concatenation, slices, padding, other orders of axes.

use rayon::prelude::*;

use super::CHUNK;
use regraft_program::{Extents, MAX_RANK};

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

/// Pads planes of `size` pixels of `inner` values with a value: top, left, bottom, right.
pub(crate) fn pad(
    [top, left, bottom, right]: [usize; 4],
    value: f32,
    size: [usize; 2],
    inner: usize,
    input: &[f32],
    output: &mut [f32],
) {
    let (left, right) = (left * inner, right * inner);
    let size = [size[0], size[1] * inner];
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn axes_go_where_they_are_sent() {
        let extents = Extents::new(&[2, 3, 4, 5]).unwrap();
        let input: Vec<f32> = (0..120).map(|i| i as f32).collect();
        let own = extents.strides();
        for perm in [
            [0, 1, 2, 3],
            [0, 2, 3, 1],
            [3, 1, 0, 2],
            [0, 2, 1, 3],
            [1, 0, 2, 3],
        ] {
            let mut output = vec![f32::NAN; 120];
            transpose(&perm, &input, extents, &mut output);
            for (at, value) in output.iter().enumerate() {
                let (mut rest, mut from) = (at, 0);
                for &axis in perm.iter().rev() {
                    from += rest % extents[axis] * own[axis];
                    rest /= extents[axis];
                }
                assert_eq!(*value, input[from], "{perm:?} at {at}");
            }
        }
    }

    #[test]
    fn a_slice_steps_along_its_axis() {
        let extents = Extents::new(&[2, 5, 3]).unwrap();
        let input: Vec<f32> = (0..30).map(|i| i as f32).collect();
        let range = Range {
            axis: 1,
            start: 1,
            step: 2,
        };
        let mut output = vec![f32::NAN; 12];
        slice(&range, &input, extents, &mut output);
        let expected = [3, 4, 5, 9, 10, 11, 18, 19, 20, 24, 25, 26].map(|v| v as f32);
        assert_eq!(output, expected);
    }

    #[test]
    fn padding_surrounds_each_plane() {
        let mut output = vec![f32::NAN; 2 * 12];
        pad(
            [1, 0, 0, 2],
            9.0,
            [2, 2],
            1,
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            &mut output,
        );
        assert_eq!(
            output[..12],
            [9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 9.0, 9.0]
        );
        assert_eq!(output[16..18], [5.0, 6.0]);
    }
}
