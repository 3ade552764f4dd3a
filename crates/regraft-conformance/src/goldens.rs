//! Small networks of real topology against PyTorch: logits, loss, the gradient of every parameter, running statistics and
//! the weights after three steps, compared by name.
//!
//! The goldens were made by `tools/goldens.py`, which also says what is in them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use regraft_freeze::{BatchNorm, DataFacts, FreezeConfig, Policy, resolve};
use regraft_nn::{Activation, Network, outline, parameter_id};
use regraft_onnx::op::Linear;
use regraft_onnx::{Graph, ImportOptions, Input, Model, Op};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::{Case, Outcome};

/// Largest difference over the largest value of the reference.
const FORWARD: f32 = 1e-4;
const GRADIENT: f32 = 1e-3;

/// Where the goldens lie in the source tree.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

/// Checks every `NETWORK.VARIANT.onnx` of a folder against `NETWORK.safetensors`, or `NETWORK.folded.safetensors` where batch
/// norm was folded.
///
/// # Errors
/// When the folder cannot be read.
pub fn run(folder: &Path, device: &str) -> Result<Vec<Case>> {
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .with_context(|| folder.display().to_string())?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    files.retain(|name| name.ends_with(".onnx"));
    files.sort();
    let cases = files.into_iter().map(|file| {
        let outcome = match check(folder, &file, device) {
            Ok(found) if found.is_empty() => Outcome::Passed,
            Ok(found) => Outcome::Failed(found.join("; ")),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        Case {
            suite: "goldens".to_owned(),
            name: file.trim_end_matches(".onnx").to_owned(),
            device: device.to_owned(),
            outcome,
        }
    });
    Ok(cases.collect())
}

fn reference_of(folder: &Path, file: &str) -> PathBuf {
    let stem = file.trim_end_matches(".onnx");
    let (network, variant) = stem.split_once('.').unwrap_or((stem, ""));
    let folded = folder.join(format!("{network}.folded.safetensors"));
    if variant.starts_with("kept") || !folded.exists() {
        folder.join(format!("{network}.safetensors"))
    } else {
        folded
    }
}

/// A network's references: values and shapes by name.
struct Reference {
    floats: BTreeMap<String, Vec<f32>>,
    input: [usize; 4],
    labels: Vec<usize>,
}

impl Reference {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let file = SafeTensors::deserialize(&bytes)?;
        let mut floats = BTreeMap::new();
        let (mut input, mut labels) = ([0; 4], Vec::new());
        for (name, view) in file.tensors() {
            if name == "input" {
                input = view.shape().try_into()?;
            }
            if view.dtype() == Dtype::F32 {
                let values = view.data().as_chunks::<4>().0.iter();
                floats.insert(name, values.map(|b| f32::from_le_bytes(*b)).collect());
            } else {
                let values = view.data().as_chunks::<8>().0.iter();
                labels = values.map(|b| i64::from_le_bytes(*b) as usize).collect();
            }
        }
        Ok(Self {
            floats,
            input,
            labels,
        })
    }

    fn values(&self, name: &str) -> Result<&[f32]> {
        let found = self.floats.get(name).map(Vec::as_slice);
        found.with_context(|| format!("the reference has no `{name}`"))
    }

    /// Everything under `prefix`, by the rest of its name.
    fn under(&self, prefix: &str) -> Vec<(&str, &[f32])> {
        self.floats
            .iter()
            .filter_map(|(name, values)| Some((name.strip_prefix(prefix)?, values.as_slice())))
            .collect()
    }
}

/// PyTorch's linear weights are `[out, in]`; files may hold them the other way round.
struct Orientation<'a> {
    names: HashMap<&'a str, &'a [usize]>,
    turned: HashMap<&'a str, [usize; 2]>,
}

