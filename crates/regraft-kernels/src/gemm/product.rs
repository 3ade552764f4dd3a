//! The product of packed rows with gathered columns, in blocks for the caches, over all cores.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::{COLUMNS, Gather, LARGEST_TILE, PackedRows, depth_block};
use crate::epilogue::{Epilogue, load_until, store_until};
use crate::scratch;
use crate::shared::Shared;
use crate::simd::{LINE, Simd, TileOut, prefetch};

/// Most columns of a tile.
const LARGEST_COLUMNS: usize = 48;

/// Where a product is written: row `m`, column `(b, y, x)` at channel `m` of image `b`, at `(y, x) * step + origin`.
#[derive(Clone, Copy)]
pub(crate) struct Sink<'a> {
    pub out: Shared<'a>,
    /// Values from image to image.
    pub image: usize,
    /// Height and width of the image.
    pub size: [usize; 2],
    pub step: [usize; 2],
    pub origin: [usize; 2],
}

/// `sink = epilogue(packed * gather(source))`, group by group.
pub(crate) struct Product<'a> {
    pub layout: PackedRows,
    pub groups: usize,
    /// The packed rows of all groups.
    pub packed: &'a [f32],
    pub gather: &'a Gather,
    pub source: &'a [f32],
    pub sink: Sink<'a>,
    pub epilogue: Epilogue<'a>,
}

/// One task: a range of panels of columns by a range of panels of rows of a group.
struct Part {
    group: usize,
    columns: [usize; 2],
    panels: [usize; 2],
}

/// Runs a product over the threads of the pool. How it is cut depends on the number of threads, the order in which an
/// element is summed up does not.
pub(crate) fn multiply<S: Simd>(product: &Product<'_>, batch: usize) {
    let columns = (batch * product.gather.pixels()).div_ceil(S::TILE_COLUMNS);
    let threads = rayon::current_num_threads();
    let most = (COLUMNS / S::TILE_COLUMNS).max(1);
    let cuts = columns
        .div_ceil(most)
        .next_multiple_of(threads)
        .min(columns);
    let panels = product.layout.panels();
    let rows = (2 * threads)
        .div_ceil(cuts * product.groups)
        .min(panels.div_ceil(4));
    let range = |i: usize, parts: usize, of: usize| [i * of / parts, (i + 1) * of / parts];
    (0..product.groups * cuts * rows)
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            let part = Part {
                group: task / (cuts * rows),
                columns: range(task / rows % cuts, cuts, columns),
                panels: range(task % rows, rows, panels),
            };
            run_part::<S>(product, batch, &part);
        });
}

fn run_part<S: Simd>(product: &Product<'_>, batch: usize, part: &Part) {
    let depth = product.layout.depth;
    let block = depth_block(depth);
    let width = (part.columns[1] - part.columns[0]) * S::TILE_COLUMNS;
    scratch::with(block * width + width + 32, |buffer| {
        let (packed, line) = buffer.split_at_mut(block * width);
        for first in (0..depth).step_by(block) {
            let range = [first, (first + block).min(depth)];
            S::run(
                #[inline(always)]
                || {
                    pack_columns::<S>(product, batch, part, range, line, packed);
                    let ahead = Ahead::new::<S>(product, part, range, block);
                    multiply_block::<S>(product, batch, part, range, packed, ahead);
                },
            );
        }
    });
}

/// What is packed after this block, to be asked for while this one is multiplied: only where images are read as they lie,
/// since others take more arithmetic a value.
struct Ahead {
    data: *const f32,
    /// From row to row.
    stride: usize,
    /// Cache lines of a row, of all rows, and that were asked for.
    row: usize,
    lines: usize,
    asked: usize,
    /// Cache lines to ask for each time.
    each: usize,
}

impl Ahead {
    #[inline(always)]
    fn new<S: Simd>(product: &Product<'_>, part: &Part, range: [usize; 2], block: usize) -> Self {
        let (gather, all) = (product.gather, product.layout.depth);
        let columns = part.columns[1] - part.columns[0];
        let tiles = columns * (part.panels[1] - part.panels[0]);
        // Next come the rest of the depth, then the columns beside these.
        let (first, column) = if range[1] < all {
            (range[1], part.columns[0])
        } else {
            (0, part.columns[1])
        };
        let (image, pixel) = (
            column * S::TILE_COLUMNS / gather.pixels(),
            column * S::TILE_COLUMNS % gather.pixels(),
        );
        let len = (columns * S::TILE_COLUMNS).min(gather.pixels() - pixel);
        let flat = gather.is_one_row();
        let row = if flat { len.div_ceil(LINE) } else { 0 };
        let lines = row * block.min(all - first);
        let channel = part.group * all + first;
        let at = image * gather.image + channel * gather.pixels() + pixel;
        Self {
            data: product.source.as_ptr().wrapping_add(at),
            stride: gather.pixels(),
            row,
            lines,
            asked: 0,
            each: lines.div_ceil(tiles),
        }
    }

