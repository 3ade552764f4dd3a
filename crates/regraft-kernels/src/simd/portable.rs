//! Plain Rust in arrays of lanes. Also stands in for wider sets in tests.
#![allow(unsafe_code)]

use super::{NARROW, Simd, TileOut, dot_pairs};
use crate::gemm::{DOT_COLUMNS, DOT_ROWS, DotOut, dots, tile};

#[derive(Clone, Copy)]
pub(crate) struct Portable<const LANES: usize>;

#[inline(always)]
fn zip<const N: usize>(a: [f32; N], b: [f32; N], f: impl Fn(f32, f32) -> f32) -> [f32; N] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl<const LANES: usize> Simd for Portable<LANES> {
    type Vector = [f32; LANES];
    type Narrow = Portable<NARROW>;
    const LANES: usize = LANES;
    const TILE_ROWS: usize = if LANES == 16 { 8 } else { 4 };
    const TILE_COLUMNS: usize = if LANES == 16 { 48 } else { 8 };
    const SHORT_COLUMNS: usize = if LANES == 16 { 32 } else { 8 };
    const DOT_ROWS: usize = 2;
    const DOT_COLUMNS: usize = 2;

    #[inline(always)]
    fn run<R>(job: impl FnOnce() -> R) -> R {
        job()
    }

    #[inline(always)]
    fn splat(value: f32) -> Self::Vector {
        [value; LANES]
    }

    #[inline(always)]
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a / b)
    }

    // Not `mul_add`, which is a library call where the machine has no such instruction.
    #[inline(always)]
    fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn dot_pairs(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        dot_pairs(a, b, c)
    }

    #[inline(always)]
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if (a > b) | a.is_nan() { a } else { b })
    }

    #[inline(always)]
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn round(a: Self::Vector) -> Self::Vector {
        a.map(f32::round_ties_even)
    }

    #[inline(always)]
    fn exp2(a: Self::Vector) -> Self::Vector {
        a.map(|a| f32::from_bits(((a as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn even(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        std::array::from_fn(|i| {
            if 2 * i < LANES {
                a[2 * i]
            } else {
                b[2 * i - LANES]
            }
        })
    }

    #[inline(always)]
    fn transpose(rows: [Self::Vector; NARROW]) -> [Self::Vector; NARROW] {
        let mut out = [[0.0; LANES]; NARROW];
        for (i, row) in rows.iter().enumerate() {
            for (j, out) in out.iter_mut().enumerate() {
                out[i] = row[j];
            }
        }
        out
    }

    #[inline(always)]
    fn lane_sums(rows: [Self::Vector; NARROW]) -> Self::Vector {
        std::array::from_fn(|i| rows.get(i).map_or(0.0, |row| row.iter().sum()))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        // SAFETY: the caller has the lanes.
        unsafe { from.cast::<Self::Vector>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        // SAFETY: the caller has the lanes.
        unsafe { to.cast::<Self::Vector>().write_unaligned(value) }
    }

    unsafe fn tile(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
        // SAFETY: the caller's, with the tile of this set.
        unsafe {
            if LANES == 16 {
                tile::<Self, 8, 3>(depth, a, b, out);
            } else {
                tile::<Self, 4, 1>(depth, a, b, out);
            }
        }
    }

    unsafe fn short_tile(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
        // SAFETY: the caller's, with the tile of this set.
        unsafe {
            if LANES == 16 {
                tile::<Self, 8, 2>(depth, a, b, out);
            } else {
                tile::<Self, 4, 1>(depth, a, b, out);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::Vector {
        let mut values = [0.0; LANES];
        for (i, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: the caller's.
            *value = unsafe { *from.add(i) };
        }
        values
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, value: Self::Vector, count: usize) {
        for (i, value) in value.iter().enumerate().take(count) {
            // SAFETY: the caller's.
            unsafe { *to.add(i) = *value };
        }
    }

    #[inline(always)]
    unsafe fn dots(
        len: usize,
        rows: &[*const f32; DOT_ROWS],
        columns: &[*const f32; DOT_COLUMNS],
        out: DotOut,
    ) {
        // SAFETY: the caller's.
        unsafe { dots::<Self, 2, 2>(len, rows, columns, out) }
    }
}
