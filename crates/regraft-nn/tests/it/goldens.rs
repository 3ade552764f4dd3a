//! Small networks of real topology against PyTorch: logits, loss, the gradient of every parameter, running statistics and
//! the weights after three steps, compared by name.
//!
//! The goldens were made by `tools/goldens.py`, which also says what is in them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use regraft_freeze::{BatchNorm, DataFacts, FreezeConfig, Policy, resolve};
use regraft_nn::{Activation, Network, outline, parameter_id};
use regraft_onnx::{Graph, ImportOptions, Model};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// Largest difference over the largest value of the reference.
const FORWARD: f32 = 1e-4;
const GRADIENT: f32 = 1e-3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/small")
}

/// A network's references: values and shapes by name.
struct Reference {
    floats: BTreeMap<String, Vec<f32>>,
    input: [usize; 4],
    labels: Vec<usize>,
}

impl Reference {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut floats = BTreeMap::new();
        let (mut input, mut labels) = ([0; 4], Vec::new());
        for (name, view) in file.tensors() {
            if name == "input" {
                input = view.shape().try_into().unwrap();
            }
            if view.dtype() == Dtype::F32 {
                let values = view.data().as_chunks::<4>().0.iter();
                floats.insert(name, values.map(|b| f32::from_le_bytes(*b)).collect());
            } else {
                let values = view.data().as_chunks::<8>().0.iter();
                labels = values.map(|b| i64::from_le_bytes(*b) as usize).collect();
            }
        }
        Self {
            floats,
            input,
            labels,
        }
    }

    /// Everything under `prefix`, by the rest of its name.
    fn under(&self, prefix: &str) -> Vec<(&str, &[f32])> {
        self.floats
            .iter()
            .filter_map(|(name, values)| Some((name.strip_prefix(prefix)?, values.as_slice())))
            .collect()
    }
}

/// Fails with every difference, not only the first.
struct Differences {
    network: String,
    found: Vec<String>,
}

impl Differences {
    fn compare(&mut self, what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
        if ours.len() != theirs.len() {
            let lengths = (ours.len(), theirs.len());
            self.found.push(format!("{what}: {lengths:?} values"));
            return;
        }
        let largest = theirs.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = ours
            .iter()
            .zip(theirs)
            .fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        // A gradient that is zero by construction has nothing to be relative to.
        let finite = ours.iter().all(|v| v.is_finite());
        if !finite || worst > tolerance * largest.max(1e-3) {
            self.found
                .push(format!("{what}: off by {worst:e}, largest {largest:e}"));
        }
    }
}

impl Drop for Differences {
    fn drop(&mut self) {
        if !self.found.is_empty() && !std::thread::panicking() {
            panic!("{}:\n  {}", self.network, self.found.join("\n  "));
        }
    }
}

fn loss(logits: Tensor<2>, labels: &[usize], device: &Device) -> Tensor<1> {
    let [count, classes] = logits.dims();
    let mut targets = vec![0f32; count * classes];
    for (row, &label) in labels.iter().enumerate() {
        targets[row * classes + label] = 1.0;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [count, classes]), device);
    (log_softmax(logits, 1) * targets.autodiff())
        .sum()
        .mul_scalar(-1.0 / count as f64)
}

fn build(graph: &Arc<Graph>, batch_norm: BatchNorm, device: &Device) -> Network {
    let facts = DataFacts {
        train_images: 100,
        classes: 5,
        batch_size: 4,
    };
    let config = FreezeConfig {
        policy: Policy::Full,
        batch_norm,
        ..FreezeConfig::default()
    };
    let plan = resolve(&outline(graph, |_| false), &facts, &config).unwrap();
    Network::new(graph.clone(), &plan.phases[0], &[], device).unwrap()
}

/// One forward and backward pass: the loss and the gradients.
fn pass(network: &mut Network, reference: &Reference, device: &Device) -> (f32, GradientsParams) {
    let pixels = reference.floats["input"].clone();
    let features = network.features(pixels, reference.input).unwrap();
    let logits = network.train_logits(features, 0).unwrap();
    let loss = loss(logits, &reference.labels, device);
    let value = loss.clone().without_autodiff().into_scalar::<f32>();
    let grads = GradientsParams::from_grads(loss.backward(), network.weights());
    (value, grads)
}

