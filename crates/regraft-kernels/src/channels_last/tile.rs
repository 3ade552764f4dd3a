//! The micro-kernel: outputs by vectors of channels, all sums in registers, values of the image broadcast from where they
//! lie.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // constant indices keep the sums in registers

use std::ops::Range;

use super::windows::Rows;
use crate::epilogue::{Activation, activate, load_until, store_until};
use crate::shared::Shared;
use crate::simd::{LINE, Simd, prefetch};

/// Most vectors of a tile.
pub(super) const MOST_VECTORS: usize = 4;

/// Vectors of channels of a tile on an instruction set.
pub(super) fn most_vectors<S: Simd>() -> usize {
    if S::LANES == 16 { MOST_VECTORS } else { 2 }
}

/// What is multiplied.
pub(super) trait Terms {
    /// `sum` and the products of `left` and `right`.
    fn add<S: Simd>(left: S::Vector, right: S::Vector, sum: S::Vector) -> S::Vector;
}

/// Values.
pub(super) struct Singles;

/// Pairs of bf16, which lie in the bits of values: the depth counts pairs.
pub(super) struct Pairs;

impl Terms for Singles {
    #[inline(always)]
    fn add<S: Simd>(left: S::Vector, right: S::Vector, sum: S::Vector) -> S::Vector {
        S::fma(left, right, sum)
    }
}

impl Terms for Pairs {
    #[inline(always)]
    fn add<S: Simd>(left: S::Vector, right: S::Vector, sum: S::Vector) -> S::Vector {
        S::dot_pairs(left, right, sum)
    }
}

/// A part of the depth: taps, and the channels of each that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub taps: Range<usize>,
    pub channels: Range<usize>,
}

impl Block {
    pub fn depth(&self) -> usize {
        self.taps.len() * self.channels.len()
    }
}

/// Where sums go, and what happens to them on the last write.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub out: Shared<'a>,
    /// From output to output.
    pub pitch: usize,
    /// The first column that is written, and how many.
    pub column: usize,
    pub columns: usize,
    /// Of the columns written.
    pub bias: Option<&'a [f32]>,
    /// Its rows, and the values of one; the columns of this target begin at the second.
    pub residual: Option<(&'a [f32], usize, usize)>,
    pub activation: Activation,
}

/// Whether sums are added to what is there, and whether these are the last.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    pub begun: bool,
    pub done: bool,
}

/// Adds the products of a block to the outputs `rows`; `weights` hold the block's depth in rows of `vectors` vectors.
///
/// # Safety
/// The outputs `rows` exist in `source` and `target` and are nobody else's; `weights` has the block's depth.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd, M: Terms, T: Rows>(
    source: &T,
    rows: Range<usize>,
    block: &Block,
    weights: &[f32],
    target: &Target<'_>,
    progress: Progress,
) {
    let vectors = target.columns.div_ceil(S::LANES);
    debug_assert!(weights.len() >= block.depth() * vectors * S::LANES);
    // SAFETY: the caller's.
    unsafe {
        match (S::LANES, vectors) {
            (16, 4) => tiles::<S, M, T, 6, 4>(source, rows, block, weights, target, progress),
            (16, 3) => tiles::<S, M, T, 8, 3>(source, rows, block, weights, target, progress),
            (16, 2) => tiles::<S, M, T, 12, 2>(source, rows, block, weights, target, progress),
            (_, 2) => tiles::<S, M, T, 6, 2>(source, rows, block, weights, target, progress),
            _ => tiles::<S, M, T, 12, 1>(source, rows, block, weights, target, progress),
        }
    }
}

