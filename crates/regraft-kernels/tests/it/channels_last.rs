//! Kernels on channels that lie together against the naive reference, for all instruction sets.

use proptest::prelude::*;
use regraft_kernels::{
    Activation, Algorithm, ChannelsLastConv, ChannelsLastPool, Columns, Conv2d, Conv2dShape,
    Conv2dSpec, Divisor, Epilogue, Isa, PoolShape, Precision, channels_to_first, channels_to_last,
};

use crate::pooling::shapes as pools;
use crate::reference::{self, depthwise, difference, shapes, three_by_three, values};

const CLOSE: f64 = 2e-5;

fn to_last(channels: usize, values: &[f32], images: usize) -> Vec<f32> {
    turned(channels_to_last, channels, values, images)
}

fn to_first(channels: usize, values: &[f32], images: usize) -> Vec<f32> {
    turned(channels_to_first, channels, values, images)
}

fn turned(
    turn: fn(usize, usize, &[f32], &mut [f32]),
    channels: usize,
    values: &[f32],
    images: usize,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; values.len()];
    turn(
        channels,
        values.len() / (channels * images),
        values,
        &mut out,
    );
    out
}

/// What lies beside the columns that are written.
const BESIDE: f32 = 77.0;

/// Runs a convolution into the middle columns of wider rows, in all ways, and compares.
fn check(shape: &Conv2dShape, with: [bool; 2], activation: Activation) {
    let input = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let bias = values(shape.out_channels, 3);
    let residual = values(shape.output_len(), 4);
    let pixels = shape.out_height() * shape.out_width();
    let mut expected = reference::forward(shape, &input, &weight);
    for (i, value) in expected.iter_mut().enumerate() {
        if with[0] {
            *value += f64::from(bias[i / pixels % shape.out_channels]);
        }
        if with[1] {
            *value += f64::from(residual[i]);
        }
        *value = reference::activate(*value, activation);
    }
    let input = to_last(shape.in_channels, &input, shape.batch);
    let residual = to_last(shape.out_channels, &residual, shape.batch);
    let epilogue = Epilogue {
        bias: with[0].then_some(&bias),
        residual: with[1].then_some(&residual),
        activation,
    };
    for isa in Isa::available() {
        for algorithm in [Algorithm::Product, Algorithm::Winograd4] {
            if !algorithm.fits(shape) {
                continue;
            }
            let conv = Conv2d::new((**shape).clone()).unwrap().with_isa(isa);
            let conv = ChannelsLastConv::new(&conv.with_algorithm(algorithm), &weight);
            for beside in [[0, 0], [3, 2]] {
                let pitch = beside[0] + shape.out_channels + beside[1];
                let mut rows = vec![BESIDE; shape.batch * pixels * pitch];
                let columns = Columns {
                    values: &mut rows,
                    pitch,
                    first: beside[0],
                };
                conv.forward(shape.batch, &input, &epilogue, columns)
                    .unwrap();
                let mut out = Vec::with_capacity(expected.len());
                for row in rows.chunks(pitch) {
                    let (before, rest) = row.split_at(beside[0]);
                    let (written, behind) = rest.split_at(shape.out_channels);
                    assert!(
                        before.iter().chain(behind).all(|value| *value == BESIDE),
                        "{conv:?} writes beside its columns"
                    );
                    out.extend_from_slice(written);
                }
                let out = to_first(shape.out_channels, &out, shape.batch);
                let off = difference(&out, &expected);
                assert!(
                    off < CLOSE,
                    "{off:e} off: {isa:?}, {algorithm:?}, {shape:?}"
                );
            }
        }
    }
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::Silu,
    Activation::HardSwish,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn convolutions_agree_with_the_reference(
        shape in prop_oneof![shapes(), three_by_three(), depthwise()],
        with in any::<[bool; 2]>(), which in 0usize..5) {
        check(&shape, with, ACTIVATIONS[which]);
    }

    #[test]
    fn pooling_agrees_with_channels_first(shape in pools(), images in 1usize..=3) {
        let image = shape.input_len();
        let all = PoolShape::new(regraft_kernels::PoolSpec {
            planes: shape.planes * images,
            ..(*shape).clone()
        }).unwrap();
        let input = values(image * images, 5);
        let rows = to_last(shape.planes, &input, images);
        let mut largest = vec![f32::NAN; all.output_len()];
        regraft_kernels::max_pool(Isa::Portable, &all, &input, &mut largest);
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; all.output_len()];
            ChannelsLastPool::largest(isa, shape.clone()).run(&rows, Columns::all(&mut out, shape.planes));
            prop_assert_eq!(&to_first(shape.planes, &out, images), &largest);
            for divisor in [Divisor::Image, Divisor::PaddedImage] {
                let mut mean = vec![f32::NAN; all.output_len()];
                regraft_kernels::average_pool(Isa::Portable, &all, divisor, &input, &mut mean);
                let mut out = vec![f32::NAN; all.output_len()];
                ChannelsLastPool::mean(isa, shape.clone(), divisor)
                    .run(&rows, Columns::all(&mut out, shape.planes));
                let out = to_first(shape.planes, &out, images);
                for (ours, other) in out.iter().zip(&mean) {
                    prop_assert!((ours - other).abs() < 1e-5, "{} and {}", ours, other);
                }
            }
        }
    }

    #[test]
    fn channels_go_last_and_come_back(images in 1usize..4, channels in 1usize..70, pixels in 1usize..200) {
        let input = values(images * channels * pixels, 6);
        let last = to_last(channels, &input, images);
        for (i, value) in last.iter().enumerate() {
            let (image, pixel, channel) = (i / (channels * pixels), i / channels % pixels, i % channels);
            prop_assert_eq!(*value, input[(image * channels + channel) * pixels + pixel]);
        }
        prop_assert_eq!(to_first(channels, &last, images), input);
    }
}

