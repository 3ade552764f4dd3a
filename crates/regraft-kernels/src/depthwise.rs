//! Convolution in which each output channel sees one input channel: too little depth for a matrix product.
//!
//! Each plane is copied into a padded buffer whose rows are split by the remainder of the horizontal stride, so that all
//! taps of neighbouring outputs are contiguous whatever the stride.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::fresh::{self, Fresh};
use crate::scratch;
use crate::shape::Conv2dShape;
use crate::simd::{Simd, every_other};

/// One plane slid over by one kernel.
struct Plane {
    from: [usize; 2],
    to: [usize; 2],
    stride: [usize; 2],
    /// Zeros before the first row and column; negative where these are cut off.
    pad: [isize; 2],
    /// Rows of the buffer.
    rows: usize,
    /// Width of one remainder of a row of the buffer.
    width: usize,
    /// Where each tap of output (0, 0) lies in the buffer.
    taps: Vec<usize>,
    /// Taps of a row of the kernel.
    row_taps: usize,
}

impl Plane {
    fn new<S: Simd>(shape: &Conv2dShape) -> Self {
        let from = [shape.in_height, shape.in_width];
        let to = [shape.out_height(), shape.out_width()];
        let pad = [shape.pads[0].cast_signed(), shape.pads[1].cast_signed()];
        Self::of::<S>(shape, from, to, shape.stride, pad)
    }

    /// From outputs to inputs, for stride 1 and the kernel turned around.
    fn backward<S: Simd>(shape: &Conv2dShape) -> Self {
        let from = [shape.out_height(), shape.out_width()];
        let to = [shape.in_height, shape.in_width];
        let reach = |axis: usize| ((shape.kernel[axis] - 1) * shape.dilation[axis]).cast_signed();
        let pad = [
            reach(0) - shape.pads[0].cast_signed(),
            reach(1) - shape.pads[1].cast_signed(),
        ];
        Self::of::<S>(shape, from, to, [1, 1], pad)
    }

    fn of<S: Simd>(
        shape: &Conv2dShape,
        from: [usize; 2],
        to: [usize; 2],
        stride: [usize; 2],
        pad: [isize; 2],
    ) -> Self {
        let reach = |axis: usize| {
            (to[axis] - 1) * stride[axis] + (shape.kernel[axis] - 1) * shape.dilation[axis] + 1
        };
        let width = reach(1).div_ceil(stride[1]) + S::LANES;
        let tap = |i: usize| {
            let row = i / shape.kernel[1] * shape.dilation[0];
            let column = i % shape.kernel[1] * shape.dilation[1];
            (row * stride[1] + column % stride[1]) * width + column / stride[1]
        };
        let taps = (0..shape.taps()).map(tap).collect();
        Self {
            from,
            to,
            stride,
            pad,
            rows: reach(0),
            width,
            taps,
            row_taps: shape.kernel[1],
        }
    }

    /// Values of a row of the buffer.
    fn row(&self) -> usize {
        self.stride[1] * self.width
    }

    /// Values of the buffer, with a vector to read beyond the last row.
    fn len<S: Simd>(&self) -> usize {
        self.rows * self.row() + S::LANES
    }

    /// From an output to the one below in the buffer.
    fn down(&self) -> usize {
        self.stride[0] * self.row()
    }

    /// The row of the plane that row `row` of the buffer holds.
    #[inline(always)]
    fn source_row(&self, row: usize) -> Option<usize> {
        row.checked_add_signed(-self.pad[0])
            .filter(|y| *y < self.from[0])
    }

