//! Convolution as a product that reads images where they lie.
#![allow(unsafe_code)]

use std::ops::Range;

use rayon::prelude::*;

use super::tile::{Block, Progress, Target, Terms, most_vectors, multiply};
use super::windows::{Dense, Rows, Windows};
use super::{Columns, bf16};
use crate::epilogue::Epilogue;
use crate::scratch;
use crate::shape::Conv2dShape;
use crate::shared::Shared;
use crate::simd::Simd;

/// Depth of a block: with the columns of a tile it fills two thirds of the first-level cache on AVX-512, half on AVX2.
const DEPTH: usize = 128;
/// Values of the images that a task goes through for each panel of weights: half of the second-level cache.
const TASK: usize = 128 * 1024;
/// Rows that every tile divides.
const ROWS: usize = 24;

/// Columns that are multiplied together.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    /// The first channel that is read.
    input: usize,
    /// The first column, and how many.
    pub column: usize,
    pub columns: usize,
    /// Where its weights begin.
    pub at: usize,
}

/// Weights in the order in which tiles read them: panels of columns, in each the blocks of the depth.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub blocks: Vec<Block>,
    pub panels: Vec<Panel>,
    pub values: Vec<f32>,
}

impl Packed {
    /// Packs groups of `[inputs, outputs]` channels under so many taps; `weight(output, input, tap)` is 0 where an output does not
    /// see an input of its group.
    pub fn new<S: Simd>(
        groups: usize,
        [inputs, outputs]: [usize; 2],
        taps: usize,
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let blocks = blocks(taps, inputs);
        let mut panels = Vec::new();
        let mut len = 0;
        for group in 0..groups {
            for range in column_ranges::<S>(outputs) {
                panels.push(Panel {
                    input: group * inputs,
                    column: group * outputs + range.start,
                    columns: range.len(),
                    at: len,
                });
                len += taps * inputs * range.len().next_multiple_of(S::LANES);
            }
        }
        let mut values = vec![0.0; len];
        let out = Shared::new(&mut values);
        panels.par_iter().for_each(|panel| {
            let width = panel.columns.next_multiple_of(S::LANES);
            // SAFETY: a panel's weights are one task's.
            let to = unsafe { out.slice(panel.at, taps * inputs * width) };
            let mut rows = to.chunks_exact_mut(width);
            for block in &blocks {
                for tap in block.taps.clone() {
                    for (input, row) in block.channels.clone().zip(rows.by_ref()) {
                        for (i, value) in row[..panel.columns].iter_mut().enumerate() {
                            *value = weight(panel.column + i, panel.input + input, tap);
                        }
                    }
                }
            }
        });
        Self {
            blocks,
            panels,
            values,
        }
    }

    /// Adds all blocks of a panel to the outputs `rows`.
    ///
    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    pub unsafe fn run<S: Simd, M: Terms, T: Rows>(
        &self,
        panel: &Panel,
        source: &T,
        rows: Range<usize>,
        target: &Target<'_>,
    ) {
        let width = panel.columns.next_multiple_of(S::LANES);
        let mut weights = &self.values[panel.at..];
        for (index, block) in self.blocks.iter().enumerate() {
            let progress = Progress {
                begun: index > 0,
                done: index + 1 == self.blocks.len(),
            };
            let channels = &block.channels;
            let block = Block {
                taps: block.taps.clone(),
                channels: channels.start + panel.input..channels.end + panel.input,
            };
            // SAFETY: the caller's.
            unsafe { multiply::<S, M, T>(source, rows.clone(), &block, weights, target, progress) };
            weights = &weights[block.depth() * width..];
        }
    }
}

/// The depth in equal blocks: of whole taps where their channels are few.
fn blocks(taps: usize, channels: usize) -> Vec<Block> {
    let split = |len: usize, most: usize| {
        let parts = len.div_ceil(most.max(1));
        (0..parts).map(move |i| i * len / parts..(i + 1) * len / parts)
    };
    if channels < DEPTH {
        let block = |taps| Block {
            taps,
            channels: 0..channels,
        };
        return split(taps, DEPTH / channels).map(block).collect();
    }
    let parts = |tap| {
        split(channels, DEPTH).map(move |channels| Block {
            taps: tap..tap + 1,
            channels,
        })
    };
    (0..taps).flat_map(parts).collect()
}

/// Columns in as few tiles as there can be, of about as many vectors each.
fn column_ranges<S: Simd>(columns: usize) -> impl Iterator<Item = Range<usize>> {
    let vectors = columns.div_ceil(S::LANES);
    let tiles = vectors.div_ceil(most_vectors::<S>());
    (0..tiles).map(move |i| {
        let at = |i: usize| (i * vectors / tiles * S::LANES).min(columns);
        at(i)..at(i + 1)
    })
}

/// A convolution's weights as a product's.
#[derive(Debug, Clone)]
pub(super) struct Product {
    packed: Packed,
    /// Whether the columns of a window count as channels, since an image has so few: images are then copied into their
    /// padding first.
    merged: bool,
}

