//! The gradients of weights. One is a product whose depth is the pixels of the batch, along which
//! both sides lie in memory: so its tiles are sums of dot products and need no packing, only the gathering of what a
//! kernel's tap sees. Where much has to be copied so, [`panels`] do it at once.
#![allow(unsafe_code)]

mod panels;

use rayon::prelude::*;

use crate::direct::forward_gather;
use crate::fresh::{self, Fresh};
use crate::gemm::{DotOut, Gather};
use crate::scratch;
use crate::shape::{Conv2dShape, Conv2dSpec};
use crate::shared::Shared;
use crate::simd::{LINE, Simd, prefetch};

/// Pixels of a block at most.
const DEPTH: usize = 512;
/// Columns of a block, a multiple of every tile's: with [`DEPTH`] they fill most of a 32 KiB first-level cache, in which
/// they stay while the rows go by.
const COLUMNS: usize = 12;
/// Rows of a block, a multiple of every tile's: with [`DEPTH`] they fill half of a 512 KiB second-level cache.
const ROWS: usize = 120;
/// Images of fewer pixels are copied into blocks of several.
const OWN_BLOCK: usize = 256;

/// The gradient of the weight, `[out_channels, in_channels / groups, kernel]`, written over what is there. An element is
/// summed up in the same order for any number of threads.
pub(crate) fn backward_weight<S: Simd>(
    shape: &Conv2dShape,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut Fresh,
) {
    if let Some(turned) = turned::<S>(shape) {
        let (rows, columns) = (shape.in_channels, shape.out_channels);
        scratch::with(rows * columns, |transposed| {
            panels::backward_weight::<S>(&turned, output_gradient, input, fresh::over(transposed));
            for (column, out) in weight_gradient.chunks_exact_mut(rows).enumerate() {
                for (row, out) in out.iter_mut().enumerate() {
                    out.write(transposed[row * columns + column]);
                }
            }
        });
        return;
    }
    let job = Job::new(shape, input, output_gradient);
    let (rows, columns) = (shape.group_outputs(), job.columns);
    // Of the shape alone, not of the threads: the two differ in the last bits.
    let copied = !(job.in_place(&job.left) && job.in_place(&job.right));
    if panels::suits::<S>(shape, columns, copied) {
        panels::backward_weight::<S>(shape, input, output_gradient, weight_gradient);
        return;
    }
    // One side is shared out, the other is read by every part: the longer, but what costs copying is copied once.
    let copied = [&job.left, &job.right].map(|gather| !job.in_place(gather));
    let by_rows = match copied {
        [false, true] => columns < COLUMNS * rayon::current_num_threads(),
        _ => rows > columns,
    };
    let units = if by_rows {
        rows.div_ceil(S::DOT_ROWS)
    } else {
        columns.div_ceil(COLUMNS)
    };
    // Two parts a thread even out what else the machine does, where nothing is copied for each of them.
    let each = if copied[usize::from(by_rows)] { 1 } else { 2 };
    let wanted = (each * rayon::current_num_threads()).div_ceil(shape.groups);
    let parts = wanted.min(units);
    let out = Shared::of(weight_gradient);
    (0..shape.groups * parts)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let (group, part) = (task / parts, task % parts);
            let share = |unit: usize, of: usize| {
                let at = |part: usize| (part * units / parts * unit).min(of);
                [at(part), at(part + 1)]
            };
            let part = if by_rows {
                Part {
                    group,
                    rows: share(S::DOT_ROWS, rows),
                    columns: [0, columns],
                }
            } else {
                Part {
                    group,
                    rows: [0, rows],
                    columns: share(COLUMNS, columns),
                }
            };
            job.part::<S>(&part, out);
        });
}

/// The convolution whose weight gradient is this one's transposed, where that has the columns for panels and this one has not: of
/// single pixels, both sides are alike.
fn turned<S: Simd>(shape: &Conv2dShape) -> Option<Conv2dShape> {
    let single = shape.kernel == [1; 2] && shape.stride == [1; 2] && shape.pads == [0; 4];
    let suits = |columns: usize| panels::suits::<S>(shape, columns, false);
    if !single || shape.groups > 1 || suits(shape.in_channels) || !suits(shape.out_channels) {
        return None;
    }
    Conv2dShape::new(Conv2dSpec {
        in_channels: shape.out_channels,
        out_channels: shape.in_channels,
        ..(**shape).clone()
    })
    .ok()
}