    #[inline(always)]
    fn fill<S: Simd>(&self, plane: &[f32], buffer: &mut [f32]) {
        buffer.fill(0.0);
        for row in 0..self.rows {
            let Some(y) = self.source_row(row) else {
                continue;
            };
            let line = &plane[y * self.from[1]..][..self.from[1]];
            let out = &mut buffer[row * self.row()..][..self.row()];
            for (phase, out) in out.chunks_exact_mut(self.width).enumerate() {
                let (first, at) = self.phase_start(phase);
                if first >= line.len() {
                    continue;
                }
                let (line, out) = (&line[first..], &mut out[at.min(self.width)..]);
                match self.stride[1] {
                    1 => {
                        let len = line.len().min(out.len());
                        out[..len].copy_from_slice(&line[..len]);
                    }
                    2 => every_other::<S>(line, out),
                    stride => out
                        .iter_mut()
                        .zip(line.iter().step_by(stride))
                        .for_each(|(to, from)| *to = *from),
                }
            }
        }
    }

    /// Adds nothing, moves back: the plane out of the buffer, zeros where no tap reaches.
    #[inline(always)]
    fn drain(&self, buffer: &[f32], plane: &mut Fresh) {
        let plane = fresh::filled(plane, 0.0);
        for row in 0..self.rows {
            let Some(y) = self.source_row(row) else {
                continue;
            };
            let line = &mut plane[y * self.from[1]..][..self.from[1]];
            let from = &buffer[row * self.row()..][..self.row()];
            for (phase, from) in from.chunks_exact(self.width).enumerate() {
                let (first, at) = self.phase_start(phase);
                if first < line.len() {
                    let to = line[first..].iter_mut().step_by(self.stride[1]);
                    to.zip(&from[at.min(self.width)..])
                        .for_each(|(to, from)| *to = *from);
                }
            }
        }
    }

    /// The first column of the plane that lies in a phase, and where it lies there.
    #[inline(always)]
    fn phase_start(&self, phase: usize) -> (usize, usize) {
        let stride = self.stride[1].cast_signed();
        let column = phase.cast_signed() - self.pad[1];
        let skipped = (-column).max(0).cast_unsigned().div_ceil(self.stride[1]);
        (
            (column + skipped.cast_signed() * stride).cast_unsigned(),
            skipped,
        )
    }

    /// One row of outputs: sums over the taps.
    ///
    /// # Safety
    /// `buffer` is of [`Self::len`], `out` of the row's values.
    #[inline(always)]
    unsafe fn slide<S: Simd>(&self, buffer: &[f32], y: usize, weight: &[f32], out: &mut Fresh) {
        debug_assert!(buffer.len() >= self.len::<S>() && out.len() == self.to[1]);
        let columns = out.len();
        let mut x = 0;
        // SAFETY: taps of existing outputs lie in the buffer, which has a vector more in each row.
        unsafe {
            let base = buffer.as_ptr().add(y * self.down());
            let to: *mut f32 = out.as_mut_ptr().cast();
            while x + 4 * S::LANES <= columns {
                let mut sums = [S::splat(0.0); 4];
                for (tap, weight) in self.taps.iter().zip(weight) {
                    let weight = S::splat(*weight);
                    for (i, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(weight, S::load(base.add(tap + x + i * S::LANES)), *sum);
                    }
                }
                for (i, sum) in sums.into_iter().enumerate() {
                    S::store(to.add(x + i * S::LANES), sum);
                }
                x += 4 * S::LANES;
            }
            while x < columns {
                let mut sum = S::splat(0.0);
                for (tap, weight) in self.taps.iter().zip(weight) {
                    sum = S::fma(S::splat(*weight), S::load(base.add(tap + x)), sum);
                }
                if x + S::LANES <= columns {
                    S::store(to.add(x), sum);
                } else {
                    let mut tail = [0.0f32; 16];
                    S::store(tail.as_mut_ptr(), sum);
                    fresh::copied(&mut out[x..], &tail[..columns - x]);
                }
                x += S::LANES;
            }
        }
    }
}

/// Whether a shape is of this kind.
pub(crate) fn fits(shape: &Conv2dShape) -> bool {
    shape.group_inputs() == 1
}