    #[inline(always)]
    fn ask(&mut self) {
        let end = self.lines.min(self.asked + self.each);
        while self.asked < end {
            let at = self.asked / self.row * self.stride + self.asked % self.row * LINE;
            prefetch(self.data.wrapping_add(at));
            self.asked += 1;
        }
    }
}

/// Gathers the columns of a part for the depth `range` into panels.
#[inline(always)]
fn pack_columns<S: Simd>(
    product: &Product<'_>,
    batch: usize,
    part: &Part,
    range: [usize; 2],
    line: &mut [f32],
    packed: &mut [f32],
) {
    let gather = product.gather;
    let depth = range[1] - range[0];
    let panels = part.columns[1] - part.columns[0];
    let first = part.columns[0] * S::TILE_COLUMNS;
    let len = (part.columns[1] * S::TILE_COLUMNS).min(batch * gather.pixels()) - first;
    let taps = gather.taps.len();
    let channels = product.layout.depth / taps;
    let base = part.group * channels * gather.size[0] * gather.size[1];
    assert!(line.len() >= panels * S::TILE_COLUMNS + S::LANES);
    assert!(packed.len() >= panels * S::TILE_COLUMNS * depth);
    if gather.is_one_row() && first / gather.pixels() == (first + len - 1) / gather.pixels() {
        let image = first / gather.pixels();
        let at = base + image * gather.image + range[0] * gather.pixels() + first % gather.pixels();
        let source = &product.source[at..][..(depth - 1) * gather.pixels() + len];
        for k in 0..depth {
            // SAFETY: `len` values of a row, as sliced; whole panels of `depth` rows.
            unsafe {
                let from = source.as_ptr().add(k * gather.pixels());
                let to = packed.as_mut_ptr().add(k * S::TILE_COLUMNS);
                let mut i = 0;
                while i < len {
                    let panel = i / S::TILE_COLUMNS * S::TILE_COLUMNS;
                    let value = load_until::<S>(from, i, len);
                    S::store(to.add(panel * depth + i - panel), value);
                    i += S::LANES;
                }
                while i < panels * S::TILE_COLUMNS {
                    let panel = i / S::TILE_COLUMNS * S::TILE_COLUMNS;
                    S::store(to.add(panel * depth + i - panel), S::splat(0.0));
                    i += S::LANES;
                }
            }
        }
        return;
    }
    for k in 0..depth {
        let row = [(range[0] + k) / taps, (range[0] + k) % taps];
        // SAFETY: `line` has a vector more than the panels, `packed` has `depth` rows of each panel.
        unsafe {
            gather.row::<S>(product.source, base, row, first, len, line.as_mut_ptr());
            for rest in &mut line[len..panels * S::TILE_COLUMNS] {
                *rest = 0.0;
            }
            for panel in 0..panels {
                let from = line.as_ptr().add(panel * S::TILE_COLUMNS);
                let to = packed
                    .as_mut_ptr()
                    .add((panel * depth + k) * S::TILE_COLUMNS);
                for j in (0..S::TILE_COLUMNS).step_by(S::LANES) {
                    S::store(to.add(j), S::load(from.add(j)));
                }
            }
        }
    }
}

/// Multiplies the packed columns of a block with the rows of the part.
#[inline(always)]
fn multiply_block<S: Simd>(
    product: &Product<'_>,
    batch: usize,
    part: &Part,
    range: [usize; 2],
    packed: &[f32],
    mut ahead: Ahead,
) {
    let layout = &product.layout;
    let depth = range[1] - range[0];
    let left = &product.packed[part.group * layout.len()..][..layout.len()];
    // A panel of rows stays in the first-level cache while the columns go by; tiles side by side are written in turn.
    let mut places = [Place::NONE; COLUMNS / 8];
    for (place, column) in places.iter_mut().zip(part.columns[0]..part.columns[1]) {
        *place = Place::of::<S>(product, batch, column);
    }
    for column in 0..part.columns[1] - part.columns[0] {
        let right = &packed[column * depth * S::TILE_COLUMNS..][..depth * S::TILE_COLUMNS];
        for panel in part.panels[0]..part.panels[1] {
            let at = layout.panel(range[0], depth, panel);
            let left = &left[at..at + depth * S::TILE_ROWS];
            ahead.ask();
            write_tile::<S>(
                product,
                part.group,
                panel,
                &places[column],
                range,
                left,
                right,
            );
        }
    }
}

/// Where the columns of a panel lie in channel 0 of the sink: runs of neighbours, one where a panel lies in one piece, and
/// of one value each where the sink has a step.
#[derive(Clone, Copy)]
struct Place {
    offsets: [usize; LARGEST_COLUMNS],
    lens: [u8; LARGEST_COLUMNS],
    runs: usize,
}

