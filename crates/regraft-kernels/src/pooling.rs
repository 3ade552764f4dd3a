//! Pooling over windows and over whole images, forward and backward, plane by plane.
#![allow(unsafe_code)]

use std::ops::{Deref, Range};

use rayon::prelude::*;

use crate::fresh::{self, Fresh};
use crate::isa::dispatch;
use crate::scratch;
use crate::simd::{Simd, every_other};
use crate::{Error, Isa};

/// What happens to windows that reach beyond the padded image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    /// There are none (`ceil_mode = 0`).
    #[default]
    Down,
    /// One that begins within the image or the padding before it counts (`ceil_mode = 1`).
    Up,
}

/// What an average is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Divisor {
    /// The pixels of the image in the window.
    Image,
    /// The pixels of the padded image in the window (`count_include_pad = 1`).
    PaddedImage,
}

/// A pooling in the terms of ONNX: NCHW tensors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolSpec {
    /// Images times channels.
    pub planes: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Vertical and horizontal distance between taps.
    pub dilation: [usize; 2],
    /// How the size of the output is rounded.
    pub rounding: Rounding,
}

/// A [`PoolSpec`] that makes sense, with the size of its output.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolShape {
    spec: PoolSpec,
    out: [usize; 2],
}

impl Deref for PoolShape {
    type Target = PoolSpec;

    fn deref(&self) -> &PoolSpec {
        &self.spec
    }
}

/// The index of a window that holds no pixel.
const NOWHERE: u32 = u32::MAX;

impl PoolShape {
    /// Checks a spec and works out the size of the output.
    ///
    /// # Errors
    /// Where a size is zero, a window does not fit the padded image, or a plane has more than 2^32 - 1 pixels.
    pub fn new(spec: PoolSpec) -> Result<Self, Error> {
        for (name, value) in [
            ("planes", spec.planes),
            ("in_height", spec.in_height),
            ("in_width", spec.in_width),
            ("kernel", spec.kernel[0].min(spec.kernel[1])),
            ("stride", spec.stride[0].min(spec.stride[1])),
            ("dilation", spec.dilation[0].min(spec.dilation[1])),
        ] {
            if value == 0 {
                return Err(Error::Zero { name });
            }
        }
        let out = [extent(&spec, 0)?, extent(&spec, 1)?];
        for [height, width] in [[spec.in_height, spec.in_width], out] {
            let pixels = height
                .checked_mul(width)
                .filter(|pixels| *pixels < NOWHERE as usize);
            let all = pixels.and_then(|pixels| pixels.checked_mul(spec.planes)?.checked_mul(8));
            all.filter(|bytes| *bytes <= isize::MAX as usize)
                .ok_or(Error::TooLarge)?;
        }
        Ok(Self { spec, out })
    }

    /// Rows of the output.
    #[must_use]
    pub fn out_height(&self) -> usize {
        self.out[0]
    }

    /// Columns of the output.
    #[must_use]
    pub fn out_width(&self) -> usize {
        self.out[1]
    }

