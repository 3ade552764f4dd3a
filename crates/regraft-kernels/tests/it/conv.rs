//! Convolution against the naive reference.

use proptest::prelude::*;
use regraft_kernels::{
    Activation, Algorithm, Conv2d, Conv2dShape, Conv2dSpec, Epilogue, Isa, PreparedConv,
};

use crate::reference::{self, depthwise, difference, shapes, three_by_three, values};

const CLOSE: f64 = 2e-5;

fn conv(shape: &Conv2dShape, isa: Isa) -> Conv2d {
    Conv2d::new((**shape).clone()).unwrap().with_isa(isa)
}

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Product,
    Algorithm::Depthwise,
    Algorithm::Winograd2,
    Algorithm::Winograd4,
];

/// A shape in all ways that compute it, for all instruction sets.
fn all_ways(shape: &Conv2dShape) -> Vec<Conv2d> {
    let fits = |algorithm: &Algorithm| algorithm.fits(shape);
    let ways = |isa| {
        let of = move |algorithm| conv(shape, isa).with_algorithm(algorithm);
        ALGORITHMS.into_iter().filter(fits).map(of)
    };
    Isa::available().into_iter().flat_map(ways).collect()
}

/// All passes of a shape against the reference, in all ways.
fn check(shape: &Conv2dShape) {
    let input = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let gradient = values(shape.output_len(), 3);
    let output = reference::forward(shape, &input, &weight);
    let input_gradient = reference::backward_input(shape, &gradient, &weight);
    let weight_gradient = reference::backward_weight(shape, &input, &gradient);
    for conv in all_ways(shape) {
        let mut outs = [
            vec![f32::NAN; output.len()],
            vec![f32::NAN; input.len()],
            vec![f32::NAN; weight.len()],
        ];
        conv.forward(&input, &weight, &Epilogue::default(), &mut outs[0]);
        conv.backward_input(&gradient, &weight, &mut outs[1]);
        conv.backward_weight(&input, &gradient, &mut outs[2]);
        for (out, expected) in outs
            .iter()
            .zip([&output, &input_gradient, &weight_gradient])
        {
            let off = difference(out, expected);
            assert!(off < CLOSE, "{off:e} off in {conv:?}");
        }
        let prepared = PreparedConv::with_backward(&conv, &weight);
        let mut again = [vec![f32::NAN; output.len()], vec![f32::NAN; input.len()]];
        prepared
            .forward(shape.batch, &input, &Epilogue::default(), &mut again[0])
            .unwrap();
        prepared
            .backward_input(shape.batch, &gradient, &mut again[1])
            .unwrap();
        assert!(
            again[..] == outs[..2],
            "prepared weights give other bits in {conv:?}"
        );
    }
}

fn spec(batch: usize, channels: [usize; 2], size: [usize; 2], kernel: usize) -> Conv2dSpec {
    Conv2dSpec::square(batch, channels, size, kernel)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn three_by_three_agrees_with_the_reference(shape in three_by_three()) {
        check(&shape);
    }

    #[test]
    fn depthwise_agrees_with_the_reference(shape in depthwise()) {
        check(&shape);
    }

    #[test]
    fn all_passes_agree_with_the_reference(shape in shapes()) {
        check(&shape);
    }

    #[test]
    fn epilogues_agree_with_the_reference(
        shape in prop_oneof![shapes(), three_by_three(), depthwise()],
        with in any::<[bool; 2]>(), which in 0usize..5) {
        let activation =
            [Activation::None, Activation::Relu, Activation::Relu6, Activation::Silu, Activation::HardSwish][which];
        let input = values(shape.input_len(), 1);
        let weight = values(shape.weight_len(), 2);
        let bias = values(shape.out_channels, 3);
        let residual = values(shape.output_len(), 4);
        let pixels = shape.out_height() * shape.out_width();
        let mut expected = reference::forward(&shape, &input, &weight);
        for (i, value) in expected.iter_mut().enumerate() {
            if with[0] {
                *value += f64::from(bias[i / pixels % shape.out_channels]);
            }
            if with[1] {
                *value += f64::from(residual[i]);
            }
            *value = reference::activate(*value, activation);
        }
        let epilogue = Epilogue {
            bias: with[0].then_some(&bias),
            residual: with[1].then_some(&residual),
            activation,
        };
        for conv in all_ways(&shape) {
            let mut out = vec![f32::NAN; shape.output_len()];
            conv.forward(&input, &weight, &epilogue, &mut out);
            let off = difference(&out, &expected);
            prop_assert!(off < CLOSE, "{off:e} off in {conv:?}");
        }
    }
}

