//! Batch norm against its definition, gradients against finite differences.

use proptest::prelude::*;
use regraft_kernels::{Isa, NormGradients, NormShape, batch_norm, batch_norm_backward};

use crate::reference::{difference, values};

const EPSILON: f32 = 1e-5;

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Output, mean and variance, in f64.
fn reference(shape: NormShape, input: &[f64], scale: &[f64], shift: &[f64]) -> [Vec<f64>; 3] {
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
    let normal = |(i, value): (usize, &f64)| {
        let c = channel(i);
        (value - mean[c]) / (variance[c] + f64::from(EPSILON)).sqrt() * scale[c] + shift[c]
    };
    let output = input.iter().enumerate().map(normal).collect();
    [output, mean, variance]
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
        let expected = reference(shape, &wide(&input), &wide(&scale), &wide(&shift));
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; input.len()];
            let statistics = batch_norm(isa, shape, &input, [&scale, &shift], EPSILON, &mut out);
            prop_assert!(difference(&statistics.mean, &expected[1]) < 1e-6);
            prop_assert!(difference(&statistics.variance, &expected[2]) < 1e-5);
            // One value has no variance, which magnifies the rounding of its mean by 1 / sqrt(epsilon).
            if batch * pixels > 8 {
                prop_assert!(difference(&out, &expected[0]) < 1e-4);
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let shape = NormShape {
        batch: 3,
        channels: 2,
        pixels: 7,
    };
    let input = values(42, 1);
    let gradient = values(42, 2);
    let (scale, shift) = (values(2, 3), values(2, 4));
    let loss = |at: &[Vec<f64>; 3]| {
        let output = &reference(shape, &at[0], &at[1], &at[2])[0];
        output
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
            at[which][i] = middle + 1e-5;
            let above = loss(&at);
            at[which][i] = middle - 1e-5;
            slopes[which].push((above - loss(&at)) / 2e-5);
            at[which][i] = middle;
        }
    }
    for isa in Isa::available() {
        let mut out = vec![0.0; 42];
        let statistics = batch_norm(isa, shape, &input, [&scale, &shift], EPSILON, &mut out);
        let (mut by_scale, mut by_shift) = (vec![0.0; 2], vec![0.0; 2]);
        let mut gradients = NormGradients {
            input: &mut out,
            scale: &mut by_scale,
            shift: &mut by_shift,
        };
        batch_norm_backward(
            isa,
            shape,
            &input,
            &scale,
            &statistics,
            EPSILON,
            &gradient,
            &mut gradients,
        );
        assert!(difference(&out, &slopes[0]) < 1e-5);
        assert!(difference(&by_scale, &slopes[1]) < 1e-5);
        assert!(difference(&by_shift, &slopes[2]) < 1e-5);
    }
}