    /// Elements of the input.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.planes * self.in_pixels()
    }

    /// Elements of the output.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.planes * self.out_pixels()
    }

    fn in_pixels(&self) -> usize {
        self.in_height * self.in_width
    }

    fn out_pixels(&self) -> usize {
        self.out[0] * self.out[1]
    }

    fn size(&self, axis: usize) -> usize {
        [self.in_height, self.in_width][axis]
    }

    /// Where a tap of an output lies in the image.
    #[inline(always)]
    fn place(&self, axis: usize, out: usize, tap: usize) -> Option<usize> {
        let padded = out * self.stride[axis] + tap * self.dilation[axis];
        padded
            .checked_sub(self.pads[axis])
            .filter(|at| *at < self.size(axis))
    }

    /// The outputs of an axis for which a tap lies in the image.
    fn reached(&self, axis: usize, tap: usize) -> Range<usize> {
        let (offset, pad) = (tap * self.dilation[axis], self.pads[axis]);
        let end = (self.size(axis) + pad)
            .saturating_sub(offset)
            .div_ceil(self.stride[axis]);
        let begin = pad
            .saturating_sub(offset)
            .div_ceil(self.stride[axis])
            .min(self.out[axis]);
        begin..end.clamp(begin, self.out[axis])
    }

    /// What an average is divided by along an axis, for each output.
    pub(crate) fn divisors(&self, axis: usize, divisor: Divisor) -> Vec<f32> {
        let padded = self.pads[axis] + self.size(axis) + self.pads[axis + 2];
        let counts = |out: usize, tap: &usize| match divisor {
            Divisor::Image => self.place(axis, out, *tap).is_some(),
            Divisor::PaddedImage => out * self.stride[axis] + tap * self.dilation[axis] < padded,
        };
        let count = |out: usize| {
            (0..self.kernel[axis])
                .filter(|tap| counts(out, tap))
                .count()
        };
        (0..self.out[axis])
            .map(|out| count(out).max(1) as f32)
            .collect()
    }
}

/// Size of the output along one axis.
fn extent(spec: &PoolSpec, axis: usize) -> Result<usize, Error> {
    let (name, size) = [("height", spec.in_height), ("width", spec.in_width)][axis];
    let padded = size
        .checked_add(spec.pads[axis])
        .and_then(|sum| sum.checked_add(spec.pads[axis + 2]))
        .filter(|sum| *sum <= isize::MAX as usize / 8)
        .ok_or(Error::TooLarge)?;
    let window = (spec.kernel[axis] - 1)
        .checked_mul(spec.dilation[axis])
        .and_then(|reach| reach.checked_add(1))
        .ok_or(Error::TooLarge)?;
    if window > padded {
        return Err(Error::Window {
            axis: name,
            window,
            size: padded,
        });
    }
    let stride = spec.stride[axis];
    Ok(match spec.rounding {
        Rounding::Down => (padded - window) / stride + 1,
        Rounding::Up => {
            let up = (padded - window).div_ceil(stride) + 1;
            let begins_behind = (up - 1) * stride >= size + spec.pads[axis];
            up - usize::from(begins_behind && up > 1)
        }
    })
}

/// The largest of each window; minus infinity for one of padding only. What is no number wins.
///
/// # Panics
/// Where a slice has not the length of its tensor.
pub fn max_pool(isa: Isa, shape: &PoolShape, input: &[f32], output: &mut [f32]) {
    check(shape, input, output.len());
    max_pool_into(isa, shape, input, fresh::over(output));
}

fn max_pool_into(isa: Isa, shape: &PoolShape, input: &[f32], output: &mut Fresh) {
    fold(
        isa,
        shape,
        input,
        output,
        f32::NEG_INFINITY,
        raise,
        |_, _| {},
    );
}

/// Folds the values of each window into one, from `start` on; `finish` gets each row of a plane's output and which it is.
fn fold(
    isa: Isa,
    shape: &PoolShape,
    input: &[f32],
    output: &mut Fresh,
    start: f32,
    fold: impl Fn(&mut [f32], &[f32]) + Sync,
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let under = columns_under(shape);
    let planes = output
        .par_chunks_exact_mut(shape.out_pixels())
        .zip(input.par_chunks_exact(shape.in_pixels()));
    planes.for_each(|(output, input)| {
        scratch::with(shape.in_width + shape.out[1], |buffer| {
            let (folded, line) = buffer.split_at_mut(shape.in_width);
            dispatch!(isa, S => S::run(
                #[inline(always)]
                || {
                    for (y, out) in output.chunks_exact_mut(shape.out[1]).enumerate() {
                        // Down first, then across: rows are folded once for all columns of the window.
                        folded.fill(start);
                        for row in rows_under(shape, y) {
                            fold(folded, &input[row * shape.in_width..][..shape.in_width]);
                        }
                        let out = fresh::filled(out, start);
                        for (reached, first) in &under {
                            let line = &mut line[..reached.len()];
                            let taps = strided::<S>(&folded[*first..], shape.stride[1], line);
                            fold(&mut out[reached.clone()], taps);
                        }
                        finish(y, out);
                    }
                },
            ));
        });
    });
}

