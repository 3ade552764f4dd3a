//! The ways a convolution is computed, which one suits a shape, and each behind the same three functions.

use crate::epilogue::Epilogue;
use crate::fresh::Fresh;
use crate::shape::Conv2dShape;
use crate::simd::Simd;
use crate::winograd::{self, F2, F4, Pass, Problem};
use crate::{depthwise, direct};

/// A way to compute a convolution. Gradients of weights have no F(2x2, 3x3): they are products there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// One product of the weights with columns gathered from the image: any shape.
    Product,
    /// Plane by plane: groups of one input channel.
    Depthwise,
    /// Winograd F(2x2, 3x3): 3x3 kernels without stride, dilation and groups.
    Winograd2,
    /// Winograd F(4x4, 3x3): the same shapes, less arithmetic, more rounding.
    Winograd4,
}

impl Algorithm {
    /// Whether it can compute a shape.
    #[must_use]
    pub fn fits(self, shape: &Conv2dShape) -> bool {
        match self {
            Self::Product => true,
            Self::Depthwise => depthwise::fits(shape),
            Self::Winograd2 | Self::Winograd4 => winograd::fits(shape),
        }
    }
}

/// Fewest channels on either side for which the transforms of Winograd pay.
const WINOGRAD_CHANNELS: usize = 16;

/// The fastest for a shape, by the measurements in the crate's README.
#[must_use]
pub fn choose(shape: &Conv2dShape) -> Algorithm {
    if depthwise::fits(shape) && shape.groups > 1 {
        return Algorithm::Depthwise;
    }
    let channels = shape.in_channels.min(shape.out_channels);
    if winograd::fits(shape)
        && channels >= WINOGRAD_CHANNELS
        && shape.out_height().min(shape.out_width()) > 2
    {
        return Algorithm::Winograd4;
    }
    Algorithm::Product
}

/// Values of the weights packed for a pass.
pub(crate) fn packed_len<S: Simd>(algorithm: Algorithm, shape: &Conv2dShape, pass: Pass) -> usize {
    let channels = Problem::new(shape, pass).channels;
    match (algorithm, pass) {
        (Algorithm::Depthwise, _) => shape.weight_len(),
        (Algorithm::Winograd2, _) => winograd::packed_len::<S, F2>(channels),
        (Algorithm::Winograd4, _) => winograd::packed_len::<S, F4>(channels),
        (Algorithm::Product, Pass::Forward) => {
            shape.groups * direct::forward_layout::<S>(shape).len()
        }
        (Algorithm::Product, Pass::BackwardInput) => direct::backward_len::<S>(shape),
    }
}

/// Packs the weights for a pass into [`packed_len`] values.
pub(crate) fn pack<S: Simd>(
    algorithm: Algorithm,
    shape: &Conv2dShape,
    pass: Pass,
    weight: &[f32],
    packed: &mut [f32],
) {
    let channels = Problem::new(shape, pass).channels;
    match (algorithm, pass) {
        (Algorithm::Depthwise, _) => packed.copy_from_slice(weight),
        (Algorithm::Winograd2, _) => {
            winograd::transform_weights::<S, F2>(channels, pass, weight, packed)
        }
        (Algorithm::Winograd4, _) => {
            winograd::transform_weights::<S, F4>(channels, pass, weight, packed)
        }
        (Algorithm::Product, Pass::Forward) => direct::pack_forward::<S>(shape, weight, packed),
        (Algorithm::Product, Pass::BackwardInput) => {
            direct::pack_backward::<S>(shape, weight, packed)
        }
    }
}

/// `output = epilogue(conv(input))` with packed weights.
pub(crate) fn forward<S: Simd>(
    algorithm: Algorithm,
    shape: &Conv2dShape,
    packed: &[f32],
    input: &[f32],
    epilogue: &Epilogue<'_>,
    output: &mut Fresh,
) {
    let problem = Problem::new(shape, Pass::Forward);
    match algorithm {
        Algorithm::Depthwise => depthwise::forward::<S>(shape, packed, input, epilogue, output),
        Algorithm::Winograd2 => {
            winograd::convolve::<S, F2>(&problem, packed, input, epilogue, output)
        }
        Algorithm::Winograd4 => {
            winograd::convolve::<S, F4>(&problem, packed, input, epilogue, output)
        }
        Algorithm::Product => direct::forward::<S>(shape, packed, input, epilogue, output),
    }
}

/// The gradient of the input with packed weights.
pub(crate) fn backward_input<S: Simd>(
    algorithm: Algorithm,
    shape: &Conv2dShape,
    packed: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut Fresh,
) {
    let problem = Problem::new(shape, Pass::BackwardInput);
    let none = Epilogue::default();
    match algorithm {
        Algorithm::Depthwise => {
            depthwise::backward_input::<S>(shape, packed, output_gradient, input_gradient)
        }
        Algorithm::Winograd2 => {
            winograd::convolve::<S, F2>(&problem, packed, output_gradient, &none, input_gradient);
        }
        Algorithm::Winograd4 => {
            winograd::convolve::<S, F4>(&problem, packed, output_gradient, &none, input_gradient);
        }
        Algorithm::Product => {
            direct::backward_input::<S>(shape, packed, output_gradient, input_gradient)
        }
    }
}
