//! The convolution itself: blocks of whole rows of tiles are transformed, multiplied position by position, and
//! transformed back, all within buffers of one thread.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::transform::{MOST_IN, MOST_OUT};
use super::weights::position_len;
use super::{APART, Problem, Scheme};
use crate::epilogue::Epilogue;
use crate::fresh::Fresh;
use crate::scratch;
use crate::shared::Shared;
use crate::simd::{NARROW, Simd, TileOut};

/// Tiles of a block: enough to use each transformed weight often, few enough to stay in the cache.
const TILES: usize = 128;
/// Written channels whose products are kept at once.
const ROWS: usize = 96;

/// Rows of tiles `first..first + rows` of the batch, written channels `panels` (in panels).
struct Block {
    first: usize,
    rows: usize,
    panels: [usize; 2],
}

/// The sizes that all blocks share.
struct Sizes {
    /// Tiles down and across an image.
    tiles: [usize; 2],
    /// Rows of tiles of a block.
    rows: usize,
    /// Tiles of a block, filled up to whole panels.
    columns: usize,
    /// Width of a row of the buffer of inputs.
    in_width: usize,
    /// Width of a row of the buffer of outputs.
    out_width: usize,
}

impl Sizes {
    fn new<S: Simd, W: Scheme>(problem: &Problem) -> Self {
        let tiles = [
            problem.to[0].div_ceil(W::OUT),
            problem.to[1].div_ceil(W::OUT),
        ];
        let all = problem.batch * tiles[0];
        let threads = rayon::current_num_threads();
        let padded = |rows: usize| (rows * tiles[1]).next_multiple_of(S::SHORT_COLUMNS);
        // Fewest columns to multiply, blocks shared out evenly, a block's own cost that of a few columns.
        let cost =
            |rows: &usize| all.div_ceil(*rows).next_multiple_of(threads) * (padded(*rows) + 24);
        let rows = (1..=(TILES / tiles[1]).clamp(1, all))
            .min_by_key(cost)
            .unwrap_or(1);
        Self {
            tiles,
            rows,
            columns: padded(rows),
            in_width: tiles[1] * W::OUT + NARROW,
            out_width: tiles[1] * W::OUT + NARROW,
        }
    }
}

/// `output = epilogue(conv(input))` with weights from [`super::transform_weights`].
pub(crate) fn convolve<S: Simd, W: Scheme>(
    problem: &Problem,
    packed: &[f32],
    input: &[f32],
    epilogue: &Epilogue<'_>,
    output: &mut Fresh,
) {
    let sizes = Sizes::new::<S, W>(problem);
    let all = problem.batch * sizes.tiles[0];
    let blocks = all.div_ceil(sizes.rows);
    let panels = problem.channels[1].div_ceil(S::TILE_ROWS);
    // With fewer blocks than threads, threads share the written channels and transform the input each.
    let parts = rayon::current_num_threads().div_ceil(blocks).min(panels);
    let output = Shared::of(output);
    let job = Job {
        problem,
        sizes,
        packed,
        input,
        epilogue,
        output,
    };
    (0..blocks * parts)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let (block, part) = (task / parts, task % parts);
            let first = block * job.sizes.rows;
            let block = Block {
                first,
                rows: job.sizes.rows.min(all - first),
                panels: [part * panels / parts, (part + 1) * panels / parts],
            };
            job.block::<S, W>(&block);
        });
}

struct Job<'a> {
    problem: &'a Problem,
    sizes: Sizes,
    packed: &'a [f32],
    input: &'a [f32],
    epilogue: &'a Epilogue<'a>,
    output: Shared<'a>,
}

