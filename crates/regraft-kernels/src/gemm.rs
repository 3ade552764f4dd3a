//! Matrix products in which one side is gathered from an image while it is packed, so no im2col matrix is ever stored.
//!
//! `left` (weights, or gradients of an output) lies in panels of [`Simd::TILE_ROWS`] rows, `right` (pixels) in panels of
//! [`Simd::TILE_COLUMNS`] columns, both along the depth, which is what the micro-kernel [`tile`] walks.
#![allow(unsafe_code)]

mod dot;
mod gather;
mod pack;
mod product;

pub(crate) use dot::{DOT_COLUMNS, DOT_ROWS, DotOut, dots};
pub(crate) use gather::Gather;
pub(crate) use pack::{PackedRows, pack_transposed};
pub(crate) use product::{Product, Sink, multiply};

use crate::simd::{Simd, TileOut};

/// Most values of a tile, of any instruction set, for buffers of tiles that do not lie in one piece.
pub(crate) const LARGEST_TILE: usize = 8 * 48;
/// Depth of a block: a panel of columns by this fills most of the first-level cache, 36 of 48 KiB on AVX-512, 12 of 32 on AVX2.
const DEPTH: usize = 192;
/// Columns of a block, which with [`DEPTH`] takes 288 KiB of the second-level cache.
const COLUMNS: usize = 384;

/// The depth split into equal blocks of at most [`DEPTH`].
pub(crate) fn depth_block(depth: usize) -> usize {
    depth.div_ceil(depth.div_ceil(DEPTH).max(1)).max(1)
}

/// `out[R, V vectors] (+)= a[depth, R]^T b[depth, V vectors]`, all sums in registers.
///
/// # Safety
/// `depth * R` values of `a` and `depth * V` vectors of `b` are readable, and `V` vectors of each of the first `out.rows`
/// rows (at most `R`) are writable.
#[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
#[inline(always)]
pub(crate) unsafe fn tile<S: Simd, const R: usize, const V: usize>(
    depth: usize,
    mut a: *const f32,
    mut b: *const f32,
    out: TileOut,
) {
    debug_assert!(R == S::TILE_ROWS && V * S::LANES <= S::TILE_COLUMNS && out.rows <= R);
    let mut sums = [[S::splat(0.0); V]; R];
    // SAFETY: `a` and `b` advance by a row a step, `depth` times; rows past `out.rows` are not written.
    unsafe {
        for _ in 0..depth {
            let mut right = [S::splat(0.0); V];
            for j in 0..V {
                right[j] = S::load(b.add(j * S::LANES));
            }
            for i in 0..R {
                let left = S::splat(*a.add(i));
                for j in 0..V {
                    sums[i][j] = S::fma(left, right[j], sums[i][j]);
                }
            }
            a = a.add(R);
            b = b.add(V * S::LANES);
        }
        for i in 0..R {
            if i >= out.rows {
                break;
            }
            for j in 0..V {
                let to = out.data.add(i * out.stride + j * S::LANES);
                let sum = sums[i][j];
                S::store(
                    to,
                    if out.accumulate {
                        S::add(S::load(to), sum)
                    } else {
                        sum
                    },
                );
            }
        }
    }
}
