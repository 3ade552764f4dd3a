//! The micro-kernel of products whose depth lies in memory on both sides: a tile of dot products.
#![allow(unsafe_code)]

use crate::simd::{NARROW, Simd};

/// Most rows of a tile of any instruction set.
pub(crate) const DOT_ROWS: usize = 4;
/// Most columns.
pub(crate) const DOT_COLUMNS: usize = 6;
/// Most lanes.
const LANES: usize = 16;

/// Where a tile of dot products goes.
#[derive(Clone, Copy)]
pub(crate) struct DotOut {
    pub data: *mut f32,
    /// From row to row.
    pub stride: usize,
    /// Rows and columns that are written.
    pub size: [usize; 2],
    /// Whether what is there is added to.
    pub accumulate: bool,
}

/// `out[i, j] (+)= sum over k < len of rows[i][k] * columns[j][k]` for `i < R`, `j < C`, summed up lane by lane.
///
/// # Safety
/// `len` values of the first `R` rows and `C` columns are readable, `out.size` values (at most `[R, C]`) writable.
#[allow(clippy::needless_range_loop)] // constant indices keep the sums in registers
#[inline(always)]
pub(crate) unsafe fn dots<S: Simd, const R: usize, const C: usize>(
    len: usize,
    rows: &[*const f32; DOT_ROWS],
    columns: &[*const f32; DOT_COLUMNS],
    out: DotOut,
) {
    debug_assert!(R == S::DOT_ROWS && C == S::DOT_COLUMNS && S::LANES <= LANES);
    let mut sums = [[S::splat(0.0); C]; R];
    let whole = len / S::LANES * S::LANES;
    // SAFETY: vectors end by `whole`, the last has the rest of `len`.
    unsafe {
        let mut k = 0;
        while k < whole {
            let mut left = [S::splat(0.0); R];
            for i in 0..R {
                left[i] = S::load(rows[i].add(k));
            }
            for j in 0..C {
                let right = S::load(columns[j].add(k));
                for i in 0..R {
                    sums[i][j] = S::fma(left[i], right, sums[i][j]);
                }
            }
            k += S::LANES;
        }
        if whole < len {
            let mut left = [S::splat(0.0); R];
            for i in 0..R {
                left[i] = S::load_first(rows[i].add(whole), len - whole);
            }
            for j in 0..C {
                let right = S::load_first(columns[j].add(whole), len - whole);
                for i in 0..R {
                    sums[i][j] = S::fma(left[i], right, sums[i][j]);
                }
            }
        }
    }
    // Lanes are added eight sums at a time.
    let mut lanes = [[0.0f32; LANES]; DOT_ROWS * DOT_COLUMNS];
    for i in 0..R {
        for j in 0..C {
            // SAFETY: a vector fits.
            unsafe { S::store(lanes[i * C + j].as_mut_ptr(), sums[i][j]) };
        }
    }
    let mut flat = [0.0f32; DOT_ROWS * DOT_COLUMNS];
    for first in (0..R * C).step_by(NARROW) {
        let mut block = [S::Narrow::splat(0.0); NARROW];
        for i in 0..NARROW {
            let from = lanes[first + i].as_ptr();
            // SAFETY: eight or sixteen values.
            block[i] = unsafe {
                let low = S::Narrow::load(from);
                if S::LANES == 2 * NARROW {
                    S::Narrow::add(low, S::Narrow::load(from.add(NARROW)))
                } else {
                    low
                }
            };
        }
        let sum = S::Narrow::lane_sums(block);
        // SAFETY: the tile's sums filled up to eights are fewer than `flat`.
        unsafe { S::Narrow::store(flat[first..first + NARROW].as_mut_ptr(), sum) };
    }
    if out.size == [R, C] && out.accumulate {
        for i in 0..R {
            for j in 0..C {
                // SAFETY: a whole tile.
                unsafe { *out.data.add(i * out.stride + j) += flat[i * C + j] };
            }
        }
        return;
    }
    for i in 0..out.size[0] {
        for j in 0..out.size[1] {
            // SAFETY: within `out.size`.
            unsafe {
                let to = out.data.add(i * out.stride + j);
                let sum = flat[i * C + j];
                *to = if out.accumulate { *to + sum } else { sum };
            }
        }
    }
}
