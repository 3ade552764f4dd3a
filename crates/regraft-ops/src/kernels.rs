//! The CPU backends: tensors as slices, `regraft-kernels` on them.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, TensorData};
use regraft_kernels::{
    Activation, AdaptiveStep, Conv2d, Conv2dSpec, Divisor, Epilogue, Isa, NormShape, NormSums,
    PoolShape, average_pooled, average_pooled_gradient, batch_statistics, channel_sums, joined,
    max_pooled, max_pooled_gradient, sum, sum_gradient, weighted_squares, weighted_sum,
};

use crate::concatenation::Concatenation;
use crate::convolution::Convolution;
use crate::normalisation::{NormOptions, Normalisation};
use crate::normalised::{NormalisedConvolution, NormalisedPooling, NormalisedSum};
use crate::optimiser::Optimiser;
use crate::pooling::{Pooled, Pooling, extents};
use crate::residual::Residual;

/// A backend whose tensors lie in memory.
pub trait Host: Backend {
    /// The values of a tensor that is in row-major order; `None` where it is not, or they are no `f32`.
    fn values(tensor: &FloatTensor<Self>) -> Option<&[f32]>;
    /// The same of each part of the first dimension.
    fn parts(tensor: &FloatTensor<Self>) -> Option<Vec<&[f32]>>;
    /// Any tensor with its values in row-major order.
    fn copied(tensor: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The tensor with its values in row-major order. Channels cut from a tensor, as the gradients of a concatenation are, are
    /// copied by all threads.
    fn in_order(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        if Self::values(&tensor).is_some() {
            return tensor;
        }
        match Self::parts(&tensor) {
            Some(parts) => {
                let data = TensorData::new(joined(&parts), tensor.shape());
                Self::float_from_data(data, &tensor.device())
            }
            None => Self::copied(tensor),
        }
    }
}

/// The convolution that the kernels compute; `None` where they do not, which Burn's own then says why.
fn kernel<B: Backend>(
    input: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    options: &ConvOptions<2>,
) -> Option<Conv2d> {
    if input.dtype() != DType::F32 || weight.dtype() != DType::F32 {
        return None;
    }
    let [batch, in_channels, in_height, in_width] = input.shape().dims();
    let [out_channels, channels_a_group, height, width] = weight.shape().dims();
    let [(top, bottom), (left, right)] = options.padding;
    if channels_a_group * options.groups != in_channels {
        return None;
    }
    Conv2d::new(Conv2dSpec {
        batch,
        in_channels,
        in_height,
        in_width,
        out_channels,
        kernel: [height, width],
        stride: options.stride,
        pads: [top, left, bottom, right],
        dilation: options.dilation,
        groups: options.groups,
    })
    .ok()
}

/// A tensor beside another.
fn tensor<B: Host, const D: usize>(
    beside: &FloatTensor<B>,
    values: Vec<f32>,
    shape: [usize; D],
) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape), &beside.device())
}

fn forward<B: Host>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    options: ConvOptions<2>,
) -> FloatTensor<B> {
    let Some(conv) = kernel::<B>(&input, &weight, &options) else {
        return B::conv2d(input, weight, bias, options);
    };
    let (input, weight) = (B::in_order(input), B::in_order(weight));
    let bias = bias.map(B::in_order);
    let offsets = bias.as_ref().map(B::values);
    let (Some(pixels), Some(taps), None | Some(Some(_))) =
        (B::values(&input), B::values(&weight), offsets)
    else {
        return B::conv2d(input, weight, bias, options);
    };
    let epilogue = Epilogue {
        bias: offsets.flatten(),
        ..Epilogue::default()
    };
    let shape = conv.shape();
    let output = [
        shape.batch,
        shape.out_channels,
        shape.out_height(),
        shape.out_width(),
    ];
    tensor::<B, 4>(&input, conv.output(pixels, taps, &epilogue), output)
}

