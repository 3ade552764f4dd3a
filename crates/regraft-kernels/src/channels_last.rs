//! Kernels on images whose channels lie together, `[N, H, W, C]`: a product reads them where they are, and a vector of channels
//! is loaded from and written to one place. For networks that are compiled once, whose weights are prepared.

mod bf16;
mod pool;
mod product;
mod reduce;
mod reorder;
mod tile;
mod windows;
mod winograd;

use crate::conv::Conv2d;
use crate::isa::{dispatch, has_bf16};
use crate::scratch;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx512;
use crate::simd::Simd;
use crate::{Algorithm, Conv2dShape, Epilogue, Error, Isa};

pub use pool::ChannelsLastPool;
use product::Product;
use reduce::{Weighted, reduce};
pub use reorder::{channels_to_first, channels_to_last};
use tile::{Pairs, Singles};
use windows::Windows;
use winograd::Winograd;

/// Where an output goes: columns of rows of a larger tensor, so that a concatenation of channels needs no copy.
#[derive(Debug)]
pub struct Columns<'a> {
    /// All rows.
    pub values: &'a mut [f32],
    /// Values of a row.
    pub pitch: usize,
    /// The first column.
    pub first: usize,
}

impl<'a> Columns<'a> {
    /// Rows of `channels` values that are written whole.
    #[must_use]
    pub fn all(values: &'a mut [f32], channels: usize) -> Self {
        Self {
            values,
            pitch: channels,
            first: 0,
        }
    }

    fn check(&self, rows: usize, channels: usize) {
        assert!(
            self.first + channels <= self.pitch && self.values.len() == rows * self.pitch,
            "{rows} rows of {channels} columns from {} of {} in {} values",
            self.first,
            self.pitch,
            self.values.len()
        );
    }
}

/// A convolution of `[N, H, W, C]` with frozen weights.
#[derive(Debug, Clone)]
pub struct ChannelsLastConv {
    shape: Conv2dShape,
    isa: Isa,
    way: Way,
    /// What a tap reads outside of an image.
    outside: Vec<f32>,
}

#[derive(Debug, Clone)]
enum Way {
    Product(Product),
    /// Of pairs of bf16.
    Pairs(Product),
    Winograd(Winograd),
    /// Weights `[taps, channels]`.
    Depthwise(Vec<f32>),
}

/// What a convolution multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The values.
    #[default]
    F32,
    /// Weights and inputs rounded to bf16, sums in f32: faster where [`has_bf16`] says so, slow elsewhere. Groups, images of
    /// few channels, and what Winograd computes, which is faster still, stay in f32.
    Bf16,
}

impl ChannelsLastConv {
    /// The same as [`Self::new`] in a precision.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn in_precision(conv: &Conv2d, weight: &[f32], precision: Precision) -> Self {
        let shape = conv.shape();
        assert_eq!(
            weight.len(),
            shape.weight_len(),
            "length of the weight of {shape:?}"
        );
        let product = match precision {
            Precision::F32 => None,
            Precision::Bf16 if conv.algorithm() == Algorithm::Product => {
                dispatch!(conv.isa(), S => Product::of_pairs::<S>(shape, weight))
            }
            Precision::Bf16 => None,
        };
        match product {
            None => Self::new(conv, weight),
            Some(product) => Self {
                shape: shape.clone(),
                isa: conv.isa(),
                way: Way::Pairs(product),
                outside: vec![0.0; shape.in_channels],
            },
        }
    }

    /// Packs weights `[out_channels, in_channels / groups, kernel]`; the batch of `conv` is only a hint. F(2x2, 3x3)
    /// there is not here: a product takes its place.
    ///
    /// # Panics
    /// Where the weight has not the length of its tensor.
    #[must_use]
    pub fn new(conv: &Conv2d, weight: &[f32]) -> Self {
        let shape = conv.shape().clone();
        assert_eq!(
            weight.len(),
            shape.weight_len(),
            "length of the weight of {shape:?}"
        );
        let depthwise =
            shape.groups > 1 && [shape.in_channels, shape.out_channels] == [shape.groups; 2];
        let way = dispatch!(conv.isa(), S => match conv.algorithm() {
            _ if depthwise => Way::Depthwise(by_tap(weight, shape.taps())),
            Algorithm::Winograd4 => Way::Winograd(Winograd::new::<S>(&shape, weight)),
            Algorithm::Product | Algorithm::Depthwise | Algorithm::Winograd2 => Way::Product(Product::new::<S>(&shape, weight)),
        });
        Self {
            isa: conv.isa(),
            way,
            outside: vec![0.0; shape.in_channels],
            shape,
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
        match &self.way {
            Way::Product(product) | Way::Pairs(product) => product.bytes(),
            Way::Winograd(winograd) => winograd.bytes(),
            Way::Depthwise(weight) => 4 * weight.len(),
        }
    }

    /// `output = epilogue(conv(input))` over `batch` images; a residual has the output's rows, without a pitch.
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
        output: Columns<'_>,
    ) -> Result<(), Error> {
        let shape = self.shape.with_batch(batch)?;
        assert_eq!(
            input.len(),
            shape.input_len(),
            "length of the input of {shape:?}"
        );
        output.check(batch * shape.out_pixels(), shape.out_channels);
        epilogue.check(shape.out_channels, shape.output_len());
        let windows = Windows {
            values: input,
            outside: &self.outside,
            size: [shape.in_height, shape.in_width],
            grid: [shape.out_height(), shape.out_width()],
            channels: shape.in_channels,
            kernel: shape.kernel,
            stride: shape.stride,
            dilation: shape.dilation,
            pads: [shape.pads[0], shape.pads[1]],
        };
        #[cfg(target_arch = "x86_64")]
        if let (Way::Pairs(product), Isa::Avx512, true) = (&self.way, self.isa, has_bf16()) {
            in_pairs::<Avx512<true>>(product, &windows, &shape, epilogue, output);
            return Ok(());
        }
        dispatch!(self.isa, S => match &self.way {
            Way::Product(product) => product.forward::<S, Singles>(&windows, &shape, epilogue, output),
            Way::Pairs(product) => in_pairs::<S>(product, &windows, &shape, epilogue, output),
            Way::Winograd(winograd) => winograd.forward::<S>(&windows, &shape, epilogue, output),
            Way::Depthwise(weight) => {
                let how = Weighted { epilogue, channels: shape.out_channels };
                reduce::<S, _>(&windows, batch, Some(weight), how, output);
            }
        });
        Ok(())
    }
}

/// `[channels, taps]` to `[taps, channels]`.
fn by_tap(weight: &[f32], taps: usize) -> Vec<f32> {
    let channels = weight.len() / taps;
    let at = |i: usize| weight[i % channels * taps + i / channels];
    (0..weight.len()).map(at).collect()
}

/// A product of pairs of bf16, into which the images are turned first.
fn in_pairs<S: Simd>(
    product: &Product,
    windows: &Windows<'_>,
    shape: &Conv2dShape,
    epilogue: &Epilogue<'_>,
    output: Columns<'_>,
) {
    let channels = shape.in_channels.div_ceil(2);
    let rows = windows.values.len() / shape.in_channels;
    scratch::with(rows * channels, |pairs| {
        bf16::pairs::<S>(shape.in_channels, windows.values, pairs);
        let windows = Windows {
            values: pairs,
            channels,
            ..*windows
        };
        product.forward::<S, Pairs>(&windows, shape, epilogue, output);
    });
}
