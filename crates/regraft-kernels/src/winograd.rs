//! Winograd's minimal filtering for 3x3 kernels of stride 1 (Lavin and Gray, 2016): F(4x4, 3x3) takes a quarter of the
//! multiplications, F(2x2, 3x3) four ninths with less rounding. Forward, and for the gradient of the input, which is the
//! same with the kernel turned around.

#![allow(clippy::needless_range_loop)] // transforms index two arrays at once

mod gradient;
mod run;
mod transform;
mod weights;

pub(crate) use gradient::weight_gradient;
pub(crate) use run::convolve;
pub(crate) use transform::{F2, F4, Scheme};
pub(crate) use weights::{packed_len, transform, transform_weights};

use crate::shape::Conv2dShape;

/// Values between the matrices of neighbouring positions in a tile, so that they don't all fall on the same cache set.
const APART: usize = 16;

/// A pass of a 3x3 convolution of stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    BackwardInput,
}

/// What a pass reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    pub batch: usize,
    /// Channels read and written.
    pub channels: [usize; 2],
    /// Height and width read.
    pub from: [usize; 2],
    /// Height and width written.
    pub to: [usize; 2],
    /// Zeros above and left; negative where rows are cut off.
    pub pad: [isize; 2],
}

impl Problem {
    pub fn new(shape: &Conv2dShape, pass: Pass) -> Self {
        let input = [shape.in_height, shape.in_width];
        let output = [shape.out_height(), shape.out_width()];
        let pad = [shape.pads[0].cast_signed(), shape.pads[1].cast_signed()];
        match pass {
            Pass::Forward => Self {
                batch: shape.batch,
                channels: [shape.in_channels, shape.out_channels],
                from: input,
                to: output,
                pad,
            },
            Pass::BackwardInput => Self {
                batch: shape.batch,
                channels: [shape.out_channels, shape.in_channels],
                from: output,
                to: input,
                pad: [2 - pad[0], 2 - pad[1]],
            },
        }
    }
}

/// Whether a shape can be computed this way.
pub(crate) fn fits(shape: &Conv2dShape) -> bool {
    shape.kernel == [3, 3]
        && shape.stride == [1, 1]
        && shape.dilation == [1, 1]
        && shape.groups == 1
}