/// [`max_pool`] into memory of its own.
///
/// # Panics
/// As there.
#[must_use]
pub fn max_pooled(isa: Isa, shape: &PoolShape, input: &[f32]) -> Vec<f32> {
    check(shape, input, shape.output_len());
    let write = |output: &mut Fresh| max_pool_into(isa, shape, input, output);
    // SAFETY: the planes cover the output, and their rows are filled before they are raised.
    unsafe { fresh::written(shape.output_len(), write) }
}

/// The larger of both; what is no number wins, so that a run that diverges shows it.
#[inline(always)]
fn raise(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = if (*from > *to) | from.is_nan() {
            *from
        } else {
            *to
        };
    }
}

fn check(shape: &PoolShape, input: &[f32], output: usize) {
    assert_eq!(
        input.len(),
        shape.input_len(),
        "length of the input of {shape:?}"
    );
    assert_eq!(
        output,
        shape.output_len(),
        "length of the output of {shape:?}"
    );
}

/// Where the largest of each window lies in its plane: the first of equals, or the last that is no number. `line` has room for
/// a row of the output.
#[inline(always)]
fn places<S: Simd>(
    shape: &PoolShape,
    under: &[(Range<usize>, usize)],
    input: &[f32],
    best: &mut [f32],
    places: &mut [u32],
    line: &mut [f32],
) {
    best.fill(f32::NEG_INFINITY);
    places.fill(NOWHERE);
    let (width, step) = (shape.out[1], shape.stride[1]);
    for y in 0..shape.out[0] {
        let (best, places) = (
            &mut best[y * width..][..width],
            &mut places[y * width..][..width],
        );
        for row in rows_under(shape, y) {
            for (reached, column) in under {
                let first = row * shape.in_width + column;
                let taps = strided::<S>(&input[first..], step, &mut line[..reached.len()]);
                let outs = best[reached.clone()].iter_mut();
                let outs = outs.zip(&mut places[reached.clone()]).zip(taps);
                for (i, ((best, place), &value)) in outs.enumerate() {
                    // Without branches, so that it is done in vectors.
                    let take = (value > *best) | value.is_nan() | (*place == NOWHERE);
                    let here = (first + i * step) as u32;
                    *best = if take { value } else { *best };
                    *place = if take { here } else { *place };
                }
            }
        }
    }
}

/// Every `step`-th value, as many as `line` has: where they lie, or in `line`.
#[inline(always)]
fn strided<'a, S: Simd>(from: &'a [f32], step: usize, line: &'a mut [f32]) -> &'a [f32] {
    match step {
        1 => &from[..line.len()],
        2 => {
            every_other::<S>(from, line);
            line
        }
        _ => {
            for (i, to) in line.iter_mut().enumerate() {
                *to = from[i * step];
            }
            line
        }
    }
}

/// Sends the gradient of each output to the largest of its window, which is found again: the first of equals.
///
/// # Panics
/// Where a slice has not the length of its tensor.
pub fn max_pool_backward(
    isa: Isa,
    shape: &PoolShape,
    input: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    check(shape, input_gradient, output_gradient.len());
    let out = fresh::over(input_gradient);
    max_pool_backward_into(isa, shape, input, output_gradient, out);
}

