//! Pooling for inference: a maximum that keeps no indices, and a mean by rows and then by columns.

use std::ops::Range;

use rayon::prelude::*;
use regraft_kernels::{Divisor, PoolShape, PoolSpec};

use super::CHUNK;

/// The larger; what is no number wins.
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

/// The largest of each window; minus infinity for a window of padding only.
pub(crate) fn max_pool(shape: &PoolShape, input: &[f32], output: &mut [f32]) {
    let (height, width) = (shape.out_height(), shape.out_width());
    let plane = shape.in_height * shape.in_width;
    output
        .par_chunks_mut(height * width)
        .zip(input.par_chunks(plane))
        .with_min_len(CHUNK.div_ceil(plane))
        .for_each(|(to, from)| {
            to.fill(f32::NEG_INFINITY);
            for (y, to) in to.chunks_exact_mut(width).enumerate() {
                for tap in 0..shape.kernel[0] {
                    let row = (y * shape.stride[0] + tap * shape.dilation[0])
                        .checked_sub(shape.pads[0])
                        .filter(|row| *row < shape.in_height);
                    if let Some(row) = row {
                        max_row(shape, &from[row * shape.in_width..][..shape.in_width], to);
                    }
                }
            }
        });
}

/// Most values of the sums of rows of a plane: they lie on the stack.
const SUMS: usize = 8192;

/// What a mean over windows needs besides the plane.
#[derive(Debug)]
pub(crate) struct Means {
    /// Outputs of one image: planes, rows and columns.
    out: [usize; 3],
    spec: PoolSpec,
    /// One over the pixels of each window, by rows and by columns.
    shares: [Vec<f32>; 2],
}

impl Means {
    /// `None` where a plane is too large for its sums.
    pub fn new(shape: &PoolShape, divisor: Divisor) -> Option<Self> {
        let out = [shape.planes, shape.out_height(), shape.out_width()];
        (out[1] * shape.in_width <= SUMS).then(|| Self {
            out,
            spec: PoolSpec::clone(shape),
            shares: [0, 1].map(|axis| shares(shape, divisor, axis, out[axis + 1])),
        })
    }

    /// The mean of each window.
    pub fn run(&self, input: &[f32], output: &mut [f32]) {
        let [_, height, width] = self.out;
        let (spec, [by_row, by_column]) = (&self.spec, &self.shares);
        let plane = spec.in_height * spec.in_width;
        output
            .par_chunks_mut(height * width)
            .zip(input.par_chunks(plane))
            .with_min_len(CHUNK.div_ceil(plane))
            .for_each_init(new_sums, |sums, (to, from)| {
                let sums = &mut sums[..height * spec.in_width];
                sums.fill(0.0);
                for tap in 0..spec.kernel[0] {
                    self.add_rows(tap, from, sums);
                }
                to.fill(0.0);
                let rows = to.chunks_exact_mut(width).zip(by_row);
                for ((to, share), sums) in rows.zip(sums.chunks_exact(spec.in_width)) {
                    for tap in 0..spec.kernel[1] {
                        let reached = reached(spec, 1, tap, width);
                        let at = reached.start * spec.stride[1] + tap * spec.dilation[1];
                        if reached.is_empty() {
                            continue;
                        }
                        add_every(spec.stride[1], &sums[at - spec.pads[1]..], &mut to[reached]);
                    }
                    for (to, other) in to.iter_mut().zip(by_column) {
                        *to *= share * other;
                    }
                }
            });
    }

    /// Adds to the sums of all rows what lies under a tap.
    fn add_rows(&self, tap: usize, from: &[f32], sums: &mut [f32]) {
        let (spec, width) = (&self.spec, self.spec.in_width);
        let reached = reached(spec, 0, tap, self.out[1]);
        if reached.is_empty() {
            return;
        }
        let at = reached.start * spec.stride[0] + tap * spec.dilation[0] - spec.pads[0];
        let sums = &mut sums[reached.start * width..reached.end * width];
        if spec.stride[0] == 1 {
            // The rows follow each other on both sides.
            add_every(1, &from[at * width..], sums);
            return;
        }
        let rows = from[at * width..].chunks(spec.stride[0] * width);
        for (to, from) in sums.chunks_exact_mut(width).zip(rows) {
            add_every(1, from, to);
        }
    }
}

/// On the stack of a task, for all its planes.
fn new_sums() -> [f32; SUMS] {
    [0.0; SUMS]
}

fn add_every(step: usize, from: &[f32], to: &mut [f32]) {
    if step == 1 {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    } else {
        for (to, from) in to.iter_mut().zip(from.iter().step_by(step)) {
            *to += from;
        }
    }
}

/// The outputs along an axis for which a tap lies in the image.
fn reached(spec: &PoolSpec, axis: usize, tap: usize, out: usize) -> Range<usize> {
    let size = [spec.in_height, spec.in_width][axis];
    let (offset, pad, stride) = (
        tap * spec.dilation[axis],
        spec.pads[axis],
        spec.stride[axis],
    );
    let begin = pad.saturating_sub(offset).div_ceil(stride).min(out);
    let end = (size + pad).saturating_sub(offset).div_ceil(stride);
    begin..end.clamp(begin, out)
}

