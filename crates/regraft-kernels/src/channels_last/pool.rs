//! Pooling of `[N, H, W, C]`.

use super::Columns;
use super::reduce::{Largest, Mean, reduce};
use super::windows::Windows;
use crate::isa::dispatch;
use crate::{Divisor, Isa, PoolShape};

/// Pooling over windows of images whose channels lie together. A [`PoolShape`]'s planes are its channels here.
#[derive(Debug, Clone)]
pub struct ChannelsLastPool {
    shape: PoolShape,
    isa: Isa,
    /// What a tap reads outside of an image.
    outside: Vec<f32>,
    /// One over the pixels that count, for each output of an image; none where the largest is looked for.
    shares: Option<Vec<f32>>,
}

impl ChannelsLastPool {
    /// The largest of each window; minus infinity where it holds no pixel.
    #[must_use]
    pub fn largest(isa: Isa, shape: PoolShape) -> Self {
        Self {
            outside: vec![f32::NEG_INFINITY; shape.planes],
            shape,
            isa,
            shares: None,
        }
    }

    /// The mean of each window.
    #[must_use]
    pub fn mean(isa: Isa, shape: PoolShape, divisor: Divisor) -> Self {
        let columns = shape.divisors(1, divisor);
        let rows = shape.divisors(0, divisor).into_iter();
        let shares = rows.flat_map(|row| columns.iter().map(move |column| 1.0 / (row * column)));
        Self {
            outside: vec![0.0; shape.planes],
            shares: Some(shares.collect()),
            shape,
            isa,
        }
    }

    /// The windows of one image.
    #[must_use]
    pub fn shape(&self) -> &PoolShape {
        &self.shape
    }

    /// Pools as many images as the input holds.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor.
    pub fn run(&self, input: &[f32], output: Columns<'_>) {
        let shape = &self.shape;
        let (image, channels) = (shape.input_len(), shape.planes);
        assert!(
            input.len().is_multiple_of(image),
            "{} values of images of {image}",
            input.len()
        );
        let batch = input.len() / image;
        output.check(batch * shape.out_height() * shape.out_width(), channels);
        let windows = Windows {
            values: input,
            outside: &self.outside,
            size: [shape.in_height, shape.in_width],
            grid: [shape.out_height(), shape.out_width()],
            channels,
            kernel: shape.kernel,
            stride: shape.stride,
            dilation: shape.dilation,
            pads: [shape.pads[0], shape.pads[1]],
        };
        dispatch!(self.isa, S => match &self.shares {
            None => reduce::<S, _>(&windows, batch, None, Largest, output),
            Some(shares) => reduce::<S, _>(&windows, batch, None, Mean { shares }, output),
        });
    }
}
