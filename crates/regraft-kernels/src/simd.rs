//! The few vector operations that the kernels are written in, once for all instruction sets.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use portable::Portable;

use crate::gemm::{DOT_COLUMNS, DOT_ROWS, DotOut};

/// Lanes of [`Simd::Narrow`].
pub(crate) const NARROW: usize = 8;

/// An instruction set. Its types are only named behind `dispatch!`, which has asked the machine: that is why the
/// arithmetic is not `unsafe` to call.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// [`Self::LANES`] values.
    type Vector: Copy;
    /// The 8-lane set of the same machine, for transposing blocks.
    type Narrow: Simd;
    const LANES: usize;
    /// Rows of the micro-kernel's tile: values broadcast a step.
    const TILE_ROWS: usize;
    /// Columns of the micro-kernel's tile, a multiple of the lanes.
    const TILE_COLUMNS: usize;
    /// Columns of a tile with as many rows for Winograd's products, which have few columns to fill it with.
    const SHORT_COLUMNS: usize;
    /// Rows and columns of the tile of dot products.
    const DOT_ROWS: usize;
    const DOT_COLUMNS: usize;

    /// Runs a closure compiled with these instructions; what it calls has to be `#[inline(always)]` to be so too.
    fn run<R>(job: impl FnOnce() -> R) -> R;

    fn splat(value: f32) -> Self::Vector;
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`; one rounding where the machine has it.
    fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `c` and the products of pairs: each lane of `a` and `b` holds the bits of two bf16, the first in the lower half.
    fn dot_pairs(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger; `b` where either is no number.
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller; `b` where either is no number.
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger; what is no number wins.
    fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The nearest whole number.
    fn round(a: Self::Vector) -> Self::Vector;
    /// Two to the power of whole numbers in -126..=127.
    fn exp2(a: Self::Vector) -> Self::Vector;
    /// Every other lane of `a`, then of `b`, from the first on.
    fn even(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Transposes 8 by 8; only of 8-lane sets.
    fn transpose(rows: [Self::Vector; NARROW]) -> [Self::Vector; NARROW];
    /// The sum of the lanes of each row; only of 8-lane sets.
    fn lane_sums(rows: [Self::Vector; NARROW]) -> Self::Vector;

    /// # Safety
    /// [`Self::LANES`] values are readable.
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// The first values, zeros in the other lanes.
    ///
    /// # Safety
    /// `count` values, fewer than the lanes, are readable.
    unsafe fn load_first(from: *const f32, count: usize) -> Self::Vector;
    /// Writes the first lanes.
    ///
    /// # Safety
    /// `count` values, fewer than the lanes, are writable.
    unsafe fn store_first(to: *mut f32, value: Self::Vector, count: usize);
    /// # Safety
    /// [`Self::LANES`] values are writable.
    unsafe fn store(to: *mut f32, value: Self::Vector);
    /// The micro-kernel: see [`crate::gemm::tile`].
    ///
    /// # Safety
    /// As there.
    unsafe fn tile(depth: usize, a: *const f32, b: *const f32, out: TileOut);
    /// The same, of [`Self::SHORT_COLUMNS`] columns.
    ///
    /// # Safety
    /// As there.
    unsafe fn short_tile(depth: usize, a: *const f32, b: *const f32, out: TileOut);
    /// The micro-kernel of weight gradients: see [`crate::gemm::dots`].
    ///
    /// # Safety
    /// As there.
    unsafe fn dots(
        len: usize,
        rows: &[*const f32; DOT_ROWS],
        columns: &[*const f32; DOT_COLUMNS],
        out: DotOut,
    );
}

/// [`Simd::dot_pairs`] in plain Rust.
#[inline(always)]
pub(crate) fn dot_pairs<const N: usize>(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
    let high = |word: f32| f32::from_bits(word.to_bits() & 0xffff_0000);
    let low = |word: f32| f32::from_bits(word.to_bits() << 16);
    std::array::from_fn(|i| c[i] + low(a[i]) * low(b[i]) + high(a[i]) * high(b[i]))
}

/// Where the micro-kernel leaves its tile.
#[derive(Clone, Copy)]
pub(crate) struct TileOut {
    pub data: *mut f32,
    /// From row to row.
    pub stride: usize,
    /// Rows that are written.
    pub rows: usize,
    /// Whether what is there is added to.
    pub accumulate: bool,
}

/// Writes every other of `from`, from the first on, to `out`.
#[inline(always)]
pub(crate) fn every_other<S: Simd>(from: &[f32], out: &mut [f32]) {
    let len = out.len().min(from.len().div_ceil(2));
    let mut i = 0;
    while 2 * i + 2 * S::LANES <= from.len() && i + S::LANES <= len {
        // SAFETY: two vectors of `from` and one of `out` from here on, by the condition.
        unsafe {
            let pair = from.as_ptr().add(2 * i);
            let even = S::even(S::load(pair), S::load(pair.add(S::LANES)));
            S::store(out.as_mut_ptr().add(i), even);
        }
        i += S::LANES;
    }
    for i in i..len {
        out[i] = from[2 * i];
    }
}

/// Values to a cache line.
pub(crate) const LINE: usize = 16;

/// Asks for the cache line of an address ahead of its use. A hint: the address need not exist.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
