//! The gradient of a 3x3 kernel by Winograd F(3x3, 4x4): the same points and input transform as F(4x4, 3x3), with a tile
//! of the output's gradient in the place of the kernel. Products are summed up over the tiles before they are transformed
//! back, so that happens once a kernel.
//!
//! Tiles are taken in chunks whose transforms stay in the cache. A chunk doesn't depend on the number of threads, so
//! neither do the bits of the result.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::run::{copy_line, transform_group};
use super::transform::{
    F4, MOST_IN, MOST_OUT, Scheme, transform_output_gradient, transform_to_kernel,
};
use super::{APART, Pass, Problem};
use crate::fresh::Fresh;
use crate::scratch;
use crate::shape::Conv2dShape;
use crate::shared::Shared;
use crate::simd::{NARROW, Simd, TileOut};

/// Tiles of a chunk: the depth of the products.
const TILES: usize = 256;
/// Panels of output channels of a task, so that each transformed input that is loaded meets several.
const PANELS: usize = 4;
/// Products to a tile.
const POSITIONS: usize = F4::IN * F4::IN;
/// Outputs of a tile to a row.
const SIDE: usize = F4::OUT;

/// One operand before its transform: an image whose channels become the lanes of panels.
struct Operand<'a> {
    source: &'a [f32],
    channels: usize,
    size: [usize; 2],
    pad: [isize; 2],
    /// Channels of a panel.
    panel: usize,
}

impl Operand<'_> {
    fn panels(&self) -> usize {
        self.channels.div_ceil(self.panel)
    }

    /// Values from position to position for so many tiles.
    fn position(&self, tiles: usize) -> usize {
        self.panels() * self.panel * tiles + APART
    }

    /// Copies `height` lines of eight channels from `first` on, zeros around and where there is no channel.
    #[inline(always)]
    fn copy_lines(
        &self,
        image: usize,
        [first, channels]: [usize; 2],
        [top, height]: [usize; 2],
        width: usize,
        lines: &mut [f32],
    ) {
        let plane = self.size[0] * self.size[1];
        for (i, line) in lines
            .chunks_exact_mut(width)
            .take(NARROW * height)
            .enumerate()
        {
            let (lane, y) = (i / height, top + i % height);
            let y = y
                .checked_add_signed(-self.pad[0])
                .filter(|y| *y < self.size[0] && lane < channels);
            let from = y.map(|y| {
                let at = (image * self.channels + first + lane) * plane + y * self.size[1];
                &self.source[at..at + self.size[1]]
            });
            copy_line(from, self.pad[1], line);
        }
    }
}

struct Job<'a> {
    input: Operand<'a>,
    gradient: Operand<'a>,
    /// Tiles down and across an image.
    tiles: [usize; 2],
    /// Width of a line of the buffer that tiles are cut from: what a vector reads beyond the last tile is in it.
    width: usize,
}

/// The gradient of the weight, `[out_channels, in_channels, 3, 3]`, written over what is there.
pub(crate) fn weight_gradient<S: Simd>(
    shape: &Conv2dShape,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut Fresh,
) {
    let problem = Problem::new(shape, Pass::Forward);
    let tiles = problem.to.map(|size| size.div_ceil(SIDE));
    let job = Job {
        input: Operand {
            source: input,
            channels: problem.channels[0],
            size: problem.from,
            pad: problem.pad,
            panel: S::SHORT_COLUMNS,
        },
        gradient: Operand {
            source: output_gradient,
            channels: problem.channels[1],
            size: problem.to,
            pad: [0, 0],
            panel: S::TILE_ROWS,
        },
        tiles,
        width: tiles[1] * SIDE + NARROW,
    };
    let all = problem.batch * tiles[0];
    let chunks = all.div_ceil((TILES / tiles[1]).max(1));
    let rows = all.div_ceil(chunks);
    let chunks = all.div_ceil(rows);
    let most = rows * tiles[1];
    let right_len = POSITIONS * job.input.position(most);
    let left_len = POSITIONS * job.gradient.position(most);
    let sums_len = job.gradient.panels() * job.panel_len::<S>();
    let kept = if chunks > 1 { sums_len } else { 0 };
    let out = Shared::of(weight_gradient);
    scratch::with(right_len + left_len + kept, |buffer| {
        let (right, rest) = buffer.split_at_mut(right_len);
        let (left, sums) = rest.split_at_mut(left_len);
        for chunk in 0..chunks {
            let range = [chunk * rows, all.min((chunk + 1) * rows)];
            job.transform::<S>(range, left, right);
            let steps = Steps {
                tiles: (range[1] - range[0]) * job.tiles[1],
                begun: chunk > 0,
                done: chunk + 1 == chunks,
            };
            job.multiply::<S>(&steps, left, right, sums, out);
        }
    });
}

