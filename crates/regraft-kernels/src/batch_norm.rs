//! Batch norm and the activation behind it, by the statistics of the batch or frozen ones; forward and backward take two passes
//! over memory each, one where statistics are frozen.
#![allow(unsafe_code)]

use rayon::prelude::*;

use crate::fresh::{self, Fresh};
use crate::function::{Function, with_function};
use crate::isa::dispatch;
use crate::simd::Simd;
use crate::sum::{sum, sum_with, sums_with};
use crate::{Activation, Isa};

/// Mean and biased variance of each channel over images and pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics {
    /// `[channels]`
    pub mean: Vec<f32>,
    /// `[channels]`, divided by the number of values, not one less.
    pub variance: Vec<f32>,
}

/// A tensor `[batch, channels, pixels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormShape {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of a plane.
    pub pixels: usize,
}

impl NormShape {
    fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    fn check(&self, tensors: &[&[f32]], channels: &[&[f32]]) {
        assert!(self.len() > 0, "an empty batch has no statistics");
        assert!(
            tensors.iter().all(|tensor| tensor.len() == self.len()),
            "tensors of {self:?}"
        );
        assert!(
            channels.iter().all(|values| values.len() == self.channels),
            "one value a channel of {self:?}"
        );
    }

    /// Where the planes of a channel begin.
    fn planes(self, channel: usize) -> impl Iterator<Item = usize> {
        (0..self.batch).map(move |image| (image * self.channels + channel) * self.pixels)
    }
}

/// Mean and biased variance of each channel. A plane is read twice while it is in the cache, and planes are combined as
/// Chan, Golub and LeVeque (1979) do, so large means cost no digits.
///
/// # Panics
/// Where the input has not the length of `shape`, or that is zero.
#[must_use]
pub fn batch_statistics(isa: Isa, shape: NormShape, input: &[f32]) -> BatchStatistics {
    shape.check(&[input], &[]);
    let of = |channel: usize| {
        let (mut count, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
        let pixels = shape.pixels as f64;
        for at in shape.planes(channel) {
            let plane = &input[at..at + shape.pixels];
            let here = sum(plane) / pixels;
            let middle = here as f32;
            let off = sum_with(plane, plane, |value, _| (value - middle) * (value - middle));
            let off = off - pixels * (here - f64::from(middle)).powi(2);
            let step = here - mean;
            squares += off + step * step * count * pixels / (count + pixels);
            mean += step * pixels / (count + pixels);
            count += pixels;
        }
        (mean as f32, (squares / count).max(0.0) as f32)
    };
    let (mean, variance) = dispatch!(isa, S => {
        (0..shape.channels).into_par_iter().map(|channel| S::run(
            #[inline(always)]
            || of(channel),
        )).unzip()
    });
    BatchStatistics { mean, variance }
}

/// The sum of each channel over images and pixels, as the gradient of a bias is.
///
/// # Panics
/// Where a slice has not the length of its tensor, or that is zero.
pub fn channel_sums(isa: Isa, shape: NormShape, input: &[f32], sums: &mut [f32]) {
    shape.check(&[input], &[sums]);
    sums.par_iter_mut().enumerate().for_each(|(channel, out)| {
        let mut total = 0.0f64;
        for at in shape.planes(channel) {
            dispatch!(isa, S => S::run(
                #[inline(always)]
                || total += sum(&input[at..at + shape.pixels]),
            ));
        }
        *out = total as f32;
    });
}

/// A normalisation: `activation((input - mean) / sqrt(variance + epsilon) * scale + shift)`, each channel with its own numbers.
///
/// Nothing but its input is needed for the gradients: what the activation let through is computed again.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation<'a> {
    /// Of input and output.
    pub shape: NormShape,
    /// `[channels]`
    pub scale: &'a [f32],
    /// `[channels]`
    pub shift: &'a [f32],
    /// `[channels]`, of [`batch_statistics`] or running.
    pub mean: &'a [f32],
    /// `[channels]`, biased.
    pub variance: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
    /// Behind the normalisation.
    pub activation: Activation,
}

/// The sums that gradients are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct NormSums {
    /// The gradient of the scale, `[channels]`.
    pub scale: Vec<f32>,
    /// The gradient of the shift, `[channels]`.
    pub shift: Vec<f32>,
}

/// The numbers of a channel: `(input - mean) * inverse * scale + shift`.
#[derive(Clone, Copy)]
struct Channel {
    mean: f32,
    inverse: f32,
    factor: f32,
    shift: f32,
}

impl Channel {
    #[inline(always)]
    fn normalised(self, input: f32) -> f32 {
        (input - self.mean) * self.factor + self.shift
    }
}