fn max_pool_backward_into(
    isa: Isa,
    shape: &PoolShape,
    input: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut Fresh,
) {
    check(shape, input, output_gradient.len());
    let pixels = shape.out_pixels();
    let under = columns_under(shape);
    let planes = input_gradient
        .par_chunks_exact_mut(shape.in_pixels())
        .zip(input.par_chunks_exact(shape.in_pixels()))
        .zip(output_gradient.par_chunks_exact(pixels));
    planes.for_each_init(
        || vec![NOWHERE; pixels],
        |found, ((out, input), gradient)| {
            scratch::with(pixels + shape.out[1], |buffer| {
                let (best, line) = buffer.split_at_mut(pixels);
                dispatch!(isa, S => S::run(
                    #[inline(always)]
                    || places::<S>(shape, &under, input, best, found, line),
                ));
            });
            let out = fresh::filled(out, 0.0);
            for (value, place) in gradient.iter().zip(found.iter()) {
                if *place != NOWHERE {
                    out[*place as usize] += value;
                }
            }
        },
    );
}

/// [`max_pool_backward`] into memory of its own.
///
/// # Panics
/// As there.
#[must_use]
pub fn max_pooled_gradient(
    isa: Isa,
    shape: &PoolShape,
    input: &[f32],
    output_gradient: &[f32],
) -> Vec<f32> {
    let write = |out: &mut Fresh| max_pool_backward_into(isa, shape, input, output_gradient, out);
    // SAFETY: the planes cover the output, and each is filled before it is added to.
    unsafe { fresh::written(shape.input_len(), write) }
}

/// The average of each window.
///
/// # Panics
/// Where a slice has not the length of its tensor.
pub fn average_pool(
    isa: Isa,
    shape: &PoolShape,
    divisor: Divisor,
    input: &[f32],
    output: &mut [f32],
) {
    check(shape, input, output.len());
    average_pool_into(isa, shape, divisor, input, fresh::over(output));
}

fn average_pool_into(
    isa: Isa,
    shape: &PoolShape,
    divisor: Divisor,
    input: &[f32],
    output: &mut Fresh,
) {
    let (rows, columns) = (shape.divisors(0, divisor), shape.divisors(1, divisor));
    fold(
        isa,
        shape,
        input,
        output,
        0.0,
        add,
        #[inline(always)]
        |y, out| {
            for (sum, column) in out.iter_mut().zip(&columns) {
                *sum /= rows[y] * column;
            }
        },
    );
}

/// [`average_pool`] into memory of its own.
///
/// # Panics
/// As there.
#[must_use]
pub fn average_pooled(isa: Isa, shape: &PoolShape, divisor: Divisor, input: &[f32]) -> Vec<f32> {
    check(shape, input, shape.output_len());
    let write = |output: &mut Fresh| average_pool_into(isa, shape, divisor, input, output);
    // SAFETY: the planes cover the output, and their rows are filled before they are added to.
    unsafe { fresh::written(shape.output_len(), write) }
}

/// Spreads the gradient of each average over its window.
///
/// # Panics
/// Where a slice has not the length of its tensor.
pub fn average_pool_backward(
    isa: Isa,
    shape: &PoolShape,
    divisor: Divisor,
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    check(shape, input_gradient, output_gradient.len());
    let out = fresh::over(input_gradient);
    average_pool_backward_into(isa, shape, divisor, output_gradient, out);
}

fn average_pool_backward_into(
    isa: Isa,
    shape: &PoolShape,
    divisor: Divisor,
    output_gradient: &[f32],
    input_gradient: &mut Fresh,
) {
    let (rows, columns) = (shape.divisors(0, divisor), shape.divisors(1, divisor));
    let under = columns_under(shape);
    let gradients = output_gradient.par_chunks_exact(shape.out_pixels());
    let planes = input_gradient
        .par_chunks_exact_mut(shape.in_pixels())
        .zip(gradients);
    planes.for_each(|(out, gradient)| {
        scratch::with(shape.in_width + shape.out[1], |buffer| {
            let (spread, shares) = buffer.split_at_mut(shape.in_width);
            dispatch!(isa, S => S::run(
                #[inline(always)]
                || {
                    let out = fresh::filled(out, 0.0);
                    for (y, gradient) in gradient.chunks_exact(shape.out[1]).enumerate() {
                        let values = gradient.iter().zip(&columns);
                        for (share, (value, column)) in shares.iter_mut().zip(values) {
                            *share = value / (rows[y] * column);
                        }
                        spread.fill(0.0);
                        for (reached, first) in &under {
                            let shares = &shares[reached.clone()];
                            scatter(&mut spread[*first..], shape.stride[1], shares);
                        }
                        for row in rows_under(shape, y) {
                            add(&mut out[row * shape.in_width..][..shape.in_width], spread);
                        }
                    }
                },
            ));
        });
    });
}