/// What a task computes: some rows (output channels) by some columns (input channels and taps) of a group.
struct Part {
    group: usize,
    rows: [usize; 2],
    columns: [usize; 2],
}

struct Job<'a> {
    shape: &'a Conv2dShape,
    /// Columns of the product: pixels of the input under the taps.
    right: Gather,
    /// Rows of the product: pixels of the output's gradient.
    left: Gather,
    columns: usize,
    input: &'a [f32],
    output_gradient: &'a [f32],
    /// Pixels of the blocks: equal parts of an image, or of the batch where images are small.
    block: usize,
    /// Pixels that blocks don't cross the multiples of.
    span: usize,
}

/// Where the pixels of a block lie, row by row.
#[derive(Clone, Copy)]
struct Lines {
    data: *const f32,
    stride: usize,
}

impl Lines {
    /// The addresses of rows `first..`, the last of `end` rows again where there are no more.
    #[inline(always)]
    fn rows<const N: usize>(self, first: usize, end: usize) -> [*const f32; N] {
        std::array::from_fn(|i| {
            self.data
                .wrapping_add((first + i).min(end - 1) * self.stride)
        })
    }
}

impl<'a> Job<'a> {
    fn new(shape: &'a Conv2dShape, input: &'a [f32], output_gradient: &'a [f32]) -> Self {
        let right = forward_gather(shape);
        let left = Gather {
            image: shape.out_channels * shape.out_pixels(),
            size: right.grid,
            grid: right.grid,
            step: [1, 1],
            taps: vec![[0, 0]],
        };
        let pixels = shape.out_pixels();
        let span = if pixels < OWN_BLOCK {
            pixels * shape.batch
        } else {
            pixels
        };
        // Whole vectors of any instruction set.
        let block = span.div_ceil(span.div_ceil(DEPTH)).next_multiple_of(16);
        Self {
            shape,
            right,
            left: left.flattened(),
            columns: shape.group_inputs() * shape.taps(),
            input,
            output_gradient,
            block,
            span,
        }
    }

    /// Whether blocks of a gathered matrix lie in memory as they are.
    fn in_place(&self, gather: &Gather) -> bool {
        self.span == gather.pixels() && gather.is_one_row()
    }

    fn part<S: Simd>(&self, part: &Part, out: Shared<'_>) {
        let shape = self.shape;
        let pixels = shape.batch * shape.out_pixels();
        let line = self.block + 32;
        let rows = part.rows[1] - part.rows[0];
        let left_lines = if self.in_place(&self.left) {
            0
        } else {
            rows.min(self.rows_at_once(part))
        };
        scratch::with((left_lines + COLUMNS) * line, |buffer| {
            let (left_buffer, right_buffer) = buffer.split_at_mut(left_lines * line);
            for span in (0..pixels).step_by(self.span) {
                for first in (0..self.span).step_by(self.block) {
                    let range = [span + first, span + self.span.min(first + self.block)];
                    S::run(
                        #[inline(always)]
                        || {
                            self.block::<S>(part, range, line, left_buffer, right_buffer, out);
                        },
                    );
                }
            }
        });
    }

