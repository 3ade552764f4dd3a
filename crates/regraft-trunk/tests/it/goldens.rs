//! Small networks of fifteen families against the logits that PyTorch gave for them.

use std::path::{Path, PathBuf};

use regraft_onnx::{Graph, ImportOptions, Model};
use regraft_trunk::{Buffers, Plan};
use safetensors::SafeTensors;

/// Largest difference over the largest value of the reference.
const TOLERANCE: f32 = 1e-4;

/// Files that no plan runs yet, with the reason.
const REFUSED: [(&str, &str); 0] = [];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../regraft-conformance/goldens")
}

/// Where batch norm was folded by the exporter, the reference is another one: its weights differ.
fn reference_of(file: &str) -> PathBuf {
    let stem = file.trim_end_matches(".onnx");
    let (network, variant) = stem.split_once('.').unwrap();
    let folded = folder().join(format!("{network}.folded.safetensors"));
    if variant.starts_with("kept") || !folded.exists() {
        folder().join(format!("{network}.safetensors"))
    } else {
        folded
    }
}

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    let values = view.data().as_chunks::<4>().0.iter();
    values.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn files() -> Vec<String> {
    let names = std::fs::read_dir(folder()).unwrap();
    let mut files: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".onnx"))
        .collect();
    files.sort();
    files
}

fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |m, v| m.max(v.abs()));
    let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    apart.fold(0f32, |m, d| if d.is_nan() { d } else { m.max(d) }) / largest
}

/// What differs, over group sizes and batches.
fn check(graph: &Graph, file: &str, working_set: usize) -> Result<Option<String>, String> {
    let bytes = std::fs::read(reference_of(file)).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    let (input, logits) = (tensor(&reference, "input"), tensor(&reference, "logits"));
    let plan = Plan::with_working_set(graph, graph.logits, working_set)
        .map_err(|error| error.to_string())?;
    let mut output = vec![f32::NAN; logits.len()];
    let mut buffers = Buffers::new();
    plan.run(&mut buffers, &input, &mut output).unwrap();
    let apart = worst(&output, &logits);
    if apart.is_nan() || apart > TOLERANCE {
        return Ok(Some(format!("{file}: off by {apart:e}")));
    }
    // A smaller batch in the same buffers, which hold the values of the larger one.
    let (image, classes) = (plan.input_len(), plan.output_len());
    let mut first = vec![f32::NAN; classes];
    plan.run(&mut buffers, &input[..image], &mut first).unwrap();
    let apart = worst(&first, &output[..classes]);
    Ok((apart.is_nan() || apart > 1e-5).then(|| format!("{file}: one image is off by {apart:e}")))
}

#[test]
fn every_golden_agrees_with_pytorch_or_is_refused_by_name() {
    let files = files();
    assert!(files.len() > 25, "the goldens are not there");
    let (mut differing, mut refused) = (Vec::new(), Vec::new());
    for file in &files {
        let model = Model::open(&folder().join(file)).unwrap();
        let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
        // All images together, and one by one.
        for working_set in [1 << 30, 1] {
            match check(&graph, file, working_set) {
                Ok(found) => differing.extend(found),
                Err(why) => refused.push((file.as_str(), why)),
            }
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
    refused.dedup();
    let refused: Vec<(&str, &str)> = refused.iter().map(|(f, why)| (*f, why.as_str())).collect();
    assert_eq!(refused, REFUSED);
}
