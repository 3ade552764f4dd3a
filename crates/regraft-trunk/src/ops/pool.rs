//! Maximum pooling that keeps no indices, which only training needs.

use rayon::prelude::*;
use regraft_kernels::PoolShape;

use super::CHUNK;

/// The larger; what is no number wins.
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// The largest of each window; minus infinity for a window of padding only.
pub(crate) fn max_pool(shape: &PoolShape, input: &[f32], output: &mut [f32]) {
    let (height, width) = (shape.out_height(), shape.out_width());
    let plane = shape.in_height * shape.in_width;
    output
        .par_chunks_mut(height * width)
        .zip(input.par_chunks(plane))
        .with_min_len(CHUNK.div_ceil(plane))
        .for_each(|(to, from)| {
            to.fill(f32::NEG_INFINITY);
            for (y, to) in to.chunks_exact_mut(width).enumerate() {
                for tap in 0..shape.kernel[0] {
                    let row = (y * shape.stride[0] + tap * shape.dilation[0])
                        .checked_sub(shape.pads[0])
                        .filter(|row| *row < shape.in_height);
                    if let Some(row) = row {
                        max_row(shape, &from[row * shape.in_width..][..shape.in_width], to);
                    }
                }
            }
        });
}

/// Adds a row of the input to the windows of a row of the output.
fn max_row(shape: &PoolShape, from: &[f32], to: &mut [f32]) {
    let (stride, pad) = (shape.stride[1], shape.pads[1]);
    for tap in 0..shape.kernel[1] {
        let offset = tap * shape.dilation[1];
        // The first output for which the tap lies in the image, and where.
        let first = pad.saturating_sub(offset).div_ceil(stride);
        if first >= to.len() {
            continue;
        }
        let at = first * stride + offset - pad;
        let Some(from) = from.get(at..) else {
            continue;
        };
        match stride {
            1 => {
                for (to, from) in to[first..].iter_mut().zip(from) {
                    *to = larger(*to, *from);
                }
            }
            2 => {
                // A pair with its second value cut off is still a place for a tap.
                let (pairs, rest) = from.as_chunks::<2>();
                for (to, pair) in to[first..].iter_mut().zip(pairs) {
                    *to = larger(*to, pair[0]);
                }
                let behind = to.get_mut(first + pairs.len());
                if let (Some(to), [value]) = (behind, rest) {
                    *to = larger(*to, *value);
                }
            }
            _ => {
                for (to, from) in to[first..].iter_mut().zip(from.iter().step_by(stride)) {
                    *to = larger(*to, *from);
                }
            }
        }
    }
}

/// The largest of each plane.
pub(crate) fn global_max(input: &[f32], output: &mut [f32]) {
    let plane = input.len() / output.len();
    output
        .par_iter_mut()
        .zip(input.par_chunks(plane))
        .with_min_len(CHUNK.div_ceil(plane))
        .for_each(|(to, from)| *to = from.iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b)));
}