impl<B: Host> Convolution for B {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        forward::<B>(input, weight, None, options)
    }

    fn convolve_biased(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        forward::<B>(input, weight, Some(bias), options)
    }

    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let Some(conv) = kernel::<B>(&input, &weight, &options) else {
            return B::conv2d_x_backward(input, weight, output_gradient, options);
        };
        let (weight, output_gradient) = (B::in_order(weight), B::in_order(output_gradient));
        let (Some(taps), Some(above)) = (B::values(&weight), B::values(&output_gradient)) else {
            return B::conv2d_x_backward(input, weight, output_gradient, options);
        };
        let values = conv.input_gradient(above, taps);
        tensor::<B, 4>(&input, values, input.shape().dims())
    }

    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let Some(conv) = kernel::<B>(&input, &weight, &options) else {
            return B::conv2d_weight_backward(input, weight, output_gradient, options);
        };
        let (input, output_gradient) = (B::in_order(input), B::in_order(output_gradient));
        let (Some(pixels), Some(above)) = (B::values(&input), B::values(&output_gradient)) else {
            return B::conv2d_weight_backward(input, weight, output_gradient, options);
        };
        let values = conv.weight_gradient(pixels, above);
        tensor::<B, 4>(&input, values, weight.shape().dims())
    }

    fn convolve_bias_gradient(output_gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let above = B::in_order(output_gradient);
        let shape = norm_shape::<B>(&above);
        let mut sums = vec![0.0; shape.channels];
        channel_sums(Isa::detect(), shape, slice::<B>(&above), &mut sums);
        tensor::<B, 1>(&above, sums, [shape.channels])
    }
}

/// The operands of a normalisation in order, and the kernel over them.
struct Operands<B: Host>([FloatTensor<B>; 4], NormOptions);

impl<B: Host> Operands<B> {
    fn new(operands: [FloatTensor<B>; 4], options: NormOptions) -> Self {
        Self(operands.map(B::in_order), options)
    }

    fn input(&self) -> &[f32] {
        slice::<B>(&self.0[0])
    }

    fn kernel(&self) -> regraft_kernels::Normalisation<'_> {
        let [input, scale, shift, statistics] = &self.0;
        let (mean, variance) = halves(slice::<B>(statistics));
        regraft_kernels::Normalisation {
            shape: norm_shape::<B>(input),
            scale: slice::<B>(scale),
            shift: slice::<B>(shift),
            mean,
            variance,
            epsilon: self.1.epsilon as f32,
            activation: self.1.activation,
        }
    }
}

fn norm_shape<B: Backend>(input: &FloatTensor<B>) -> NormShape {
    let [batch, channels, height, width] = input.shape().dims();
    NormShape {
        batch,
        channels,
        pixels: height * width,
    }
}

/// The values of a tensor in order; none of another type than `f32`, which the kernels then refuse.
fn slice<B: Host>(tensor: &FloatTensor<B>) -> &[f32] {
    B::values(tensor).unwrap_or_default()
}

fn halves(values: &[f32]) -> (&[f32], &[f32]) {
    values.split_at(values.len() / 2)
}

impl<B: Host> Normalisation for B {
    fn channel_statistics(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let input = B::in_order(input);
        let shape = norm_shape::<B>(&input);
        let found = batch_statistics(Isa::detect(), shape, slice::<B>(&input));
        let both = [found.mean, found.variance].concat();
        tensor::<B, 1>(&input, both, [2 * shape.channels])
    }

    fn normalise(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        let shape: [usize; 4] = input.shape().dims();
        let operands = Operands::<B>::new([input, scale, shift, statistics], options);
        let values = operands.kernel().output(Isa::detect(), operands.input());
        tensor::<B, 4>(&operands.0[0], values, shape)
    }