impl Product {
    pub fn new<S: Simd>(shape: &Conv2dShape, weight: &[f32]) -> Self {
        let [height, width] = shape.kernel;
        let merged = shape.groups == 1
            && width > 1
            && shape.dilation[1] == 1
            && shape.in_channels < S::LANES;
        let (inputs, taps) = (shape.group_inputs(), shape.taps());
        if merged {
            let packed = Packed::new::<S>(
                1,
                [width * inputs, shape.out_channels],
                height,
                |output, input, tap| {
                    let (x, input) = (input / inputs, input % inputs);
                    weight[(output * inputs + input) * taps + tap * width + x]
                },
            );
            return Self { packed, merged };
        }
        // Groups too small for a vector are put together; what does not belong to each other has zeros.
        let outputs = shape.group_outputs();
        let together = (1..=shape.groups)
            .find(|n| shape.groups.is_multiple_of(*n) && n * outputs >= S::LANES)
            .unwrap_or(shape.groups);
        let packed = Packed::new::<S>(
            shape.groups / together,
            [together * inputs, together * outputs],
            taps,
            |output, input, tap| {
                if output / outputs == input / inputs {
                    weight[(output * inputs + input % inputs) * taps + tap]
                } else {
                    0.0
                }
            },
        );
        Self { packed, merged }
    }

    /// The same of bf16, which are read in pairs of channels; `None` for groups and for images of few channels.
    pub fn of_pairs<S: Simd>(shape: &Conv2dShape, weight: &[f32]) -> Option<Self> {
        let (inputs, taps) = (shape.in_channels, shape.taps());
        if shape.groups > 1 || inputs < S::LANES {
            return None;
        }
        let channels = [inputs.div_ceil(2), shape.out_channels];
        let packed = Packed::new::<S>(1, channels, taps, |output, pair, tap| {
            let at = |input: usize| {
                let inside = input < inputs;
                inside.then(|| weight[(output * inputs + input) * taps + tap])
            };
            bf16::pair(
                at(2 * pair).unwrap_or_default(),
                at(2 * pair + 1).unwrap_or_default(),
            )
        });
        Some(Self {
            packed,
            merged: false,
        })
    }

    pub fn bytes(&self) -> usize {
        4 * self.packed.values.len()
    }

    /// `output = epilogue(conv(windows))`.
    pub fn forward<S: Simd, M: Terms>(
        &self,
        windows: &Windows<'_>,
        shape: &Conv2dShape,
        epilogue: &Epilogue<'_>,
        output: Columns<'_>,
    ) {
        let rows = shape.batch * shape.out_pixels();
        if self.merged {
            let [top, left, bottom, right] = shape.pads;
            let size = [
                top + shape.in_height + bottom,
                left + shape.in_width + right,
            ];
            let row = size[1] * shape.in_channels;
            scratch::with(shape.batch * size[0] * row, |padded| {
                pad_images(shape, windows.values, row, padded);
                let windows = Windows {
                    values: padded,
                    size,
                    kernel: [shape.kernel[0], 1],
                    pads: [0; 2],
                    ..*windows
                };
                self.multiply::<S, M, _>(&windows, rows, shape, epilogue, output);
            });
        } else if shape.taps() == 1 && shape.stride == [1, 1] && shape.pads == [0; 4] {
            let dense = Dense {
                values: windows.values,
                pitch: windows.channels,
            };
            self.multiply::<S, M, _>(&dense, rows, shape, epilogue, output);
        } else {
            self.multiply::<S, M, _>(windows, rows, shape, epilogue, output);
        }
    }

    fn multiply<S: Simd, M: Terms, T: Rows>(
        &self,
        source: &T,
        rows: usize,
        shape: &Conv2dShape,
        epilogue: &Epilogue<'_>,
        output: Columns<'_>,
    ) {
        let threads = rayon::current_num_threads();
        let area = shape.stride[0] * shape.stride[1];
        let most = TASK / (shape.in_channels * area + 64);
        let chunks = rows.div_ceil(most.max(ROWS)).next_multiple_of(threads);
        let chunk = rows.div_ceil(chunks).next_multiple_of(ROWS);
        let chunks = rows.div_ceil(chunk);
        let panels = self.packed.panels.len();
        let parts = (2 * threads).div_ceil(chunks).min(panels);
        let out = Shared::new(output.values);
        (0..chunks * parts)
            .into_par_iter()
            .with_max_len(1)
            .for_each(|task| {
                let (index, part) = (task / parts, task % parts);
                let rows = index * chunk..rows.min((index + 1) * chunk);
                for panel in &self.packed.panels[part * panels / parts..(part + 1) * panels / parts]
                {
                    let columns = panel.column..panel.column + panel.columns;
                    let target = Target {
                        out,
                        pitch: output.pitch,
                        column: output.first + panel.column,
                        columns: panel.columns,
                        bias: epilogue.bias.map(|bias| &bias[columns]),
                        residual: epilogue
                            .residual
                            .map(|values| (values, shape.out_channels, panel.column)),
                        activation: epilogue.activation,
                    };
                    // SAFETY: rows and columns of the output are this task's; the source has as many rows.
                    S::run(
                        #[inline(always)]
                        || unsafe {
                            self.packed
                                .run::<S, M, T>(panel, source, rows.clone(), &target)
                        },
                    );
                }
            });
    }
}

/// Copies images between their padding, whose rows have `row` values.
fn pad_images(shape: &Conv2dShape, input: &[f32], row: usize, padded: &mut [f32]) {
    let (height, width) = (shape.in_height, shape.in_width * shape.in_channels);
    let [top, left, bottom, _] = shape.pads;
    let left = left * shape.in_channels;
    padded
        .par_chunks_exact_mut(row)
        .enumerate()
        .with_min_len(16)
        .for_each(|(index, to)| {
            let rows = top + height + bottom;
            let (image, y) = (index / rows, (index % rows).wrapping_sub(top));
            if y >= height {
                to.fill(0.0);
                return;
            }
            to[..left].fill(0.0);
            to[left..left + width].copy_from_slice(&input[(image * height + y) * width..][..width]);
            to[left + width..].fill(0.0);
        });
}