impl<'a> Orientation<'a> {
    fn of(graph: &'a Graph) -> Self {
        let mut turned = HashMap::new();
        for node in &graph.nodes {
            if let (
                Op::Linear(Linear {
                    weight_transposed: false,
                }),
                Some(Input::Parameter(id)),
            ) = (&node.op, node.inputs.get(1))
            {
                let parameter = graph.parameter(*id);
                turned.insert(
                    parameter.name.as_str(),
                    [parameter.shape[0], parameter.shape[1]],
                );
            }
        }
        let parameters = graph.parameters.iter();
        Self {
            names: parameters
                .map(|p| (p.name.as_str(), p.shape.as_slice()))
                .collect(),
            turned,
        }
    }

    /// Our name for PyTorch's parameter: a fused attention's weight is one word longer there.
    fn ours(&self, name: &str) -> Option<&'a str> {
        let short = name.replace(".in_proj_", ".");
        let found = self.names.get_key_value(name);
        found
            .or_else(|| self.names.get_key_value(short.as_str()))
            .map(|(name, _)| *name)
    }

    fn rank(&self, name: &str) -> usize {
        self.names[name].len()
    }

    fn as_pytorch(&self, name: &str, values: Vec<f32>) -> Vec<f32> {
        let Some(&[rows, columns]) = self.turned.get(name) else {
            return values;
        };
        (0..columns * rows)
            .map(|at| values[at % rows * columns + at / rows])
            .collect()
    }
}

