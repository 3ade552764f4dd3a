//! The shape of a convolution: what the caller writes ([`Conv2dSpec`]) and what has been checked ([`Conv2dShape`]).

use std::ops::Deref;

use crate::Error;

/// A two-dimensional convolution in the terms of ONNX `Conv`: NCHW activations, OIHW weights.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Conv2dSpec {
    /// Images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Vertical and horizontal distance between taps.
    pub dilation: [usize; 2],
    /// Groups of channels that don't see each other.
    pub groups: usize,
}

impl Conv2dSpec {
    /// A square kernel with stride 1 and the padding that keeps the size of the image (of odd kernels).
    #[must_use]
    pub fn square(batch: usize, channels: [usize; 2], size: [usize; 2], kernel: usize) -> Self {
        Self {
            batch,
            in_channels: channels[0],
            in_height: size[0],
            in_width: size[1],
            out_channels: channels[1],
            kernel: [kernel; 2],
            stride: [1; 2],
            pads: [kernel.saturating_sub(1) / 2; 4],
            dilation: [1; 2],
            groups: 1,
        }
    }

    /// The same with another step in both directions.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; 2];
        self
    }

    /// The same with channels in groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}

/// A [`Conv2dSpec`] that makes sense, with the size of its output.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Conv2dShape {
    spec: Conv2dSpec,
    out_height: usize,
    out_width: usize,
}

impl Deref for Conv2dShape {
    type Target = Conv2dSpec;

    fn deref(&self) -> &Conv2dSpec {
        &self.spec
    }
}

impl Conv2dShape {
    /// Checks a spec and works out the size of the output.
    ///
    /// # Errors
    /// Where a size is zero, groups don't divide the channels, the dilated kernel is larger than the padded image, or a
    /// tensor would not fit the address space.
    pub fn new(spec: Conv2dSpec) -> Result<Self, Error> {
        for (name, value) in [
            ("batch", spec.batch),
            ("in_channels", spec.in_channels),
            ("in_height", spec.in_height),
            ("in_width", spec.in_width),
            ("out_channels", spec.out_channels),
            ("kernel", spec.kernel[0].min(spec.kernel[1])),
            ("stride", spec.stride[0].min(spec.stride[1])),
            ("dilation", spec.dilation[0].min(spec.dilation[1])),
            ("groups", spec.groups),
        ] {
            if value == 0 {
                return Err(Error::Zero { name });
            }
        }
        for (name, channels) in [
            ("in_channels", spec.in_channels),
            ("out_channels", spec.out_channels),
        ] {
            if channels % spec.groups != 0 {
                let groups = spec.groups;
                return Err(Error::Groups {
                    name,
                    channels,
                    groups,
                });
            }
        }
        let out_height = extent(&spec, 0)?;
        let out_width = extent(&spec, 1)?;
        let fits = |sizes: [usize; 4]| {
            let bytes = sizes
                .iter()
                .try_fold(8usize, |all, size| all.checked_mul(*size));
            bytes
                .filter(|bytes| *bytes <= isize::MAX as usize)
                .ok_or(Error::TooLarge)
        };
        fits([spec.batch, spec.in_channels, spec.in_height, spec.in_width])?;
        fits([spec.batch, spec.out_channels, out_height, out_width])?;
        fits([
            spec.out_channels,
            spec.in_channels,
            spec.kernel[0],
            spec.kernel[1],
        ])?;
        Ok(Self {
            spec,
            out_height,
            out_width,
        })
    }

    /// The same convolution over another number of images.
    ///
    /// # Errors
    /// Where the batch is zero or its tensors would not fit the address space.
    pub fn with_batch(&self, batch: usize) -> Result<Self, Error> {
        Self::new(Conv2dSpec {
            batch,
            ..self.spec.clone()
        })
    }

    /// Rows of the output.
    #[must_use]
    pub fn out_height(&self) -> usize {
        self.out_height
    }

    /// Columns of the output.
    #[must_use]
    pub fn out_width(&self) -> usize {
        self.out_width
    }

    /// Elements of the input, `[batch, in_channels, in_height, in_width]`.
    #[must_use]
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.in_pixels()
    }

    /// Elements of the output, `[batch, out_channels, out_height, out_width]`.
    #[must_use]
    pub fn output_len(&self) -> usize {
        self.batch * self.out_channels * self.out_pixels()
    }

    /// Elements of the weight, `[out_channels, in_channels / groups, kernel]`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.group_inputs() * self.taps()
    }

    /// Multiplications and additions of one pass, each counted as one.
    #[must_use]
    pub fn flops(&self) -> f64 {
        2.0 * self.output_len() as f64 * (self.group_inputs() * self.taps()) as f64
    }

    pub(crate) fn in_pixels(&self) -> usize {
        self.in_height * self.in_width
    }

    pub(crate) fn out_pixels(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Input channels of one group.
    pub(crate) fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group.
    pub(crate) fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// Size of the output along one axis.
fn extent(spec: &Conv2dSpec, axis: usize) -> Result<usize, Error> {
    let (name, size) = [("height", spec.in_height), ("width", spec.in_width)][axis];
    let padded = size
        .checked_add(spec.pads[axis])
        .and_then(|sum| sum.checked_add(spec.pads[axis + 2]))
        .filter(|sum| *sum <= isize::MAX as usize / 8)
        .ok_or(Error::TooLarge)?;
    let window = (spec.kernel[axis] - 1)
        .checked_mul(spec.dilation[axis])
        .and_then(|reach| reach.checked_add(1))
        .ok_or(Error::TooLarge)?;
    if window > padded {
        return Err(Error::Window {
            axis: name,
            window,
            size: padded,
        });
    }
    Ok((padded - window) / spec.stride[axis] + 1)
}