    fn normalise_sums(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        let operands = Operands::<B>::new([input, scale, shift, statistics], options);
        let above = B::in_order(output_gradient);
        let kernel = operands.kernel();
        let sums = kernel.sums(Isa::detect(), operands.input(), slice::<B>(&above));
        let both = [sums.scale, sums.shift].concat();
        tensor::<B, 1>(&above, both, [2 * kernel.shape.channels])
    }

    fn normalise_input_gradient(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        let shape: [usize; 4] = input.shape().dims();
        let operands = Operands::<B>::new([input, scale, shift, statistics], options);
        let (above, sums) = (B::in_order(output_gradient), B::in_order(sums));
        let (scale, shift) = halves(slice::<B>(&sums));
        let own = options.own.then(|| NormSums {
            scale: scale.to_vec(),
            shift: shift.to_vec(),
        });
        let values = operands.kernel().input_gradient(
            Isa::detect(),
            operands.input(),
            slice::<B>(&above),
            own.as_ref(),
        );
        tensor::<B, 4>(&above, values, shape)
    }
}

impl<B: Host> NormalisedConvolution for B {}

impl<B: Host> NormalisedPooling for B {}

impl<B: Host> NormalisedSum for B {
    fn sum_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        other: FloatTensor<Self>,
        norm: NormOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let shape: [usize; 4] = input.shape().dims();
        let operands = Operands::<B>::new([input, scale, shift, statistics], norm);
        let other = B::in_order(other);
        let (pixels, other) = (operands.input(), slice::<B>(&other));
        let kernel = operands.kernel();
        let values = kernel.output_plus(Isa::detect(), pixels, other, activation);
        tensor::<B, 4>(&operands.0[0], values, shape)
    }
}

/// A tensor like `left`, made by a kernel of its values and those of `right`.
fn of_both<B: Host>(
    left: FloatTensor<B>,
    right: FloatTensor<B>,
    kernel: impl FnOnce(&[f32], &[f32]) -> Vec<f32>,
) -> FloatTensor<B> {
    let (left, right) = (B::in_order(left), B::in_order(right));
    let values = kernel(slice::<B>(&left), slice::<B>(&right));
    B::float_from_data(TensorData::new(values, left.shape()), &left.device())
}

impl<B: Host> Residual for B {
    fn sum_activated(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        of_both::<B>(left, right, |left, right| {
            sum(Isa::detect(), left, right, activation)
        })
    }

    fn sum_gradient(
        output: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        of_both::<B>(output, output_gradient, |output, gradient| {
            sum_gradient(Isa::detect(), output, gradient, activation)
        })
    }
}

impl<B: Host> Optimiser for B {
    fn weighted_sum(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        weights: [f32; 2],
    ) -> FloatTensor<Self> {
        of_both::<B>(left, right, |left, right| {
            weighted_sum(Isa::detect(), left, right, weights)
        })
    }

    fn weighted_squares(
        left: FloatTensor<Self>,
        right: FloatTensor<Self>,
        weights: [f32; 2],
    ) -> FloatTensor<Self> {
        of_both::<B>(left, right, |left, right| {
            weighted_squares(Isa::detect(), left, right, weights)
        })
    }

    fn adaptive_step(
        weight: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdaptiveStep,
    ) -> FloatTensor<Self> {
        let second = B::in_order(second);
        of_both::<B>(weight, first, |weight, first| {
            step.apply(Isa::detect(), weight, [first, slice::<B>(&second)])
        })
    }
}

/// Channels of images one behind the other.
fn concatenated<B: Host, const N: usize>(parts: [FloatTensor<B>; N]) -> FloatTensor<B> {
    let parts = parts.map(B::in_order);
    let [images, _, height, width] = parts[0].shape().dims();
    let channels: usize = parts.iter().map(|part| part.shape()[1]).sum();
    let image = |index: usize| {
        parts.iter().map(move |part| {
            let values = slice::<B>(part);
            let len = values.len() / images;
            &values[index * len..(index + 1) * len]
        })
    };
    let pieces: Vec<&[f32]> = (0..images).flat_map(image).collect();
    tensor::<B, 4>(
        &parts[0],
        joined(&pieces),
        [images, channels, height, width],
    )
}

