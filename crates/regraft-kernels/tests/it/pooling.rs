//! Pooling against loops over windows.

use proptest::prelude::*;
use regraft_kernels::{
    Divisor, Isa, PoolShape, PoolSpec, Rounding, average_pool, average_pool_backward,
    average_pooled, average_pooled_gradient, global_average_pool, global_average_pool_backward,
    max_pool, max_pool_backward, max_pooled, max_pooled_gradient,
};

use crate::reference::{difference, values};

pub fn shapes() -> impl Strategy<Value = PoolShape> {
    let pair = |range: std::ops::RangeInclusive<usize>| [range.clone(), range];
    let rounding = prop_oneof![Just(Rounding::Down), Just(Rounding::Up)];
    let pads = [0usize..=3, 0..=3, 0..=3, 0..=3];
    (
        1usize..=5,
        pair(1..=25),
        pair(1..=4),
        pair(1..=4),
        pads,
        pair(1..=3),
        rounding,
    )
        .prop_filter_map(
            "the window fits",
            |(planes, size, kernel, stride, pads, dilation, rounding)| {
                let [in_height, in_width] = size;
                PoolShape::new(PoolSpec {
                    planes,
                    in_height,
                    in_width,
                    kernel,
                    stride,
                    pads,
                    dilation,
                    rounding,
                })
                .ok()
            },
        )
}

/// The pixels of each window, as indices into the input, and how many of its taps lie in the padded image.
fn windows(shape: &PoolShape) -> Vec<(Vec<usize>, usize)> {
    let mut windows = Vec::new();
    for plane in 0..shape.planes {
        for y in 0..shape.out_height() {
            for x in 0..shape.out_width() {
                let (mut pixels, mut padded) = (Vec::new(), 0);
                for ky in 0..shape.kernel[0] {
                    for kx in 0..shape.kernel[1] {
                        let row = (y * shape.stride[0] + ky * shape.dilation[0]) as isize
                            - shape.pads[0] as isize;
                        let column = (x * shape.stride[1] + kx * shape.dilation[1]) as isize
                            - shape.pads[1] as isize;
                        let (height, width) = (shape.in_height as isize, shape.in_width as isize);
                        if row < height + shape.pads[2] as isize
                            && column < width + shape.pads[3] as isize
                        {
                            padded += 1;
                        }
                        if (0..height).contains(&row) && (0..width).contains(&column) {
                            pixels
                                .push(((plane as isize * height + row) * width + column) as usize);
                        }
                    }
                }
                windows.push((pixels, padded));
            }
        }
    }
    windows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn max_pooling_agrees_with_the_reference(shape in shapes()) {
        let input = values(shape.input_len(), 1);
        let gradient = values(shape.output_len(), 2);
        let windows = windows(&shape);
        let best = |window: &Vec<usize>| window.iter().copied().reduce(|a, b| if input[b] > input[a] { b } else { a });
        let best: Vec<_> = windows.iter().map(|window| best(&window.0)).collect();
        let mut expected = vec![0.0; input.len()];
        for (best, gradient) in best.iter().zip(&gradient) {
            if let Some(best) = best {
                expected[*best] += f64::from(*gradient);
            }
        }
        for isa in Isa::available() {
            let mut output = vec![f32::NAN; shape.output_len()];
            max_pool(isa, &shape, &input, &mut output);
            for (i, best) in best.iter().enumerate() {
                prop_assert_eq!(output[i], best.map_or(f32::NEG_INFINITY, |best| input[best]));
            }
            prop_assert_eq!(&max_pooled(isa, &shape, &input), &output);
            let mut out = vec![f32::NAN; input.len()];
            max_pool_backward(isa, &shape, &input, &gradient, &mut out);
            prop_assert!(difference(&out, &expected) < 1e-6);
            prop_assert_eq!(&max_pooled_gradient(isa, &shape, &input, &gradient), &out);
        }
    }

    #[test]
    fn average_pooling_agrees_with_the_reference(shape in shapes(), padded in any::<bool>()) {
        let divisor = if padded { Divisor::PaddedImage } else { Divisor::Image };
        let input = values(shape.input_len(), 1);
        let gradient = values(shape.output_len(), 2);
        let mut expected = vec![0.0; shape.output_len()];
        let mut expected_gradient = vec![0.0; shape.input_len()];
        for (i, (pixels, taps)) in windows(&shape).into_iter().enumerate() {
            let count = if padded { taps } else { pixels.len() }.max(1) as f64;
            expected[i] = pixels.iter().map(|pixel| f64::from(input[*pixel])).sum::<f64>() / count;
            for pixel in pixels {
                expected_gradient[pixel] += f64::from(gradient[i]) / count;
            }
        }
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; shape.output_len()];
            average_pool(isa, &shape, divisor, &input, &mut out);
            prop_assert!(difference(&out, &expected) < 1e-6);
            prop_assert_eq!(&average_pooled(isa, &shape, divisor, &input), &out);
            let mut out = vec![f32::NAN; shape.input_len()];
            average_pool_backward(isa, &shape, divisor, &gradient, &mut out);
            prop_assert!(difference(&out, &expected_gradient) < 1e-6);
            prop_assert_eq!(&average_pooled_gradient(isa, &shape, divisor, &gradient), &out);
        }
    }

    #[test]
    fn global_averages_agree_with_the_reference(planes in 1usize..20, pixels in 1usize..3000) {
        let input = values(planes * pixels, 1);
        let mean = |plane: &[f32]| plane.iter().map(|value| f64::from(*value)).sum::<f64>() / pixels as f64;
        let expected: Vec<f64> = input.chunks(pixels).map(mean).collect();
        for isa in Isa::available() {
            let mut out = vec![f32::NAN; planes];
            global_average_pool(isa, &input, &mut out);
            prop_assert!(difference(&out, &expected) < 1e-6);
        }
        let mut out = vec![f32::NAN; planes * pixels];
        global_average_pool_backward(&input[..planes], &mut out);
        let expected: Vec<f64> = (0..out.len()).map(|i| f64::from(input[i / pixels]) / pixels as f64).collect();
        prop_assert!(difference(&out, &expected) < 1e-6);
    }
}

#[test]
fn the_largest_of_a_window_with_no_number_is_none() {
    let spec = PoolSpec {
        planes: 1,
        in_height: 1,
        in_width: 3,
        kernel: [1, 3],
        stride: [1, 1],
        pads: [0; 4],
        dilation: [1, 1],
        rounding: Rounding::Down,
    };
    let shape = PoolShape::new(spec).unwrap();
    let input = [1.0, f32::NAN, 2.0];
    assert!(max_pooled(Isa::detect(), &shape, &input)[0].is_nan());
    assert_eq!(
        max_pooled_gradient(Isa::detect(), &shape, &input, &[3.0]),
        [0.0, 3.0, 0.0]
    );
}

#[test]
fn joined_slices_lie_one_behind_the_other() {
    let input = values(300_000, 3);
    let cuts = [0, 1, 40_000, 40_000, 100_001, 299_999, 300_000];
    let pieces: Vec<&[f32]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
    assert_eq!(regraft_kernels::joined(&pieces), input);
    assert!(regraft_kernels::joined(&[]).is_empty());
}
