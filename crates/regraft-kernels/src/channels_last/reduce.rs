//! Windows of one channel at a time: depthwise convolution and pooling, a vector of channels at a time.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // constant indices keep the sums in registers

use rayon::prelude::*;

use super::Columns;
use super::windows::{Rows, Windows};
use crate::epilogue::{Epilogue, activate, load_until, store_until};
use crate::shared::Shared;
use crate::simd::Simd;

/// Outputs of a tile.
const TILE: usize = 6;
/// Vectors of channels of a tile.
const VECTORS: usize = 2;
/// Outputs of a task.
const TASK: usize = 96;

/// What is done with the values under a window.
pub(super) trait Reduce<S: Simd>: Copy + Sync {
    /// What an output begins as.
    fn begin(&self) -> S::Vector;
    /// With the value of another tap; `weight` is its own where there are weights.
    fn step(&self, sum: S::Vector, value: S::Vector, weight: S::Vector) -> S::Vector;
    /// The output with index `pixel` of its image, channels from `channel` on.
    ///
    /// # Safety
    /// The channel exists.
    unsafe fn end(&self, sum: S::Vector, pixel: usize, channel: usize) -> S::Vector;
}

/// Sums of products with weights `[taps, channels]`.
#[derive(Clone, Copy)]
pub(super) struct Weighted<'a> {
    pub epilogue: &'a Epilogue<'a>,
    pub channels: usize,
}

impl<S: Simd> Reduce<S> for Weighted<'_> {
    #[inline(always)]
    fn begin(&self) -> S::Vector {
        S::splat(0.0)
    }

    #[inline(always)]
    fn step(&self, sum: S::Vector, value: S::Vector, weight: S::Vector) -> S::Vector {
        S::fma(value, weight, sum)
    }

    #[inline(always)]
    unsafe fn end(&self, mut sum: S::Vector, pixel: usize, channel: usize) -> S::Vector {
        let values = |all: &[f32], row: usize| {
            let row = &all[row * self.channels..][..self.channels];
            // SAFETY: a row of all channels.
            unsafe { load_until::<S>(row.as_ptr(), channel, self.channels) }
        };
        if let Some(bias) = self.epilogue.bias {
            sum = S::add(sum, values(bias, 0));
        }
        if let Some(residual) = self.epilogue.residual {
            sum = S::add(sum, values(residual, pixel));
        }
        activate::<S>(sum, self.epilogue.activation)
    }
}

/// The largest; what is no number wins.
#[derive(Clone, Copy)]
pub(super) struct Largest;

impl<S: Simd> Reduce<S> for Largest {
    #[inline(always)]
    fn begin(&self) -> S::Vector {
        S::splat(f32::NEG_INFINITY)
    }

    #[inline(always)]
    fn step(&self, sum: S::Vector, value: S::Vector, _: S::Vector) -> S::Vector {
        S::larger(sum, value)
    }

    #[inline(always)]
    unsafe fn end(&self, sum: S::Vector, _: usize, _: usize) -> S::Vector {
        sum
    }
}

/// The sum times a share for each pixel of an image.
#[derive(Clone, Copy)]
pub(super) struct Mean<'a> {
    pub shares: &'a [f32],
}

impl<S: Simd> Reduce<S> for Mean<'_> {
    #[inline(always)]
    fn begin(&self) -> S::Vector {
        S::splat(0.0)
    }

    #[inline(always)]
    fn step(&self, sum: S::Vector, value: S::Vector, _: S::Vector) -> S::Vector {
        S::add(sum, value)
    }

    #[inline(always)]
    unsafe fn end(&self, sum: S::Vector, pixel: usize, _: usize) -> S::Vector {
        S::mul(sum, S::splat(self.shares[pixel % self.shares.len()]))
    }
}

/// Reduces all windows of `batch` images; `weights`, where there are any, are `[taps, channels]`.
pub(super) fn reduce<S: Simd, R: Reduce<S>>(
    windows: &Windows<'_>,
    batch: usize,
    weights: Option<&[f32]>,
    how: R,
    output: Columns<'_>,
) {
    let rows = batch * windows.grid[0] * windows.grid[1];
    if let Some(weights) = weights {
        assert_eq!(weights.len(), windows.taps() * windows.channels);
    }
    let out = Shared::new(output.values);
    (0..rows.div_ceil(TASK)).into_par_iter().for_each(|task| {
        S::run(
            #[inline(always)]
            || {
                let end = rows.min((task + 1) * TASK);
                for first in (task * TASK..end).step_by(TILE) {
                    let tile = Tile {
                        windows,
                        weights,
                        out,
                        pitch: output.pitch,
                        column: output.first,
                        first,
                        end,
                    };
                    let mut channel = 0;
                    while channel < windows.channels {
                        // SAFETY: outputs of this task, channels that exist.
                        unsafe { tile.run::<S, R>(channel, how) };
                        channel += VECTORS * S::LANES;
                    }
                }
            },
        );
    });
}

/// Some outputs.
struct Tile<'a> {
    windows: &'a Windows<'a>,
    weights: Option<&'a [f32]>,
    out: Shared<'a>,
    pitch: usize,
    column: usize,
    first: usize,
    end: usize,
}

impl Tile<'_> {
    /// # Safety
    /// The outputs `first..end` are the caller's, the channel exists.
    #[inline(always)]
    unsafe fn run<S: Simd, R: Reduce<S>>(&self, channel: usize, how: R) {
        let channels = self.windows.channels;
        let corners = self.windows.corners::<TILE>(self.first, self.end);
        let whole = channel + VECTORS * S::LANES <= channels;
        let mut sums = [[how.begin(); VECTORS]; TILE];
        for tap in 0..self.windows.taps() {
            let mut weight = [S::splat(0.0); VECTORS];
            // SAFETY: channels of a row, up to the last.
            unsafe {
                if let Some(weights) = self.weights {
                    let row = weights.as_ptr().add(tap * channels);
                    for j in 0..VECTORS {
                        weight[j] = load_some::<S>(row, channel + j * S::LANES, channels);
                    }
                }
                for i in 0..TILE {
                    let from = self.windows.at(&corners[i], tap);
                    for j in 0..VECTORS {
                        let value = if whole {
                            S::load(from.add(channel + j * S::LANES))
                        } else {
                            load_some::<S>(from, channel + j * S::LANES, channels)
                        };
                        sums[i][j] = how.step(sums[i][j], value, weight[j]);
                    }
                }
            }
        }
        let mut done = [[S::splat(0.0); VECTORS]; TILE];
        for i in 0..TILE {
            for j in 0..VECTORS {
                done[i][j] = sums[i][j];
            }
        }
        for (row, sums) in (self.first..self.end).zip(&done) {
            for j in 0..VECTORS {
                let at = channel + j * S::LANES;
                if at < channels {
                    // SAFETY: channels of an output, up to the last.
                    unsafe {
                        let to = self.out.at(row * self.pitch + self.column, channels);
                        store_until::<S>(to, at, channels, how.end(sums[j], row, at));
                    }
                }
            }
        }
    }
}

/// The values from `i` on as far as there are any, zeros beyond.
///
/// # Safety
/// `len` values are readable.
#[inline(always)]
unsafe fn load_some<S: Simd>(from: *const f32, i: usize, len: usize) -> S::Vector {
    if i >= len {
        return S::splat(0.0);
    }
    // SAFETY: up to `len`.
    unsafe { load_until::<S>(from, i, len) }
}