/// `output = epilogue(conv(input, weight))`.
pub(crate) fn forward<S: Simd>(
    shape: &Conv2dShape,
    weight: &[f32],
    input: &[f32],
    epilogue: &Epilogue<'_>,
    output: &mut Fresh,
) {
    let plane = Plane::new::<S>(shape);
    let (outputs, pixels, taps) = (shape.group_outputs(), shape.out_pixels(), shape.taps());
    output
        .par_chunks_exact_mut(outputs * pixels)
        .enumerate()
        .for_each(|(index, output)| {
            let group = index % shape.groups;
            let input = &input[index * shape.in_pixels()..][..shape.in_pixels()];
            scratch::with(plane.len::<S>(), |buffer| {
                S::run(
                    #[inline(always)]
                    || {
                        plane.fill::<S>(input, buffer);
                        for (i, output) in output.chunks_exact_mut(pixels).enumerate() {
                            let channel = group * outputs + i;
                            let weight = &weight[channel * taps..][..taps];
                            for (y, row) in output.chunks_exact_mut(plane.to[1]).enumerate() {
                                // SAFETY: the buffer is of the plane, the row one of its outputs.
                                unsafe { plane.slide::<S>(buffer, y, weight, row) };
                            }
                            if !epilogue.is_empty() {
                                let offset = (index * outputs + i) * pixels;
                                // SAFETY: the slice's own length.
                                unsafe {
                                    epilogue.finish::<S>(
                                        output.as_mut_ptr().cast(),
                                        pixels,
                                        channel,
                                        offset,
                                    )
                                };
                            }
                        }
                    },
                );
            });
        });
}

/// The gradient of the input.
pub(crate) fn backward_input<S: Simd>(
    shape: &Conv2dShape,
    weight: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut Fresh,
) {
    if shape.stride == [1, 1] && shape.group_outputs() == 1 {
        let turned: Vec<f32> = weight
            .chunks_exact(shape.taps())
            .flat_map(|tap| tap.iter().rev().copied())
            .collect();
        let plane = Plane::backward::<S>(shape);
        input_gradient
            .par_chunks_exact_mut(shape.in_pixels())
            .enumerate()
            .for_each(|(index, out)| {
                let weight = &turned[index % shape.groups * shape.taps()..][..shape.taps()];
                let from = &output_gradient[index * shape.out_pixels()..][..shape.out_pixels()];
                scratch::with(plane.len::<S>(), |buffer| {
                    S::run(
                        #[inline(always)]
                        || {
                            plane.fill::<S>(from, buffer);
                            for (y, row) in out.chunks_exact_mut(plane.to[1]).enumerate() {
                                // SAFETY: the buffer is of the plane, the row one of its outputs.
                                unsafe { plane.slide::<S>(buffer, y, weight, row) };
                            }
                        },
                    );
                });
            });
        return;
    }
    let plane = Plane::new::<S>(shape);
    let (outputs, pixels, taps) = (shape.group_outputs(), shape.out_pixels(), shape.taps());
    let width = plane.to[1].next_multiple_of(S::LANES);
    input_gradient
        .par_chunks_exact_mut(shape.in_pixels())
        .enumerate()
        .for_each(|(index, out)| {
            let group = index % shape.groups;
            let gradients = &output_gradient[index * outputs * pixels..][..outputs * pixels];
            scratch::with(plane.len::<S>() + width, |buffer| {
                let (buffer, line) = buffer.split_at_mut(plane.len::<S>());
                S::run(
                    #[inline(always)]
                    || {
                        buffer.fill(0.0);
                        line.fill(0.0);
                        for (i, gradient) in gradients.chunks_exact(pixels).enumerate() {
                            let weight = &weight[(group * outputs + i) * taps..][..taps];
                            for (y, row) in gradient.chunks_exact(plane.to[1]).enumerate() {
                                line[..row.len()].copy_from_slice(row);
                                for (tap, weight) in plane.taps.iter().zip(weight) {
                                    let to = &mut buffer[y * plane.down() + tap..][..width];
                                    to.iter_mut()
                                        .zip(line.iter())
                                        .for_each(|(to, from)| *to += weight * from);
                                }
                            }
                        }
                        plane.drain(buffer, out);
                    },
                );
            });
        });
}