/// Every difference, not only the first.
struct Differences {
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

fn build(graph: &Arc<Graph>, batch_norm: BatchNorm, device: &Device) -> Result<Network> {
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
    let plan = resolve(&outline(graph, |_| false), &facts, &config)?;
    let phase = plan.phases.first().context("the plan has no phase")?;
    Ok(Network::new(graph.clone(), phase, &[], device)?)
}

/// One forward and backward pass: the loss and the gradients.
fn pass(
    network: &mut Network,
    reference: &Reference,
    device: &Device,
) -> Result<(f32, GradientsParams)> {
    let pixels = reference.values("input")?.to_vec();
    let features = network.features(pixels, reference.input)?;
    let logits = network.train_logits(features, 0)?;
    let loss = loss(logits, &reference.labels, device);
    let value = loss.clone().without_autodiff().into_scalar::<f32>();
    let grads = GradientsParams::from_grads(loss.backward(), network.weights());
    Ok((value, grads))
}

fn gradient(grads: &GradientsParams, name: &str, rank: usize) -> Option<Vec<f32>> {
    let id = parameter_id(name);
    let found = match rank {
        1 => Activation::R1(grads.get::<1>(id)?),
        2 => Activation::R2(grads.get::<2>(id)?),
        3 => Activation::R3(grads.get::<3>(id)?),
        _ => Activation::R4(grads.get::<4>(id)?),
    };
    found.into_values().ok()
}

/// The differences between a file and its references; `device` names a backend that is compiled in.
fn check(folder: &Path, file: &str, device: &str) -> Result<Vec<String>> {
    let device = regraft_backend::open(device)?;
    let model = Model::open(&folder.join(file))?;
    let graph = Arc::new(Graph::import(&model, &ImportOptions::default())?);
    let reference = Reference::read(&reference_of(folder, file))?;
    let mut differences = Differences { found: Vec::new() };
    let served = Network::inference(graph.clone(), &device)?;
    let features = served.features(reference.values("input")?.to_vec(), reference.input)?;
    let logits = Activation::R2(served.logits(features)?);
    differences.compare(
        "logits",
        &logits.into_values()?,
        reference.values("logits")?,
        FORWARD,
    );
    let orientation = Orientation::of(&graph);
    let normed = reference.floats.contains_key("updated/loss");
    for (mode, batch_norm) in [
        ("frozen", BatchNorm::AffineOnly),
        ("updated", BatchNorm::Updated),
    ] {
        if mode == "updated" && !normed {
            continue;
        }
        let mut network = build(&graph, batch_norm, &device)?;
        let (loss, grads) = pass(&mut network, &reference, &device)?;
        differences.compare(
            &format!("{mode} loss"),
            &[loss],
            reference.values(&format!("{mode}/loss"))?,
            FORWARD,
        );
        for (name, expected) in reference.under(&format!("{mode}/grad/")) {
            let Some(name) = orientation.ours(name) else {
                differences
                    .found
                    .push(format!("no parameter is called {name}"));
                continue;
            };
            match gradient(&grads, name, orientation.rank(name)) {
                Some(ours) => differences.compare(
                    &format!("{mode} gradient of {name}"),
                    &orientation.as_pytorch(name, ours),
                    expected,
                    GRADIENT,
                ),
                None => differences
                    .found
                    .push(format!("{mode}: {name} has no gradient")),
            }
        }
        if mode == "updated" {
            let now = network.rest_values()?;
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
    let mut network = build(&graph, mode, &device)?;
    let momentum = MomentumConfig::new()
        .with_momentum(0.9)
        .with_dampening(0.0)
        .with_nesterov(false);
    let mut optimizer =
        ModuleOptimizer::from(SgdConfig::new().with_momentum(Some(momentum)).build());
    for _ in 0..3 {
        let (_, grads) = pass(&mut network, &reference, &device)?;
        network.update(|weights| optimizer.step(0.001, weights, grads));
    }
    let now = network.rest_values()?;
    for (name, expected) in reference.under("sgd3/") {
        let name = orientation.ours(name).unwrap_or(name);
        let ours = now.get(name).cloned().unwrap_or_default();
        differences.compare(
            &format!("{name} after three steps"),
            &orientation.as_pytorch(name, ours),
            expected,
            GRADIENT,
        );
    }
    Ok(differences.found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_golden_agrees_with_pytorch() {
        let device = regraft_backend::built().next().unwrap();
        let cases = run(&folder(), device).unwrap();
        assert!(cases.len() > 25, "the goldens are not there");
        let differing: Vec<&Case> = cases
            .iter()
            .filter(|case| case.outcome != Outcome::Passed)
            .collect();
        assert!(differing.is_empty(), "{differing:#?}");
    }

    /// Position embeddings and windows belong to one size, so that transformers are left out.
    #[test]
    fn every_convolutional_trunk_follows_a_new_image_size() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
        files.retain(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            let transformers = ["vit", "hf_vit", "swin"];
            !transformers.iter().any(|start| name.starts_with(start))
        });
        for path in files {
            let follow = || -> Result<()> {
                let model = Model::open(&path)?;
                let native = Graph::import(&model, &ImportOptions::default())?;
                let [_, height, width] = native.image_shape();
                let size = [height + 64, width + 32];
                let headless = regraft_onnx::head::cut(&model, &native, None)?;
                let options = ImportOptions {
                    image_size: Some(size),
                    ..ImportOptions::default()
                };
                let sized = Graph::import(&headless.for_image_size(size)?, &options)?;
                assert_eq!(sized.image_shape()[1..], size[..], "{}", path.display());
                // The same features from as many layers.
                let before = Graph::import(&headless, &ImportOptions::default())?;
                let features = |graph: &Graph| graph.value(graph.output).shape[1];
                assert_eq!(features(&sized), features(&before), "{}", path.display());
                assert_eq!(
                    sized.parameters.len(),
                    native.parameters.len() - head_parameters(&native)
                );
                Ok(())
            };
            if let Err(error) = follow() {
                panic!("{}: {error:#}", path.display());
            }
        }
    }

    /// Weights and biases behind the features.
    fn head_parameters(graph: &Graph) -> usize {
        let first = graph.head.as_ref().unwrap().first_node;
        let used = |nodes: &[regraft_onnx::Node]| -> std::collections::HashSet<Input> {
            let inputs = nodes.iter().flat_map(|node| node.inputs.clone());
            inputs
                .filter(|input| matches!(input, Input::Parameter(_)))
                .collect()
        };
        used(&graph.nodes[first..]).len()
    }
}
