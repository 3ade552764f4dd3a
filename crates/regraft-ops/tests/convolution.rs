//! The convolution against Burn's own: outputs and gradients over random shapes, on every backend compiled in.
#![cfg(any(feature = "flex", feature = "ndarray"))]
#![allow(clippy::unwrap_used)]

use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use proptest::prelude::*;

/// A convolution that fits its image.
#[derive(Debug, Clone)]
struct Case {
    batch: usize,
    groups: usize,
    channels: [usize; 2],
    size: [usize; 2],
    kernel: [usize; 2],
    options: ConvOptions<2>,
    bias: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let extents = || (1usize..=3, 1usize..=12, 0usize..=2, 1usize..=2);
    let step = || (1usize..=3, 0usize..=2);
    (
        (1usize..=3, 1usize..=3, 1usize..=5, 1usize..=5),
        (extents(), step()),
        (extents(), step()),
        any::<bool>(),
    )
        .prop_map(|((batch, groups, inputs, outputs), rows, columns, bias)| {
            let axis = |((kernel, size, begin, dilation), (stride, end)): (
                (usize, usize, usize, usize),
                (usize, usize),
            )| {
                let reach = (kernel - 1) * dilation + 1;
                (kernel, size.max(reach), stride, (begin, end), dilation)
            };
            let (rows, columns) = (axis(rows), axis(columns));
            Case {
                batch,
                groups,
                channels: [groups * inputs, groups * outputs],
                size: [rows.1, columns.1],
                kernel: [rows.0, columns.0],
                options: ConvOptions::new_with_padding(
                    [rows.2, columns.2],
                    [rows.3, columns.3],
                    [rows.4, columns.4],
                    groups,
                ),
                bias,
            }
        })
}

fn devices() -> Vec<Device> {
    vec![
        #[cfg(feature = "flex")]
        Device::flex(),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)]
        Device::ndarray(),
    ]
}

/// The output, and the gradients of input, weights and biases under a made-up loss.
fn run(case: &Case, device: &Device, ours: bool) -> [Vec<f32>; 4] {
    let device = device.clone().autodiff();
    device.seed(7);
    let random = Distribution::Uniform(-1.0, 1.0);
    let input = Tensor::<4>::random(
        [case.batch, case.channels[0], case.size[0], case.size[1]],
        random,
        &device,
    )
    .require_grad();
    let weight = Tensor::<4>::random(
        [
            case.channels[1],
            case.channels[0] / case.groups,
            case.kernel[0],
            case.kernel[1],
        ],
        random,
        &device,
    )
    .require_grad();
    let bias = case
        .bias
        .then(|| Tensor::<1>::random([case.channels[1]], random, &device).require_grad());
    let convolve = if ours {
        regraft_ops::conv2d
    } else {
        module::conv2d
    };
    let output = convolve(
        input.clone(),
        weight.clone(),
        bias.clone(),
        case.options.clone(),
    );
    let loss = (output.clone() * output.clone().sin()).sum();
    let gradients = loss.backward();
    [
        output.into_data().try_to_vec::<f32>().unwrap(),
        input
            .grad(&gradients)
            .unwrap()
            .into_data()
            .try_to_vec::<f32>()
            .unwrap(),
        weight
            .grad(&gradients)
            .unwrap()
            .into_data()
            .try_to_vec::<f32>()
            .unwrap(),
        bias.map(|bias| {
            bias.grad(&gradients)
                .unwrap()
                .into_data()
                .try_to_vec()
                .unwrap()
        })
        .unwrap_or_default(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn outputs_and_gradients_are_those_of_burn(case in cases()) {
        for device in devices() {
            let pairs = run(&case, &device, true).into_iter().zip(run(&case, &device, false));
            for (what, (ours, burns)) in ["output", "input", "weight", "bias"].iter().zip(pairs) {
                prop_assert_eq!(ours.len(), burns.len());
                let scale = burns.iter().fold(1.0f32, |most, v| most.max(v.abs()));
                for (a, b) in ours.iter().zip(&burns) {
                    prop_assert!((a - b).abs() <= 1e-4 * scale, "{} of {:?}: {} and {}", what, case, a, b);
                }
            }
        }
    }
}
