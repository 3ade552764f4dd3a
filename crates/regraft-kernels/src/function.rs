//! Activations and their derivatives in training, value by value in plain arithmetic that compilers turn into vectors.

/// A function of one value. What is no number stays so, so that a run that diverges shows it.
pub(crate) trait Function {
    fn of(x: f32) -> f32;
    /// The gradient of `x` from that of the function of it.
    fn back(x: f32, gradient: f32) -> f32;
}

/// [`Activation::None`](crate::Activation::None) and so on.
pub(crate) struct Identity;
pub(crate) struct Relu;
pub(crate) struct Relu6;
pub(crate) struct Silu;
pub(crate) struct HardSwish;

impl Function for Identity {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn back(_: f32, gradient: f32) -> f32 {
        gradient
    }
}

impl Function for Relu {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn back(x: f32, gradient: f32) -> f32 {
        if x > 0.0 { gradient } else { 0.0 }
    }
}

impl Function for Relu6 {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        let x = Relu::of(x);
        if x > 6.0 { 6.0 } else { x }
    }

    #[inline(always)]
    fn back(x: f32, gradient: f32) -> f32 {
        if (x > 0.0) & (x < 6.0) { gradient } else { 0.0 }
    }
}

impl Function for Silu {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn back(x: f32, gradient: f32) -> f32 {
        let gate = sigmoid(x);
        gradient * (gate + x * gate * (1.0 - gate))
    }
}

impl Function for HardSwish {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        let gate = Relu6::of(x + 3.0);
        x * gate * (1.0 / 6.0)
    }

    #[inline(always)]
    fn back(x: f32, gradient: f32) -> f32 {
        let between = gradient * (x * (1.0 / 3.0) + 0.5);
        let above = if x > -3.0 { between } else { 0.0 };
        if x < 3.0 { above } else { gradient }
    }
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The exponential within 2e-7 of its value, clamped to the finite range: a power of two times a polynomial on
/// ±ln(2)/2.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    /// Added to a number below 2^22 it leaves the nearest whole number in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let power = shifted - WHOLE;
    // ln(2) in two parts, the first with few enough digits that its product with `power` is exact.
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let sum = 1.0 / 720.0;
    let sum = sum * rest + 1.0 / 120.0;
    let sum = sum * rest + 1.0 / 24.0;
    let sum = sum * rest + 1.0 / 6.0;
    let sum = sum * rest + 0.5;
    let sum = sum * rest + 1.0;
    let sum = sum * rest + 1.0;
    sum * f32::from_bits((shifted.to_bits().wrapping_add(127)) << 23)
}

/// Runs `body` with the type of an activation under the name `F`.
macro_rules! with_function {
    ($activation:expr, $F:ident => $body:expr) => {
        match $activation {
            $crate::Activation::None => {
                type $F = $crate::function::Identity;
                $body
            }
            $crate::Activation::Relu => {
                type $F = $crate::function::Relu;
                $body
            }
            $crate::Activation::Relu6 => {
                type $F = $crate::function::Relu6;
                $body
            }
            $crate::Activation::Silu => {
                type $F = $crate::function::Silu;
                $body
            }
            $crate::Activation::HardSwish => {
                type $F = $crate::function::HardSwish;
                $body
            }
        }
    };
}
pub(crate) use with_function;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close_over_its_whole_range() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 5e-7, "{x}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }
}
