//! Convolution on the CPU backends: tensors as slices, `regraft-kernels` on them.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, TensorData};
use regraft_kernels::{Conv2d, Conv2dSpec, Epilogue};

use crate::convolution::Convolution;

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
fn filled<B: Host>(
    like: &FloatTensor<B>,
    shape: [usize; 4],
    fill: impl FnOnce(&mut [f32]),
) -> FloatTensor<B> {
    let mut values = vec![0.0; shape.iter().product()];
    fill(&mut values);
    let device = like.device();
    B::float_from_data(TensorData::new(values, shape), &device)
}

impl<B: Host> Convolution for B {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let Some(conv) = kernel::<B>(&input, &weight, &options) else {
            return B::conv2d(input, weight, None, options);
        };
        let (input, weight) = (B::in_order(input), B::in_order(weight));
        let (Some(pixels), Some(taps)) = (B::values(&input), B::values(&weight)) else {
            return B::conv2d(input, weight, None, options);
        };
        let shape = conv.shape();
        let output = [
            shape.batch,
            shape.out_channels,
            shape.out_height(),
            shape.out_width(),
        ];
        filled::<B>(&input, output, |values| {
            conv.forward(pixels, taps, &Epilogue::default(), values);
        })
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
        filled::<B>(&input, input.shape().dims(), |values| {
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
        filled::<B>(&input, weight.shape().dims(), |values| {
            conv.backward_weight(pixels, above, values);
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
