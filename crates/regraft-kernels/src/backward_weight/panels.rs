//! Weight gradients of images that have to be copied anyway: both sides are transposed into panels along the pixels and
//! multiplied as any product is.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::direct::forward_gather;
use crate::fresh::Fresh;
use crate::gemm::{Gather, LARGEST_TILE, pack_transposed};
use crate::scratch;
use crate::shape::Conv2dShape;
use crate::shared::Shared;
use crate::simd::{NARROW, Simd, TileOut};

/// Pixels of a block.
const DEPTH: usize = 256;
/// Panels of columns (input channels by taps) of a part at most.
const PANELS: usize = 24;
/// Fewest columns for which the panels pay.
const COLUMNS: usize = 256;

/// Whether it suits a shape of so many columns a group. Wider vectors gain more from packing; `copied` sides cost it either way.
pub(super) fn suits<S: Simd>(shape: &Conv2dShape, columns: usize, copied: bool) -> bool {
    let wide = S::LANES > NARROW && (columns >= COLUMNS / 2 || copied && shape.groups == 1);
    wide || copied && columns >= COLUMNS
}

/// The gradient of the weight, written over what is there. Parts differ with the number of threads, but the order in
/// which an element is summed up does not.
pub(super) fn backward_weight<S: Simd>(
    shape: &Conv2dShape,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut Fresh,
) {
    let panels = (shape.group_inputs() * shape.taps()).div_ceil(S::TILE_COLUMNS);
    let wanted = rayon::current_num_threads().div_ceil(shape.groups);
    let parts = panels.div_ceil(PANELS).next_multiple_of(wanted).min(panels);
    let job = Job::new(shape, input, output_gradient);
    let out = Shared::of(weight_gradient);
    (0..shape.groups * parts)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| job.part::<S>(parts, task, out));
}

struct Job<'a> {
    shape: &'a Conv2dShape,
    /// Columns of the product: pixels of the input under the taps.
    right: Gather,
    /// Rows of the product: pixels of the output's gradient.
    left: Gather,
    input: &'a [f32],
    output_gradient: &'a [f32],
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
        let left = left.flattened();
        Self {
            shape,
            right,
            left,
            input,
            output_gradient,
        }
    }

    /// Part `task` of the columns of all groups.
    fn part<S: Simd>(&self, parts: usize, task: usize, out: Shared<'_>) {
        let shape = self.shape;
        let (group, part) = (task / parts, task % parts);
        let columns = shape.group_inputs() * shape.taps();
        let panels = columns.div_ceil(S::TILE_COLUMNS);
        let panels = [part * panels / parts, (part + 1) * panels / parts];
        let pixels = shape.batch * shape.out_pixels();
        // Large images in equal blocks of their own, which are read where they lie; small ones together.
        let run = if shape.out_pixels() > DEPTH / 2 {
            shape.out_pixels()
        } else {
            pixels
        };
        let block = run.div_ceil(run.div_ceil(DEPTH));
        let width = (panels[1] - panels[0]) * S::TILE_COLUMNS;
        let line = block + 32;
        let sizes = [width * block, S::TILE_ROWS * block, S::TILE_COLUMNS * line];
        scratch::with(sizes.iter().sum(), |buffer| {
            let (right, rest) = buffer.split_at_mut(sizes[0]);
            let (left, lines) = rest.split_at_mut(sizes[1]);
            let blocks = run.div_ceil(block);
            for index in 0..pixels / run * blocks {
                let (begin, at) = (index / blocks * run, index % blocks * block);
                let range = [begin + at, begin + run.min(at + block)];
                let first = range[0];
                S::run(
                    #[inline(always)]
                    || {
                        let base = group * shape.group_inputs() * shape.in_pixels();
                        for panel in panels[0]..panels[1] {
                            let from = panel * S::TILE_COLUMNS;
                            let rows = [from, columns.min(from + S::TILE_COLUMNS)];
                            let at = (panel - panels[0]) * S::TILE_COLUMNS * block;
                            let to = &mut right[at..at + S::TILE_COLUMNS * block];
                            pack::<S>(
                                &self.right,
                                self.input,
                                base,
                                rows,
                                range,
                                S::TILE_COLUMNS,
                                line,
                                lines,
                                to,
                            );
                        }
                        for panel in 0..shape.group_outputs().div_ceil(S::TILE_ROWS) {
                            let from = panel * S::TILE_ROWS;
                            let rows = [from, shape.group_outputs().min(from + S::TILE_ROWS)];
                            let base = group * shape.group_outputs() * shape.out_pixels();
                            pack::<S>(
                                &self.left,
                                self.output_gradient,
                                base,
                                rows,
                                range,
                                S::TILE_ROWS,
                                line,
                                lines,
                                left,
                            );
                            let begun = first > 0;
                            let rows = [group * shape.group_outputs() + rows[0], rows[1] - rows[0]];
                            multiply_panel::<S>(
                                [range[1] - range[0], block],
                                left,
                                right,
                                columns,
                                panels,
                                rows,
                                begun,
                                out,
                            );
                        }
                    },
                );
            }
        });
    }
}