impl Normalisation<'_> {
    fn check(&self, tensors: &[&[f32]]) {
        let channels = [self.scale, self.shift, self.mean, self.variance];
        self.shape.check(tensors, &channels);
    }

    fn channel(&self, index: usize) -> Channel {
        let deviation = (f64::from(self.variance[index]) + f64::from(self.epsilon)).sqrt();
        let inverse = (1.0 / deviation) as f32;
        Channel {
            mean: self.mean[index],
            inverse,
            factor: self.scale[index] * inverse,
            shift: self.shift[index],
        }
    }

    /// Writes the output.
    ///
    /// # Panics
    /// Where a slice has not the length of its tensor, or that is zero.
    pub fn forward(&self, isa: Isa, input: &[f32], output: &mut [f32]) {
        self.check(&[input, output]);
        self.forward_into(isa, input, fresh::over(output));
    }

    fn forward_into(&self, isa: Isa, input: &[f32], output: &mut Fresh) {
        let pixels = self.shape.pixels;
        let planes = output
            .par_chunks_exact_mut(pixels)
            .zip(input.par_chunks_exact(pixels));
        planes.enumerate().for_each(|(plane, (output, input))| {
            let channel = self.channel(plane % self.shape.channels);
            with_function!(self.activation, F => dispatch!(isa, S => S::run(
                #[inline(always)]
                || {
                    for (output, input) in output.iter_mut().zip(input) {
                        output.write(F::of(channel.normalised(*input)));
                    }
                },
            )));
        });
    }

    /// [`Self::forward`] into memory of its own.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn output(&self, isa: Isa, input: &[f32]) -> Vec<f32> {
        self.check(&[input]);
        let write = |output: &mut Fresh| self.forward_into(isa, input, output);
        // SAFETY: the planes cover the output, and each of their values is made of the input's.
        unsafe { fresh::written(input.len(), write) }
    }

    /// `sum(output + other)` into memory of its own, `sum` being an activation, without the output between.
    ///
    /// # Panics
    /// As [`Self::forward`].
    #[must_use]
    pub fn output_plus(&self, isa: Isa, input: &[f32], other: &[f32], sum: Activation) -> Vec<f32> {
        self.check(&[input, other]);
        let pixels = self.shape.pixels;
        let write = |output: &mut Fresh| {
            let operands = input
                .par_chunks_exact(pixels)
                .zip(other.par_chunks_exact(pixels));
            let planes = output.par_chunks_exact_mut(pixels).zip(operands);
            planes.enumerate().for_each(|(plane, (output, (input, other)))| {
                let channel = self.channel(plane % self.shape.channels);
                with_function!(self.activation, F => with_function!(sum, G => dispatch!(isa, S => S::run(
                    #[inline(always)]
                    || {
                        for (output, (input, other)) in output.iter_mut().zip(input.iter().zip(other)) {
                            output.write(G::of(F::of(channel.normalised(*input)) + other));
                        }
                    },
                ))));
            });
        };
        // SAFETY: as for the output.
        unsafe { fresh::written(input.len(), write) }
    }

    /// The gradients of scale and shift, from that of the output.
    ///
    /// # Panics
    /// As [`Self::forward`].
    #[must_use]
    pub fn sums(&self, isa: Isa, input: &[f32], output_gradient: &[f32]) -> NormSums {
        self.check(&[input, output_gradient]);
        let of = |index: usize| {
            let channel = self.channel(index);
            let mut sums = [0.0f64; 2];
            for at in self.shape.planes(index) {
                let plane = at..at + self.shape.pixels;
                let (input, gradient) = (&input[plane.clone()], &output_gradient[plane]);
                let [products, plain] = with_function!(self.activation, F => dispatch!(isa, S => S::run(
                    #[inline(always)]
                    || sums_with(gradient, input, |gradient, input| {
                        let passed = F::back(channel.normalised(input), gradient);
                        [passed * ((input - channel.mean) * channel.inverse), passed]
                    }),
                )));
                sums[0] += products;
                sums[1] += plain;
            }
            (sums[0] as f32, sums[1] as f32)
        };
        let (scale, shift) = (0..self.shape.channels).into_par_iter().map(of).unzip();
        NormSums { scale, shift }
    }

    /// Writes the gradient of the input. `own` are the [`Self::sums`] where mean and variance are the batch's own, so
    /// that the gradient goes through them too; nothing where they are frozen.
    ///
    /// # Panics
    /// As [`Self::forward`].
    pub fn backward_input(
        &self,
        isa: Isa,
        input: &[f32],
        output_gradient: &[f32],
        own: Option<&NormSums>,
        input_gradient: &mut [f32],
    ) {
        self.check(&[input, output_gradient, input_gradient]);
        self.backward_into(
            isa,
            input,
            output_gradient,
            own,
            fresh::over(input_gradient),
        );
    }

    fn backward_into(
        &self,
        isa: Isa,
        input: &[f32],
        output_gradient: &[f32],
        own: Option<&NormSums>,
        input_gradient: &mut Fresh,
    ) {
        let (pixels, channels) = (self.shape.pixels, self.shape.channels);
        let count = (self.shape.batch * pixels) as f32;
        let planes = input_gradient
            .par_chunks_exact_mut(pixels)
            .zip(input.par_chunks_exact(pixels))
            .zip(output_gradient.par_chunks_exact(pixels));
        planes
            .enumerate()
            .for_each(|(plane, ((out, input), gradient))| {
                let index = plane % channels;
                let channel = self.channel(index);
                let (middle, slope) = own.map_or((0.0, 0.0), |own| {
                    (
                        own.shift[index] / count,
                        own.scale[index] / count * channel.inverse,
                    )
                });
                with_function!(self.activation, F => dispatch!(isa, S => S::run(
                    #[inline(always)]
                    || {
                        let operands = gradient.iter().zip(input);
                        for (out, (gradient, input)) in out.iter_mut().zip(operands) {
                            let passed = F::back(channel.normalised(*input), *gradient);
                            let through = middle + (input - channel.mean) * slope;
                            out.write((passed - through) * channel.factor);
                        }
                    },
                )));
            });
    }

    /// [`Self::backward_input`] into memory of its own.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn input_gradient(
        &self,
        isa: Isa,
        input: &[f32],
        output_gradient: &[f32],
        own: Option<&NormSums>,
    ) -> Vec<f32> {
        self.check(&[input, output_gradient]);
        let write = |out: &mut Fresh| self.backward_into(isa, input, output_gradient, own, out);
        // SAFETY: as for the output.
        unsafe { fresh::written(input.len(), write) }
    }
}
