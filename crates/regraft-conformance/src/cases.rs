//! The ONNX project's backend cases: a model, its inputs, and the outputs it must give.
//!
//! regraft takes networks from one image to one output. So that operators can be tested alone, a case is rewritten without
//! touching what it tests: the first input becomes an image that a Reshape turns into what the model expects, further inputs
//! become weights with the case's values.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use onnx_ir::{AttributeProto, Message, ModelProto, NodeProto, TensorProto};
use regraft_nn::Network;
use regraft_onnx::{Error, Graph, ImportOptions, Model, tensor_from_pb};

use crate::{Case, Outcome};

/// The ONNX project's own tolerances: relative to the expected value, and absolute.
const RELATIVE: f32 = 1e-3;
const ABSOLUTE: f32 = 1e-5;
/// ONNX's number for 64-bit floats.
const DOUBLE: i32 = 11;

/// Runs `folder/SUITE/CASE` for every suite and case, in the order of their names.
///
/// # Errors
/// When a folder cannot be read; what a case does is an [`Outcome`].
pub fn run(folder: &Path, device: &str) -> Result<Vec<Case>> {
    let mut found = Vec::new();
    for suite in subfolders(folder)? {
        for case in subfolders(&suite)? {
            found.push(Case {
                suite: name(&suite),
                name: name(&case),
                device: device.to_owned(),
                outcome: run_case(&case, device),
            });
        }
    }
    Ok(found)
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn run_case(folder: &Path, device: &str) -> Outcome {
    let case = match read(folder) {
        Ok(case) => case,
        Err(error) => return Outcome::Unsupported(format!("{error:#}")),
    };
    match compute(&case, device) {
        Ok(output) => compare(&output, &case.expected),
        Err(error) => match error.downcast_ref::<Error>() {
            Some(refusal) => Outcome::Unsupported(refusal.to_string()),
            None => Outcome::Failed(format!("{error:#}")),
        },
    }
}

struct PreparedCase {
    model: Vec<u8>,
    /// `[N, C, H, W]` of the image that the first input became.
    shape: [usize; 4],
    pixels: Vec<f32>,
    expected: Vec<f32>,
}

fn read(folder: &Path) -> Result<PreparedCase> {
    let bytes = |file: String| std::fs::read(folder.join(&file)).context(file);
    let tensor = |file: String| -> Result<(Vec<usize>, Vec<f32>)> {
        let read = tensor_from_pb(&bytes(file.clone())?);
        read.map_err(|error| anyhow::anyhow!("{file}: {error}"))
    };
    let mut proto = ModelProto::parse_from_bytes(&bytes("model.onnx".to_owned())?)?;
    let graph = proto.graph.as_mut().context("the model has no graph")?;
    let inputs: Vec<String> = graph
        .input
        .iter()
        .map(|input| input.name.clone())
        .filter(|name| graph.initializer.iter().all(|i| i.name != *name))
        .collect();
    let Some(first) = inputs.first() else {
        bail!("the model takes no input");
    };
    if graph.output.len() != 1 {
        bail!("the model has {} outputs", graph.output.len());
    }
    let (shape, pixels) = tensor("input_0.pb".to_owned())?;
    if TensorProto::parse_from_bytes(&bytes("input_0.pb".to_owned())?)?.data_type == DOUBLE {
        bail!("computes in double precision");
    }
    let image = match shape[..] {
        [n, c @ (1 | 3), h, w] => [n, c, h, w],
        _ => as_image(graph, first, &shape)?,
    };
    for (index, name) in inputs.iter().enumerate().skip(1) {
        let mut weight = TensorProto::parse_from_bytes(&bytes(format!("input_{index}.pb"))?)?;
        weight.name.clone_from(name);
        graph.initializer.push(weight);
    }
    Ok(PreparedCase {
        model: proto.write_to_bytes()?,
        shape: image,
        pixels,
        expected: tensor("output_0.pb".to_owned())?.1,
    })
}

/// Gives the graph an image input and a Reshape that turns it into the tensor of `shape` that `input` was.
fn as_image(graph: &mut onnx_ir::GraphProto, input: &str, shape: &[usize]) -> Result<[usize; 4]> {
    let image = match *shape {
        [] => bail!("the input has no batch"),
        [n] => [n, 1, 1, 1],
        [n, c, ref rest @ ..] => [n, 1, c, rest.iter().product()],
    };
    let declared = graph
        .input
        .iter_mut()
        .find(|declared| declared.name == input)
        .context("the input is not declared")?;
    declared.name = "conformance_image".to_owned();
    let dims = &mut declared
        .type_
        .mut_or_insert_default()
        .mut_tensor_type()
        .shape
        .mut_or_insert_default()
        .dim;
    dims.clear();
    for extent in image {
        dims.push(Default::default());
        if let Some(dim) = dims.last_mut() {
            dim.set_dim_value(i64::try_from(extent)?);
        }
    }
    let target = AttributeProto {
        name: "shape".to_owned(),
        ints: shape.iter().map(|&n| n as i64).collect(),
        ..Default::default()
    };
    let reshape = NodeProto {
        name: "conformance_reshape".to_owned(),
        op_type: "Reshape".to_owned(),
        input: vec!["conformance_image".to_owned()],
        output: vec![input.to_owned()],
        attribute: vec![target],
        ..Default::default()
    };
    graph.node.insert(0, reshape);
    Ok(image)
}

fn compute(case: &PreparedCase, device: &str) -> Result<Vec<f32>> {
    let device = regraft_backend::open(device)?;
    let model = Model::from_bytes(&case.model)?;
    let [_, _, height, width] = case.shape;
    let options = ImportOptions {
        image_size: Some([height, width]),
        ..ImportOptions::default()
    };
    let graph = Graph::import(&model, &options)?;
    let network = Network::inference(Arc::new(graph), &device)?;
    let features = network.features(case.pixels.clone(), case.shape)?;
    Ok(network.output(features)?.into_values()?)
}

fn compare(ours: &[f32], expected: &[f32]) -> Outcome {
    if ours.len() != expected.len() {
        let (ours, expected) = (ours.len(), expected.len());
        return Outcome::Failed(format!("{ours} values, expected {expected}"));
    }
    let worst = ours
        .iter()
        .zip(expected)
        .map(|(a, b)| {
            if a == b || (a.is_nan() && b.is_nan()) {
                return 0.0;
            }
            (a - b).abs() / (ABSOLUTE + RELATIVE * b.abs())
        })
        .fold(0f32, |worst, off| {
            if off.is_nan() {
                f32::INFINITY
            } else {
                worst.max(off)
            }
        });
    if worst <= 1.0 {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("off by {worst:.1} times the tolerance"))
    }
}
