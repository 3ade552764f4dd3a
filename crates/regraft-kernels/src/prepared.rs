//! Convolution with frozen weights, packed or transformed once.

use crate::fresh;
use crate::isa::dispatch;
use crate::winograd::Pass;
use crate::{Algorithm, Conv2d, Conv2dShape, Epilogue, Isa};
use crate::{algorithm, conv};

/// Weights in the form their convolution reads, over any number of images.
#[derive(Debug, Clone)]
pub struct PreparedConv {
    shape: Conv2dShape,
    isa: Isa,
    algorithm: Algorithm,
    forward: Vec<f32>,
    backward: Option<Vec<f32>>,
}

impl PreparedConv {
    /// Packs weights `[out_channels, in_channels / groups, kernel]` for the forward pass of `conv`, whose batch is only a hint.
    ///
    /// # Panics
    /// Where the weight has not the length of its tensor.
    #[must_use]
    pub fn new(conv: &Conv2d, weight: &[f32]) -> Self {
        assert_eq!(
            weight.len(),
            conv.shape().weight_len(),
            "length of the weight of {:?}",
            conv.shape()
        );
        let shape = conv.shape().clone();
        let (isa, algorithm) = (conv.isa(), conv.algorithm());
        let forward = pack(isa, algorithm, &shape, Pass::Forward, weight);
        Self {
            shape,
            isa,
            algorithm,
            forward,
            backward: None,
        }
    }

    /// The same, packed for the gradient of the input too, for frozen layers above trained ones.
    ///
    /// # Panics
    /// Where the weight has not the length of its tensor.
    #[must_use]
    pub fn with_backward(conv: &Conv2d, weight: &[f32]) -> Self {
        let this = Self::new(conv, weight);
        let backward = pack(
            this.isa,
            this.algorithm,
            &this.shape,
            Pass::BackwardInput,
            weight,
        );
        Self {
            backward: Some(backward),
            ..this
        }
    }

    /// The shape it was made for.
    #[must_use]
    pub fn shape(&self) -> &Conv2dShape {
        &self.shape
    }

    /// Memory of the packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        4 * (self.forward.len() + self.backward.as_ref().map_or(0, Vec::len))
    }

    /// `output = epilogue(conv(input))` over `batch` images.
    ///
    /// # Errors
    /// Where the batch is zero or too large.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor.
    pub fn forward(
        &self,
        batch: usize,
        input: &[f32],
        epilogue: &Epilogue<'_>,
        output: &mut [f32],
    ) -> Result<(), crate::Error> {
        let shape = self.shape.with_batch(batch)?;
        conv::check_images(&shape, input, output);
        epilogue.check(shape.out_channels, output.len());
        dispatch!(self.isa, S => {
            algorithm::forward::<S>(self.algorithm, &shape, &self.forward, input, epilogue, fresh::over(output));
        });
        Ok(())
    }

    /// The gradient of the input over `batch` images, written over what is there.
    ///
    /// # Errors
    /// Where the batch is zero or too large.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor, or this was not made by [`Self::with_backward`].
    pub fn backward_input(
        &self,
        batch: usize,
        output_gradient: &[f32],
        input_gradient: &mut [f32],
    ) -> Result<(), crate::Error> {
        let shape = self.shape.with_batch(batch)?;
        conv::check_images(&shape, input_gradient, output_gradient);
        assert!(
            self.backward.is_some(),
            "weights were packed for the forward pass only"
        );
        let packed = self.backward.as_deref().unwrap_or_default();
        dispatch!(self.isa, S => {
            algorithm::backward_input::<S>(self.algorithm, &shape, packed, output_gradient, fresh::over(input_gradient));
        });
        Ok(())
    }
}

fn pack(
    isa: Isa,
    algorithm: Algorithm,
    shape: &Conv2dShape,
    pass: Pass,
    weight: &[f32],
) -> Vec<f32> {
    dispatch!(isa, S => {
        let mut packed = vec![0.0; algorithm::packed_len::<S>(algorithm, shape, pass)];
        algorithm::pack::<S>(algorithm, shape, pass, weight, &mut packed);
        packed
    })
}