/// The nearest bf16.
fn rounded(values: &[f32]) -> Vec<f32> {
    let nearest = |value: &f32| {
        let bits = value.to_bits();
        f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    };
    values.iter().map(nearest).collect()
}

#[test]
fn bf16_is_the_convolution_of_rounded_values() {
    let spec = Conv2dSpec::square;
    for spec in [
        spec(2, [17, 5], [7, 6], 1),
        spec(1, [40, 70], [9, 8], 3),
        spec(2, [33, 20], [9, 9], 3).stride(2),
        spec(3, [300, 90], [5, 5], 1),
        spec(1, [3, 8], [9, 9], 3),
    ] {
        let shape = Conv2dShape::new(spec).unwrap();
        let (input, weight) = (values(shape.input_len(), 1), values(shape.weight_len(), 2));
        // Three channels are too few: those stay in f32.
        let few = shape.in_channels < 8;
        let expected = match few {
            true => reference::forward(&shape, &input, &weight),
            false => reference::forward(&shape, &rounded(&input), &rounded(&weight)),
        };
        let input = to_last(shape.in_channels, &input, shape.batch);
        for isa in [Isa::detect(), Isa::Portable] {
            let conv = Conv2d::new((*shape).clone()).unwrap().with_isa(isa);
            let conv = conv.with_algorithm(Algorithm::Product);
            let conv = ChannelsLastConv::in_precision(&conv, &weight, Precision::Bf16);
            let mut out = vec![f32::NAN; shape.output_len()];
            let columns = Columns::all(&mut out, shape.out_channels);
            conv.forward(shape.batch, &input, &Epilogue::default(), columns)
                .unwrap();
            let off = difference(&to_first(shape.out_channels, &out, shape.batch), &expected);
            assert!(off < CLOSE, "{off:e} off: {isa:?}, {shape:?}");
        }
    }
}

#[test]
fn shapes_larger_than_a_block_agree_with_the_reference() {
    let spec = Conv2dSpec::square;
    let large = [
        spec(2, [70, 50], [30, 23], 3),
        spec(2, [3, 70], [45, 40], 7).stride(2),
        spec(1, [300, 210], [9, 9], 1),
        spec(1, [140, 100], [17, 17], 3).stride(2),
        spec(2, [24, 24], [20, 20], 3).groups(4),
        spec(2, [64, 64], [12, 12], 3).groups(2),
        spec(9, [150, 90], [7, 7], 3),
        spec(2, [70, 70], [33, 45], 5).groups(70).stride(2),
        spec(40, [300, 5], [1, 1], 1),
        spec(2, [17, 35], [70, 66], 3),
    ];
    for spec in large {
        let shape = Conv2dShape::new(spec).unwrap();
        check(&shape, [true, true], Activation::Relu);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let spec = Conv2dSpec::square;
    for spec in [
        spec(2, [70, 50], [30, 23], 3),
        spec(3, [3, 70], [45, 40], 7).stride(2),
        spec(2, [300, 210], [9, 9], 1),
        spec(2, [40, 40], [20, 20], 5).groups(40),
    ] {
        let conv = Conv2d::new(spec).unwrap();
        let shape = conv.shape();
        let (input, weight) = (values(shape.input_len(), 1), values(shape.weight_len(), 2));
        let prepared = ChannelsLastConv::new(&conv, &weight);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let mut out = vec![f32::NAN; shape.output_len()];
            let columns = Columns::all(&mut out, shape.out_channels);
            pool.build().unwrap().install(|| {
                prepared
                    .forward(shape.batch, &input, &Epilogue::default(), columns)
                    .unwrap();
            });
            out
        };
        let one = run(1);
        assert!(one == run(2) && one == run(5), "{shape:?}");
    }
}

#[test]
fn the_largest_of_a_window_with_no_number_is_none() {
    let shape = PoolShape::new(regraft_kernels::PoolSpec {
        planes: 40,
        in_height: 1,
        in_width: 3,
        kernel: [1, 3],
        stride: [1; 2],
        pads: [0; 4],
        dilation: [1; 2],
        rounding: regraft_kernels::Rounding::Down,
    })
    .unwrap();
    for isa in Isa::available() {
        for place in 0..3 {
            let mut rows = values(120, 1);
            rows[place * 40..(place + 1) * 40].fill(f32::NAN);
            let mut out = vec![0.0; 40];
            ChannelsLastPool::largest(isa, shape.clone()).run(&rows, Columns::all(&mut out, 40));
            assert!(out.iter().all(|value| value.is_nan()), "{isa:?} {place}");
        }
    }
}
