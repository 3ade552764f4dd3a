//! Convolution with weights that change between calls.
#![allow(unsafe_code)]

use crate::batch_norm::{NormShape, channel_sums};
use crate::fresh::{self, Fresh};
use crate::isa::dispatch;
use crate::winograd::Pass;
use crate::{Algorithm, Conv2dShape, Conv2dSpec, Epilogue, Error, Isa, choose};
use crate::{algorithm, backward_weight, depthwise, scratch, winograd};

/// A convolution of one shape. Weights are packed a call; see [`PreparedConv`](crate::PreparedConv) for frozen ones.
#[derive(Debug, Clone)]
pub struct Conv2d {
    shape: Conv2dShape,
    isa: Isa,
    algorithm: Algorithm,
}

impl Conv2d {
    /// A convolution for the fastest instruction set of the machine.
    ///
    /// # Errors
    /// As [`Conv2dShape::new`].
    pub fn new(spec: Conv2dSpec) -> Result<Self, Error> {
        let shape = Conv2dShape::new(spec)?;
        let algorithm = choose(&shape);
        Ok(Self {
            shape,
            isa: Isa::detect(),
            algorithm,
        })
    }

    /// The same for a given instruction set.
    #[must_use]
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// The same computed in a given way.
    ///
    /// # Panics
    /// Where that can't compute the shape.
    #[must_use]
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        assert!(
            algorithm.fits(&self.shape),
            "{algorithm:?} does not compute {:?}",
            self.shape
        );
        Self { algorithm, ..self }
    }

    /// The way it is computed.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// The checked shape.
    #[must_use]
    pub fn shape(&self) -> &Conv2dShape {
        &self.shape
    }

    /// `output = epilogue(conv(input, weight))`.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor.
    pub fn forward(
        &self,
        input: &[f32],
        weight: &[f32],
        epilogue: &Epilogue<'_>,
        output: &mut [f32],
    ) {
        let shape = &self.shape;
        check(shape, input, weight, output);
        epilogue.check(shape.out_channels, output.len());
        self.forward_into(input, weight, epilogue, fresh::over(output));
    }

    fn forward_into(
        &self,
        input: &[f32],
        weight: &[f32],
        epilogue: &Epilogue<'_>,
        output: &mut Fresh,
    ) {
        let shape = &self.shape;
        dispatch!(self.isa, S => {
            scratch::with(algorithm::packed_len::<S>(self.algorithm, shape, Pass::Forward), |packed| {
                algorithm::pack::<S>(self.algorithm, shape, Pass::Forward, weight, packed);
                algorithm::forward::<S>(self.algorithm, shape, packed, input, epilogue, output);
            });
        });
    }

    /// [`Self::forward`] into memory of its own.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn output(&self, input: &[f32], weight: &[f32], epilogue: &Epilogue<'_>) -> Vec<f32> {
        let len = self.shape.output_len();
        check_lengths(&self.shape, [input.len(), weight.len(), len]);
        epilogue.check(self.shape.out_channels, len);
        let write = |output: &mut Fresh| self.forward_into(input, weight, epilogue, output);
        // SAFETY: every way to compute the output writes each of its values before an epilogue reads it.
        unsafe { fresh::written(len, write) }
    }

    /// The gradient of the input, written over what is there.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor.
    pub fn backward_input(
        &self,
        output_gradient: &[f32],
        weight: &[f32],
        input_gradient: &mut [f32],
    ) {
        let shape = &self.shape;
        check(shape, input_gradient, weight, output_gradient);
        self.backward_input_into(output_gradient, weight, fresh::over(input_gradient));
    }

    fn backward_input_into(
        &self,
        output_gradient: &[f32],
        weight: &[f32],
        input_gradient: &mut Fresh,
    ) {
        let shape = &self.shape;
        dispatch!(self.isa, S => {
            scratch::with(algorithm::packed_len::<S>(self.algorithm, shape, Pass::BackwardInput), |packed| {
                algorithm::pack::<S>(self.algorithm, shape, Pass::BackwardInput, weight, packed);
                algorithm::backward_input::<S>(self.algorithm, shape, packed, output_gradient, input_gradient);
            });
        });
    }

    /// [`Self::backward_input`] into memory of its own.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn input_gradient(&self, output_gradient: &[f32], weight: &[f32]) -> Vec<f32> {
        let len = self.shape.input_len();
        check_lengths(&self.shape, [len, weight.len(), output_gradient.len()]);
        let write = |out: &mut Fresh| self.backward_input_into(output_gradient, weight, out);
        // SAFETY: every way to compute it writes over what is there, sums only after a first term.
        unsafe { fresh::written(len, write) }
    }

    /// The gradient of the weight, written over what is there.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor.
    pub fn backward_weight(
        &self,
        input: &[f32],
        output_gradient: &[f32],
        weight_gradient: &mut [f32],
    ) {
        let shape = &self.shape;
        check(shape, input, weight_gradient, output_gradient);
        self.backward_weight_into(input, output_gradient, fresh::over(weight_gradient));
    }

    fn backward_weight_into(
        &self,
        input: &[f32],
        output_gradient: &[f32],
        weight_gradient: &mut Fresh,
    ) {
        let shape = &self.shape;
        dispatch!(self.isa, S => {
            match self.algorithm {
                Algorithm::Winograd4 => {
                    winograd::weight_gradient::<S>(shape, input, output_gradient, weight_gradient);
                }
                Algorithm::Depthwise => {
                    depthwise::backward_weight::<S>(shape, input, output_gradient, weight_gradient);
                }
                _ => backward_weight::backward_weight::<S>(shape, input, output_gradient, weight_gradient),
            }
        });
    }

    /// [`Self::backward_weight`] into memory of its own.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn weight_gradient(&self, input: &[f32], output_gradient: &[f32]) -> Vec<f32> {
        let len = self.shape.weight_len();
        check_lengths(&self.shape, [input.len(), len, output_gradient.len()]);
        let write = |out: &mut Fresh| self.backward_weight_into(input, output_gradient, out);
        // SAFETY: as for the input's.
        unsafe { fresh::written(len, write) }
    }

    /// The gradient of the bias, `[out_channels]`, written over what is there.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor.
    pub fn backward_bias(&self, output_gradient: &[f32], bias_gradient: &mut [f32]) {
        assert_eq!(
            output_gradient.len(),
            self.shape.output_len(),
            "the output's gradient"
        );
        assert_eq!(
            bias_gradient.len(),
            self.shape.out_channels,
            "one bias an output channel"
        );
        let shape = NormShape {
            batch: self.shape.batch,
            channels: self.shape.out_channels,
            pixels: self.shape.out_pixels(),
        };
        channel_sums(self.isa, shape, output_gradient, bias_gradient);
    }
}

fn check(shape: &Conv2dShape, input: &[f32], weight: &[f32], output: &[f32]) {
    check_lengths(shape, [input.len(), weight.len(), output.len()]);
}

fn check_lengths(shape: &Conv2dShape, [input, weight, output]: [usize; 3]) {
    assert_eq!(
        weight,
        shape.weight_len(),
        "length of the weight of {shape:?}"
    );
    check_image_lengths(shape, [input, output]);
}

pub(crate) fn check_images(shape: &Conv2dShape, input: &[f32], output: &[f32]) {
    check_image_lengths(shape, [input.len(), output.len()]);
}

fn check_image_lengths(shape: &Conv2dShape, [input, output]: [usize; 2]) {
    assert_eq!(input, shape.input_len(), "length of the input of {shape:?}");
    assert_eq!(
        output,
        shape.output_len(),
        "length of the output of {shape:?}"
    );
}
