//! F(4x4, 3x3) on channels that lie together: tiles are transformed a vector of channels at a time, where they lie.
#![allow(unsafe_code)]
#![allow(clippy::needless_range_loop)] // transforms index two arrays at once

use std::ops::Range;

use rayon::prelude::*;

use super::Columns;
use super::product::Packed;
use super::tile::{Singles, Target};
use super::windows::{Dense, Windows};
use crate::epilogue::{Activation, Epilogue, activate, load_until, store_until};
use crate::scratch;
use crate::shape::Conv2dShape;
use crate::shared::Shared;
use crate::simd::{Portable, Simd};
use crate::winograd::{F4, Scheme, transform};

/// Rows of a tile before the transform, and of its outputs.
const IN: usize = F4::IN;
const OUT: usize = F4::OUT;
/// Values between the matrices of neighbouring positions, so that they don't all fall on the same cache set.
const APART: usize = 16;
/// Values of the transformed tiles of a task: half of the second-level cache.
const TASK: usize = 128 * 1024;
/// Fewest tiles of a task, each of which reads all weights.
const FEWEST: usize = 24;

/// Transformed weights, position by position.
#[derive(Debug, Clone)]
pub(super) struct Winograd {
    positions: Vec<Packed>,
}

/// A task's sizes.
struct Part<'a> {
    shape: &'a Conv2dShape,
    /// Tiles down and across an image.
    grid: [usize; 2],
    /// Of all images.
    tiles: Range<usize>,
    panels: Range<usize>,
    /// Values from tile to tile, and from position to position, of inputs and of outputs.
    from: [usize; 2],
    to: [usize; 2],
}

impl Winograd {
    pub fn new<S: Simd>(shape: &Conv2dShape, weight: &[f32]) -> Self {
        let channels = [shape.in_channels, shape.out_channels];
        let transformed: Vec<[f32; IN * IN]> =
            weight.par_chunks_exact(9).map(transform_weight).collect();
        let positions = (0..IN * IN).into_par_iter().map(|position| {
            Packed::new::<S>(1, channels, 1, |output, input, _| {
                transformed[output * channels[0] + input][position]
            })
        });
        Self {
            positions: positions.collect(),
        }
    }

    pub fn bytes(&self) -> usize {
        self.positions
            .iter()
            .map(|packed| 4 * packed.values.len())
            .sum()
    }

    pub fn forward<S: Simd>(
        &self,
        windows: &Windows<'_>,
        shape: &Conv2dShape,
        epilogue: &Epilogue<'_>,
        output: Columns<'_>,
    ) {
        let grid = [
            shape.out_height().div_ceil(OUT),
            shape.out_width().div_ceil(OUT),
        ];
        let tiles = shape.batch * grid[0] * grid[1];
        let threads = rayon::current_num_threads();
        let pitch = shape.in_channels.next_multiple_of(S::LANES);
        let most = (TASK / (IN * IN * pitch)).max(FEWEST);
        let chunks = tiles.div_ceil(most);
        let panels = self.positions[0].panels.len();
        // Where tasks are few they share out the outputs too, and each transforms the inputs for itself.
        let parts = threads.div_ceil(chunks).min(panels);
        let widest = self.positions[0].panels.iter().map(|panel| panel.columns);
        let widest = widest.max().unwrap_or(0).next_multiple_of(S::LANES);
        let out = Shared::new(output.values);
        let write = Write {
            out,
            pitch: output.pitch,
            first: output.first,
            epilogue,
        };
        (0..chunks * parts)
            .into_par_iter()
            .with_max_len(1)
            .for_each(|task| {
                let (chunk, part) = (task / parts, task % parts);
                let tiles = chunk * tiles / chunks..(chunk + 1) * tiles / chunks;
                let part = Part {
                    shape,
                    grid,
                    from: [pitch, tiles.len() * pitch + APART],
                    to: [widest, tiles.len() * widest + APART],
                    tiles,
                    panels: part * panels / parts..(part + 1) * panels / parts,
                };
                let len = IN * IN * part.from[1];
                scratch::with(len + IN * IN * part.to[1], |buffer| {
                    let (transformed, products) = buffer.split_at_mut(len);
                    S::run(
                        #[inline(always)]
                        || {
                            part.transform::<S>(windows, transformed);
                            for panel in part.panels.clone() {
                                part.multiply::<S>(self, panel, transformed, products);
                                let panel = &self.positions[0].panels[panel];
                                let columns = panel.column..panel.column + panel.columns;
                                part.transform_back::<S>(products, columns, &write);
                            }
                        },
                    );
                });
            });
    }
}

/// One kernel at each position of a tile.
fn transform_weight(kernel: &[f32]) -> [f32; IN * IN] {
    let taps = [0, 1, 2].map(|y| [0, 1, 2].map(|x| [kernel[y * 3 + x]]));
    let tile = transform::<Portable<1>, F4>(taps);
    std::array::from_fn(|at| tile[at / IN][at % IN][0])
}

/// Where outputs go.
struct Write<'a> {
    out: Shared<'a>,
    pitch: usize,
    first: usize,
    epilogue: &'a Epilogue<'a>,
}