/// The gradient of the weight: channels side by side, images one after the other.
pub(crate) fn backward_weight<S: Simd>(
    shape: &Conv2dShape,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut Fresh,
) {
    let plane = Plane::new::<S>(shape);
    let (outputs, pixels, taps) = (shape.group_outputs(), shape.out_pixels(), shape.taps());
    let width = plane.to[1].next_multiple_of(S::LANES);
    let padded = plane.to[0] * width;
    weight_gradient
        .par_chunks_exact_mut(outputs * taps)
        .enumerate()
        .for_each(|(group, out)| {
            let out = fresh::filled(out, 0.0);
            scratch::with(plane.len::<S>() + padded, |buffer| {
                let (buffer, lines) = buffer.split_at_mut(plane.len::<S>());
                lines.fill(0.0);
                for image in 0..shape.batch {
                    let index = image * shape.groups + group;
                    let input = &input[index * shape.in_pixels()..][..shape.in_pixels()];
                    let gradients =
                        &output_gradient[index * outputs * pixels..][..outputs * pixels];
                    S::run(
                        #[inline(always)]
                        || {
                            plane.fill::<S>(input, buffer);
                            for (gradient, out) in gradients
                                .chunks_exact(pixels)
                                .zip(out.chunks_exact_mut(taps))
                            {
                                for (row, line) in gradient
                                    .chunks_exact(plane.to[1])
                                    .zip(lines.chunks_exact_mut(width))
                                {
                                    line[..row.len()].copy_from_slice(row);
                                }
                                for (taps, out) in plane
                                    .taps
                                    .chunks(plane.row_taps)
                                    .zip(out.chunks_mut(plane.row_taps))
                                {
                                    for (taps, out) in taps.chunks(3).zip(out.chunks_mut(3)) {
                                        // SAFETY: taps of the plane, lines of its outputs.
                                        unsafe {
                                            match taps.len() {
                                                3 => correlate::<S, 3>(
                                                    &plane, buffer, lines, taps, out,
                                                ),
                                                2 => correlate::<S, 2>(
                                                    &plane, buffer, lines, taps, out,
                                                ),
                                                _ => correlate::<S, 1>(
                                                    &plane, buffer, lines, taps, out,
                                                ),
                                            }
                                        }
                                    }
                                }
                            }
                        },
                    );
                }
            });
        });
}

/// Adds to `out` the products of the gradient's rows, filled up with zeros to whole vectors, with the input under `N` taps.
///
/// # Safety
/// `buffer` is of [`Plane::len`], `lines` all rows of outputs.
#[inline(always)]
unsafe fn correlate<S: Simd, const N: usize>(
    plane: &Plane,
    buffer: &[f32],
    lines: &[f32],
    taps: &[usize],
    out: &mut [f32],
) {
    let width = lines.len() / plane.to[0];
    let mut sums = [S::splat(0.0); N];
    for (y, line) in lines.chunks_exact(width).enumerate() {
        // SAFETY: rows of the buffer have a vector more than the taps of existing outputs need.
        unsafe {
            let base = buffer.as_ptr().add(y * plane.down());
            for x in (0..width).step_by(S::LANES) {
                let gradient = S::load(line.as_ptr().add(x));
                for i in 0..N {
                    sums[i] = S::fma(gradient, S::load(base.add(taps[i] + x)), sums[i]);
                }
            }
        }
    }
    for i in 0..N {
        let mut lanes = [0.0f32; 16];
        // SAFETY: at most 16 lanes.
        unsafe { S::store(lanes.as_mut_ptr(), sums[i]) };
        out[i] += lanes.iter().sum::<f32>();
    }
}