/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn tiles<S: Simd, M: Terms, T: Rows, const R: usize, const V: usize>(
    source: &T,
    rows: Range<usize>,
    block: &Block,
    weights: &[f32],
    target: &Target<'_>,
    progress: Progress,
) {
    debug_assert!(target.columns.div_ceil(S::LANES) == V);
    let mut first = rows.start;
    let mut next = source.corners::<R>(first, rows.end);
    while first < rows.end {
        let here = R.min(rows.end - first);
        let corners = next;
        next = source.corners::<R>((first + R).min(rows.end - 1), rows.end);
        for row in first..first + here {
            let at = row * target.pitch + target.column;
            for j in 0..V {
                prefetch(target.out.wrapping_at(at + j * S::LANES));
            }
            if let Some((values, pitch, column)) = target.residual.filter(|_| progress.done) {
                for j in 0..V {
                    prefetch(
                        values
                            .as_ptr()
                            .wrapping_add(row * pitch + column + j * S::LANES),
                    );
                }
            }
        }
        let mut sums = [[S::splat(0.0); V]; R];
        let mut weight = weights.as_ptr();
        // SAFETY: rows and weights as the caller promises, `V` vectors a value; of the outputs, `here` rows are written.
        unsafe {
            for tap in block.taps.clone() {
                let mut from = [std::ptr::null::<f32>(); R];
                let mut ahead = [std::ptr::null::<f32>(); R];
                for i in 0..R {
                    from[i] = source.at(&corners[i], tap).add(block.channels.start);
                    ahead[i] = source.at(&next[i], tap).add(block.channels.start);
                }
                for line in block.channels.clone().step_by(LINE) {
                    // What the next tile reads is asked for while this one is multiplied.
                    for i in 0..R {
                        prefetch(ahead[i].wrapping_add(line - block.channels.start));
                    }
                    let end = block.channels.end.min(line + LINE);
                    for k in line - block.channels.start..end - block.channels.start {
                        let mut right = [S::splat(0.0); V];
                        for j in 0..V {
                            right[j] = S::load(weight.add(j * S::LANES));
                        }
                        weight = weight.add(V * S::LANES);
                        for i in 0..R {
                            let left = S::splat(*from[i].add(k));
                            for j in 0..V {
                                sums[i][j] = M::add::<S>(left, right[j], sums[i][j]);
                            }
                        }
                    }
                }
            }
            // Sums that are indexed by a variable would live in memory from the first product on; these are a copy.
            let mut done = [[S::splat(0.0); V]; R];
            for i in 0..R {
                for j in 0..V {
                    done[i][j] = sums[i][j];
                }
            }
            land::<S, R, V>(&done, first, here, target, progress);
        }
        first += R;
    }
}

/// Writes a tile.
///
/// # Safety
/// `here` outputs from `first` on are the caller's.
#[inline(always)]
unsafe fn land<S: Simd, const R: usize, const V: usize>(
    sums: &[[S::Vector; V]; R],
    first: usize,
    here: usize,
    target: &Target<'_>,
    progress: Progress,
) {
    let whole = target.columns == V * S::LANES;
    for (i, sums) in sums.iter().enumerate().take(here) {
        let row = first + i;
        let at = row * target.pitch + target.column;
        // SAFETY: `columns` values of a row, the caller's.
        unsafe {
            let to = target.out.at(at, target.columns);
            let mut sums = *sums;
            if progress.begun {
                add::<S, V>(&mut sums, to, target.columns);
            }
            if progress.done {
                if let Some(bias) = target.bias {
                    add::<S, V>(&mut sums, bias.as_ptr(), target.columns);
                }
                if let Some((values, pitch, column)) = target.residual {
                    let values = &values[row * pitch + column..][..target.columns];
                    add::<S, V>(&mut sums, values.as_ptr(), target.columns);
                }
                if target.activation != Activation::None {
                    for sum in &mut sums {
                        *sum = activate::<S>(*sum, target.activation);
                    }
                }
            }
            for j in 0..V {
                if whole {
                    S::store(to.add(j * S::LANES), sums[j]);
                } else {
                    store_until::<S>(to, j * S::LANES, target.columns, sums[j]);
                }
            }
        }
    }
}

/// # Safety
/// `columns` values, of `V` vectors, are readable.
#[inline(always)]
unsafe fn add<S: Simd, const V: usize>(
    sums: &mut [S::Vector; V],
    values: *const f32,
    columns: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        if columns == V * S::LANES {
            for j in 0..V {
                sums[j] = S::add(sums[j], S::load(values.add(j * S::LANES)));
            }
        } else {
            for j in 0..V {
                sums[j] = S::add(sums[j], load_until::<S>(values, j * S::LANES, columns));
            }
        }
    }
}
