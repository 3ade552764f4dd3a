//! Weights in the transformed domain: one packed matrix for each position of a tile.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::transform::MOST_IN;
use super::{APART, Pass, Scheme};
use crate::shared::Shared;
use crate::simd::{NARROW, Simd};

/// Values between the matrices of neighbouring positions.
pub(crate) fn position_len<S: Simd>(channels: [usize; 2]) -> usize {
    channels[1].next_multiple_of(S::TILE_ROWS) * channels[0] + APART
}

/// Values of the transformed weights for a pass that reads `channels[0]` and writes `channels[1]`.
pub(crate) fn packed_len<S: Simd, W: Scheme>(channels: [usize; 2]) -> usize {
    W::IN * W::IN * position_len::<S>(channels)
}

/// Transforms OIHW weights into panels of [`Simd::TILE_ROWS`] written channels, along the read channels.
pub(crate) fn transform_weights<S: Simd, W: Scheme>(
    channels: [usize; 2],
    pass: Pass,
    weight: &[f32],
    packed: &mut [f32],
) {
    let [depth, rows] = channels;
    assert_eq!(weight.len(), depth * rows * 9);
    assert_eq!(packed.len(), packed_len::<S, W>(channels));
    let position = position_len::<S>(channels);
    let tile = S::TILE_ROWS;
    let out = Shared::new(packed);
    (0..rows.div_ceil(tile)).into_par_iter().for_each(|panel| {
        S::run(
            #[inline(always)]
            || {
                // Later blocks first: a vector of an earlier one never reaches beyond its own panel's column.
                for block in (0..tile.div_ceil(NARROW)).rev() {
                    let lanes = NARROW.min(tile - block * NARROW);
                    for k in 0..depth {
                        let taps = gather::<S>(
                            channels,
                            pass,
                            weight,
                            panel * tile + block * NARROW,
                            lanes,
                            k,
                        );
                        let tiles = transform::<S::Narrow, W>(taps);
                        for i in 0..W::IN {
                            for j in 0..W::IN {
                                let at = (i * W::IN + j) * position
                                    + (panel * depth + k) * tile
                                    + block * NARROW;
                                // SAFETY: a panel belongs to one task; a whole vector is only written where the
                                // next column, written later, takes the excess.
                                unsafe {
                                    if lanes == NARROW || k + 1 < depth {
                                        S::Narrow::store(out.at(at, NARROW), tiles[i][j]);
                                    } else {
                                        let mut last = [0.0f32; NARROW];
                                        S::Narrow::store(last.as_mut_ptr(), tiles[i][j]);
                                        std::ptr::copy_nonoverlapping(
                                            last.as_ptr(),
                                            out.at(at, lanes),
                                            lanes,
                                        );
                                    }
                                }
                            }
                        }
                    }
                }
            },
        );
    });
}

/// The nine taps of read channel `k` for `lanes` written channels from `first` on, zero where there is none.
#[inline(always)]
fn gather<S: Simd>(
    [depth, rows]: [usize; 2],
    pass: Pass,
    weight: &[f32],
    first: usize,
    lanes: usize,
    k: usize,
) -> [[<S::Narrow as Simd>::Vector; 3]; 3] {
    let mut taps = [[0.0f32; NARROW]; 9];
    for lane in 0..lanes.min(rows.saturating_sub(first)) {
        let row = first + lane;
        let kernel = match pass {
            Pass::Forward => row * depth + k,
            Pass::BackwardInput => k * rows + row,
        };
        let kernel = &weight[kernel * 9..][..9];
        for (i, tap) in taps.iter_mut().enumerate() {
            tap[lane] = match pass {
                Pass::Forward => kernel[i],
                Pass::BackwardInput => kernel[8 - i],
            };
        }
    }
    let mut loaded = [[S::Narrow::splat(0.0); 3]; 3];
    for (i, tap) in taps.iter().enumerate() {
        // SAFETY: eight values each.
        loaded[i / 3][i % 3] = unsafe { S::Narrow::load(tap.as_ptr()) };
    }
    loaded
}

/// `G g G^T`
#[inline(always)]
pub(crate) fn transform<S: Simd, W: Scheme>(
    taps: [[S::Vector; 3]; 3],
) -> [[S::Vector; MOST_IN]; MOST_IN] {
    let mut across = [[S::splat(0.0); MOST_IN]; 3];
    for y in 0..3 {
        across[y] = W::weight::<S>(taps[y]);
    }
    let mut tile = [[S::splat(0.0); MOST_IN]; MOST_IN];
    for j in 0..W::IN {
        let down = W::weight::<S>([across[0][j], across[1][j], across[2][j]]);
        for i in 0..W::IN {
            tile[i][j] = down[i];
        }
    }
    tile
}
