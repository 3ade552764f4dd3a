//! Convolution as one product of the weights with columns gathered from the image, forward and for the input's gradient.

use crate::epilogue::Epilogue;
use crate::fresh::{self, Fresh};
use crate::gemm::{Gather, PackedRows, Product, Sink, multiply};
use crate::shape::Conv2dShape;
use crate::shared::Shared;
use crate::simd::Simd;

/// What a forward pass reads of its input.
pub(crate) fn forward_gather(shape: &Conv2dShape) -> Gather {
    let [height, width] = shape.kernel;
    let tap = |y: usize, x: usize| {
        let at = |tap: usize, axis: usize| {
            (tap * shape.dilation[axis]).cast_signed() - shape.pads[axis].cast_signed()
        };
        [at(y, 0), at(x, 1)]
    };
    let gather = Gather {
        image: shape.in_channels * shape.in_pixels(),
        size: [shape.in_height, shape.in_width],
        grid: [shape.out_height(), shape.out_width()],
        step: shape.stride,
        taps: (0..height * width)
            .map(|i| tap(i / width, i % width))
            .collect(),
    };
    gather.flattened()
}

/// The packed weights of a forward pass, group by group.
pub(crate) fn forward_layout<S: Simd>(shape: &Conv2dShape) -> PackedRows {
    PackedRows::new::<S>(shape.group_outputs(), shape.group_inputs() * shape.taps())
}

pub(crate) fn pack_forward<S: Simd>(shape: &Conv2dShape, weight: &[f32], packed: &mut [f32]) {
    forward_layout::<S>(shape).pack_rows::<S>(shape.groups, weight, packed);
}

/// `output = epilogue(conv(input))` with weights from [`pack_forward`].
pub(crate) fn forward<S: Simd>(
    shape: &Conv2dShape,
    packed: &[f32],
    input: &[f32],
    epilogue: &Epilogue<'_>,
    output: &mut Fresh,
) {
    let size = [shape.out_height(), shape.out_width()];
    let product = Product {
        layout: forward_layout::<S>(shape),
        groups: shape.groups,
        packed,
        gather: &forward_gather(shape),
        source: input,
        sink: Sink {
            out: Shared::of(output),
            image: shape.out_channels * shape.out_pixels(),
            size,
            step: [1, 1],
            origin: [0, 0],
        },
        epilogue: *epilogue,
    };
    multiply::<S>(&product, shape.batch);
}

/// The inputs that lie at one remainder of the stride: their gradient is a convolution of stride 1 with some of the taps.
struct Phase {
    gather: Gather,
    origin: [usize; 2],
    /// Indices into the kernel.
    taps: Vec<usize>,
}

fn phases(shape: &Conv2dShape) -> Vec<Phase> {
    let [height, width] = [shape.in_height, shape.in_width];
    let mut phases = Vec::new();
    for y in 0..shape.stride[0].min(height) {
        for x in 0..shape.stride[1].min(width) {
            let (rows, columns) = (axis_taps(shape, 0, y), axis_taps(shape, 1, x));
            let pairs = || {
                rows.iter()
                    .flat_map(|row| columns.iter().map(move |column| (row, column)))
            };
            let gather = Gather {
                image: shape.out_channels * shape.out_pixels(),
                size: [shape.out_height(), shape.out_width()],
                grid: [
                    (height - y).div_ceil(shape.stride[0]),
                    (width - x).div_ceil(shape.stride[1]),
                ],
                step: [1, 1],
                taps: pairs().map(|(row, column)| [row.1, column.1]).collect(),
            };
            phases.push(Phase {
                gather: if shape.stride == [1, 1] {
                    gather.flattened()
                } else {
                    gather
                },
                origin: [y, x],
                taps: pairs()
                    .map(|(row, column)| row.0 * shape.kernel[1] + column.0)
                    .collect(),
            });
        }
    }
    phases
}

/// The taps of an axis that reach an input at remainder `origin` of the stride, each with its offset in the output.
fn axis_taps(shape: &Conv2dShape, axis: usize, origin: usize) -> Vec<(usize, isize)> {
    let stride = shape.stride[axis].cast_signed();
    let reach = |tap: usize| {
        let from =
            (origin + shape.pads[axis]).cast_signed() - (tap * shape.dilation[axis]).cast_signed();
        (from % stride == 0).then(|| (tap, from / stride))
    };
    (0..shape.kernel[axis]).filter_map(reach).collect()
}

fn phase_layout<S: Simd>(shape: &Conv2dShape, phase: &Phase) -> PackedRows {
    PackedRows::new::<S>(
        shape.group_inputs(),
        shape.group_outputs() * phase.taps.len(),
    )
}

/// Values of the packed weights of a backward pass.
pub(crate) fn backward_len<S: Simd>(shape: &Conv2dShape) -> usize {
    let len = |phase: &Phase| shape.groups * phase_layout::<S>(shape, phase).len();
    phases(shape).iter().map(len).sum()
}

pub(crate) fn pack_backward<S: Simd>(shape: &Conv2dShape, weight: &[f32], mut packed: &mut [f32]) {
    assert_eq!(weight.len(), shape.weight_len());
    let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
    for phase in phases(shape).iter().filter(|phase| !phase.taps.is_empty()) {
        let layout = phase_layout::<S>(shape, phase);
        let (now, rest) = packed.split_at_mut(shape.groups * layout.len());
        let starts: Vec<usize> = (0..outputs)
            .flat_map(|output| {
                phase
                    .taps
                    .iter()
                    .map(move |tap| output * inputs * taps + tap)
            })
            .collect();
        let steps = [outputs * inputs * taps, taps];
        layout.pack_columns(shape.groups, weight, steps, &starts, now);
        packed = rest;
    }
}

/// The gradient of the input with weights from [`pack_backward`].
pub(crate) fn backward_input<S: Simd>(
    shape: &Conv2dShape,
    mut packed: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut Fresh,
) {
    let phases = phases(shape);
    if phases.iter().any(|phase| phase.taps.is_empty()) {
        fresh::filled(input_gradient, 0.0);
    }
    for phase in phases.iter().filter(|phase| !phase.taps.is_empty()) {
        let layout = phase_layout::<S>(shape, phase);
        let (now, rest) = packed.split_at(shape.groups * layout.len());
        let product = Product {
            layout,
            groups: shape.groups,
            packed: now,
            gather: &phase.gather,
            source: output_gradient,
            sink: Sink {
                out: Shared::of(input_gradient),
                image: shape.in_channels * shape.in_pixels(),
                size: [shape.in_height, shape.in_width],
                step: shape.stride,
                origin: phase.origin,
            },
            epilogue: Epilogue::default(),
        };
        multiply::<S>(&product, shape.batch);
        packed = rest;
    }
}