/// One over the pixels that count along an axis, for each output.
fn shares(spec: &PoolSpec, divisor: Divisor, axis: usize, out: usize) -> Vec<f32> {
    let size = [spec.in_height, spec.in_width][axis];
    let image = spec.pads[axis]..spec.pads[axis] + size;
    let padded = 0..image.end + spec.pads[axis + 2];
    let counting = match divisor {
        Divisor::Image => image,
        Divisor::PaddedImage => padded,
    };
    let share = |out: usize| {
        let taps =
            (0..spec.kernel[axis]).map(|tap| out * spec.stride[axis] + tap * spec.dilation[axis]);
        1.0 / taps.filter(|at| counting.contains(at)).count().max(1) as f32
    };
    (0..out).map(share).collect()
}

/// Adds a row of the input to the windows of a row of the output.
fn max_row(shape: &PoolShape, from: &[f32], to: &mut [f32]) {
    let (stride, pad) = (shape.stride[1], shape.pads[1]);
    for tap in 0..shape.kernel[1] {
        let offset = tap * shape.dilation[1];
        // The first output for which the tap lies in the image, and where.
        let first = pad.saturating_sub(offset).div_ceil(stride);
        if first >= to.len() {
            continue;
        }
        let at = first * stride + offset - pad;
        let Some(from) = from.get(at..) else {
            continue;
        };
        match stride {
            1 => {
                for (to, from) in to[first..].iter_mut().zip(from) {
                    *to = larger(*to, *from);
                }
            }
            2 => {
                // A pair with its second value cut off is still a place for a tap.
                let (pairs, rest) = from.as_chunks::<2>();
                for (to, pair) in to[first..].iter_mut().zip(pairs) {
                    *to = larger(*to, pair[0]);
                }
                let behind = to.get_mut(first + pairs.len());
                if let (Some(to), [value]) = (behind, rest) {
                    *to = larger(*to, *value);
                }
            }
            _ => {
                for (to, from) in to[first..].iter_mut().zip(from.iter().step_by(stride)) {
                    *to = larger(*to, *from);
                }
            }
        }
    }
}

/// The largest of each plane.
pub(crate) fn global_max(input: &[f32], output: &mut [f32]) {
    let plane = input.len() / output.len();
    output
        .par_iter_mut()
        .zip(input.par_chunks(plane))
        .with_min_len(CHUNK.div_ceil(plane))
        .for_each(|(to, from)| *to = from.iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use regraft_kernels::Rounding;

    fn specs() -> Vec<PoolSpec> {
        let mut specs = Vec::new();
        for kernel in [[1, 1], [2, 3], [3, 3], [5, 4]] {
            for stride in [[1, 1], [2, 2], [1, 3], [3, 2]] {
                for pads in [[0; 4], [1, 0, 2, 1], [2, 3, 0, 0]] {
                    for dilation in [[1, 1], [2, 1]] {
                        for rounding in [Rounding::Down, Rounding::Up] {
                            specs.push(PoolSpec {
                                planes: 2,
                                in_height: 9,
                                in_width: 11,
                                kernel,
                                stride,
                                pads,
                                dilation,
                                rounding,
                            });
                        }
                    }
                }
            }
        }
        specs
    }

    /// Calls `window(values of the image, places in the padded image)` for each output of each plane.
    fn naive(shape: &PoolShape, input: &[f32], window: impl Fn(&[f32], usize) -> f32) -> Vec<f32> {
        let mut out = Vec::new();
        for plane in input.chunks(99) {
            for y in 0..shape.out_height() {
                for x in 0..shape.out_width() {
                    let (mut values, mut padded) = (Vec::new(), 0);
                    for i in 0..shape.kernel[0] {
                        for j in 0..shape.kernel[1] {
                            let row = y * shape.stride[0] + i * shape.dilation[0];
                            let column = x * shape.stride[1] + j * shape.dilation[1];
                            let [top, left, bottom, right] = shape.pads;
                            padded +=
                                usize::from(row < 9 + top + bottom && column < 11 + left + right);
                            if (top..9 + top).contains(&row) && (left..11 + left).contains(&column)
                            {
                                values.push(plane[(row - top) * 11 + column - left]);
                            }
                        }
                    }
                    out.push(window(&values, padded));
                }
            }
        }
        out
    }

    #[test]
    fn pooling_is_what_its_definition_says() {
        let input: Vec<f32> = (0..198).map(|i| (i * 71 % 97) as f32 - 50.0).collect();
        for spec in specs() {
            let shape = PoolShape::new(spec).unwrap();
            let mut output = vec![f32::NAN; shape.output_len()];
            max_pool(&shape, &input, &mut output);
            let largest =
                |values: &[f32], _| values.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            assert_eq!(output, naive(&shape, &input, largest), "{shape:?}");
            for divisor in [Divisor::Image, Divisor::PaddedImage] {
                Means::new(&shape, divisor)
                    .unwrap()
                    .run(&input, &mut output);
                let expected = naive(&shape, &input, |values, padded| {
                    let count = match divisor {
                        Divisor::Image => values.len(),
                        Divisor::PaddedImage => padded,
                    };
                    values.iter().sum::<f32>() / count.max(1) as f32
                });
                for (ours, exact) in output.iter().zip(&expected) {
                    assert!((ours - exact).abs() < 1e-4, "{shape:?}, {divisor:?}");
                }
            }
        }
    }
}
