//! Elementwise functions, written so that the compiler turns them into vector code: no branches, no calls.

use regraft_kernels::{exp, sigmoid};
use regraft_onnx::op::Activation;

use regraft_program::Function;

/// Applies a function to each value.
pub(crate) fn apply(function: Function, values: &mut [f32]) {
    let Function::Onnx(function) = function else {
        return each(values, |x| x * sigmoid(x));
    };
    match function {
        // Comparisons are put so that what is no number stays so.
        Activation::Relu => each(values, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::Clip { min, max } => each(values, |x| {
            let x = if x < min { min } else { x };
            if x > max { max } else { x }
        }),
        Activation::LeakyRelu { alpha } => each(values, |x| if x < 0.0 { alpha * x } else { x }),
        Activation::Elu { alpha } => {
            each(values, |x| if x < 0.0 { alpha * (exp(x) - 1.0) } else { x })
        }
        Activation::Sigmoid => each(values, sigmoid),
        Activation::HardSigmoid { alpha, beta } => {
            each(values, |x| unit(alpha * x + beta));
        }
        Activation::HardSwish => each(values, |x| x * unit(x / 6.0 + 0.5)),
        Activation::Tanh => each(values, tanh),
        Activation::Softplus => each(values, |x| {
            let above = if x < 0.0 { 0.0 } else { x };
            above + exp(-x.abs()).ln_1p()
        }),
        Activation::Softsign => each(values, |x| x / (1.0 + x.abs())),
        Activation::Erf => each(values, erf),
        Activation::Gelu { tanh: false } => each(values, |x| {
            0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
        }),
        Activation::Gelu { tanh: true } => each(values, |x| {
            let inner = (2.0 / std::f32::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + tanh(inner))
        }),
        Activation::Exp => each(values, f32::exp),
        Activation::Log => each(values, f32::ln),
        Activation::Sqrt => each(values, f32::sqrt),
        Activation::Reciprocal => each(values, f32::recip),
        Activation::Neg => each(values, |x| -x),
        Activation::Abs => each(values, f32::abs),
    }
}

fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

fn unit(x: f32) -> f32 {
    let x = if x < 0.0 { 0.0 } else { x };
    if x > 1.0 { 1.0 } else { x }
}

fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// The error function within 2e-7 (Abramowitz and Stegun 1964, 7.1.26).
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let sum = 1.061_405_4;
    let sum = sum * t - 1.453_152;
    let sum = sum * t + 1.421_413_8;
    let sum = sum * t - 0.284_496_74;
    let sum = sum * t + 0.254_829_6;
    (1.0 - sum * t * exp(-size * size)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_agrees_with_its_table() {
        // Abramowitz and Stegun, table 7.1.
        for (x, exact) in [
            (0.0, 0.0),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
        ] {
            assert!((erf(x) - exact).abs() < 4e-7, "{x}");
            assert!((erf(-x) + exact).abs() < 4e-7, "{x}");
        }
    }

    #[test]
    fn softsign_is_its_formula() {
        let mut values = [-3.0, -0.5, 0.0, 1.0];
        apply(Function::Onnx(Activation::Softsign), &mut values);
        assert_eq!(values, [-0.75, -1.0 / 3.0, 0.0, 0.5]);
    }

    #[test]
    fn what_is_no_number_stays_so() {
        for function in [
            Function::Onnx(Activation::Relu),
            Function::Silu,
            Function::Onnx(Activation::Clip { min: 0.0, max: 6.0 }),
            Function::Onnx(Activation::HardSwish),
            Function::Onnx(Activation::Gelu { tanh: false }),
        ] {
            let mut values = [f32::NAN];
            apply(function, &mut values);
            assert!(values[0].is_nan(), "{function:?}");
        }
    }
}
