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

#[test]
fn runs_repeat_bit_by_bit() {
    let shape = Conv2dShape::new(spec(4, [19, 33], [29, 31], 3)).unwrap();
    let input = values(shape.input_len(), 1);
    let weight = values(shape.weight_len(), 2);
    let gradient = values(shape.output_len(), 3);
    let run = |isa, algorithm| {
        let conv = conv(&shape, isa).with_algorithm(algorithm);
        let mut outs = [
            vec![0.0; shape.output_len()],
            vec![0.0; shape.input_len()],
            vec![0.0; shape.weight_len()],
        ];
        conv.forward(&input, &weight, &Epilogue::default(), &mut outs[0]);
        conv.backward_input(&gradient, &weight, &mut outs[1]);
        conv.backward_weight(&input, &gradient, &mut outs[2]);
        outs.map(|out| out.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
    };
    for isa in Isa::available() {
        for algorithm in [
            Algorithm::Product,
            Algorithm::Winograd2,
            Algorithm::Winograd4,
        ] {
            let first = run(isa, algorithm);
            for _ in 0..5 {
                assert!(run(isa, algorithm) == first, "{isa:?}, {algorithm:?}");
            }
        }
    }
}
