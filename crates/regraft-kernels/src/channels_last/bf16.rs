//! Values rounded to bf16, in pairs that take the place of one value.

use rayon::prelude::*;

use crate::simd::Simd;

/// Pairs of a task.
const TASK: usize = 16 * 1024;

/// The bits of two values as bf16, rounded to nearest even, the first in the lower half.
#[inline(always)]
pub(super) fn pair(first: f32, second: f32) -> f32 {
    f32::from_bits(round(first) | round(second) << 16)
}

#[inline(always)]
fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // Rounding could carry the digits of what is no number away.
    let quiet = bits >> 16 | 0x40;
    if value.is_nan() { quiet } else { nearest }
}

/// Pairs of rows of `channels` values; the last of an odd row has a zero.
pub(super) fn pairs<S: Simd>(channels: usize, input: &[f32], output: &mut [f32]) {
    let width = channels.div_ceil(2);
    debug_assert_eq!(output.len() / width * channels, input.len());
    let rows = TASK.div_ceil(width);
    output
        .par_chunks_mut(rows * width)
        .zip(input.par_chunks(rows * channels))
        .for_each(|(output, input)| {
            S::run(
                #[inline(always)]
                || {
                    if channels.is_multiple_of(2) {
                        for (out, values) in output.iter_mut().zip(input.as_chunks::<2>().0) {
                            *out = pair(values[0], values[1]);
                        }
                        return;
                    }
                    let rows = output.chunks_exact_mut(width);
                    for (out, values) in rows.zip(input.chunks_exact(channels)) {
                        for (i, out) in out.iter_mut().enumerate() {
                            let second = values.get(2 * i + 1).copied();
                            *out = pair(values[2 * i], second.unwrap_or_default());
                        }
                    }
                },
            );
        });
}
