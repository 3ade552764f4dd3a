//! Matrix products, by the `gemm` crate: linear layers and attention.
#![allow(unsafe_code)]

use gemm::Parallelism;
use rayon::prelude::*;

use super::CHUNK;
use super::function::apply;
use regraft_program::{Function, Linear};

/// A matrix in a slice.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// From row to row and from column to column.
    steps: [usize; 2],
}

impl<'a> Matrix<'a> {
    fn by_rows(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            steps: [columns, 1],
        }
    }

    fn by_columns(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            steps: [1, rows],
        }
    }

    fn fits(&self) -> bool {
        self.rows * self.columns == self.values.len()
    }
}

/// `output = left right`, or added to what is there.
fn multiply(
    left: Matrix<'_>,
    right: Matrix<'_>,
    add: bool,
    threads: Parallelism,
    output: &mut [f32],
) {
    assert!(
        left.fits() && right.fits() && left.columns == right.rows,
        "operands of a product"
    );
    assert_eq!(
        left.rows * right.columns,
        output.len(),
        "output of a product"
    );
    let step = |matrix: &Matrix<'_>, axis: usize| matrix.steps[axis].cast_signed();
    // SAFETY: the matrices fill their slices by rows or by columns, which was just checked; the output is a slice of
    // its own, by rows.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            output.as_mut_ptr(),
            1,
            right.columns.cast_signed(),
            add,
            left.values.as_ptr(),
            step(&left, 1),
            step(&left, 0),
            right.values.as_ptr(),
            step(&right, 1),
            step(&right, 0),
            1.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

fn all_threads() -> Parallelism {
    Parallelism::Rayon(rayon::current_num_threads())
}

/// `output = after(input W + b)`, row by row.
pub(crate) fn linear(layer: &Linear, weight: &[f32], input: &[f32], output: &mut [f32]) {
    let rows = input.len() / layer.inputs;
    if layer.transposed && rows <= FEW_ROWS {
        few_rows(layer, weight, input, output);
        finish(layer.after, output);
        return;
    }
    let left = Matrix::by_rows(input, rows, layer.inputs);
    let right = if layer.transposed {
        Matrix::by_columns(weight, layer.inputs, layer.outputs)
    } else {
        Matrix::by_rows(weight, layer.inputs, layer.outputs)
    };
    if let Some(bias) = &layer.bias {
        output
            .par_chunks_exact_mut(layer.outputs)
            .for_each(|row| row.copy_from_slice(bias));
    }
    multiply(left, right, layer.bias.is_some(), all_threads(), output);
    finish(layer.after, output);
}

/// Applies the function behind a layer.
pub(crate) fn finish(after: Option<Function>, output: &mut [f32]) {
    if let Some(after) = after {
        output
            .par_chunks_mut(CHUNK)
            .for_each(|chunk| apply(after, chunk));
    }
}

/// Rows for which every weight is read once and used at once: a general product packs them first, which for a large
/// classifier and a few images takes longer than all the arithmetic.
const FEW_ROWS: usize = 8;
/// Values side by side in a sum.
const LANES: usize = 8;
/// Outputs of a task.
const OUTPUTS: usize = 32;

/// A layer with weights `[outputs, inputs]` as sums along them, of four rows at a time: their sums stay in registers.
fn few_rows(layer: &Linear, weight: &[f32], input: &[f32], output: &mut [f32]) {
    let mut rows = output
        .chunks_mut(layer.outputs)
        .zip(input.chunks(layer.inputs));
    while rows.len() > 0 {
        match rows.len() {
            1 => block::<1>(layer, weight, &mut rows),
            2 => block::<2>(layer, weight, &mut rows),
            3 => block::<3>(layer, weight, &mut rows),
            _ => block::<4>(layer, weight, &mut rows),
        }
    }
}

/// Runs the next `R` rows, each its output and its input.
fn block<'a, const R: usize>(
    layer: &Linear,
    weight: &[f32],
    rows: &mut impl Iterator<Item = (&'a mut [f32], &'a [f32])>,
) {
    let mut from: [&[f32]; R] = [&[]; R];
    let to = std::array::from_fn(|i| {
        let (output, input) = rows.next().unwrap_or_default();
        from[i] = input;
        output
    });
    let part = Part {
        layer,
        weight,
        first: 0,
    };
    part.run(from, to);
}