impl<B: Host> Concatenation for B {
    fn concatenate_two(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        concatenated::<B, 2>([a, b])
    }

    fn concatenate_three(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        concatenated::<B, 3>([a, b, c])
    }

    fn concatenate_four(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        concatenated::<B, 4>([a, b, c, d])
    }
}

impl<B: Host> Pooling for B {
    fn pool_windows(
        input: FloatTensor<Self>,
        pooled: Pooled,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let input = B::in_order(input);
        let size = [shape.out_height(), shape.out_width()];
        let pixels = slice::<B>(&input);
        let values = match pooled {
            Pooled::Largest => max_pooled(Isa::detect(), &shape, pixels),
            Pooled::Average(divisor) => average_pooled(Isa::detect(), &shape, divisor, pixels),
        };
        tensor::<B, 4>(&input, values, extents::<B>(&input, size))
    }

    fn pool_largest_gradient(
        input: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let (input, above) = (B::in_order(input), B::in_order(output_gradient));
        let (pixels, gradient) = (slice::<B>(&input), slice::<B>(&above));
        let values = max_pooled_gradient(Isa::detect(), &shape, pixels, gradient);
        tensor::<B, 4>(&above, values, input.shape().dims())
    }

    fn pool_average_gradient(
        output_gradient: FloatTensor<Self>,
        divisor: Divisor,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let above = B::in_order(output_gradient);
        let values = average_pooled_gradient(Isa::detect(), &shape, divisor, slice::<B>(&above));
        let size = [shape.in_height, shape.in_width];
        tensor::<B, 4>(&above, values, extents::<B>(&above, size))
    }
}

#[cfg(feature = "flex")]
mod flex {
    use super::*;
    use burn::backend::Flex;

    impl Host for Flex {
        fn values(tensor: &FloatTensor<Self>) -> Option<&[f32]> {
            tensor.as_slice()
        }

        fn parts(tensor: &FloatTensor<Self>) -> Option<Vec<&[f32]>> {
            if tensor.dtype() != DType::F32 {
                return None;
            }
            let layout = tensor.layout();
            let (extents, strides) = (layout.shape(), layout.strides());
            let mut len = 1;
            for axis in (1..extents.num_dims()).rev() {
                if strides[axis] != len as isize {
                    return None;
                }
                len *= extents[axis];
            }
            let values = tensor.storage::<f32>();
            let part = |index: usize| {
                let from = layout.start_offset() + index * usize::try_from(strides[0]).ok()?;
                values.get(from..from + len)
            };
            (0..extents[0]).map(part).collect()
        }

        fn copied(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
            tensor.to_contiguous()
        }
    }
}

#[cfg(feature = "ndarray")]
mod ndarray {
    // Burn announces that ndarray will go; until then it is one of ours.
    #![allow(deprecated)]

    use super::*;
    use burn::backend::NdArray;
    use burn::backend::ops::FloatTensorOps;

    type Array = FloatTensor<NdArray>;

    impl Host for NdArray {
        fn values(tensor: &Array) -> Option<&[f32]> {
            match tensor {
                Array::F32(storage) => storage.view().to_slice(),
                _ => None,
            }
        }

        fn parts(tensor: &Array) -> Option<Vec<&[f32]>> {
            match tensor {
                Array::F32(storage) => {
                    let view = storage.view();
                    let parts = view.into_outer_iter();
                    parts.map(|part| part.to_slice()).collect()
                }
                _ => None,
            }
        }

        fn copied(tensor: Array) -> Array {
            let (device, shape) = (tensor.device(), tensor.shape());
            let Array::F32(storage) = &tensor else {
                return tensor;
            };
            let values: Vec<f32> = storage.view().iter().copied().collect();
            Self::float_from_data(TensorData::new(values, shape), &device)
        }
    }
}
