//! AVX-512F: 16 lanes, 32 registers, a tile of 8 by 3 vectors; and the same with products of bf16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{Avx2, NARROW, Simd, TileOut, dot_pairs};
use crate::gemm::{DOT_COLUMNS, DOT_ROWS, DotOut, dots, tile};

/// With `BF16`, on machines that have AVX-512 BF16 too.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>;

#[target_feature(enable = "avx512f,avx2,fma")]
fn run_with<R>(job: impl FnOnce() -> R) -> R {
    job()
}

#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
fn run_with_bf16<R>(job: impl FnOnce() -> R) -> R {
    job()
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn tile_with(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
    // SAFETY: the caller's.
    unsafe { tile::<Avx512<false>, 8, 3>(depth, a, b, out) }
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn short_tile_with(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
    // SAFETY: the caller's.
    unsafe { tile::<Avx512<false>, 8, 2>(depth, a, b, out) }
}

/// # Safety
/// As [`dots`].
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn dots_with(
    len: usize,
    rows: &[*const f32; DOT_ROWS],
    columns: &[*const f32; DOT_COLUMNS],
    out: DotOut,
) {
    // SAFETY: the caller's.
    unsafe { dots::<Avx512<false>, 4, 6>(len, rows, columns, out) }
}

// SAFETY of every call below: `dispatch!` names this type only where the machine has the instructions.
impl<const BF16: bool> Simd for Avx512<BF16> {
    type Vector = __m512;
    type Narrow = Avx2;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 8;
    const TILE_COLUMNS: usize = 48;
    const SHORT_COLUMNS: usize = 32;
    const DOT_ROWS: usize = 4;
    const DOT_COLUMNS: usize = 6;

    #[inline(always)]
    fn run<R>(job: impl FnOnce() -> R) -> R {
        unsafe {
            if BF16 {
                run_with_bf16(job)
            } else {
                run_with(job)
            }
        }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self::Vector {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn dot_pairs(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // SAFETY: with `BF16` the machine has the instruction; vectors of bits are 16 floats or 32 bf16.
        unsafe {
            if BF16 {
                let [a, b] = [a, b].map(|v| std::mem::transmute::<__m512, __m512bh>(v));
                _mm512_dpbf16_ps(c, a, b)
            } else {
                let [a, b, c] = [a, b, c].map(|v| std::mem::transmute::<__m512, [f32; 16]>(v));
                std::mem::transmute::<[f32; 16], __m512>(dot_pairs(a, b, c))
            }
        }
    }

    #[inline(always)]
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        // `b` where it is no number; where `a` is none, `a` again.
        unsafe {
            let none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            _mm512_mask_mov_ps(_mm512_max_ps(a, b), none, a)
        }
    }

    #[inline(always)]
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn round(a: Self::Vector) -> Self::Vector {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn exp2(a: Self::Vector) -> Self::Vector {
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
    }

    #[inline(always)]
    fn even(a: Self::Vector, b: Self::Vector) -> Self::Vector {
        unsafe {
            let lanes =
                _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            _mm512_permutex2var_ps(a, lanes, b)
        }
    }

    #[inline(always)]
    fn transpose(rows: [Self::Vector; NARROW]) -> [Self::Vector; NARROW] {
        unreachable!("blocks of {} are transposed in 8 lanes", rows.len())
    }

    #[inline(always)]
    fn lane_sums(rows: [Self::Vector; NARROW]) -> Self::Vector {
        unreachable!("lanes of {} are added in 8 lanes", rows.len())
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn tile(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
        unsafe { tile_with(depth, a, b, out) }
    }

    #[inline(always)]
    unsafe fn short_tile(depth: usize, a: *const f32, b: *const f32, out: TileOut) {
        unsafe { short_tile_with(depth, a, b, out) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self::Vector {
        unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) }
    }

    #[inline(always)]
    unsafe fn store_first(to: *mut f32, value: Self::Vector, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, (1 << count) - 1, value) }
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