/// The outputs of a layer from one on.
struct Part<'a> {
    layer: &'a Linear,
    weight: &'a [f32],
    first: usize,
}

impl Part<'_> {
    fn run<const R: usize>(&self, from: [&[f32]; R], mut to: [&mut [f32]; R]) {
        let count = to[0].len();
        if count > OUTPUTS {
            let half = count / 2;
            let mut behind: [&mut [f32]; R] = std::array::from_fn(|_| Default::default());
            let mut rest = behind.iter_mut();
            let before = to.map(|row| {
                let (before, behind) = row.split_at_mut(half);
                if let Some(rest) = rest.next() {
                    *rest = behind;
                }
                before
            });
            let next = Part {
                first: self.first + half,
                ..*self
            };
            rayon::join(|| self.run(from, before), || next.run(from, behind));
            return;
        }
        for at in 0..count {
            let output = self.first + at;
            let weights = &self.weight[output * self.layer.inputs..][..self.layer.inputs];
            let bias = self.layer.bias.as_ref().map_or(0.0, |bias| bias[output]);
            for (row, sum) in to.iter_mut().zip(sums(weights, from)) {
                row[at] = sum + bias;
            }
        }
    }
}

/// The product of one row of weights with each row of inputs.
fn sums<const R: usize>(weights: &[f32], rows: [&[f32]; R]) -> [f32; R] {
    let (weights, weight_tail) = weights.as_chunks::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    let mut sums = [[0f32; LANES]; R];
    for (at, weights) in weights.iter().enumerate() {
        for (sum, (row, _)) in sums.iter_mut().zip(&rows) {
            let values = &row[at];
            for lane in 0..LANES {
                sum[lane] += weights[lane] * values[lane];
            }
        }
    }
    std::array::from_fn(|row| {
        let tail = weight_tail.iter().zip(rows[row].1).map(|(a, b)| a * b);
        sums[row].iter().sum::<f32>() + tail.sum::<f32>()
    })
}

/// Products of pairs of matrices `[rows, depth]` and `[depth, columns]`.
pub(crate) fn matrices(
    [rows, depth, columns]: [usize; 3],
    left: &[f32],
    right: &[f32],
    output: &mut [f32],
) {
    let pairs = left
        .par_chunks_exact(rows * depth)
        .zip(right.par_chunks_exact(depth * columns));
    output
        .par_chunks_exact_mut(rows * columns)
        .zip(pairs)
        .for_each(|(output, (left, right))| {
            let left = Matrix::by_rows(left, rows, depth);
            let right = Matrix::by_rows(right, depth, columns);
            multiply(left, right, false, Parallelism::None, output);
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_and_many_give_the_same() {
        let (inputs, outputs) = (37, 71);
        let values = |count: usize, step: usize| -> Vec<f32> {
            (0..count)
                .map(|i| (i * step % 41) as f32 / 20.0 - 1.0)
                .collect()
        };
        let weight = values(inputs * outputs, 17);
        let layer = Linear {
            inputs,
            outputs,
            weight: weight.clone().into(),
            transposed: true,
            bias: Some(values(outputs, 5)),
            residual: false,
            after: None,
        };
        for rows in [1, 2, 3, 4, 5, 8, 9] {
            let input = values(rows * inputs, 23);
            let mut output = vec![f32::NAN; rows * outputs];
            linear(&layer, &weight, &input, &mut output);
            for (at, value) in output.iter().enumerate() {
                let (row, column) = (at / outputs, at % outputs);
                let exact: f64 = (0..inputs)
                    .map(|i| {
                        f64::from(input[row * inputs + i]) * f64::from(weight[column * inputs + i])
                    })
                    .sum();
                let exact = exact + f64::from((column * 5 % 41) as f32 / 20.0 - 1.0);
                assert!(
                    (f64::from(*value) - exact).abs() < 1e-4,
                    "{rows} rows at {at}"
                );
            }
        }
    }
}