/// Where in the sum over all tiles a chunk is.
struct Steps {
    tiles: usize,
    begun: bool,
    done: bool,
}

impl Job<'_> {
    /// Values of the sums for a panel of output channels: a matrix a position.
    fn panel_len<S: Simd>(&self) -> usize {
        POSITIONS * self.sums_position::<S>()
    }

    fn sums_position<S: Simd>(&self) -> usize {
        S::TILE_ROWS * self.columns::<S>() + APART
    }

    fn columns<S: Simd>(&self) -> usize {
        self.input.panels() * S::SHORT_COLUMNS
    }

    /// Transforms both operands for the rows of tiles `range`.
    fn transform<S: Simd>(&self, range: [usize; 2], left: &mut [f32], right: &mut [f32]) {
        let rows = range[1] - range[0];
        let panels = [self.input.panels(), self.gradient.panels()];
        let (left, right) = (Shared::new(left), Shared::new(right));
        (0..(panels[0] + panels[1]) * rows)
            .into_par_iter()
            .for_each(|task| {
                let (panel, row) = (task / rows, task % rows);
                let tiles = [rows * self.tiles[1], row * self.tiles[1]];
                scratch::with(NARROW * F4::IN * self.width, |lines| {
                    S::run(
                        #[inline(always)]
                        || match panel.checked_sub(panels[0]) {
                            None => {
                                self.transform_input::<S>(
                                    panel,
                                    range[0] + row,
                                    tiles,
                                    lines,
                                    right,
                                );
                            }
                            Some(panel) => {
                                self.transform_gradient::<S>(
                                    panel,
                                    range[0] + row,
                                    tiles,
                                    lines,
                                    left,
                                );
                            }
                        },
                    );
                });
            });
    }

    /// One row of tiles of one panel, from tile `first` of the chunk's `tiles` on.
    #[inline(always)]
    fn transform_input<S: Simd>(
        &self,
        panel: usize,
        row: usize,
        [tiles, first]: [usize; 2],
        lines: &mut [f32],
        out: Shared<'_>,
    ) {
        let position = self.input.position(tiles);
        let (image, y) = (row / self.tiles[0], row % self.tiles[0]);
        for block in 0..S::SHORT_COLUMNS / NARROW {
            let channel = panel * S::SHORT_COLUMNS + block * NARROW;
            let channels = [channel, self.input.channels.saturating_sub(channel)];
            let window = [y * SIDE, F4::IN];
            self.input
                .copy_lines(image, channels, window, self.width, lines);
            for tile in 0..self.tiles[1] {
                let offsets: [usize; NARROW] =
                    std::array::from_fn(|lane| lane * F4::IN * self.width + tile * SIDE);
                let at = (panel * tiles + first + tile) * S::SHORT_COLUMNS + block * NARROW;
                debug_assert!(
                    offsets[NARROW - 1] + (F4::IN - 1) * self.width + NARROW <= lines.len()
                );
                // SAFETY: eight values from each line of each lane's tile, as asserted; eight lanes of each position's
                // column, which belongs to this task.
                unsafe {
                    let to = out.at(at, (POSITIONS - 1) * position + NARROW);
                    transform_group::<S, F4>(lines.as_ptr(), &offsets, self.width, to, position);
                }
            }
        }
    }

    /// As [`Self::transform_input`], of the output's gradient.
    #[inline(always)]
    fn transform_gradient<S: Simd>(
        &self,
        panel: usize,
        row: usize,
        [tiles, first]: [usize; 2],
        lines: &mut [f32],
        out: Shared<'_>,
    ) {
        let position = self.gradient.position(tiles);
        let (image, y) = (row / self.tiles[0], row % self.tiles[0]);
        let across = self.tiles[1];
        // Later blocks first: what a vector writes beyond its lanes is written over by the next column's first block.
        for block in (0..S::TILE_ROWS.div_ceil(NARROW)).rev() {
            let lanes = NARROW.min(S::TILE_ROWS - block * NARROW);
            let channel = panel * S::TILE_ROWS + block * NARROW;
            let there = self.gradient.channels.saturating_sub(channel).min(lanes);
            let window = [y * SIDE, SIDE];
            self.gradient
                .copy_lines(image, [channel, there], window, self.width, lines);
            for pair in (0..across).step_by(2) {
                let mut down = [[[S::Narrow::splat(0.0); MOST_OUT]; MOST_IN]; 2];
                for line in 0..SIDE {
                    let mut rows = [S::Narrow::splat(0.0); NARROW];
                    for (lane, to) in rows.iter_mut().enumerate() {
                        let at = (lane * SIDE + line) * self.width + pair * SIDE;
                        debug_assert!(at + NARROW <= lines.len());
                        // SAFETY: two tiles of a line, or one and the slack at its end.
                        *to = unsafe { S::Narrow::load(lines.as_ptr().add(at)) };
                    }
                    let [a, b, c, d, e, f, g, h] = S::Narrow::transpose(rows);
                    for (down, tile) in down.iter_mut().zip([[a, b, c, d], [e, f, g, h]]) {
                        let across = transform_output_gradient::<S::Narrow>(tile);
                        for x in 0..F4::IN {
                            down[x][line] = across[x];
                        }
                    }
                }
                for (i, down) in down.iter().enumerate().take(across - pair) {
                    let column = first + pair + i;
                    let whole = lanes == NARROW || pair + i + 1 < across;
                    let at = (panel * tiles + column) * S::TILE_ROWS + block * NARROW;
                    for x in 0..F4::IN {
                        let values = transform_output_gradient::<S::Narrow>(down[x]);
                        for y in 0..F4::IN {
                            let at = at + (y * F4::IN + x) * position;
                            // SAFETY: this task's columns; only the last, which no other of its columns follows, is
                            // written lane by lane.
                            unsafe { store_lanes::<S::Narrow>(values[y], lanes, whole, out, at) };
                        }
                    }
                }
            }
        }
    }

    /// Adds the products of a chunk to the sums, and transforms these back after the last.
    fn multiply<S: Simd>(
        &self,
        steps: &Steps,
        left: &[f32],
        right: &[f32],
        sums: &mut [f32],
        out: Shared<'_>,
    ) {
        let panels = self.gradient.panels();
        let threads = rayon::current_num_threads();
        let tasks = panels
            .div_ceil(PANELS)
            .next_multiple_of(threads)
            .min(panels);
        let len = self.panel_len::<S>();
        let kept = !sums.is_empty();
        let sums = Shared::new(sums);
        (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
            let range = [task * panels / tasks, (task + 1) * panels / tasks];
            let wanted = (range[1] - range[0]) * len;
            let run = |sums: &mut [f32]| {
                self.multiply_panels::<S>(steps, range, left, right, sums);
                if steps.done {
                    S::run(
                        #[inline(always)]
                        || self.transform_back::<S>(range, sums, out),
                    );
                }
            };
            if kept {
                // SAFETY: the panels of a task are no other's.
                run(unsafe { sums.slice(range[0] * len, wanted) });
            } else {
                scratch::with(wanted, run);
            }
        });
    }

    fn multiply_panels<S: Simd>(
        &self,
        steps: &Steps,
        panels: [usize; 2],
        left: &[f32],
        right: &[f32],
        sums: &mut [f32],
    ) {
        let (tiles, columns) = (steps.tiles, self.columns::<S>());
        let (left_len, right_len) = (S::TILE_ROWS * tiles, S::SHORT_COLUMNS * tiles);
        for position in 0..POSITIONS {
            let left = &left[position * self.gradient.position(tiles)..];
            let right = &right[position * self.input.position(tiles)..];
            for column in 0..self.input.panels() {
                let right = &right[column * right_len..][..right_len];
                for panel in panels[0]..panels[1] {
                    let left = &left[panel * left_len..][..left_len];
                    let at = (panel - panels[0]) * self.panel_len::<S>()
                        + position * self.sums_position::<S>();
                    let sums = &mut sums[at..][..S::TILE_ROWS * columns];
                    // SAFETY: whole panels on both sides, a whole tile of the sums.
                    unsafe {
                        let out = TileOut {
                            data: sums.as_mut_ptr().add(column * S::SHORT_COLUMNS),
                            stride: columns,
                            rows: S::TILE_ROWS,
                            accumulate: steps.begun,
                        };
                        S::short_tile(tiles, left.as_ptr(), right.as_ptr(), out);
                    }
                }
            }
        }
    }

    /// Writes the kernels of the panels of output channels.
    #[inline(always)]
    fn transform_back<S: Simd>(&self, panels: [usize; 2], sums: &[f32], out: Shared<'_>) {
        let (columns, position) = (self.columns::<S>(), self.sums_position::<S>());
        let first = panels[0] * S::TILE_ROWS;
        let channels = self.input.channels;
        for row in first..self.gradient.channels.min(panels[1] * S::TILE_ROWS) {
            let panel = (row - first) / S::TILE_ROWS * self.panel_len::<S>();
            let from = &sums[panel + (row - first) % S::TILE_ROWS * columns..];
            for column in (0..channels).step_by(NARROW) {
                debug_assert!((POSITIONS - 1) * position + column + NARROW <= from.len());
                // SAFETY: columns are filled up to whole panels.
                let taps = unsafe { kernels::<S::Narrow>(from.as_ptr().add(column), position) };
                let here = NARROW.min(channels - column);
                // SAFETY: kernels of this task's rows.
                let to = unsafe { out.slice((row * channels + column) * 9, here * 9) };
                for (lane, kernel) in to.chunks_exact_mut(9).enumerate() {
                    for (tap, values) in kernel.iter_mut().zip(&taps) {
                        *tap = values[lane];
                    }
                }
            }
        }
    }
}

