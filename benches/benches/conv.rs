//! Criterion over representative layers of ResNet, VGG and MobileNet, a group each: the passes with weights that change,
//! and the forward pass with prepared ones. Throughput counts the operations of direct convolution.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use regraft_kernels::{Activation, Conv2d, Conv2dSpec, Epilogue, PreparedConv};

fn layers() -> Vec<(&'static str, Conv2dSpec)> {
    let spec =
        |batch, channels, size, kernel| Conv2dSpec::square(batch, channels, [size; 2], kernel);
    vec![
        ("7x7 3-64 224 stride 2", spec(8, [3, 64], 224, 7).stride(2)),
        ("3x3 64-64 56", spec(8, [64, 64], 56, 3)),
        ("3x3 256-256 14", spec(8, [256, 256], 14, 3)),
        (
            "3x3 128-256 28 stride 2",
            spec(8, [128, 256], 28, 3).stride(2),
        ),
        ("1x1 64-256 56", spec(8, [64, 256], 56, 1)),
        ("1x1 1024-256 14", spec(8, [1024, 256], 14, 1)),
        (
            "3x3 depthwise 144 56",
            spec(8, [144, 144], 56, 3).groups(144),
        ),
    ]
}

fn passes(criterion: &mut Criterion) {
    for (name, spec) in layers() {
        let conv = Conv2d::new(spec).unwrap();
        let shape = conv.shape();
        let values = |len: usize| {
            (0..len)
                .map(|i| (i * 7 % 13) as f32 / 13.0 - 0.5)
                .collect::<Vec<f32>>()
        };
        let (input, weight) = (values(shape.input_len()), values(shape.weight_len()));
        let gradient = values(shape.output_len());
        let mut output = gradient.clone();
        let (mut input_gradient, mut weight_gradient) = (input.clone(), weight.clone());
        let prepared = PreparedConv::new(&conv, &weight);
        let epilogue = Epilogue {
            activation: Activation::Relu,
            ..Epilogue::default()
        };
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(shape.flops() as u64));
        group.bench_function("forward", |bencher| {
            bencher.iter(|| conv.forward(&input, &weight, &epilogue, &mut output))
        });
        group.bench_function("forward, prepared", |bencher| {
            bencher.iter(|| prepared.forward(shape.batch, &input, &epilogue, &mut output))
        });
        group.bench_function("input gradient", |bencher| {
            bencher.iter(|| conv.backward_input(&gradient, &weight, &mut input_gradient))
        });
        group.bench_function("weight gradient", |bencher| {
            bencher.iter(|| conv.backward_weight(&input, &gradient, &mut weight_gradient))
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = passes
}
criterion_main!(benches);
