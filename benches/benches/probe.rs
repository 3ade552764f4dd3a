//! Criterion over solving heads: choosing between sets of features, and solving from the chosen one.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use regraft_probe::{ChooseOptions, SolveOptions, Targets, choose, solve};

const CLASSES: usize = 10;
const GROUPS: usize = 8;

/// Features that look random, a little higher in some columns for the images of a class.
fn features(images: usize, width: usize) -> Vec<f32> {
    (0..images * width)
        .map(|at| {
            let (row, column) = (at / width, at % width);
            let noise = (row * 7919 + column * 104_729 + row * column % 613) % 2003;
            let own = f32::from(u8::from(column % CLASSES == row % CLASSES));
            noise as f32 / 2003.0 + 0.05 * own
        })
        .collect()
}

fn probe(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("probe");
    for images in [500, 2_000, 20_000] {
        for width in [512, 4_096] {
            let features = features(images, width);
            let labels: Vec<usize> = (0..images).map(|row| row % CLASSES).collect();
            let columns: Vec<Range<usize>> = (0..GROUPS)
                .map(|group| group * width / GROUPS..(group + 1) * width / GROUPS)
                .collect();
            let sets: Vec<Vec<usize>> = (1..=GROUPS)
                .map(|count| (GROUPS - count..GROUPS).collect())
                .collect();
            let name = format!("{images} x {width}");
            group.bench_function(BenchmarkId::new("choose", &name), |bencher| {
                let options = ChooseOptions::default();
                bencher.iter(|| {
                    choose(&features, &labels, CLASSES, &columns, &sets, &options).unwrap()
                })
            });
            group.bench_function(BenchmarkId::new("solve", &name), |bencher| {
                let options = SolveOptions::default();
                bencher.iter(|| solve(&features, &labels, CLASSES, &columns, &options).unwrap())
            });
            // Two classes an image.
            let own =
                |row: usize, class| [labels[row], (labels[row] + 1) % CLASSES].contains(&class);
            let truths: Vec<bool> = (0..images * CLASSES)
                .map(|at| own(at / CLASSES, at % CLASSES))
                .collect();
            group.bench_function(BenchmarkId::new("solve multi-label", &name), |bencher| {
                let options = SolveOptions::default();
                let targets = Targets::MultiLabel(&truths);
                bencher.iter(|| solve(&features, targets, CLASSES, &columns, &options).unwrap())
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    targets = probe
}
criterion_main!(benches);
