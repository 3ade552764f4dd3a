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

/// Adding it to a small value leaves the nearest whole number in the lowest bits.
const MAGIC: f32 = 12_582_912.0;

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The exponential within 2e-7, by reduction to a power of two and a polynomial on ±ln(2)/2; clamped to the finite range.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let power = shifted - MAGIC;
    // ln(2) in two parts, the first with few enough digits that its product with `power` is exact.
    let x = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut sum = 1.0 / 5040.0;
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * x + factor;
    }
    sum * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
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
