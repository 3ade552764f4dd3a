//! A few small shapes through every kernel in plain Rust: little enough to be interpreted with all accesses checked
//! (`cargo +nightly miri test -p regraft-kernels --test it small`).

use regraft_kernels::{
    Algorithm, ChannelsLastConv, ChannelsLastPool, Columns, Conv2d, Conv2dShape, Conv2dSpec,
    Divisor, Epilogue, Isa, PoolShape, PoolSpec, Rounding, channels_to_first, channels_to_last,
};

use crate::reference::{self, difference, values};

fn shapes() -> Vec<Conv2dShape> {
    let spec = Conv2dSpec::square;
    let odd = Conv2dSpec {
        pads: [1, 0, 2, 1],
        dilation: [2, 1],
        ..spec(1, [2, 3], [6, 5], 3)
    };
    [
        spec(2, [3, 5], [5, 4], 3),
        spec(1, [9, 10], [3, 3], 1),
        spec(1, [4, 4], [5, 5], 3).groups(4),
        spec(1, [4, 6], [5, 4], 3).groups(2).stride(2),
        spec(1, [1, 2], [1, 1], 1),
        odd,
    ]
    .into_iter()
    .map(|spec| Conv2dShape::new(spec).unwrap())
    .collect()
}

#[test]
fn small_convolutions_agree_with_the_reference() {
    for shape in shapes() {
        let [input, weight, gradient] = [shape.input_len(), shape.weight_len(), shape.output_len()]
            .map(|len| values(len, len as u64));
        let expected = [
            reference::forward(&shape, &input, &weight),
            reference::backward_input(&shape, &gradient, &weight),
            reference::backward_weight(&shape, &input, &gradient),
        ];
        let mut rows = vec![f32::NAN; input.len()];
        let pixels = shape.in_height * shape.in_width;
        channels_to_last(shape.in_channels, pixels, &input, &mut rows);
        for algorithm in [
            Algorithm::Product,
            Algorithm::Depthwise,
            Algorithm::Winograd2,
            Algorithm::Winograd4,
        ] {
            if !algorithm.fits(&shape) {
                continue;
            }
            let conv = Conv2d::new((*shape).clone()).unwrap();
            let conv = conv.with_isa(Isa::Portable).with_algorithm(algorithm);
            let outs = [
                conv.output(&input, &weight, &Epilogue::default()),
                conv.input_gradient(&gradient, &weight),
                conv.weight_gradient(&input, &gradient),
            ];
            let mut last = vec![f32::NAN; shape.output_len()];
            let columns = Columns::all(&mut last, shape.out_channels);
            ChannelsLastConv::new(&conv, &weight)
                .forward(shape.batch, &rows, &Epilogue::default(), columns)
                .unwrap();
            let mut first = vec![f32::NAN; last.len()];
            let pixels = shape.out_height() * shape.out_width();
            channels_to_first(shape.out_channels, pixels, &last, &mut first);
            for (out, expected) in outs
                .iter()
                .chain([&first])
                .zip(expected.iter().chain([&expected[0]]))
            {
                let off = difference(out, expected);
                assert!(off < 2e-5, "{off:e} off in {conv:?}");
            }
        }
    }
}

#[test]
fn small_pools_agree_with_each_other() {
    let shape = PoolShape::new(PoolSpec {
        planes: 9,
        in_height: 5,
        in_width: 4,
        kernel: [3, 2],
        stride: [2, 1],
        pads: [1, 0, 1, 1],
        dilation: [1; 2],
        rounding: Rounding::Up,
    })
    .unwrap();
    let input = values(shape.input_len(), 1);
    let mut rows = vec![f32::NAN; input.len()];
    channels_to_last(9, 20, &input, &mut rows);
    let mut planes = regraft_kernels::max_pooled(Isa::Portable, &shape, &input);
    let gradient = regraft_kernels::max_pooled_gradient(Isa::Portable, &shape, &input, &planes);
    assert!(gradient.iter().all(|value| value.is_finite()));
    let mut last = vec![f32::NAN; planes.len()];
    ChannelsLastPool::largest(Isa::Portable, shape.clone()).run(&rows, Columns::all(&mut last, 9));
    let mut first = vec![f32::NAN; last.len()];
    channels_to_first(9, planes.len() / 9, &last, &mut first);
    assert_eq!(first, planes);
    let divisor = Divisor::Image;
    planes.copy_from_slice(&regraft_kernels::average_pooled(
        Isa::Portable,
        &shape,
        divisor,
        &input,
    ));
    let average = ChannelsLastPool::mean(Isa::Portable, shape.clone(), divisor);
    average.run(&rows, Columns::all(&mut last, 9));
    channels_to_first(9, planes.len() / 9, &last, &mut first);
    for (a, b) in first.iter().zip(&planes) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }
    let gradient =
        regraft_kernels::average_pooled_gradient(Isa::Portable, &shape, divisor, &planes);
    assert!(gradient.iter().all(|value| value.is_finite()));
}
