//! The left side of a product in panels: weights, or gradients of an output.
#![allow(unsafe_code)]

use rayon::prelude::*;

use super::depth_block;
use crate::shared::Shared;
use crate::simd::{NARROW, Simd};

/// The layout of matrices `[rows, depth]` in panels: blocks of the depth, in each the panels of
/// [`Simd::TILE_ROWS`] rows, in each panel one column after the other; rows are filled up with zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedRows {
    pub rows: usize,
    pub depth: usize,
    /// Rows of a panel.
    pub tile: usize,
}

impl PackedRows {
    pub fn new<S: Simd>(rows: usize, depth: usize) -> Self {
        Self {
            rows,
            depth,
            tile: S::TILE_ROWS,
        }
    }

    pub fn panels(&self) -> usize {
        self.rows.div_ceil(self.tile)
    }

    /// Values of one packed matrix.
    pub fn len(&self) -> usize {
        self.panels() * self.tile * self.depth
    }

    /// Where the panel lies whose block of the depth starts at `first` and has `depth` columns.
    #[inline(always)]
    pub fn panel(&self, first: usize, depth: usize, panel: usize) -> usize {
        (first * self.panels() + panel * depth) * self.tile
    }

    /// Packs `matrices` matrices whose element `(row, column)` is `from[matrix * step + starts[column] + row * stride]`.
    pub fn pack_columns(
        &self,
        matrices: usize,
        from: &[f32],
        [step, stride]: [usize; 2],
        starts: &[usize],
        out: &mut [f32],
    ) {
        assert_eq!(out.len(), matrices * self.len());
        assert_eq!(starts.len(), self.depth);
        let block = depth_block(self.depth);
        let (panels, tile) = (self.panels(), self.tile);
        let out = Shared::new(out);
        (0..matrices * panels)
            .into_par_iter()
            .with_min_len(4)
            .for_each(|task| {
                let (matrix, panel) = (task / panels, task % panels);
                let rows = tile.min(self.rows - panel * tile);
                let first_row = matrix * step + panel * tile * stride;
                for first in (0..self.depth).step_by(block) {
                    let depth = block.min(self.depth - first);
                    let at = matrix * self.len() + self.panel(first, depth, panel);
                    // SAFETY: a panel of a block belongs to one task.
                    let out = unsafe { out.slice(at, depth * tile) };
                    for (out, start) in out.chunks_exact_mut(tile).zip(&starts[first..]) {
                        let from = &from[first_row + start..][..(rows - 1) * stride + 1];
                        let (there, beyond) = out.split_at_mut(rows);
                        for (i, out) in there.iter_mut().enumerate() {
                            *out = from[i * stride];
                        }
                        beyond.fill(0.0);
                    }
                }
            });
    }
}

impl PackedRows {
    /// Packs matrices that lie row by row, as weights of a forward pass do.
    pub fn pack_rows<S: Simd>(&self, matrices: usize, from: &[f32], out: &mut [f32]) {
        assert_eq!(out.len(), matrices * self.len());
        assert_eq!(from.len(), matrices * self.rows * self.depth);
        debug_assert_eq!(self.tile, S::TILE_ROWS);
        let block = depth_block(self.depth);
        let (panels, tile) = (self.panels(), self.tile);
        let zeros = [0.0f32; super::DEPTH];
        let out = Shared::new(out);
        (0..matrices * panels)
            .into_par_iter()
            .with_min_len(4)
            .for_each(|task| {
                let (matrix, panel) = (task / panels, task % panels);
                for first in (0..self.depth).step_by(block) {
                    let depth = block.min(self.depth - first);
                    let at = matrix * self.len() + self.panel(first, depth, panel);
                    let mut rows = [zeros.as_ptr(); 16];
                    for (i, row) in rows[..tile.min(self.rows - panel * tile)]
                        .iter_mut()
                        .enumerate()
                    {
                        *row = from[(matrix * self.rows + panel * tile + i) * self.depth + first..]
                            [..depth]
                            .as_ptr();
                    }
                    // SAFETY: rows of `depth <= DEPTH` values; a panel of a block belongs to one task.
                    unsafe {
                        let out = out.at(at, depth * tile);
                        S::run(
                            #[inline(always)]
                            || pack_transposed::<S>(&rows[..tile], depth, tile, out),
                        );
                    }
                }
            });
    }
}

/// Writes `out[column * stride + row] = rows[row][column]` for `columns` columns, in blocks of 8 by 8.
///
/// # Safety
/// `columns` values of each row are readable, `columns * stride` of the output writable, and `stride` is at least the
/// rows and at least half of the rows rounded up to 8: blocks of 8 rows reach into the next column, which is written
/// after them, and the last column is written by itself.
#[allow(clippy::needless_range_loop)] // closures of `std` would not be compiled for the instruction set
#[inline(always)]
pub(crate) unsafe fn pack_transposed<S: Simd>(
    rows: &[*const f32],
    columns: usize,
    stride: usize,
    out: *mut f32,
) {
    debug_assert!(rows.len() <= stride && rows.len().next_multiple_of(NARROW) <= 2 * stride);
    let beyond = usize::from(!rows.len().is_multiple_of(NARROW));
    let whole = columns.saturating_sub(beyond) / NARROW * NARROW;
    for (block, rows) in rows.chunks(NARROW).enumerate().rev() {
        // Rows that don't exist repeat the first; what they write is written over by the next column.
        let mut from = [rows[0]; NARROW];
        from[..rows.len()].copy_from_slice(rows);
        // SAFETY: columns below `columns`, rows of the slice; the output as the caller promises.
        unsafe {
            let out = out.add(block * NARROW);
            let mut k = 0;
            while k < whole {
                let mut block = [S::Narrow::splat(0.0); NARROW];
                for i in 0..NARROW {
                    block[i] = S::Narrow::load(from[i].add(k));
                }
                let block = S::Narrow::transpose(block);
                for i in 0..NARROW {
                    S::Narrow::store(out.add((k + i) * stride), block[i]);
                }
                k += NARROW;
            }
            for k in whole..columns {
                for (i, row) in rows.iter().enumerate() {
                    *out.add(k * stride + i) = *row.add(k);
                }
            }
        }
    }
}