impl Part<'_> {
    /// The image of a tile, and its place in it.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 3] {
        let [down, across] = self.grid;
        [tile / (down * across), tile / across % down, tile % across]
    }

    /// `B^T d B` of all tiles, a vector of channels at a time.
    #[inline(always)]
    fn transform<S: Simd>(&self, windows: &Windows<'_>, to: &mut [f32]) {
        let (input, outside) = (windows.values, windows.outside);
        let shape = self.shape;
        let channels = shape.in_channels;
        let [pitch, position] = self.from;
        assert!(to.len() >= IN * IN * position);
        for tile in self.tiles.clone() {
            let [image, y, x] = self.place(tile);
            let mut rows = [[outside.as_ptr(); IN]; IN];
            for i in 0..IN {
                let y = (y * OUT + i).wrapping_sub(shape.pads[0]);
                if y >= shape.in_height {
                    continue;
                }
                for j in 0..IN {
                    let x = (x * OUT + j).wrapping_sub(shape.pads[1]);
                    if x < shape.in_width {
                        let pixel = (image * shape.in_height + y) * shape.in_width + x;
                        rows[i][j] = input[pixel * channels..].as_ptr();
                    }
                }
            }
            let at = (tile - self.tiles.start) * pitch;
            let mut c = 0;
            while c < channels {
                let mut across = [[S::splat(0.0); IN]; IN];
                // SAFETY: each row has all channels; the output has a vector more than the last begins, at each position.
                unsafe {
                    for i in 0..IN {
                        let mut row = [S::splat(0.0); IN];
                        for j in 0..IN {
                            row[j] = load_until::<S>(rows[i][j], c, channels);
                        }
                        across[i] = F4::input::<S>(row);
                    }
                    let to = to.as_mut_ptr().add(at + c);
                    for j in 0..IN {
                        let mut column = [S::splat(0.0); IN];
                        for i in 0..IN {
                            column[i] = across[i][j];
                        }
                        let down = F4::input::<S>(column);
                        for i in 0..IN {
                            S::store(to.add((i * IN + j) * position), down[i]);
                        }
                    }
                }
                c += S::LANES;
            }
        }
    }

    /// The products of a panel of outputs, position by position.
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        weights: &Winograd,
        panel: usize,
        transformed: &[f32],
        products: &mut [f32],
    ) {
        let tiles = self.tiles.len();
        let out = Shared::new(products);
        for (position, packed) in weights.positions.iter().enumerate() {
            let source = Dense {
                values: &transformed[position * self.from[1]..][..tiles * self.from[0]],
                pitch: self.from[0],
            };
            let panel = &packed.panels[panel];
            let target = Target {
                out: out.from(position * self.to[1]),
                pitch: self.to[0],
                column: 0,
                columns: panel.columns.next_multiple_of(S::LANES),
                bias: None,
                residual: None,
                activation: Activation::None,
            };
            // SAFETY: the products are this task's; the source has a row a tile.
            unsafe { packed.run::<S, Singles, _>(panel, &source, 0..tiles, &target) };
        }
    }

    /// `A^T m A` of all tiles, and what is done to outputs.
    #[inline(always)]
    fn transform_back<S: Simd>(&self, products: &[f32], columns: Range<usize>, write: &Write<'_>) {
        let shape = self.shape;
        let [height, width] = [shape.out_height(), shape.out_width()];
        let [pitch, position] = self.to;
        assert!(products.len() >= IN * IN * position);
        let epilogue = write.epilogue;
        for tile in self.tiles.clone() {
            let [image, y, x] = self.place(tile);
            let at = (tile - self.tiles.start) * pitch;
            let mut c = 0;
            while c < columns.len() {
                let mut down = [[S::splat(0.0); IN]; OUT];
                // SAFETY: a position has whole vectors of all tiles.
                unsafe {
                    let from = products.as_ptr().add(at + c);
                    for j in 0..IN {
                        let mut column = [S::splat(0.0); IN];
                        for i in 0..IN {
                            column[i] = S::load(from.add((i * IN + j) * position));
                        }
                        let column = F4::output::<S>(column);
                        for i in 0..OUT {
                            down[i][j] = column[i];
                        }
                    }
                }
                let mut out = [[S::splat(0.0); OUT]; OUT];
                for i in 0..OUT {
                    out[i] = F4::output::<S>(down[i]);
                }
                let bias = epilogue.bias.map_or(S::splat(0.0), |bias| {
                    let bias = &bias[columns.clone()];
                    // SAFETY: up to the last column.
                    unsafe { load_until::<S>(bias.as_ptr(), c, bias.len()) }
                });
                for i in 0..OUT.min(height - y * OUT) {
                    for j in 0..OUT.min(width - x * OUT) {
                        let pixel = (image * height + y * OUT + i) * width + x * OUT + j;
                        let mut sum = S::add(out[i][j], bias);
                        // SAFETY: columns of a pixel of the output, which are this task's.
                        unsafe {
                            if let Some(residual) = epilogue.residual {
                                let row = &residual[pixel * shape.out_channels + columns.start..]
                                    [..columns.len()];
                                sum = S::add(sum, load_until::<S>(row.as_ptr(), c, columns.len()));
                            }
                            let first = pixel * write.pitch + write.first + columns.start;
                            let to = write.out.at(first, columns.len());
                            let value = activate::<S>(sum, epilogue.activation);
                            store_until::<S>(to, c, columns.len(), value);
                        }
                    }
                }
                c += S::LANES;
            }
        }
    }
}