/// [`average_pool_backward`] into memory of its own.
///
/// # Panics
/// As there.
#[must_use]
pub fn average_pooled_gradient(
    isa: Isa,
    shape: &PoolShape,
    divisor: Divisor,
    output_gradient: &[f32],
) -> Vec<f32> {
    assert_eq!(
        output_gradient.len(),
        shape.output_len(),
        "length of the gradient of {shape:?}"
    );
    let write =
        |out: &mut Fresh| average_pool_backward_into(isa, shape, divisor, output_gradient, out);
    // SAFETY: the planes cover it, and each is filled before it is added to.
    unsafe { fresh::written(shape.input_len(), write) }
}

/// The rows of the image under the window of an output's row.
#[inline(always)]
fn rows_under(shape: &PoolShape, y: usize) -> impl Iterator<Item = usize> {
    (0..shape.kernel[0]).filter_map(move |tap| shape.place(0, y, tap))
}

/// For each tap of a row of the window that meets the image: the columns of the output for which it does, and where it lies
/// for the first of them.
fn columns_under(shape: &PoolShape) -> Vec<(Range<usize>, usize)> {
    let column = |tap: usize| {
        let reached = shape.reached(1, tap);
        let padded = reached.start * shape.stride[1] + tap * shape.dilation[1];
        (!reached.is_empty()).then(|| (reached, padded - shape.pads[1]))
    };
    (0..shape.kernel[1]).filter_map(column).collect()
}

#[inline(always)]
fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += *from;
    }
}

/// Adds to every `step`-th value.
#[inline(always)]
fn scatter(to: &mut [f32], step: usize, from: &[f32]) {
    if step == 1 {
        add(to, from);
        return;
    }
    for (i, from) in from.iter().enumerate() {
        to[i * step] += *from;
    }
}

/// The average of each plane, one value a plane.
///
/// # Panics
/// Where the input is not `output.len()` planes of the same size.
pub fn global_average_pool(isa: Isa, input: &[f32], output: &mut [f32]) {
    let pixels = pixels_of(input.len(), output.len());
    output
        .par_iter_mut()
        .zip(input.par_chunks_exact(pixels))
        .with_min_len(16)
        .for_each(|(out, plane)| {
            *out = dispatch!(isa, S => S::run(
                #[inline(always)]
                || (crate::sum::sum(plane) / pixels as f64) as f32,
            ));
        });
}

/// Spreads the gradient of each average over its plane.
///
/// # Panics
/// Where the input's gradient is not `output_gradient.len()` planes of the same size.
pub fn global_average_pool_backward(output_gradient: &[f32], input_gradient: &mut [f32]) {
    let pixels = pixels_of(input_gradient.len(), output_gradient.len());
    let planes = input_gradient
        .par_chunks_exact_mut(pixels)
        .zip(output_gradient)
        .with_min_len(16);
    planes.for_each(|(plane, value)| plane.fill(value / pixels as f32));
}

fn pixels_of(len: usize, planes: usize) -> usize {
    assert!(
        planes > 0 && len > 0 && len.is_multiple_of(planes),
        "{len} values are not {planes} planes"
    );
    len / planes
}
