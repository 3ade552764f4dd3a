//! Batch norm with its activation, and pooling, against what Burn composes: outputs and gradients over random shapes, on every
//! backend compiled in.
#![cfg(any(feature = "flex", feature = "ndarray"))]
#![allow(clippy::unwrap_used)]

use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};
use proptest::prelude::*;
use regraft_ops::{Activation, Divisor, Norm, NormOptions, PoolSpec, Pooled, Rounding};

const EPSILON: f64 = 1e-5;

fn devices() -> Vec<Device> {
    vec![
        #[cfg(feature = "flex")]
        Device::flex().autodiff(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)]
        Device::ndarray().autodiff(),
    ]
}

/// Values in -1 to 1; the backends' own random numbers are shared by tests that run at the same time.
fn scattered<const D: usize>(shape: [usize; D], salt: u32, device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u32;
    let value = |i: u32| {
        let x = (i + 1).wrapping_mul(2_654_435_761) ^ salt.wrapping_mul(2_246_822_519);
        let x = (x ^ (x >> 15)).wrapping_mul(2_246_822_519);
        (x >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// The output under a made-up loss, and the gradients of what led to it.
fn differentiate(output: Tensor<4>, image: &Tensor<4>, vectors: &[Tensor<1>]) -> Vec<Vec<f32>> {
    let gradients = (output.clone() * output.clone().sin()).sum().backward();
    let mut found = vec![values(output), values(image.grad(&gradients).unwrap())];
    found.extend(vectors.iter().map(|v| values(v.grad(&gradients).unwrap())));
    found
}

fn agree(ours: &[Vec<f32>], burns: &[Vec<f32>]) -> Result<(), TestCaseError> {
    for (what, (ours, burns)) in ours.iter().zip(burns).enumerate() {
        prop_assert_eq!(ours.len(), burns.len());
        let scale = burns.iter().fold(1.0f32, |most, v| most.max(v.abs()));
        for (a, b) in ours.iter().zip(burns) {
            prop_assert!((a - b).abs() <= 2e-4 * scale, "{}: {} and {}", what, a, b);
        }
    }
    Ok(())
}

fn normalise(
    shape: [usize; 4],
    behind: Activation,
    own: bool,
    device: &Device,
    ours: bool,
) -> Vec<Vec<f32>> {
    let image = scattered(shape, 1, device).require_grad();
    let channels = shape[1];
    let learned = [2, 3].map(|salt| {
        scattered([channels], salt, device)
            .mul_scalar(4.0)
            .require_grad()
    });
    let running = [
        scattered([channels], 4, device),
        scattered([channels], 5, device).abs().add_scalar(0.1),
    ];
    let per_channel = |v: Tensor<1>| v.reshape([1, channels, 1, 1]);
    let output = if ours {
        let statistics = if own {
            regraft_ops::channel_statistics(&image)
        } else {
            running
        };
        let options = NormOptions {
            epsilon: EPSILON,
            activation: behind,
            own,
        };
        regraft_ops::batch_norm(image.clone(), learned.clone(), statistics, options)
    } else {
        let [mean, variance] = if own {
            let mean = image.clone().mean_dim(0).mean_dim(2).mean_dim(3);
            let off = image.clone() - mean.clone();
            [mean, off.powi_scalar(2).mean_dim(0).mean_dim(2).mean_dim(3)]
        } else {
            running.map(per_channel)
        };
        let [scale, shift] = learned.clone().map(per_channel);
        let normal = (image.clone() - mean) / variance.add_scalar(EPSILON).sqrt() * scale + shift;
        match behind {
            Activation::None => normal,
            Activation::Relu => activation::relu(normal),
            Activation::Relu6 => normal.clamp(0.0, 6.0),
            Activation::Silu => activation::silu(normal),
            Activation::HardSwish => activation::hard_swish(normal),
        }
    };
    differentiate(output, &image, &learned)
}

/// A norm with a convolution, a maximum and a sum behind it, each in one step or two: the output and all gradients.
fn convolve_normalised(
    shape: [usize; 4],
    behind: Activation,
    own: bool,
    device: &Device,
    in_one: bool,
) -> Vec<Vec<f32>> {
    let channels = shape[1];
    let input = scattered(shape, 1, device).require_grad();
    let learned = [2, 3].map(|salt| scattered([channels], salt, device).require_grad());
    let weight = scattered([3, channels, 3, 3], 6, device).require_grad();
    let statistics = if own {
        regraft_ops::channel_statistics(&input)
    } else {
        [
            scattered([channels], 4, device),
            scattered([channels], 5, device).abs().add_scalar(0.1),
        ]
    };
    let norm = Norm {
        input: input.clone(),
        learned: learned.clone(),
        statistics,
        options: NormOptions {
            epsilon: EPSILON,
            activation: behind,
            own,
        },
    };
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let windows = PoolSpec {
        planes: 0,
        in_height: 0,
        in_width: 0,
        kernel: [2, 2],
        stride: [2, 1],
        pads: [0; 4],
        dilation: [1; 2],
        rounding: Rounding::Down,
    };
    let windows = regraft_ops::pool_shape(&input, windows).unwrap();
    let pooled = if in_one {
        norm.clone().max_pool2d(windows)
    } else {
        regraft_ops::pool2d(norm.clone().output(), Pooled::Largest, windows)
    };
    let other = scattered(shape, 7, device).require_grad();
    let summed = if in_one {
        norm.clone().add(other.clone(), Activation::Relu)
    } else {
        regraft_ops::add(norm.clone().output(), other.clone(), Activation::Relu)
    };
    let output = if in_one {
        norm.conv2d(weight.clone(), options)
    } else {
        regraft_ops::conv2d(norm.output(), weight.clone(), None, options)
    };
    let loss = (output.clone() * output.clone().sin()).sum()
        + (pooled.clone() * pooled).sum()
        + (summed.clone() * summed.clone().cos()).sum();
    let gradients = loss.backward();
    let mut found = vec![values(output), values(summed)];
    found.push(values(input.grad(&gradients).unwrap()));
    found.push(values(other.grad(&gradients).unwrap()));
    found.push(values(weight.grad(&gradients).unwrap()));
    found.extend(learned.iter().map(|v| values(v.grad(&gradients).unwrap())));
    found
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::None),
        Just(Activation::Relu),
        Just(Activation::Relu6),
        Just(Activation::Silu),
        Just(Activation::HardSwish),
    ]
}

/// A pooling that fits its image: kernel, stride, padding below the kernel, and size, along each axis.
fn windows() -> impl Strategy<Value = [[usize; 4]; 2]> {
    let axis = || {
        (1usize..=4, 1usize..=3, 1usize..=10).prop_flat_map(|(kernel, stride, size)| {
            (0..kernel).prop_map(move |pad| [kernel, stride, pad.min(kernel / 2), size.max(kernel)])
        })
    };
    [axis(), axis()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn batch_norm_is_what_burn_composes(
        shape in [2usize..=4, 1usize..=5, 1usize..=9, 2usize..=9],
        behind in activations(),
        own in any::<bool>(),
    ) {
        for device in devices() {
            let [ours, burns] = [true, false].map(|ours| normalise(shape, behind, own, &device, ours));
            agree(&ours, &burns)?;
        }
    }

    #[test]
    fn a_norm_computed_again_gives_the_bits_of_one_that_was_kept(
        shape in [1usize..=3, 1usize..=20, 2usize..=9, 2usize..=9],
        behind in activations(),
        own in any::<bool>(),
    ) {
        for device in devices() {
            let [one, two] =
                [true, false].map(|in_one| convolve_normalised(shape, behind, own, &device, in_one));
            prop_assert_eq!(one, two);
        }
    }

    #[test]
    fn sums_are_burns(shape in [1usize..=3, 1usize..=5, 1usize..=9, 1usize..=9], six in any::<bool>()) {
        for device in devices() {
            let image = scattered(shape, 1, &device).require_grad();
            // A backward pass consumes what it went through, so each has its own.
            let other = || scattered(shape, 2, &device).mul_scalar(9.0) * image.clone();
            let (behind, burns) = if six {
                (Activation::Relu6, (image.clone() + other()).clamp(0.0, 6.0))
            } else {
                (Activation::Relu, activation::relu(image.clone() + other()))
            };
            let ours = regraft_ops::add(image.clone(), other(), behind);
            agree(&differentiate(ours, &image, &[]), &differentiate(burns, &image, &[]))?;
        }
    }

    #[test]
    fn concatenations_are_burns(
        images in 1usize..=3,
        channels in prop::collection::vec(1usize..=4, 1..=5),
        size in [1usize..=9, 1usize..=9],
    ) {
        for device in devices() {
            let image = scattered([images, 4, size[0], size[1]], 1, &device).require_grad();
            let part = |(index, channels): (usize, &usize)| {
                let cut = image.clone().narrow(1, 4 - channels, *channels);
                cut.mul_scalar(index as f64 + 1.0)
            };
            let parts = || -> Vec<_> { channels.iter().enumerate().map(part).collect() };
            let (burns, ours) = (Tensor::cat(parts(), 1), regraft_ops::concatenate(parts()));
            prop_assert_eq!(differentiate(ours, &image, &[]), differentiate(burns, &image, &[]));
        }
    }

    #[test]
    fn pooling_is_burns(planes in [1usize..=3, 1usize..=4], axes in windows(), counts_padding in any::<bool>()) {
        let [rows, columns] = axes;
        let spec = PoolSpec {
            planes: 0,
            in_height: 0,
            in_width: 0,
            kernel: [rows[0], columns[0]],
            stride: [rows[1], columns[1]],
            pads: [rows[2], columns[2], rows[2], columns[2]],
            dilation: [1, 1],
            rounding: Rounding::Down,
        };
        let largest = MaxPoolOptions::new(spec.kernel).with_stride(spec.stride).with_padding([rows[2], columns[2]]);
        let average = AvgPoolOptions::new(spec.kernel)
            .with_stride(spec.stride)
            .with_padding([rows[2], columns[2]])
            .with_count_include_pad(counts_padding);
        let divisor = if counts_padding { Divisor::PaddedImage } else { Divisor::Image };
        for device in devices() {
            let image = scattered([planes[0], planes[1], rows[3], columns[3]], 1, &device).require_grad();
            let shape = regraft_ops::pool_shape(&image, spec.clone()).unwrap();
            for (ours, burns) in [
                (Pooled::Largest, max_pool2d(image.clone(), largest.clone())),
                (Pooled::Average(divisor), avg_pool2d(image.clone(), average.clone())),
            ] {
                let ours = regraft_ops::pool2d(image.clone(), ours, shape.clone());
                agree(&differentiate(ours, &image, &[]), &differentiate(burns, &image, &[]))?;
            }
        }
    }
}
