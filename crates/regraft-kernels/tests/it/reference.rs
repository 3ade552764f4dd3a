//! Naive kernels in f64 to compare with, and the problems they are compared on.

use proptest::prelude::*;
use regraft_kernels::{Activation, Conv2dShape, Conv2dSpec};

/// A fixed stream of values in -1..1.
pub fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1 << 23) as f32) - 1.0
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Shapes with all that is odd: strides larger than kernels, pads larger than kernels, one pixel, one channel, groups.
pub fn shapes() -> impl Strategy<Value = Conv2dShape> {
    let pair = |range: std::ops::RangeInclusive<usize>| [range.clone(), range];
    let pads = [0usize..=3, 0..=3, 0..=3, 0..=3];
    let channels = [1usize..=9, 1..=9];
    (
        1usize..=3,
        pair(1..=14),
        channels,
        pair(1..=4),
        (pair(1..=4), pads, pair(1..=3), 1usize..=3),
    )
        .prop_filter_map(
            "the window fits",
            |(batch, size, channels, kernel, (stride, pads, dilation, groups))| {
                let spec = Conv2dSpec {
                    batch,
                    in_channels: channels[0] * groups,
                    in_height: size[0],
                    in_width: size[1],
                    out_channels: channels[1] * groups,
                    kernel,
                    stride,
                    pads,
                    dilation,
                    groups,
                };
                Conv2dShape::new(spec).ok()
            },
        )
}

/// Shapes for Winograd: 3x3 without stride, with sizes around those of tiles.
pub fn three_by_three() -> impl Strategy<Value = Conv2dShape> {
    let channels = [1usize..=20, 1..=20];
    (
        1usize..=3,
        [1usize..=20, 1..=40],
        channels,
        [0usize..=4, 0..=4, 0..=4, 0..=4],
    )
        .prop_filter_map("the window fits", |(batch, size, channels, pads)| {
            let spec = Conv2dSpec {
                pads,
                ..Conv2dSpec::square(batch, channels, size, 3)
            };
            Conv2dShape::new(spec).ok()
        })
}

/// Shapes of one input channel a group.
pub fn depthwise() -> impl Strategy<Value = Conv2dShape> {
    (shapes(), 1usize..=5, 1usize..=3, [1usize..=14, 1..=70]).prop_filter_map(
        "the window fits",
        |(shape, groups, outputs, size)| {
            let spec = Conv2dSpec {
                in_channels: groups,
                out_channels: groups * outputs,
                in_height: size[0],
                in_width: size[1],
                groups,
                ..(*shape).clone()
            };
            Conv2dShape::new(spec).ok()
        },
    )
}

/// Calls `f(input, weight, output)` with the index of each product of a convolution.
pub fn each_product(shape: &Conv2dShape, mut f: impl FnMut(usize, usize, usize)) {
    let (inputs, outputs) = (
        shape.in_channels / shape.groups,
        shape.out_channels / shape.groups,
    );
    let [height, width] = [shape.out_height(), shape.out_width()];
    for b in 0..shape.batch {
        for o in 0..shape.out_channels {
            for y in 0..height {
                for x in 0..width {
                    let output = ((b * shape.out_channels + o) * height + y) * width + x;
                    for i in 0..inputs {
                        let channel = o / outputs * inputs + i;
                        for ky in 0..shape.kernel[0] {
                            for kx in 0..shape.kernel[1] {
                                let row = (y * shape.stride[0] + ky * shape.dilation[0])
                                    .wrapping_sub(shape.pads[0]);
                                let column = (x * shape.stride[1] + kx * shape.dilation[1])
                                    .wrapping_sub(shape.pads[1]);
                                if row < shape.in_height && column < shape.in_width {
                                    let plane = b * shape.in_channels + channel;
                                    let input =
                                        (plane * shape.in_height + row) * shape.in_width + column;
                                    let weight = ((o * inputs + i) * shape.kernel[0] + ky)
                                        * shape.kernel[1]
                                        + kx;
                                    f(input, weight, output);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn forward(shape: &Conv2dShape, input: &[f32], weight: &[f32]) -> Vec<f64> {
    let mut out = vec![0.0; shape.output_len()];
    each_product(shape, |i, w, o| {
        out[o] += f64::from(input[i]) * f64::from(weight[w])
    });
    out
}

pub fn backward_input(shape: &Conv2dShape, gradient: &[f32], weight: &[f32]) -> Vec<f64> {
    let mut out = vec![0.0; shape.input_len()];
    each_product(shape, |i, w, o| {
        out[i] += f64::from(gradient[o]) * f64::from(weight[w])
    });
    out
}

pub fn backward_weight(shape: &Conv2dShape, input: &[f32], gradient: &[f32]) -> Vec<f64> {
    let mut out = vec![0.0; shape.weight_len()];
    each_product(shape, |i, w, o| {
        out[w] += f64::from(gradient[o]) * f64::from(input[i])
    });
    out
}

pub fn activate(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// The largest difference, as a share of the largest value expected (at least 1).
pub fn difference(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected
        .iter()
        .fold(1.0f64, |scale, value| scale.max(value.abs()));
    let off = |(found, expected): (&f32, &f64)| {
        let off = (f64::from(*found) - expected).abs() / scale;
        if off.is_nan() { f64::INFINITY } else { off }
    };
    found.iter().zip(expected).map(off).fold(0.0, f64::max)
}
