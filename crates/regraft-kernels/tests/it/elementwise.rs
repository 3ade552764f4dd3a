//! Sums with an activation behind them and steps of optimisers, against their definition.

use proptest::prelude::*;
use regraft_kernels::{
    Activation, AdaptiveStep, Isa, sum, sum_gradient, weighted_squares, weighted_sum,
};

use crate::reference::values;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn sums_and_their_gradients_are_as_defined(len in 0usize..40_000) {
        let [left, right, gradient] = [1, 2, 3].map(|seed| values(len, seed));
        for isa in Isa::available() {
            for (activation, most) in [
                (Activation::None, f32::INFINITY), (Activation::Relu, f32::INFINITY), (Activation::Relu6, 6.0),
            ] {
                let scaled: Vec<f32> = left.iter().map(|value| value * 9.0).collect();
                let out = sum(isa, &scaled, &right, activation);
                let back = sum_gradient(isa, &out, &gradient, activation);
                prop_assert_eq!((out.len(), back.len()), (len, len));
                for i in 0..len {
                    let plain = scaled[i] + right[i];
                    let (clamped, passes) = match activation {
                        Activation::None => (plain, true),
                        _ => (plain.clamp(0.0, most), plain > 0.0 && plain < most),
                    };
                    prop_assert_eq!(out[i], clamped);
                    prop_assert_eq!(back[i], if passes { gradient[i] } else { 0.0 });
                }
            }
        }
    }

    #[test]
    fn steps_of_optimisers_are_as_defined(len in 0usize..40_000, a in -2f32..2.0, b in -2f32..2.0) {
        let [weight, first, second] = [1, 2, 3].map(|seed| values(len, seed));
        let second: Vec<f32> = second.iter().map(|value| value * value).collect();
        let step = AdaptiveStep { keep: 0.99, rate: 1e-3, correction: 2.0, epsilon: 1e-8 };
        for isa in Isa::available() {
            let sums = weighted_sum(isa, &weight, &first, [a, b]);
            let squares = weighted_squares(isa, &weight, &first, [a, b]);
            let stepped = step.apply(isa, &weight, [&first, &second]);
            prop_assert_eq!((sums.len(), squares.len(), stepped.len()), (len, len, len));
            for i in 0..len {
                let expected = [
                    a * weight[i] + b * first[i],
                    a * weight[i] + b * first[i] * first[i],
                    0.99 * weight[i] - 1e-3 * first[i] / ((2.0 * second[i]).sqrt() + 1e-8),
                ];
                for (out, expected) in [sums[i], squares[i], stepped[i]].into_iter().zip(expected) {
                    prop_assert!((out - expected).abs() < 1e-6, "{} is not {}", out, expected);
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_so() {
    for activation in [
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::HardSwish,
    ] {
        let out = sum(Isa::detect(), &[f32::NAN; 40], &[1.0; 40], activation);
        assert!(out.iter().all(|value| value.is_nan()), "{activation:?}");
    }
}