impl Place {
    const NONE: Self = Self {
        offsets: [0; LARGEST_COLUMNS],
        lens: [0; LARGEST_COLUMNS],
        runs: 0,
    };

    #[inline(always)]
    fn of<S: Simd>(product: &Product<'_>, batch: usize, panel: usize) -> Self {
        let (grid, pixels) = (product.gather.grid, product.gather.pixels());
        let sink = &product.sink;
        let first = panel * S::TILE_COLUMNS;
        let columns = S::TILE_COLUMNS.min(batch * pixels - first);
        let (mut b, pixel) = (first / pixels, first % pixels);
        let (mut y, mut x) = (pixel / grid[1], pixel % grid[1]);
        let mut place = Self::NONE;
        let mut next = usize::MAX;
        for _ in 0..columns {
            let row = y * sink.step[0] + sink.origin[0];
            let offset = b * sink.image + row * sink.size[1] + x * sink.step[1] + sink.origin[1];
            if offset != next || sink.step[1] > 1 {
                place.offsets[place.runs] = offset;
                place.runs += 1;
            }
            place.lens[place.runs - 1] += 1;
            next = offset + 1;
            x += 1;
            if x == grid[1] {
                x = 0;
                y += 1;
            }
            if y == grid[0] {
                y = 0;
                b += 1;
            }
        }
        place
    }

    #[inline(always)]
    fn is_whole<S: Simd>(&self) -> bool {
        usize::from(self.lens[0]) == S::TILE_COLUMNS
    }
}

#[inline(always)]
fn write_tile<S: Simd>(
    product: &Product<'_>,
    group: usize,
    panel: usize,
    place: &Place,
    range: [usize; 2],
    left: &[f32],
    right: &[f32],
) {
    let layout = &product.layout;
    let sink = &product.sink;
    let depth = range[1] - range[0];
    debug_assert!(left.len() >= depth * S::TILE_ROWS && right.len() >= depth * S::TILE_COLUMNS);
    let rows = S::TILE_ROWS.min(layout.rows - panel * S::TILE_ROWS);
    let channel = group * layout.rows + panel * S::TILE_ROWS;
    let plane = sink.size[0] * sink.size[1];
    let (begun, done) = (range[0] > 0, range[1] == layout.depth);
    let epilogue = (done && !product.epilogue.is_empty()).then_some(&product.epilogue);
    if place.is_whole::<S>() {
        let at = place.offsets[0] + channel * plane;
        // SAFETY: `rows` rows of a whole tile of the sink, which are this task's.
        unsafe {
            let data = sink.out.at(at, (rows - 1) * plane + S::TILE_COLUMNS);
            let out = TileOut {
                data,
                stride: plane,
                rows,
                accumulate: begun,
            };
            S::tile(depth, left.as_ptr(), right.as_ptr(), out);
            if let Some(epilogue) = epilogue {
                for i in 0..rows {
                    let run = data.add(i * plane);
                    epilogue.finish::<S>(run, S::TILE_COLUMNS, channel + i, at + i * plane);
                }
            }
        }
        return;
    }
    // Single values, as strided gradients of inputs are.
    let scattered = sink.step[1] > 1 && epilogue.is_none();
    let mut buffer = [0.0f32; LARGEST_TILE];
    // SAFETY: the buffer holds the largest tile; each run lies in the sink and is this task's.
    unsafe {
        let out = TileOut {
            data: buffer.as_mut_ptr(),
            stride: S::TILE_COLUMNS,
            rows,
            accumulate: false,
        };
        S::tile(depth, left.as_ptr(), right.as_ptr(), out);
        for i in 0..rows {
            let mut row = buffer.as_ptr().add(i * S::TILE_COLUMNS);
            if scattered {
                for run in 0..place.runs {
                    let to = sink.out.at(place.offsets[run] + (channel + i) * plane, 1);
                    *to = if begun {
                        *to + *row.add(run)
                    } else {
                        *row.add(run)
                    };
                }
                continue;
            }
            for run in 0..place.runs {
                let at = place.offsets[run] + (channel + i) * plane;
                let len = usize::from(place.lens[run]);
                let to = sink.out.at(at, len);
                land::<S>(row, len, begun, to);
                if let Some(epilogue) = epilogue {
                    epilogue.finish::<S>(to, len, channel + i, at);
                }
                row = row.add(len);
            }
        }
    }
}

/// Writes a run of sums, or adds it to what is there.
///
/// # Safety
/// `len` values are readable and writable.
#[inline(always)]
unsafe fn land<S: Simd>(from: *const f32, len: usize, add: bool, to: *mut f32) {
    let mut i = 0;
    while i < len {
        // SAFETY: up to `len`.
        unsafe {
            let mut value = load_until::<S>(from, i, len);
            if add {
                value = S::add(load_until::<S>(to, i, len), value);
            }
            store_until::<S>(to, i, len, value);
        }
        i += S::LANES;
    }
}