fn gradient(grads: &GradientsParams, name: &str, rank: usize) -> Option<Vec<f32>> {
    let id = parameter_id(name);
    let found = match rank {
        1 => Activation::R1(grads.get::<1>(id)?),
        2 => Activation::R2(grads.get::<2>(id)?),
        3 => Activation::R3(grads.get::<3>(id)?),
        _ => Activation::R4(grads.get::<4>(id)?),
    };
    Some(found.into_values().unwrap())
}

/// Checks a file against its references; `device` names a backend that is compiled in.
fn check(file: &str, reference: &str, device: &str) {
    let device = regraft_backend::open(device).unwrap();
    let model = Model::open(&folder().join(file)).unwrap();
    let graph = Arc::new(Graph::import(&model, &ImportOptions::default()).unwrap());
    let reference = Reference::read(&folder().join(reference));
    let mut differences = Differences {
        network: file.to_owned(),
        found: Vec::new(),
    };
    let served = Network::inference(graph.clone(), &device).unwrap();
    let features = served
        .features(reference.floats["input"].clone(), reference.input)
        .unwrap();
    let logits = Activation::R2(served.logits(features).unwrap());
    differences.compare(
        "logits",
        &logits.into_values().unwrap(),
        &reference.floats["logits"],
        FORWARD,
    );
    let ranks: HashMap<&str, usize> = graph
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.shape.len()))
        .collect();
    let normed = reference.floats.contains_key("updated/loss");
    for (mode, batch_norm) in [
        ("frozen", BatchNorm::AffineOnly),
        ("updated", BatchNorm::Updated),
    ] {
        if mode == "updated" && !normed {
            continue;
        }
        let mut network = build(&graph, batch_norm, &device);
        let (loss, grads) = pass(&mut network, &reference, &device);
        differences.compare(
            &format!("{mode} loss"),
            &[loss],
            &reference.floats[&format!("{mode}/loss")],
            FORWARD,
        );
        for (name, expected) in reference.under(&format!("{mode}/grad/")) {
            let Some(rank) = ranks.get(name) else {
                differences
                    .found
                    .push(format!("no parameter is called {name}"));
                continue;
            };
            match gradient(&grads, name, *rank) {
                Some(ours) => differences.compare(
                    &format!("{mode} gradient of {name}"),
                    &ours,
                    expected,
                    GRADIENT,
                ),
                None => differences
                    .found
                    .push(format!("{mode}: {name} has no gradient")),
            }
        }
        if mode == "updated" {
            let now = network.rest_values().unwrap();
            for (name, expected) in reference.under("updated/running/") {
                let ours = now.get(name).map_or(&[][..], Vec::as_slice);
                differences.compare(name, ours, expected, FORWARD);
            }
        }
    }
    let mode = if normed {
        BatchNorm::Updated
    } else {
        BatchNorm::AffineOnly
    };
    let mut network = build(&graph, mode, &device);
    let momentum = MomentumConfig::new()
        .with_momentum(0.9)
        .with_dampening(0.0)
        .with_nesterov(false);
    let mut optimizer =
        ModuleOptimizer::from(SgdConfig::new().with_momentum(Some(momentum)).build());
    for _ in 0..3 {
        let (_, grads) = pass(&mut network, &reference, &device);
        network.update(|weights| optimizer.step(0.001, weights, grads));
    }
    let now = network.rest_values().unwrap();
    for (name, expected) in reference.under("sgd3/") {
        let ours = now.get(name).map_or(&[][..], Vec::as_slice);
        differences.compare(
            &format!("{name} after three steps"),
            ours,
            expected,
            GRADIENT,
        );
    }
}

#[test]
fn every_golden_agrees_with_pytorch() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".onnx"))
        .collect();
    files.sort();
    assert!(files.len() > 10, "the goldens are not there");
    let mut failed = 0;
    for file in &files {
        let stem = file.trim_end_matches(".onnx");
        let (name, variant) = stem.split_once('.').unwrap();
        let folded = format!("{name}.folded.safetensors");
        let reference = match variant.starts_with("kept") || !folder().join(&folded).exists() {
            true => format!("{name}.safetensors"),
            false => folded,
        };
        let outcome = std::panic::catch_unwind(|| check(file, &reference, "flex"));
        match outcome {
            Ok(()) => println!("{file}: agrees"),
            Err(_) => failed += 1,
        }
    }
    assert_eq!(failed, 0, "{failed} of {} differ", files.len());
}
