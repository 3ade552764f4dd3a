//! What happens to an output on its last write: bias, residual, activation, in this order.
#![allow(unsafe_code)]

use crate::simd::Simd;

/// A function applied to each output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// `max(x, 0)`; what is no number stays so.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x / (1 + exp(-x))`, within 2e-6 of the value's scale.
    Silu,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
}

impl Activation {
    /// Whether its output says what its derivative is.
    #[must_use]
    pub fn is_told_by_output(self) -> bool {
        matches!(self, Self::None | Self::Relu | Self::Relu6)
    }
}

/// `activation(convolution + bias + residual)`, applied where the convolution writes its result.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One value an output channel.
    pub bias: Option<&'a [f32]>,
    /// A tensor of the output's shape.
    pub residual: Option<&'a [f32]>,
    /// The last step.
    pub activation: Activation,
}

impl Epilogue<'_> {
    pub(crate) fn check(&self, channels: usize, output: usize) {
        assert!(
            self.bias.is_none_or(|bias| bias.len() == channels),
            "one bias an output channel"
        );
        assert!(
            self.residual
                .is_none_or(|residual| residual.len() == output),
            "a residual of the output's shape"
        );
    }

    /// Whether the output stays as it is.
    pub(crate) fn is_empty(&self) -> bool {
        self.bias.is_none() && self.residual.is_none() && self.activation == Activation::None
    }

    pub(crate) fn bias_of(&self, channel: usize) -> f32 {
        self.bias.map_or(0.0, |bias| bias[channel])
    }

    /// Applies itself to a run of the output of one channel, which lies at `offset` of the output tensor.
    ///
    /// # Safety
    /// `len` values are writable.
    #[inline(always)]
    pub(crate) unsafe fn finish<S: Simd>(
        &self,
        values: *mut f32,
        len: usize,
        channel: usize,
        offset: usize,
    ) {
        let bias = self.bias_of(channel);
        let residual = self
            .residual
            .map(|residual| residual[offset..offset + len].as_ptr());
        // SAFETY: `len` values on both sides, the caller's and the slice just taken.
        unsafe { finish_run::<S>(values, len, bias, residual, self.activation) }
    }
}

/// # Safety
/// `len` values are writable, and readable in the residual.
#[inline(always)]
pub(crate) unsafe fn finish_run<S: Simd>(
    values: *mut f32,
    len: usize,
    bias: f32,
    residual: Option<*const f32>,
    activation: Activation,
) {
    let bias = S::splat(bias);
    // SAFETY: vectors and the lanes of the last one end at `len`.
    unsafe {
        let mut i = 0;
        while i < len {
            let mut value = S::add(load_until::<S>(values, i, len), bias);
            if let Some(residual) = residual {
                value = S::add(value, load_until::<S>(residual, i, len));
            }
            store_until::<S>(values, i, len, activate::<S>(value, activation));
            i += S::LANES;
        }
    }
}

/// The values from `i` on, as many as a vector holds or there are up to `len`.
///
/// # Safety
/// `len > i` values are readable.
#[inline(always)]
pub(crate) unsafe fn load_until<S: Simd>(from: *const f32, i: usize, len: usize) -> S::Vector {
    // SAFETY: up to `len`.
    unsafe {
        if i + S::LANES <= len {
            S::load(from.add(i))
        } else {
            S::load_first(from.add(i), len - i)
        }
    }
}

/// Writes what [`load_until`] reads.
///
/// # Safety
/// `len > i` values are writable.
#[inline(always)]
pub(crate) unsafe fn store_until<S: Simd>(to: *mut f32, i: usize, len: usize, value: S::Vector) {
    // SAFETY: up to `len`.
    unsafe {
        if i + S::LANES <= len {
            S::store(to.add(i), value);
        } else {
            S::store_first(to.add(i), value, len - i);
        }
    }
}

#[inline(always)]
pub(crate) fn activate<S: Simd>(x: S::Vector, activation: Activation) -> S::Vector {
    let (zero, six) = (S::splat(0.0), S::splat(6.0));
    match activation {
        Activation::None => x,
        Activation::Relu => S::max(zero, x),
        Activation::Relu6 => S::min(six, S::max(zero, x)),
        Activation::HardSwish => {
            let gate = S::min(six, S::max(zero, S::add(x, S::splat(3.0))));
            S::mul(S::mul(x, gate), S::splat(1.0 / 6.0))
        }
        Activation::Silu => {
            let one = S::splat(1.0);
            S::div(x, S::add(one, exp::<S>(S::sub(zero, x))))
        }
    }
}

/// The exponential, by reduction to a power of two and a polynomial on ±ln(2)/2; clamped to the finite range.
#[inline(always)]
fn exp<S: Simd>(x: S::Vector) -> S::Vector {
    let x = S::min(S::splat(87.0), S::max(S::splat(-87.0), x));
    let power = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
    // ln(2) in two parts, the first with few enough digits that its product with `power` is exact.
    let x = S::fma(power, S::splat(-0.693_359_4), x);
    let x = S::fma(power, S::splat(2.121_944_4e-4), x);
    let mut sum = S::splat(1.0 / 5040.0);
    for factor in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = S::fma(sum, x, S::splat(factor));
    }
    S::mul(sum, S::exp2(power))
}
