//! The training core from outside, without a recipe or the command: real images, a real network, phases made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod learner;
mod phases;
mod runs;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use regraft_data::{ImageSet, Loader, LoaderOptions, OpenOptions, Preprocess, Selection};
use regraft_freeze::{DataFacts, FreezeConfig, FreezePlan, Phase, Policy};
use regraft_nn::Activation;
use regraft_onnx::{Graph, HeadKind, HeadSpec, ImportOptions, Model, head};
use regraft_spec::{ImageSize, Optimizer, Schedule, ScheduleKind};
use regraft_train::{SessionOptions, Settings, Target};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn device() -> Device {
    regraft_backend::open("auto").unwrap()
}

/// A small ResNet-18 of random weights with a new head for five classes.
fn resnet() -> Arc<Graph> {
    static GRAPH: OnceLock<Arc<Graph>> = OnceLock::new();
    GRAPH
        .get_or_init(|| {
            let path = root().join("crates/regraft-conformance/goldens/resnet18.kept-13.onnx");
            let model = Model::open(&path).unwrap();
            let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
            let spec = HeadSpec {
                kind: HeadKind::Linear,
                at: None,
                labels: CLASSES.map(str::to_owned).to_vec(),
                seed: 1,
                taps: Vec::new(),
            };
            let grafted = head::replace(&model, &graph, &spec).unwrap();
            Arc::new(Graph::import(&grafted, &ImportOptions::default()).unwrap())
        })
        .clone()
}

const CLASSES: [&str; 5] = ["animal", "flag", "meal", "person", "vehicle"];

/// Training and validation images of five classes: four and two of each.
fn images() -> (ImageSet, ImageSet) {
    let data = regraft_data::open_part(
        &root().join("models/emoji"),
        &OpenOptions {
            validation: 0.0,
            seed: 1,
        },
        &Selection {
            classes: Some(CLASSES.map(str::to_owned).to_vec()),
            per_class: Some(4),
        },
    )
    .unwrap();
    let mut held_out = data.test.unwrap();
    let mut seen = [0; 5];
    held_out.samples.retain(|sample| {
        seen[sample.label] += 1;
        seen[sample.label] <= 2
    });
    (data.train, held_out)
}

fn loader(set: ImageSet, shuffle: bool) -> Loader {
    let [_, height, _] = resnet().image_shape();
    let size = u32::try_from(height).unwrap();
    let options = LoaderOptions {
        preprocess: Preprocess {
            size: ImageSize::square(size),
            resize: size,
            ..Preprocess::default()
        },
        batch_size: 8,
        shuffle,
        ..LoaderOptions::default()
    };
    Loader::new(set, options).unwrap()
}

/// The phases of these policies, one after the other.
fn phases(policies: &[(Policy, Option<usize>)]) -> Vec<Phase> {
    let graph = resnet();
    let outline = regraft_nn::outline(&graph, |name| name.starts_with("head."));
    let facts = DataFacts {
        train_images: 20,
        classes: 5,
        batch_size: 8,
    };
    policies
        .iter()
        .map(|(policy, epochs)| {
            let config = FreezeConfig {
                policy: policy.clone(),
                batch_norm: regraft_freeze::BatchNorm::Updated,
                ..FreezeConfig::default()
            };
            let config = match policy {
                Policy::FeatureExtractor => FreezeConfig {
                    batch_norm: regraft_freeze::BatchNorm::Auto,
                    ..config
                },
                _ => config,
            };
            let FreezePlan { phases, .. } =
                regraft_freeze::resolve(&outline, &facts, &config).unwrap();
            Phase {
                epochs: *epochs,
                ..phases.into_iter().next().unwrap()
            }
        })
        .collect()
}

fn sgd() -> Settings {
    Settings {
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            weight_decay: 0.0,
            nesterov: false,
        },
        lr: 0.01,
        schedule: Schedule::new(ScheduleKind::Constant),
        ..Settings::default()
    }
}

fn options(settings: Settings) -> SessionOptions {
    SessionOptions {
        graph: resnet(),
        dropout: Vec::new(),
        settings,
        device: device(),
    }
}

/// Pixels of the first images and their targets.
fn batch(count: usize) -> (Vec<f32>, [usize; 4], Vec<Target>) {
    let batch = loader(images().0, true).epoch(0).next().unwrap().unwrap();
    let [n, c, h, w] = batch.shape;
    assert!(count <= n);
    let pixels = batch.pixels[..count * c * h * w].to_vec();
    let targets = batch.labels[..count].iter().copied().map(Target::Class);
    (pixels, [count, c, h, w], targets.collect())
}

/// The activations at a session's cut for some of the batch's images.
fn features(session: &regraft_train::Session, images: std::ops::Range<usize>) -> Activation {
    let (pixels, [_, c, h, w], _) = batch(8);
    let width = c * h * w;
    let pixels = pixels[images.start * width..images.end * width].to_vec();
    session
        .network()
        .features_of_pixels(pixels, [images.len(), c, h, w])
        .unwrap()
}
