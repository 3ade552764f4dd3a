//! Criterion over what a race costs beside the training of its candidates: the embedded network and images, a budget that
//! leaves no time to tune anything, against a head that is solved and nothing else.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use regraft::{RunOptions, Silent, prepare, train};

fn race(criterion: &mut Criterion) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("race");
    for (name, settings) in [
        ("solved head alone", vec!["model.head=solved"]),
        (
            "race without time to tune",
            vec!["freeze.policy=auto", "train.budget=1s"],
        ),
    ] {
        let mut overrides = vec![
            format!(
                "model.source={}",
                models.join("squeezenet1.1-imagenet.onnx").display()
            ),
            format!("data.source={}", models.join("emoji").display()),
            "data.preprocess.size=96".to_owned(),
        ];
        overrides.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let recipe = regraft::recipe::read(None, &overrides).unwrap();
        let options = RunOptions {
            out: Some(folder.path().join("run")),
            overwrite: true,
            ..RunOptions::default()
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let planned = prepare(&recipe).unwrap();
                train(&planned, &options, &mut Silent).unwrap()
            })
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1));
    targets = race
}
criterion_main!(benches);