    /// Adds the products over the pixels `range`; the first block writes.
    #[inline(always)]
    fn block<S: Simd>(
        &self,
        part: &Part,
        range: [usize; 2],
        line: usize,
        left_buffer: &mut [f32],
        right_buffer: &mut [f32],
        out: Shared<'_>,
    ) {
        let shape = self.shape;
        let left_base = part.group * shape.group_outputs() * shape.out_pixels();
        let right_base = part.group * shape.group_inputs() * shape.in_pixels();
        let (left, right) = (
            (&self.left, self.output_gradient),
            (&self.right, self.input),
        );
        for top in (part.rows[0]..part.rows[1]).step_by(self.rows_at_once(part)) {
            let rows = [top, part.rows[1].min(top + self.rows_at_once(part))];
            let left = self.lines::<S>(left, left_base, rows, range, line, left_buffer);
            for first in (part.columns[0]..part.columns[1]).step_by(COLUMNS) {
                let columns = [first, part.columns[1].min(first + COLUMNS)];
                let lines = self.lines::<S>(right, right_base, columns, range, line, right_buffer);
                // Lines that are read in place are asked for a block ahead.
                let ahead = if self.in_place(&self.right) {
                    COLUMNS * lines.stride
                } else {
                    0
                };
                let group = part.group;
                let tiles = Part {
                    group,
                    rows,
                    columns,
                };
                self.multiply::<S>(&tiles, range, left, lines, ahead, out);
            }
        }
    }

    /// Rows that a block of columns meets before the next: all where columns take long to gather.
    fn rows_at_once(&self, part: &Part) -> usize {
        if self.right.taps.len() == 1 {
            ROWS
        } else {
            part.rows[1] - part.rows[0]
        }
    }

    /// The lines `rows` of a gathered matrix over the pixels `range`, in place or copied to the buffer.
    #[inline(always)]
    fn lines<S: Simd>(
        &self,
        (gather, source): (&Gather, &[f32]),
        base: usize,
        rows: [usize; 2],
        range: [usize; 2],
        line: usize,
        buffer: &mut [f32],
    ) -> Lines {
        let taps = gather.taps.len();
        if self.in_place(gather) {
            let pixels = gather.pixels();
            let (image, pixel) = (range[0] / pixels, range[0] % pixels);
            let at = base + image * gather.image + rows[0] * pixels + pixel;
            let last = (rows[1] - rows[0] - 1) * pixels + range[1] - range[0];
            return Lines {
                data: source[at..][..last].as_ptr(),
                stride: pixels,
            };
        }
        let len = range[1] - range[0];
        assert!(len + S::LANES <= line && (rows[1] - rows[0]) * line <= buffer.len());
        for (row, to) in (rows[0]..rows[1]).zip(buffer.chunks_exact_mut(line)) {
            let row = [row / taps, row % taps];
            // SAFETY: a line has a vector more than `len`.
            unsafe { gather.row::<S>(source, base, row, range[0], len, to.as_mut_ptr()) };
        }
        Lines {
            data: buffer.as_ptr(),
            stride: line,
        }
    }

    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn multiply<S: Simd>(
        &self,
        part: &Part,
        range: [usize; 2],
        left: Lines,
        right: Lines,
        ahead: usize,
        out: Shared<'_>,
    ) {
        let rows = part.rows[1] - part.rows[0];
        let width = part.columns[1] - part.columns[0];
        let cache_lines = (range[1] - range[0]).div_ceil(LINE);
        let wanted = if ahead > 0 { COLUMNS * cache_lines } else { 0 };
        let mut asked = 0;
        for row in (0..rows).step_by(S::DOT_ROWS) {
            let from = left.rows(row, rows);
            let channel = part.group * self.shape.group_outputs() + part.rows[0] + row;
            let high = S::DOT_ROWS.min(rows - row);
            while asked < wanted.min((row + S::DOT_ROWS) * wanted / rows) {
                let at = asked / cache_lines * right.stride + asked % cache_lines * LINE;
                prefetch(right.data.wrapping_add(ahead + at));
                asked += 1;
            }
            for column in (0..width).step_by(S::DOT_COLUMNS) {
                let to = right.rows(column, width);
                let wide = S::DOT_COLUMNS.min(width - column);
                let at = channel * self.columns + part.columns[0] + column;
                // SAFETY: every line has the pixels of the range; rows and columns of this part are this task's.
                unsafe {
                    let tile = DotOut {
                        data: out.at(at, (high - 1) * self.columns + wide),
                        stride: self.columns,
                        size: [high, wide],
                        accumulate: range[0] > 0,
                    };
                    S::dots(range[1] - range[0], &from, &to, tile);
                }
            }
        }
    }
}
