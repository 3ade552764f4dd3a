//! Sums with an activation behind them, against their definition.

use proptest::prelude::*;
use regraft_kernels::{Activation, Isa, sum, sum_gradient};

use crate::reference::values;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn sums_and_their_gradients_are_as_defined(len in 0usize..40_000) {
        let [left, right, gradient] = [1, 2, 3].map(|seed| values(len, seed));
        for isa in Isa::available() {
            for (activation, most) in [
                (Activation::None, f32::NAN), (Activation::Relu, f32::NAN), (Activation::Relu6, 6.0),
            ] {
                let scaled: Vec<f32> = left.iter().map(|value| value * 9.0).collect();
                let out = sum(isa, &scaled, &right, activation);
                let back = sum_gradient(isa, &out, &gradient, activation);
                prop_assert_eq!((out.len(), back.len()), (len, len));
                for i in 0..len {
                    let plain = scaled[i] + right[i];
                    let (clamped, passes) = match activation {
                        Activation::None => (plain, true),
                        _ => (plain.max(0.0).min(most), plain > 0.0 && !(plain >= most)),
                    };
                    prop_assert_eq!(out[i], clamped);
                    prop_assert_eq!(back[i], if passes { gradient[i] } else { 0.0 });
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
