//! Batch norm against its definition, gradients against finite differences.

use proptest::prelude::*;
use regraft_kernels::{Activation, Isa, NormShape, Normalisation, batch_statistics};

use crate::reference::{difference, values};

const EPSILON: f32 = 1e-5;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

const ACTIVATIONS: [Activation; 5] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::Silu,
    Activation::HardSwish,
];

/// Mean and variance in f64.
fn statistics(shape: NormShape, input: &[f64]) -> [Vec<f64>; 2] {
    let channel = |i: usize| i / shape.pixels % shape.channels;
    let count = (shape.batch * shape.pixels) as f64;
    let mut mean = vec![0.0; shape.channels];
    let mut variance = vec![0.0; shape.channels];
    for (i, value) in input.iter().enumerate() {
        mean[channel(i)] += value / count;
    }
    for (i, value) in input.iter().enumerate() {
        variance[channel(i)] += (value - mean[channel(i)]).powi(2) / count;
    }
    [mean, variance]
}

/// The output in f64.
fn reference(
    shape: NormShape,
    [input, scale, shift]: [&[f64]; 3],
    [mean, variance]: &[Vec<f64>; 2],
    activation: Activation,
) -> Vec<f64> {
    let normal = |(i, value): (usize, &f64)| {
        let c = i / shape.pixels % shape.channels;
        let z = (value - mean[c]) / (variance[c] + f64::from(EPSILON)).sqrt() * scale[c] + shift[c];
        match activation {
            Activation::Relu => z.max(0.0),
            Activation::Relu6 => z.clamp(0.0, 6.0),
            Activation::Silu => z / (1.0 + (-z).exp()),
            Activation::HardSwish => z * (z + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::None => z,
        }
    };
    input.iter().enumerate().map(normal).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn output_and_statistics_agree_with_the_reference(
        batch in 1usize..=4, channels in 1usize..=5, pixels in 1usize..=2500, mean in -50f32..50.0,
    ) {
        let shape = NormShape { batch, channels, pixels };
        let input: Vec<f32> = values(batch * channels * pixels, 1).iter().map(|value| value + mean).collect();
        let (scale, shift) = (values(channels, 2), values(channels, 3));
        let wide_input = wide(&input);
        let expected = statistics(shape, &wide_input);
        for (isa, activation) in Isa::available().into_iter().flat_map(|isa| ACTIVATIONS.map(|a| (isa, a))) {
            let found = batch_statistics(isa, shape, &input);
            prop_assert!(difference(&found.mean, &expected[0]) < 1e-6);
            prop_assert!(difference(&found.variance, &expected[1]) < 1e-5);
            let norm = Normalisation {
                shape, scale: &scale, shift: &shift, mean: &found.mean, variance: &found.variance,
                epsilon: EPSILON, activation,
            };
            let mut out = vec![f32::NAN; input.len()];
            norm.forward(isa, &input, &mut out);
            // One value has no variance, which magnifies the rounding of its mean by 1 / sqrt(epsilon).
            if batch * pixels > 8 {
                let whole = reference(shape, [&wide_input, &wide(&scale), &wide(&shift)], &expected, activation);
                prop_assert!(difference(&out, &whole) < 1e-4);
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for activation in ACTIVATIONS {
        for frozen in [false, true] {
            gradients_agree(activation, frozen);
        }
    }
}

/// Against the slopes of the output's product with a gradient, the statistics being constants where they are `frozen`.
fn gradients_agree(activation: Activation, frozen: bool) {
    let shape = NormShape {
        batch: 3,
        channels: 2,
        pixels: 7,
    };
    let input = values(42, 1);
    let gradient = values(42, 2);
    // Some outputs reach six.
    let scale: Vec<f32> = values(2, 3).iter().map(|value| value * 5.0).collect();
    let shift = values(2, 4);
    let running = [vec![0.1, -0.2], vec![0.5, 0.3]];
    let loss = |at: &[Vec<f64>; 3]| {
        let numbers = if frozen {
            running.clone()
        } else {
            statistics(shape, &at[0])
        };
        reference(shape, [&at[0], &at[1], &at[2]], &numbers, activation)
            .iter()
            .zip(&gradient)
            .map(|(output, gradient)| output * f64::from(*gradient))
            .sum::<f64>()
    };
    let mut at = [wide(&input), wide(&scale), wide(&shift)];
    let mut slopes = [vec![], vec![], vec![]];
    for which in 0..3 {
        for i in 0..at[which].len() {
            let middle = at[which][i];
            at[which][i] = middle + 1e-6;
            let above = loss(&at);
            at[which][i] = middle - 1e-6;
            slopes[which].push((above - loss(&at)) / 2e-6);
            at[which][i] = middle;
        }
    }
    for isa in Isa::available() {
        let own = batch_statistics(isa, shape, &input);
        let [mean, variance] = if frozen {
            running
                .clone()
                .map(|of| of.iter().map(|value| *value as f32).collect())
        } else {
            [own.mean, own.variance]
        };
        let norm = Normalisation {
            shape,
            scale: &scale,
            shift: &shift,
            mean: &mean,
            variance: &variance,
            epsilon: EPSILON,
            activation,
        };
        let sums = norm.sums(isa, &input, &gradient);
        let mut out = vec![f32::NAN; 42];
        let own = (!frozen).then_some(&sums);
        norm.backward_input(isa, &input, &gradient, own, &mut out);
        assert!(
            difference(&out, &slopes[0]) < 1e-5,
            "{activation:?} {frozen}"
        );
        assert!(
            difference(&sums.scale, &slopes[1]) < 1e-5,
            "{activation:?} {frozen}"
        );
        assert!(
            difference(&sums.shift, &slopes[2]) < 1e-5,
            "{activation:?} {frozen}"
        );
    }
}
