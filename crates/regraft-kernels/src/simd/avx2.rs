//! AVX2 with FMA: 8 lanes, 16 registers, a tile of 6 by 2 vectors.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{NARROW, Simd, TileOut, dot_pairs};
use crate::gemm::{DOT_COLUMNS, DOT_ROWS, DotOut, dots, tile};

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

#[target_feature(enable = "avx2,fma")]
fn run_with<R>(job: impl FnOnce() -> R) -> R {
    job()
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_with(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
    // SAFETY: the caller's.
    unsafe { tile::<Avx2, 6, 2>(depth, a, b, out) }
}

/// # Safety
/// As [`dots`].
#[target_feature(enable = "avx2,fma")]
unsafe fn dots_with(
    len: usize,
    rows: &[*const f32; DOT_ROWS],
    columns: &[*const f32; DOT_COLUMNS],
    out: DotOut,
) {
    // SAFETY: the caller's.
    unsafe { dots::<Avx2, 3, 4>(len, rows, columns, out) }
}

/// A mask of the first `count` lanes.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn first(count: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
}

// SAFETY of every call below: `dispatch!` names this type only where the machine has the instructions.
impl Simd for Avx2 {
    type Vector = __m256;
    type Narrow = Self;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    const TILE_COLUMNS: usize = 16;
    const SHORT_COLUMNS: usize = Self::TILE_COLUMNS;
    const DOT_ROWS: usize = 3;
    const DOT_COLUMNS: usize = 4;

    #[inline(always)]
    fn run<R>(job: impl FnOnce() -> R) -> R {
        unsafe { run_with(job) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self::Vector {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn dot_pairs(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // SAFETY: vectors of eight floats are eight floats.
        unsafe {
            let [a, b, c] = [a, b, c].map(|v| std::mem::transmute::<__m256, [f32; 8]>(v));
            std::mem::transmute::<[f32; 8], __m256>(dot_pairs(a, b, c))
        }
    }

    #[inline(always)]
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // `b` where it is no number; where `a` is none, `a` again.
        unsafe {
            let none = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a);
            _mm256_blendv_ps(_mm256_max_ps(a, b), a, none)
        }
    }

    #[inline(always)]
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn round(a: Self::Vector) -> Self::Vector {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn exp2(a: Self::Vector) -> Self::Vector {
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
    }

    #[inline(always)]
    fn even(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe {
            // Pairs of a and b alternate by half register; the permutation puts them in order.
            let mixed = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b));
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0xD8>(mixed))
        }
    }

    #[inline(always)]
    fn transpose(rows: [Self::Vector; NARROW]) -> [Self::Vector; NARROW] {
        let [a, b, c, d, e, f, g, h] = rows;
        unsafe {
            let pairs = [
                _mm256_unpacklo_ps(a, b),
                _mm256_unpackhi_ps(a, b),
                _mm256_unpacklo_ps(c, d),
                _mm256_unpackhi_ps(c, d),
                _mm256_unpacklo_ps(e, f),
                _mm256_unpackhi_ps(e, f),
                _mm256_unpacklo_ps(g, h),
                _mm256_unpackhi_ps(g, h),
            ];
            let fours = [
                _mm256_shuffle_ps::<0x44>(pairs[0], pairs[2]),
                _mm256_shuffle_ps::<0xEE>(pairs[0], pairs[2]),
                _mm256_shuffle_ps::<0x44>(pairs[1], pairs[3]),
                _mm256_shuffle_ps::<0xEE>(pairs[1], pairs[3]),
                _mm256_shuffle_ps::<0x44>(pairs[4], pairs[6]),
                _mm256_shuffle_ps::<0xEE>(pairs[4], pairs[6]),
                _mm256_shuffle_ps::<0x44>(pairs[5], pairs[7]),
                _mm256_shuffle_ps::<0xEE>(pairs[5], pairs[7]),
            ];
            [
                _mm256_permute2f128_ps::<0x20>(fours[0], fours[4]),
                _mm256_permute2f128_ps::<0x20>(fours[1], fours[5]),
                _mm256_permute2f128_ps::<0x20>(fours[2], fours[6]),
                _mm256_permute2f128_ps::<0x20>(fours[3], fours[7]),
                _mm256_permute2f128_ps::<0x31>(fours[0], fours[4]),
                _mm256_permute2f128_ps::<0x31>(fours[1], fours[5]),
                _mm256_permute2f128_ps::<0x31>(fours[2], fours[6]),
                _mm256_permute2f128_ps::<0x31>(fours[3], fours[7]),
            ]
        }
    }

    #[inline(always)]
    fn lane_sums(rows: [Self::Vector; NARROW]) -> Self::Vector {
        // Lanes are added within halves; the halves come together last.
        let fold =
            |a, b| unsafe { _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)) };
        let pair = |a, b| unsafe {
            _mm256_add_ps(
                _mm256_shuffle_ps::<0x44>(a, b),
                _mm256_shuffle_ps::<0xEE>(a, b),
            )
        };
        let [a, b, c, d, e, f, g, h] = rows;
        let low = pair(fold(a, b), fold(c, d));
        let high = pair(fold(e, f), fold(g, h));
        unsafe {
            _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(low, high),
                _mm256_permute2f128_ps::<0x31>(low, high),
            )
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn tile(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
        unsafe { tile_with(depth, a, b, out) }
    }

    #[inline(always)]
    unsafe fn short_tile(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
        unsafe { tile_with(depth, a, b, out) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::Vector {
        unsafe { _mm256_maskload_ps(from, first(count)) }
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, value: Self::Vector, count: usize) {
        unsafe { _mm256_maskstore_ps(to, first(count), value) }
    }

    #[inline(always)]
    unsafe fn dots(
        len: usize,
        rows: &[*const f32; DOT_ROWS],
        columns: &[*const f32; DOT_COLUMNS],
        out: DotOut,
    ) {
        unsafe { dots_with(len, rows, columns, out) }
    }
}