/// Packs rows `rows` of a gathered matrix, columns `range`, side by side as one panel of `tile`.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn pack<S: Simd>(
    gather: &Gather,
    source: &[f32],
    base: usize,
    rows: [usize; 2],
    range: [usize; 2],
    tile: usize,
    line: usize,
    lines: &mut [f32],
    out: &mut [f32],
) {
    let depth = range[1] - range[0];
    let taps = gather.taps.len();
    assert!(
        lines.len() >= tile * line
            && line >= depth + S::LANES
            && out.len() >= tile * depth
            && tile <= 48
    );
    let mut pointers = [std::ptr::null(); 48];
    let image = range[0] / gather.pixels();
    let lies = gather.is_one_row() && image == (range[1] - 1) / gather.pixels();
    for i in 0..tile {
        if lies && rows[0] + i < rows[1] {
            let at = base + image * gather.image + (rows[0] + i) * gather.pixels();
            let line = &source[at..][..gather.pixels()];
            pointers[i] = line[range[0] % gather.pixels()..][..depth].as_ptr();
            continue;
        }
        // SAFETY: line `i` of `lines`, which has a vector more than `depth`.
        let to = unsafe { lines.as_mut_ptr().add(i * line) };
        pointers[i] = to.cast_const();
        let row = rows[0] + i;
        if row < rows[1] {
            // SAFETY: as above.
            unsafe { gather.row::<S>(source, base, [row / taps, row % taps], range[0], depth, to) };
        } else {
            lines[i * line..][..depth].fill(0.0);
        }
    }
    // SAFETY: `depth` values of each line, `tile * depth` of the output.
    unsafe { pack_transposed::<S>(&pointers[..tile], depth, tile, out.as_mut_ptr()) }
}

/// Multiplies one packed panel of rows with all panels of columns of a part.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn multiply_panel<S: Simd>(
    [depth, block]: [usize; 2],
    left: &[f32],
    right: &[f32],
    columns: usize,
    panels: [usize; 2],
    [first, rows]: [usize; 2],
    begun: bool,
    out: Shared<'_>,
) {
    assert!(left.len() >= depth * S::TILE_ROWS);
    for panel in panels[0]..panels[1] {
        let right =
            &right[(panel - panels[0]) * S::TILE_COLUMNS * block..][..depth * S::TILE_COLUMNS];
        let column = panel * S::TILE_COLUMNS;
        let width = S::TILE_COLUMNS.min(columns - column);
        let at = first * columns + column;
        // SAFETY: `rows` rows of `width` columns, which are this task's; narrower tiles go through a buffer.
        unsafe {
            let data = out.at(at, (rows - 1) * columns + width);
            if width == S::TILE_COLUMNS {
                let out = TileOut {
                    data,
                    stride: columns,
                    rows,
                    accumulate: begun,
                };
                S::tile(depth, left.as_ptr(), right.as_ptr(), out);
                continue;
            }
            let mut buffer = [0.0f32; LARGEST_TILE];
            let tile = TileOut {
                data: buffer.as_mut_ptr(),
                stride: S::TILE_COLUMNS,
                rows,
                accumulate: false,
            };
            S::tile(depth, left.as_ptr(), right.as_ptr(), tile);
            for i in 0..rows {
                for j in 0..width {
                    let to = data.add(i * columns + j);
                    let value = buffer[i * S::TILE_COLUMNS + j];
                    *to = if begun { *to + value } else { value };
                }
            }
        }
    }
}
