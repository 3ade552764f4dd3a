//! Sums over axes and what is divided by them: means, softmax, layer norm, local response normalisation.

use rayon::prelude::*;
use regraft_kernels::{Isa, exp};
use regraft_onnx::op::Lrn;

use super::CHUNK;
use regraft_program::Extents;

/// Mean over `axes` neighbouring axes from `first` on.
pub(crate) fn mean(first: usize, axes: usize, input: &[f32], extents: Extents, output: &mut [f32]) {
    let len: usize = extents[first..first + axes].iter().product();
    let inner: usize = extents[first + axes..].iter().product();
    if inner == 1 {
        regraft_kernels::global_average_pool(Isa::detect(), input, output);
        return;
    }
    output
        .par_chunks_mut(inner)
        .zip(input.par_chunks(inner * len))
        .for_each(|(to, from)| {
            to.fill(0.0);
            for row in from.chunks_exact(inner) {
                for (sum, value) in to.iter_mut().zip(row) {
                    *sum += value;
                }
            }
            for value in to {
                *value /= len as f32;
            }
        });
}

/// Softmax along an axis, or its logarithm.
pub(crate) fn softmax(
    axis: usize,
    log: bool,
    input: Option<&[f32]>,
    extents: Extents,
    output: &mut [f32],
) {
    let len = extents[axis];
    let inner: usize = extents[axis + 1..].iter().product();
    let block = len * inner;
    output
        .par_chunks_mut(block)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(block))
        .for_each(|(index, run)| {
            if let Some(input) = input {
                run.copy_from_slice(&input[index * block..][..block]);
            }
            if inner == 1 {
                soften(run, log);
                return;
            }
            for at in 0..inner {
                soften_strided(&mut run[at..], inner, log);
            }
        });
}

fn soften(run: &mut [f32], log: bool) {
    let largest = run.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
    if log {
        let sum: f32 = run.iter().map(|&v| exp(v - largest)).sum();
        let shift = largest + sum.ln();
        for value in run {
            *value -= shift;
        }
        return;
    }
    for value in &mut *run {
        *value = exp(*value - largest);
    }
    let sum: f32 = run.iter().sum();
    for value in run {
        *value /= sum;
    }
}

fn soften_strided(run: &mut [f32], step: usize, log: bool) {
    let values = || run.iter().step_by(step);
    let largest = values().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
    let sum: f32 = values().map(|&v| exp(v - largest)).sum();
    for value in run.iter_mut().step_by(step) {
        *value = if log {
            *value - largest - sum.ln()
        } else {
            exp(*value - largest) / sum
        };
    }
}

/// `(x - mean) / sqrt(variance + epsilon) scale + shift` over rows as long as `scale` (Ba 2016).
pub(crate) fn layer_norm(
    epsilon: f64,
    scale: &[f32],
    shift: Option<&[f32]>,
    input: Option<&[f32]>,
    output: &mut [f32],
) {
    let width = scale.len();
    output
        .par_chunks_mut(width)
        .enumerate()
        .with_min_len(CHUNK.div_ceil(width))
        .for_each(|(index, row)| {
            if let Some(input) = input {
                row.copy_from_slice(&input[index * width..][..width]);
            }
            let mean = (sum(row, |v| v) / width as f64) as f32;
            let variance = sum(row, |v| (v - mean) * (v - mean)) / width as f64;
            let factor = (1.0 / (variance + epsilon).sqrt()) as f32;
            for (value, scale) in row.iter_mut().zip(scale) {
                *value = (*value - mean) * factor * scale;
            }
            if let Some(shift) = shift {
                for (value, shift) in row.iter_mut().zip(shift) {
                    *value += shift;
                }
            }
        });
}

/// Sum in eight parts, so that it runs in vectors and rounds less.
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f64 {
    let (chunks, rest) = row.as_chunks::<8>();
    let mut parts = [0f32; 8];
    for chunk in chunks {
        for (part, value) in parts.iter_mut().zip(chunk) {
            *part += of(*value);
        }
    }
    let tail: f64 = rest.iter().map(|&v| f64::from(of(v))).sum();
    parts.iter().map(|&part| f64::from(part)).sum::<f64>() + tail
}

/// `x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta` (Krizhevsky 2012, section 3.3).
pub(crate) fn local_response(
    lrn: &Lrn,
    channels: usize,
    pixels: usize,
    input: &[f32],
    output: &mut [f32],
) {
    let (before, after) = (lrn.size.saturating_sub(1) / 2, lrn.size / 2);
    output
        .par_chunks_mut(pixels)
        .enumerate()
        .for_each(|(plane, to)| {
            let (image, channel) = (plane / channels, plane % channels);
            let window = channel.saturating_sub(before)..(channel + after + 1).min(channels);
            to.fill(0.0);
            for other in window {
                let from = &input[(image * channels + other) * pixels..][..pixels];
                for (sum, value) in to.iter_mut().zip(from) {
                    *sum += value * value;
                }
            }
            let share = lrn.alpha / lrn.size as f32;
            for (to, from) in to.iter_mut().zip(&input[plane * pixels..][..pixels]) {
                *to = from / (lrn.bias + share * *to).powf(lrn.beta);
            }
        });
}
