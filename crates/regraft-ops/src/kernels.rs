//! The CPU backends: tensors as slices, `regraft-kernels` on them.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, TensorData};
use rayon::prelude::*;
use regraft_kernels::{
    Activation, Conv2d, Conv2dSpec, Divisor, Epilogue, Isa, NormShape, NormSums, PoolShape,
    average_pool, average_pool_backward, batch_statistics, channel_sums, max_pool,
    max_pool_backward,
};

use crate::convolution::Convolution;
use crate::normalisation::{Clamp, NormOptions, Normalisation};
use crate::normalised::{NormalisedConvolution, NormalisedPooling};
use crate::pooling::{Pooled, Pooling, extents};

/// A backend whose tensors lie in memory.
pub trait Host: Backend {
    /// The tensor with its values in row-major order.
    fn in_order(tensor: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The values of a tensor that is in order; `None` where they are no `f32`.
    fn values(tensor: &FloatTensor<Self>) -> Option<&[f32]>;
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

/// A tensor that `fill` writes to, beside another.
fn filled<B: Host, const D: usize>(
    like: &FloatTensor<B>,
    shape: [usize; D],
    fill: impl FnOnce(&mut [f32]),
) -> FloatTensor<B> {
    let mut values = zeros(shape.iter().product());
    fill(&mut values);
    let device = like.device();
    B::float_from_data(TensorData::new(values, shape), &device)
}

/// Values of a task that fills memory.
const ZEROS: usize = 64 * 1024;

/// Memory of so many values. Large pieces are cleared by all threads: one alone takes a twentieth of a training step for it.
fn zeros(len: usize) -> Vec<f32> {
    if len < ZEROS {
        return vec![0.0; len];
    }
    let values = (0..len).into_par_iter().with_min_len(ZEROS);
    values.map(|_| 0.0).collect()
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
    filled::<B, 4>(&input, output, |values| {
        conv.forward(pixels, taps, &epilogue, values);
    })
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
        filled::<B, 4>(&input, input.shape().dims(), |values| {
            conv.backward_input(above, taps, values);
        })
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
        filled::<B, 4>(&input, weight.shape().dims(), |values| {
            conv.backward_weight(pixels, above, values);
        })
    }

    fn convolve_bias_gradient(output_gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let above = B::in_order(output_gradient);
        let shape = norm_shape::<B>(&above);
        filled::<B, 1>(&above, [shape.channels], |values| {
            channel_sums(Isa::detect(), shape, slice::<B>(&above), values);
        })
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
            activation: match self.1.clamp {
                Clamp::Free => Activation::None,
                Clamp::Relu => Activation::Relu,
                Clamp::Relu6 => Activation::Relu6,
            },
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
        filled::<B, 1>(&input, [2 * shape.channels], |out| {
            out[..shape.channels].copy_from_slice(&found.mean);
            out[shape.channels..].copy_from_slice(&found.variance);
        })
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
        filled::<B, 4>(&operands.0[0], shape, |out| {
            operands
                .kernel()
                .forward(Isa::detect(), operands.input(), out);
        })
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
        filled::<B, 1>(&above, [2 * kernel.shape.channels], |out| {
            out[..kernel.shape.channels].copy_from_slice(&sums.scale);
            out[kernel.shape.channels..].copy_from_slice(&sums.shift);
        })
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
        filled::<B, 4>(&above, shape, |out| {
            operands.kernel().backward_input(
                Isa::detect(),
                operands.input(),
                slice::<B>(&above),
                own.as_ref(),
                out,
            );
        })
    }
}

impl<B: Host> NormalisedConvolution for B {}

impl<B: Host> NormalisedPooling for B {}

impl<B: Host> Pooling for B {
    fn pool_windows(
        input: FloatTensor<Self>,
        pooled: Pooled,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let input = B::in_order(input);
        let size = [shape.out_height(), shape.out_width()];
        let pixels = slice::<B>(&input);
        filled::<B, 4>(&input, extents::<B>(&input, size), |out| match pooled {
            Pooled::Largest => {
                let mut places = vec![0; out.len()];
                max_pool(Isa::detect(), &shape, pixels, out, &mut places);
            }
            Pooled::Average(divisor) => {
                average_pool(Isa::detect(), &shape, divisor, pixels, out);
            }
        })
    }

    fn pool_largest_gradient(
        input: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let (input, above) = (B::in_order(input), B::in_order(output_gradient));
        let mut output = vec![0.0; shape.output_len()];
        let mut places = vec![0; shape.output_len()];
        max_pool(
            Isa::detect(),
            &shape,
            slice::<B>(&input),
            &mut output,
            &mut places,
        );
        let size = [shape.in_height, shape.in_width];
        filled::<B, 4>(&above, extents::<B>(&above, size), |out| {
            max_pool_backward(&shape, slice::<B>(&above), &places, out);
        })
    }

    fn pool_average_gradient(
        output_gradient: FloatTensor<Self>,
        divisor: Divisor,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let above = B::in_order(output_gradient);
        let size = [shape.in_height, shape.in_width];
        filled::<B, 4>(&above, extents::<B>(&above, size), |out| {
            average_pool_backward(Isa::detect(), &shape, divisor, slice::<B>(&above), out);
        })
    }
}

#[cfg(feature = "flex")]
mod flex {
    use super::*;
    use burn::backend::Flex;

    impl Host for Flex {
        fn in_order(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
            match tensor.as_slice::<f32>() {
                Some(_) => tensor,
                None => tensor.to_contiguous(),
            }
        }

        fn values(tensor: &FloatTensor<Self>) -> Option<&[f32]> {
            tensor.as_slice()
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
        fn in_order(tensor: Array) -> Array {
            if Self::values(&tensor).is_some() {
                return tensor;
            }
            let device = tensor.device();
            let shape = tensor.shape();
            let Array::F32(storage) = &tensor else {
                return tensor;
            };
            let values: Vec<f32> = storage.view().iter().copied().collect();
            Self::float_from_data(TensorData::new(values, shape), &device)
        }

        fn values(tensor: &Array) -> Option<&[f32]> {
            match tensor {
                Array::F32(storage) => storage.view().to_slice(),
                _ => None,
            }
        }
    }
}