impl Job<'_> {
    fn block<S: Simd, W: Scheme>(&self, block: &Block) {
        let sizes = &self.sizes;
        let depth = self.problem.channels[0];
        let positions = W::IN * W::IN;
        // Every row of tiles may begin an image, which takes two rows more.
        let in_len = sizes.rows * W::IN * sizes.in_width + NARROW;
        let out_len = sizes.rows * W::OUT * sizes.out_width + NARROW;
        let transformed = positions * (depth * sizes.columns + APART);
        let chunk = (ROWS / S::TILE_ROWS).max(1);
        let products = positions * (chunk * S::TILE_ROWS * sizes.columns + APART);
        scratch::with(transformed + products + in_len + out_len, |buffer| {
            let (transformed, rest) = buffer.split_at_mut(transformed);
            let (products, rest) = rest.split_at_mut(products);
            let (lines, out_lines) = rest.split_at_mut(in_len);
            S::run(
                #[inline(always)]
                || self.transform_input::<S, W>(block, lines, transformed),
            );
            for first in (block.panels[0]..block.panels[1]).step_by(chunk) {
                let panels = [first, block.panels[1].min(first + chunk)];
                self.multiply::<S, W>(panels, chunk * S::TILE_ROWS, transformed, products);
                S::run(
                    #[inline(always)]
                    || {
                        self.transform_output::<S, W>(
                            block,
                            panels,
                            chunk * S::TILE_ROWS,
                            products,
                            out_lines,
                        )
                    },
                );
            }
        });
    }

    /// Fills `transformed`: for each position panels of tiles, along the channels.
    #[inline(always)]
    fn transform_input<S: Simd, W: Scheme>(
        &self,
        block: &Block,
        lines: &mut [f32],
        transformed: &mut [f32],
    ) {
        let (problem, sizes) = (self.problem, &self.sizes);
        let depth = problem.channels[0];
        let position = depth * sizes.columns + APART;
        let plane = problem.from[0] * problem.from[1];
        let [down, across] = sizes.tiles;
        for channel in 0..depth {
            // Copy the rows the block sees, image by image, with zeros around.
            let mut line = 0;
            let mut row = block.first;
            while row < block.first + block.rows {
                let (image, y) = (row / down, row % down);
                let rows = (down - y).min(block.first + block.rows - row);
                let from = &self.input[(image * depth + channel) * plane..][..plane];
                for i in 0..rows * W::OUT + 2 {
                    let to = &mut lines[line * sizes.in_width..][..sizes.in_width];
                    let y = (y * W::OUT + i)
                        .checked_add_signed(-problem.pad[0])
                        .filter(|y| *y < problem.from[0]);
                    copy_line(
                        y.map(|y| &from[y * problem.from[1]..][..problem.from[1]]),
                        problem.pad[1],
                        to,
                    );
                    line += 1;
                }
                row += rows;
            }
            for group in 0..(block.rows * across).div_ceil(NARROW) {
                let offsets: [usize; NARROW] = std::array::from_fn(|lane| {
                    let tile = (group * NARROW + lane).min(block.rows * across - 1);
                    let row = tile / across;
                    // Two lines more for each image begun before.
                    let images = (block.first + row) / down - block.first / down;
                    (row * W::OUT + 2 * images) * sizes.in_width + tile % across * W::OUT
                });
                let panel = group * NARROW / S::SHORT_COLUMNS;
                let at = (panel * depth + channel) * S::SHORT_COLUMNS
                    + group * NARROW % S::SHORT_COLUMNS;
                debug_assert!(
                    offsets[NARROW - 1] + (W::IN - 1) * sizes.in_width + NARROW <= lines.len()
                );
                debug_assert!(at + (W::IN * W::IN - 1) * position + NARROW <= transformed.len());
                // SAFETY: eight values from each line of each tile (tiles end two values before the line's slack of
                // eight), eight lanes at each position.
                unsafe {
                    let to = transformed.as_mut_ptr().add(at);
                    transform_group::<S, W>(lines.as_ptr(), &offsets, sizes.in_width, to, position);
                }
            }
        }
    }

    /// `products[position][row][tile]` for the panels of written channels given.
    fn multiply<S: Simd, W: Scheme>(
        &self,
        panels: [usize; 2],
        rows: usize,
        transformed: &[f32],
        products: &mut [f32],
    ) {
        let depth = self.problem.channels[0];
        let columns = self.sizes.columns;
        let weights = position_len::<S>(self.problem.channels);
        let right_len = S::SHORT_COLUMNS * depth;
        for position in 0..W::IN * W::IN {
            let left = &self.packed[position * weights..][..weights];
            let right = &transformed[position * (depth * columns + APART)..][..depth * columns];
            let out = &mut products[position * (rows * columns + APART)..][..rows * columns];
            for panel in panels[0]..panels[1] {
                let left = &left[panel * depth * S::TILE_ROWS..][..depth * S::TILE_ROWS];
                let out = &mut out[(panel - panels[0]) * S::TILE_ROWS * columns..]
                    [..S::TILE_ROWS * columns];
                for (column, right) in right.chunks_exact(right_len).enumerate() {
                    // SAFETY: whole panels on both sides, a whole tile of `out`.
                    unsafe {
                        let data = out.as_mut_ptr().add(column * S::SHORT_COLUMNS);
                        let out = TileOut {
                            data,
                            stride: columns,
                            rows: S::TILE_ROWS,
                            accumulate: false,
                        };
                        S::short_tile(depth, left.as_ptr(), right.as_ptr(), out);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn transform_output<S: Simd, W: Scheme>(
        &self,
        block: &Block,
        panels: [usize; 2],
        rows: usize,
        products: &[f32],
        lines: &mut [f32],
    ) {
        let (problem, sizes) = (self.problem, &self.sizes);
        let [down, across] = sizes.tiles;
        let position = rows * sizes.columns + APART;
        let tiles = block.rows * across;
        let first = panels[0] * S::TILE_ROWS;
        let last = problem.channels[1].min(panels[1] * S::TILE_ROWS);
        for channel in first..last {
            for group in 0..tiles.div_ceil(NARROW) {
                let at = (channel - first) * sizes.columns + group * NARROW;
                debug_assert!(at + (W::IN * W::IN - 1) * position + NARROW <= products.len());
                // SAFETY: eight tiles at each position; columns are filled up to whole panels.
                let out = unsafe { transform_back::<S, W>(products.as_ptr().add(at), position) };
                let tile = group * NARROW;
                let (mut row, mut column) = (tile / across, tile % across);
                let here = NARROW.min(tiles - tile);
                let offsets: [usize; NARROW] = std::array::from_fn(|_| {
                    let offset = row * W::OUT * sizes.out_width + column * W::OUT;
                    column += 1;
                    if column == across {
                        (row, column) = (row + 1, 0);
                    }
                    offset
                });
                for (y, out) in out.iter().enumerate().take(W::OUT) {
                    let mut columns = [out[0]; NARROW];
                    columns[..MOST_OUT].copy_from_slice(out);
                    let by_tile = S::Narrow::transpose(columns);
                    for (tile, offset) in by_tile.iter().zip(offsets).take(here) {
                        let at = offset + y * sizes.out_width;
                        debug_assert!(at + NARROW <= lines.len());
                        // SAFETY: a line has eight values more than its tiles; what a tile writes beyond itself is
                        // written over by the next of the line.
                        unsafe { S::Narrow::store(lines.as_mut_ptr().add(at), *tile) };
                    }
                }
            }
            for row in 0..block.rows {
                let (image, y) = ((block.first + row) / down, (block.first + row) % down);
                for i in 0..W::OUT.min(problem.to[0] - y * W::OUT) {
                    let line = &lines[(row * W::OUT + i) * sizes.out_width..][..problem.to[1]];
                    let plane = image * problem.channels[1] + channel;
                    let at = (plane * problem.to[0] + y * W::OUT + i) * problem.to[1];
                    // SAFETY: a line of the output, which is this task's.
                    unsafe {
                        let to = self.output.slice(at, line.len());
                        to.copy_from_slice(line);
                        if !self.epilogue.is_empty() {
                            self.epilogue
                                .finish::<S>(to.as_mut_ptr(), to.len(), channel, at);
                        }
                    }
                }
            }
        }
    }
}

/// A line of the image after `pad` zeros, zeros behind; the image's first columns are cut off where `pad` is negative.
#[inline(always)]
pub(super) fn copy_line(from: Option<&[f32]>, pad: isize, to: &mut [f32]) {
    let Some(from) = from else {
        to.fill(0.0);
        return;
    };
    let from = &from[from.len().min((-pad).max(0).cast_unsigned())..];
    let zeros = to.len().min(pad.max(0).cast_unsigned());
    let len = from.len().min(to.len() - zeros);
    to[..zeros].fill(0.0);
    to[zeros..zeros + len].copy_from_slice(&from[..len]);
    to[zeros + len..].fill(0.0);
}

/// `B^T d B` of eight tiles.
///
/// # Safety
/// Eight values from each offset, in [`Scheme::IN`] lines `width` apart, are readable, and as many writable at each position.
#[inline(always)]
pub(super) unsafe fn transform_group<S: Simd, W: Scheme>(
    lines: *const f32,
    offsets: &[usize; NARROW],
    width: usize,
    to: *mut f32,
    position: usize,
) {
    let mut across = [[S::Narrow::splat(0.0); MOST_IN]; MOST_IN];
    for (y, across) in across.iter_mut().enumerate().take(W::IN) {
        let mut rows = [S::Narrow::splat(0.0); NARROW];
        for lane in 0..NARROW {
            // SAFETY: the caller's.
            rows[lane] = unsafe { S::Narrow::load(lines.add(offsets[lane] + y * width)) };
        }
        let [a, b, c, d, e, f, ..] = S::Narrow::transpose(rows);
        *across = W::input::<S::Narrow>([a, b, c, d, e, f]);
    }
    for x in 0..W::IN {
        let mut column = [S::Narrow::splat(0.0); MOST_IN];
        for y in 0..W::IN {
            column[y] = across[y][x];
        }
        let down = W::input::<S::Narrow>(column);
        for y in 0..W::IN {
            // SAFETY: the caller's.
            unsafe { S::Narrow::store(to.add((y * W::IN + x) * position), down[y]) };
        }
    }
}

/// `A^T m A` of eight tiles.
///
/// # Safety
/// Eight values are readable at each position.
#[inline(always)]
unsafe fn transform_back<S: Simd, W: Scheme>(
    from: *const f32,
    position: usize,
) -> [[<S::Narrow as Simd>::Vector; MOST_OUT]; MOST_OUT] {
    let mut down = [[S::Narrow::splat(0.0); MOST_IN]; MOST_OUT];
    for x in 0..W::IN {
        let mut column = [S::Narrow::splat(0.0); MOST_IN];
        for y in 0..W::IN {
            // SAFETY: the caller's.
            column[y] = unsafe { S::Narrow::load(from.add((y * W::IN + x) * position)) };
        }
        let column = W::output::<S::Narrow>(column);
        for y in 0..W::OUT {
            down[y][x] = column[y];
        }
    }
    let mut out = [[S::Narrow::splat(0.0); MOST_OUT]; MOST_OUT];
    for y in 0..W::OUT {
        out[y] = W::output::<S::Narrow>(down[y]);
    }
    out
}
