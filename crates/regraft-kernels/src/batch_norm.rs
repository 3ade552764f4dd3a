//! Batch norm with the statistics of the batch, forward and backward, each in two passes over memory.
//!
//! Gradients for frozen statistics need no kernel: they are a factor a channel.

use rayon::prelude::*;

use crate::Isa;
use crate::isa::dispatch;
use crate::shared::Shared;
use crate::simd::Simd;
use crate::sum::{sum, sum_with};

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

/// `output = (input - mean) / sqrt(variance + epsilon) * scale + shift` with the statistics of this batch, which it returns.
///
/// # Panics
/// Where a slice has not the length of its tensor, or that is zero.
pub fn batch_norm(
    isa: Isa,
    shape: NormShape,
    input: &[f32],
    [scale, shift]: [&[f32]; 2],
    epsilon: f32,
    output: &mut [f32],
) -> BatchStatistics {
    shape.check(&[input, output], &[scale, shift]);
    let statistics = batch_statistics(isa, shape, input);
    let planes = output
        .par_chunks_exact_mut(shape.pixels)
        .zip(input.par_chunks_exact(shape.pixels));
    planes.enumerate().for_each(|(plane, (output, input))| {
        let channel = plane % shape.channels;
        let factor = scale[channel] * inverse_deviation(&statistics, channel, epsilon);
        let (mean, shift) = (statistics.mean[channel], shift[channel]);
        dispatch!(isa, S => S::run(
            #[inline(always)]
            || {
                for (output, input) in output.iter_mut().zip(input) {
                    *output = (input - mean) * factor + shift;
                }
            },
        ));
    });
    statistics
}

fn inverse_deviation(statistics: &BatchStatistics, channel: usize, epsilon: f32) -> f32 {
    (1.0 / (f64::from(statistics.variance[channel]) + f64::from(epsilon)).sqrt()) as f32
}

/// Gradients of [`batch_norm`], written over what is there.
#[derive(Debug)]
pub struct NormGradients<'a> {
    /// Of the input, `[batch, channels, pixels]`.
    pub input: &'a mut [f32],
    /// Of the scale, `[channels]`.
    pub scale: &'a mut [f32],
    /// Of the shift, `[channels]`.
    pub shift: &'a mut [f32],
}

/// The gradients through [`batch_norm`], its statistics included.
///
/// # Panics
/// Where a slice has not the length of its tensor, or that is zero.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_backward(
    isa: Isa,
    shape: NormShape,
    input: &[f32],
    scale: &[f32],
    statistics: &BatchStatistics,
    epsilon: f32,
    output_gradient: &[f32],
    gradients: &mut NormGradients<'_>,
) {
    shape.check(
        &[input, output_gradient, gradients.input],
        &[scale, gradients.scale, gradients.shift],
    );
    shape.check(&[input], &[&statistics.mean, &statistics.variance]);
    let count = (shape.batch * shape.pixels) as f64;
    let out = Shared::new(gradients.input);
    let per_channel = gradients
        .scale
        .par_iter_mut()
        .zip(gradients.shift.par_iter_mut());
    per_channel.enumerate().for_each(|(channel, (scale_gradient, shift_gradient))| {
        let mean = statistics.mean[channel];
        let inverse = inverse_deviation(statistics, channel, epsilon);
        dispatch!(isa, S => S::run(
            #[inline(always)]
            || {
                let (mut sums, mut products) = (0.0f64, 0.0f64);
                for at in shape.planes(channel) {
                    let gradient = &output_gradient[at..at + shape.pixels];
                    sums += sum(gradient);
                    products += sum_with(gradient, &input[at..at + shape.pixels], |gradient, input| {
                        gradient * ((input - mean) * inverse)
                    });
                }
                *scale_gradient = products as f32;
                *shift_gradient = sums as f32;
                let factor = scale[channel] * inverse;
                let (middle, slope) = ((sums / count) as f32, (products / count) as f32 * inverse);
                for at in shape.planes(channel) {
                    let out = channel_plane(out, at, shape.pixels);
                    let from = output_gradient[at..].iter().zip(&input[at..]);
                    for (out, (gradient, input)) in out.iter_mut().zip(from) {
                        *out = (gradient - middle - (input - mean) * slope) * factor;
                    }
                }
            },
        ));
    });
}

#[allow(unsafe_code)]
#[inline(always)]
fn channel_plane(out: Shared<'_>, at: usize, pixels: usize) -> &mut [f32] {
    // SAFETY: planes of a channel are only asked for by the task of that channel, one at a time.
    unsafe { out.slice(at, pixels) }
}
