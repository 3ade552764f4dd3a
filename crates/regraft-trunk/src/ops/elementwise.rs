//! Work element by element: functions, scales, and two operands with broadcasting.

use rayon::prelude::*;
use regraft_onnx::op::Binary;

use super::CHUNK;
use super::function::apply;
use regraft_program::Function;
use regraft_program::{Extents, MAX_RANK};

/// `output = function(input)`; without an input, of what is in the output.
pub(crate) fn function(function: Function, input: Option<&[f32]>, output: &mut [f32]) {
    in_chunks(input, output, |_, chunk| apply(function, chunk));
}

/// A scale and an offset along an axis.
pub(crate) struct Channels<'a> {
    pub factor: &'a [f32],
    pub offset: &'a [f32],
    /// Values of a channel of an image.
    pub inner: usize,
}

/// `output = after(factor input + offset)`; without an input, of what is in the output.
pub(crate) fn scale(
    channels: &Channels<'_>,
    after: Option<Function>,
    input: Option<&[f32]>,
    output: &mut [f32],
) {
    let Channels {
        factor,
        offset,
        inner,
    } = *channels;
    in_chunks(input, output, |first, chunk| {
        let mut at = 0;
        while at < chunk.len() {
            let (place, values) = (first + at, &mut chunk[at..]);
            let channel = place / inner % factor.len();
            at += if inner == 1 {
                each_its_own(&factor[channel..], &offset[channel..], values)
            } else {
                let run = values.len().min(inner - place % inner);
                all_the_same(factor[channel], offset[channel], &mut values[..run])
            };
        }
        finish(after, chunk);
    });
}

/// Scales as many values as there are channels left; returns how many.
fn each_its_own(factor: &[f32], offset: &[f32], values: &mut [f32]) -> usize {
    let run = factor.len().min(values.len());
    for (value, (factor, offset)) in values.iter_mut().zip(factor.iter().zip(offset)) {
        *value = *value * factor + offset;
    }
    run
}

/// Scales values of one channel; returns how many.
fn all_the_same(factor: f32, offset: f32, values: &mut [f32]) -> usize {
    for value in &mut *values {
        *value = *value * factor + offset;
    }
    values.len()
}

/// An operand of a binary operation with its extents, aligned to the right of the output's.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub values: &'a [f32],
    pub extents: Extents,
}

/// `output = after(left operator right)`; without a left operand, of what is in the output.
pub(crate) fn binary(
    operator: Binary,
    left: Option<Operand<'_>>,
    right: Operand<'_>,
    after: Option<Function>,
    extents: Extents,
    output: &mut [f32],
) {
    let whole = left.filter(|left| left.values.len() == output.len());
    if let (Some(left), None) = (left, whole) {
        spread(left, extents, output);
    }
    let left = whole.map(|left| left.values);
    let walk = Walk::new(right.extents, extents);
    if walk.rank <= 1 {
        // One run: value by value, or one number for all.
        let step = walk.strides[0];
        in_chunks(left, output, |first, chunk| {
            combine(operator, chunk, &right.values[first * step..], step);
            finish(after, chunk);
        });
        return;
    }
    let inner = walk.extents[walk.rank - 1];
    let step = walk.strides[walk.rank - 1];
    output
        .par_chunks_mut(inner)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(inner))
        .for_each(|(row, run)| {
            if let Some(left) = left {
                run.copy_from_slice(&left[row * inner..][..inner]);
            }
            combine(operator, run, &right.values[walk.offset(row)..], step);
            finish(after, run);
        });
}

/// Repeats extents of 1 until the output is full.
pub(crate) fn spread(from: Operand<'_>, extents: Extents, output: &mut [f32]) {
    let walk = Walk::new(from.extents, extents);
    let inner = walk.extents[walk.rank - 1];
    let step = walk.strides[walk.rank - 1];
    output
        .par_chunks_mut(inner)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(inner))
        .for_each(|(row, run)| {
            let values = &from.values[walk.offset(row)..];
            match step {
                0 => run.fill(values[0]),
                _ => run.copy_from_slice(&values[..run.len()]),
            }
        });
}

/// How an operand is walked while the output goes by in order: neighbouring axes that go on alike are one.
struct Walk {
    extents: [usize; MAX_RANK],
    /// Of the operand; 0 where it repeats.
    strides: [usize; MAX_RANK],
    rank: usize,
}

impl Walk {
    fn new(operand: Extents, output: Extents) -> Self {
        let operand = operand.aligned(output.len());
        let own = operand.strides();
        let mut walk = Self {
            extents: [1; MAX_RANK],
            strides: [0; MAX_RANK],
            rank: 0,
        };
        for axis in 0..output.len() {
            if output[axis] == 1 {
                continue;
            }
            let stride = if operand[axis] == 1 { 0 } else { own[axis] };
            let joins = walk.rank > 0 && walk.strides[walk.rank - 1] == stride * output[axis];
            if joins {
                walk.extents[walk.rank - 1] *= output[axis];
                walk.strides[walk.rank - 1] = stride;
            } else {
                walk.extents[walk.rank] = output[axis];
                walk.strides[walk.rank] = stride;
                walk.rank += 1;
            }
        }
        walk.rank = walk.rank.max(1);
        walk
    }