#[test]
fn shapes_larger_than_a_block_agree_with_the_reference() {
    let large = [
        spec(2, [70, 50], [30, 23], 3),
        spec(2, [3, 20], [45, 40], 7).stride(2),
        spec(1, [300, 210], [9, 9], 1),
        spec(1, [40, 40], [17, 17], 3).stride(2),
        spec(3, [24, 24], [20, 20], 3).groups(4),
        spec(5, [70, 70], [7, 7], 3),
        spec(2, [20, 200], [30, 61], 3),
        spec(1, [17, 5], [4, 530], 3),
        spec(2, [70, 70], [33, 45], 5).groups(70).stride(2),
        spec(2, [40, 80], [33, 45], 3).groups(40),
        spec(600, [3, 5], [1, 1], 1),
        // Weight gradients of several blocks an image, of shared rows and of shared columns, and of gathered images.
        spec(2, [20, 30], [25, 23], 1),
        spec(3, [7, 40], [17, 19], 1),
        spec(2, [40, 7], [37, 33], 1).stride(2),
        // Winograd in several chunks of tiles.
        spec(2, [17, 35], [70, 66], 3),
    ];
    for spec in large {
        check(&Conv2dShape::new(spec).unwrap());
    }
}

#[test]
fn the_bias_gradient_is_the_sum_over_images_and_pixels() {
    let shape = Conv2dShape::new(spec(3, [2, 5], [37, 41], 3)).unwrap();
    let gradient = values(shape.output_len(), 1);
    let mut expected = vec![0.0; 5];
    for (i, value) in gradient.iter().enumerate() {
        expected[i / (37 * 41) % 5] += f64::from(*value);
    }
    for isa in Isa::available() {
        let mut out = vec![f32::NAN; 5];
        conv(&shape, isa).backward_bias(&gradient, &mut out);
        assert!(difference(&out, &expected) < 1e-6);
    }
}

/// Central differences of a loss in f64, which know nothing of the analytic gradients.
#[test]
fn gradients_are_those_of_finite_differences() {
    let mut spec = spec(2, [4, 6], [7, 6], 3).groups(2).stride(2);
    spec.dilation = [1, 2];
    spec.pads = [1, 2, 0, 3];
    let shape = Conv2dShape::new(spec).unwrap();
    let input = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let gradient = values(shape.output_len(), 3);
    let loss = |input: &[f64], weight: &[f64]| {
        let mut sum = 0.0;
        reference::each_product(&shape, |i, w, o| {
            sum += input[i] * weight[w] * f64::from(gradient[o])
        });
        sum
    };
    let wide = |values: &[f32]| {
        values
            .iter()
            .map(|value| f64::from(*value))
            .collect::<Vec<_>>()
    };
    let (wide_input, wide_weight) = (wide(&input), wide(&weight));
    let slope = |at: &[f64], loss: &dyn Fn(&[f64]) -> f64| {
        let mut at = at.to_vec();
        let len = at.len();
        let one = |i: usize| {
            let middle = at[i];
            at[i] = middle + 1e-3;
            let above = loss(&at);
            at[i] = middle - 1e-3;
            let below = loss(&at);
            at[i] = middle;
            (above - below) / 2e-3
        };
        (0..len).map(one).collect::<Vec<_>>()
    };
    let by_input = slope(&wide_input, &|input| loss(input, &wide_weight));
    let by_weight = slope(&wide_weight, &|weight| loss(&wide_input, weight));
    for isa in Isa::available() {
        let mut out = vec![f32::NAN; shape.input_len()];
        conv(&shape, isa).backward_input(&gradient, &weight, &mut out);
        assert!(difference(&out, &by_input) < 1e-5);
        let mut out = vec![f32::NAN; shape.weight_len()];
        conv(&shape, isa).backward_weight(&input, &gradient, &mut out);
        assert!(difference(&out, &by_weight) < 1e-5);
    }
}

/// The bits of all passes of a convolution.
fn bits(conv: &Conv2d) -> Vec<Vec<u32>> {
    let shape = conv.shape();
    let input = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let gradient = values(shape.output_len(), 3);
    let bias = values(shape.out_channels, 4);
    let epilogue = Epilogue {
        bias: Some(&bias),
        residual: Some(&gradient),
        activation: Activation::Relu,
    };
    let mut outs = [
        vec![f32::NAN; shape.output_len()],
        vec![f32::NAN; shape.input_len()],
        vec![f32::NAN; shape.weight_len()],
        vec![f32::NAN; shape.out_channels],
    ];
    conv.forward(&input, &weight, &epilogue, &mut outs[0]);
    conv.backward_input(&gradient, &weight, &mut outs[1]);
    conv.backward_weight(&input, &gradient, &mut outs[2]);
    conv.backward_bias(&gradient, &mut outs[3]);
    let of = |out: &Vec<f32>| out.iter().map(|value| value.to_bits()).collect();
    outs.iter().map(of).collect()
}

