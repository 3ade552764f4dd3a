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

    /// Runs a closure compiled with these instructions; what it calls has to be `#[inline(always)]` to be so too.
    fn run<R>(job: impl FnOnce() -> R) -> R;

    fn splat(value: f32) -> Self::Vector;
    fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`; one rounding where the machine has it.
    fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger; `b` where either is no number.
    fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller; `b` where either is no number.
    fn min(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The nearest whole number.
    fn round(a: Self::Vector) -> Self::Vector;
    /// Two to the power of whole numbers in -126..=127.
    fn exp2(a: Self::Vector) -> Self::Vector;
    /// Transposes 8 by 8; only of 8-lane sets.
    fn transpose(rows: [Self::Vector; NARROW]) -> [Self::Vector; NARROW];

    /// # Safety
    /// [`Self::LANES`] values are readable.
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// # Safety
    /// [`Self::LANES`] values are writable.
    unsafe fn store(to: *mut f32, value: Self::Vector);
    /// The micro-kernel: see [`crate::gemm::tile`].
    ///
    /// # Safety
    /// As there.
    unsafe fn tile(depth: usize, a: *const f32, b: *const f32, out: TileOut);
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