    /// Where the operand of an output row lies; a row is the last axis.
    fn offset(&self, mut row: usize) -> usize {
        let mut offset = 0;
        for axis in (0..self.rank - 1).rev() {
            offset += row % self.extents[axis] * self.strides[axis];
            row /= self.extents[axis];
        }
        offset
    }
}

/// `values = values operator right`, where `right` goes on by `step`, 0 or 1.
fn combine(operator: Binary, values: &mut [f32], right: &[f32], step: usize) {
    match operator {
        Binary::Add => zip(values, right, step, |a, b| a + b),
        Binary::Sub => zip(values, right, step, |a, b| a - b),
        Binary::Mul => zip(values, right, step, |a, b| a * b),
        Binary::Div => zip(values, right, step, |a, b| a / b),
        Binary::Pow => zip(values, right, step, f32::powf),
        Binary::Max => zip(
            values,
            right,
            step,
            |a, b| if a > b || a.is_nan() { a } else { b },
        ),
        Binary::Min => zip(
            values,
            right,
            step,
            |a, b| if a < b || a.is_nan() { a } else { b },
        ),
    }
}

fn zip(values: &mut [f32], right: &[f32], step: usize, operator: impl Fn(f32, f32) -> f32) {
    if step == 0 {
        let right = right[0];
        for value in values {
            *value = operator(*value, right);
        }
    } else {
        for (value, right) in values.iter_mut().zip(right) {
            *value = operator(*value, *right);
        }
    }
}

fn finish(after: Option<Function>, values: &mut [f32]) {
    if let Some(after) = after {
        apply(after, values);
    }
}

/// Runs `job(first, values)` over the output in chunks, each filled from the input first where there is one.
fn in_chunks(
    input: Option<&[f32]>,
    output: &mut [f32],
    job: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    output
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(index, chunk)| {
            let first = index * CHUNK;
            if let Some(input) = input {
                chunk.copy_from_slice(&input[first..first + chunk.len()]);
            }
            job(first, chunk);
        });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn values(extents: &Extents, factor: usize) -> Vec<f32> {
        (0..extents.count())
            .map(|i| (i * factor % 89) as f32 - 44.0)
            .collect()
    }

    /// The value that index `at` of the output sees of a tensor that spreads over it.
    fn seen(tensor: &[f32], extents: &Extents, output: &Extents, mut at: usize) -> f32 {
        let own = extents.aligned(output.len());
        let strides = own.strides();
        let mut offset = 0;
        for axis in (0..output.len()).rev() {
            offset += (at % output[axis]).min(own[axis] - 1) * strides[axis];
            at /= output[axis];
        }
        tensor[offset]
    }

    #[test]
    fn operands_spread_from_the_right() {
        let output = Extents::new(&[2, 5, 3, 7]).unwrap();
        let shapes: [&[usize]; 8] = [
            &[2, 5, 3, 7],
            &[1],
            &[7],
            &[5, 1, 1],
            &[2, 1, 1, 1],
            &[2, 5, 1, 1],
            &[3, 1],
            &[2, 1, 3, 7],
        ];
        for left in shapes {
            for right in shapes {
                let (l, r) = (Extents::new(left).unwrap(), Extents::new(right).unwrap());
                let (a, b) = (values(&l, 31), values(&r, 17));
                let operand = |values, extents| Operand { values, extents };
                let mut ours = vec![f32::NAN; output.count()];
                let (a_in, b_in) = (operand(&a[..], l), operand(&b[..], r));
                binary(Binary::Sub, Some(a_in), b_in, None, output, &mut ours);
                for (at, value) in ours.iter().enumerate() {
                    let exact = seen(&a, &l, &output, at) - seen(&b, &r, &output, at);
                    assert_eq!(*value, exact, "{left:?} - {right:?} at {at}");
                }
            }
        }
    }

    #[test]
    fn channels_go_on_over_images_and_chunks() {
        let (factor, offset) = ([2.0, 3.0, 5.0], [0.0, 1.0, -1.0]);
        let inner = CHUNK / 2 + 7;
        let channels = Channels {
            factor: &factor,
            offset: &offset,
            inner,
        };
        let mut output = vec![1.0; 2 * 3 * inner];
        scale(&channels, None, None, &mut output);
        for (i, value) in output.iter().enumerate() {
            let channel = i / inner % 3;
            assert_eq!(*value, factor[channel] + offset[channel]);
        }
    }
}
