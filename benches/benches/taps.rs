//! Criterion over a pass that gives pooled features at every cut: ResNet-18 and ResNet-50 at 224 pixels, 16 images.
//!
//! Compiled, compiled with a maximum and a 3 x 3 grid at every cut besides, node by node on tensors (what devices without a compiled trunk do), and compiled without taps, up to the last cut.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use regraft_arch::{Classes, Spec, build};
use regraft_nn::{Precision, Trunk};
use regraft_onnx::{Graph, ImportOptions};
use regraft_program::{Tap, tap};
use regraft_spec::Pooling;

const IMAGES: usize = 16;

fn taps(criterion: &mut Criterion) {
    let device = regraft_backend::open("auto").unwrap();
    for name in ["resnet18", "resnet50"] {
        let model = build(&Spec::new(name.parse().unwrap(), Classes::Count(10))).unwrap();
        let graph = Arc::new(Graph::import(&model, &ImportOptions::default()).unwrap());
        let blocks = graph.blocks.iter().take_while(|block| !block.head);
        let cuts: Vec<Tap> = blocks
            .map(|block| Tap {
                value: block.output,
                pooling: Pooling::Mean,
            })
            .collect();
        let tapped = Arc::new(tap(&graph, &cuts).unwrap().graph);
        let poolings = [Pooling::Mean, Pooling::Max, Pooling::Grid(3)];
        let all: Vec<Tap> = cuts
            .iter()
            .flat_map(|cut| {
                poolings.map(|pooling| Tap {
                    value: cut.value,
                    pooling,
                })
            })
            .collect();
        let every_pooling = Arc::new(tap(&graph, &all).unwrap().graph);
        let [channels, height, width] = graph.image_shape();
        let pixels: Vec<f32> = (0..IMAGES * channels * height * width)
            .map(|i| (i * 7 % 13) as f32 / 13.0 - 0.5)
            .collect();
        let last = cuts.last().unwrap().value;
        let compiled =
            |graph, output| Trunk::up_to(graph, output, &device, Precision::F32).unwrap();
        let passes = [
            ("compiled", compiled(&tapped, tapped.output)),
            (
                "compiled, mean, maximum and grid",
                compiled(&every_pooling, every_pooling.output),
            ),
            (
                "node by node",
                Trunk::node_by_node(&tapped, tapped.output, &device).unwrap(),
            ),
            ("compiled, last cut alone", compiled(&graph, last)),
        ];
        let mut group = criterion.benchmark_group("taps");
        group.throughput(Throughput::Elements(IMAGES as u64));
        for (what, trunk) in &passes {
            group.bench_function(BenchmarkId::new(*what, name), |bencher| {
                bencher.iter(|| trunk.forward(pixels.clone(), IMAGES).unwrap())
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(8));
    targets = taps
}
criterion_main!(benches);