/// The taps of eight kernels from their sums, tap by tap.
///
/// # Safety
/// Eight values are readable at each position.
#[inline(always)]
unsafe fn kernels<N: Simd>(from: *const f32, position: usize) -> [[f32; NARROW]; 9] {
    let mut down = [[N::splat(0.0); MOST_IN]; 3];
    for x in 0..F4::IN {
        let mut column = [N::splat(0.0); MOST_IN];
        for y in 0..F4::IN {
            // SAFETY: the caller's.
            column[y] = unsafe { N::load(from.add((y * F4::IN + x) * position)) };
        }
        let column = transform_to_kernel::<N>(column);
        for y in 0..3 {
            down[y][x] = column[y];
        }
    }
    let mut taps = [[0.0; NARROW]; 9];
    for y in 0..3 {
        let row = transform_to_kernel::<N>(down[y]);
        for x in 0..3 {
            // SAFETY: eight values.
            unsafe { N::store(taps[3 * y + x].as_mut_ptr(), row[x]) };
        }
    }
    taps
}

/// Stores a vector, or only its first `lanes` values.
///
/// # Safety
/// `lanes` values from `at` on are the caller's to write, eight if `whole`.
#[inline(always)]
unsafe fn store_lanes<N: Simd>(
    value: N::Vector,
    lanes: usize,
    whole: bool,
    out: Shared<'_>,
    at: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        if whole {
            N::store(out.at(at, NARROW), value);
        } else {
            let mut values = [0.0f32; NARROW];
            N::store(values.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(values.as_ptr(), out.at(at, lanes), lanes);
        }
    }
}