#[test]
fn bits_are_the_same_from_run_to_run_and_for_any_number_of_threads() {
    let pools = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap()
    });
    let specs = [
        spec(4, [19, 33], [29, 31], 3),
        spec(2, [16, 16], [70, 66], 3),
        spec(1, [40, 70], [5, 5], 3),
        spec(3, [40, 50], [17, 17], 1),
        spec(9, [70, 20], [5, 7], 1),
        spec(9, [260, 20], [5, 7], 1),
        spec(3, [36, 40], [13, 11], 3),
        spec(2, [9, 40], [33, 31], 1).stride(2),
        spec(2, [3, 20], [45, 43], 7).stride(2),
        spec(2, [24, 24], [20, 20], 3).groups(6),
        spec(3, [24, 24], [20, 20], 3).groups(24),
        spec(2, [8, 16], [33, 35], 5).groups(8).stride(2),
    ];
    for spec in specs {
        for conv in all_ways(&Conv2dShape::new(spec).unwrap()) {
            let first = bits(&conv);
            for pool in &pools {
                for _ in 0..3 {
                    let again = pool.install(|| bits(&conv));
                    let threads = pool.current_num_threads();
                    assert!(again == first, "{threads} threads, {conv:?}");
                }
            }
        }
    }
}

/// Values whose distribution is close to a normal one of deviation 1.
fn normal(len: usize, seed: u64) -> Vec<f32> {
    let sum = |of: &[f32]| of.iter().sum::<f32>() / 2.0;
    values(12 * len, seed).chunks_exact(12).map(sum).collect()
}

/// The largest error as a share of the root mean square expected.
fn error(found: &[f32], expected: &[f64]) -> f64 {
    let square = expected.iter().map(|value| value * value).sum::<f64>();
    let scale = (square / expected.len() as f64).sqrt();
    let off = |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs() / scale;
    found.iter().zip(expected).map(off).fold(0.0, f64::max)
}

#[test]
fn the_rounding_of_winograd_stays_below_1e_4_at_the_depths_of_resnet() {
    let layers = [
        ([64, 64], 28),
        ([128, 128], 14),
        ([256, 64], 14),
        ([512, 64], 7),
        ([64, 512], 7),
    ];
    for (channels, size) in layers {
        let shape = Conv2dShape::new(spec(2, channels, [size; 2], 3)).unwrap();
        let kaiming = (2.0 / (9.0 * channels[0] as f32)).sqrt();
        let input = normal(shape.input_len(), 1);
        let weight: Vec<f32> = normal(shape.weight_len(), 2)
            .iter()
            .map(|value| value * kaiming)
            .collect();
        let gradient = normal(shape.output_len(), 3);
        let expected = [
            reference::forward(&shape, &input, &weight),
            reference::backward_input(&shape, &gradient, &weight),
            reference::backward_weight(&shape, &input, &gradient),
        ];
        for algorithm in [Algorithm::Winograd2, Algorithm::Winograd4] {
            let conv = conv(&shape, Isa::detect()).with_algorithm(algorithm);
            let mut outs = [
                vec![f32::NAN; shape.output_len()],
                vec![f32::NAN; shape.input_len()],
                vec![f32::NAN; shape.weight_len()],
            ];
            conv.forward(&input, &weight, &Epilogue::default(), &mut outs[0]);
            conv.backward_input(&gradient, &weight, &mut outs[1]);
            conv.backward_weight(&input, &gradient, &mut outs[2]);
            let errors: Vec<f64> = outs
                .iter()
                .zip(&expected)
                .map(|(a, b)| error(a, b))
                .collect();
            println!("{channels:?} {size} {algorithm:?}: {errors:?}");
            assert!(
                errors.iter().all(|error| *error < 1e-4),
                "{errors:?} off in {conv:?}"
            );
        }
    }
}

#[test]
fn a_padding_as_wide_as_the_stride_leaves_whole_columns_of_zeros() {
    for (kernel, width, left, right) in [(1, 3, 2, 1), (1, 4, 3, 3), (2, 5, 3, 2), (1, 9, 4, 4)] {
        let spec = Conv2dSpec {
            pads: [0, left, 0, right],
            ..spec(1, [1, 1], [1, width], 1).stride(2)
        };
        let spec = Conv2dSpec {
            kernel: [1, kernel],
            ..spec
        };
        check(&Conv2dShape::new(spec).unwrap());
    }
}
