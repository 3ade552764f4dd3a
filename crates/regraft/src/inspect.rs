//! What a model file holds.

use std::fmt;
use std::path::PathBuf;

use regraft_freeze::ParameterKind;
use regraft_nn::{kept_values, outline};
use regraft_onnx::{Graph, ImportOptions, Model, metadata};
use regraft_program::{Note, Outcome, Program, TrainingProgram};
use serde::Serialize;

use crate::error::Error;
use crate::source::model_file;

/// A model in numbers and names.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Who wrote it.
    pub producer: String,
    /// Version of the standard operators.
    pub opset: i64,
    /// Channels, height, width.
    pub image: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// Whether the metadata names them.
    pub has_labels: bool,
    /// The output that counts.
    pub output: String,
    /// The file's other outputs.
    pub other_outputs: Vec<String>,
    /// Whether the metadata says how images are preprocessed.
    pub has_preprocessing: bool,
    /// Nodes after folding.
    pub nodes: usize,
    /// Trainable values.
    pub parameters: usize,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Layers with running statistics.
    pub norms: usize,
    /// Where a new head goes: name of the value.
    pub head: Option<String>,
    /// Why no head was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_missing: Option<String>,
    /// Length of the pooled features there.
    pub features: Option<usize>,
    /// From the input to the output.
    pub blocks: Vec<BlockReport>,
    /// Every parameter that could train, in the graph's order: what freeze rules speak of. Their number of values is
    /// `parameters`.
    pub parameter_list: Vec<ParameterReport>,
}

/// One parameter.
#[derive(Debug, Clone, Serialize)]
pub struct ParameterReport {
    /// Canonical dotted name, as freeze rules match it.
    pub name: String,
    /// Its shape as stored in the file.
    pub shape: Vec<usize>,
    /// What it is in its layer: `weight`, `bias`, `norm-scale` or `norm-shift`.
    pub kind: ParameterKind,
    /// The name of its block.
    pub block: String,
}

/// One block.
#[derive(Debug, Clone, Serialize)]
pub struct BlockReport {
    /// Its name.
    pub name: String,
    /// Whether it belongs to the head.
    pub head: bool,
    /// Nodes.
    pub nodes: usize,
    /// Trainable values.
    pub parameters: usize,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Extents of what leaves it, for one image.
    pub output: Vec<usize>,
    /// Layers with running statistics.
    pub norms: usize,
}

/// Describes a model file or a run folder's best model.
///
/// # Errors
/// When there is none, or it cannot be imported: the message lists every operator in the way.
pub fn inspect(name: &str) -> Result<Inspection, Error> {
    let path = model_file(name)?;
    let fault = |source| Error::Model {
        path: path.clone(),
        source,
    };
    let model = Model::open(&path).map_err(fault)?;
    let graph = Graph::import(&model, &ImportOptions::default()).map_err(fault)?;
    let outline = outline(&graph, |_| false);
    let values = |block: usize| {
        let own = outline.parameters.iter().filter(|p| p.block == block);
        own.map(|p| p.shape.iter().product::<usize>()).sum()
    };
    let blocks: Vec<BlockReport> = graph
        .blocks
        .iter()
        .enumerate()
        .map(|(index, block)| BlockReport {
            name: block.name.clone(),
            head: block.head,
            nodes: block.nodes.len(),
            parameters: values(index),
            macs: outline.blocks[index].macs,
            output: graph.value(block.output).dims(1)[1..].to_vec(),
            norms: outline
                .norms
                .iter()
                .filter(|norm| norm.block == index)
                .count(),
        })
        .collect();
    Ok(Inspection {
        producer: model.producer(),
        opset: model.opset(),
        image: graph.image_shape(),
        classes: graph.classes(),
        other_outputs: model
            .output_names()
            .filter(|name| *name != graph.output_name)
            .map(str::to_owned)
            .collect(),
        output: graph.output_name.clone(),
        has_labels: metadata::labels(&model).is_some(),
        has_preprocessing: metadata::get(&model, metadata::PREPROCESSING).is_some(),
        nodes: graph.nodes.len(),
        parameters: graph.trainable_values(),
        macs: blocks.iter().map(|block| block.macs).sum(),
        norms: outline.norms.len(),
        head: graph
            .head
            .as_ref()
            .ok()
            .map(|site| graph.value(site.feature).name.clone()),
        head_missing: graph.head.as_ref().err().cloned(),
        features: graph.head.as_ref().ok().map(|site| site.features),
        parameter_list: outline
            .parameters
            .iter()
            .map(|parameter| ParameterReport {
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
                kind: parameter.kind,
                block: graph
                    .blocks
                    .get(parameter.block)
                    .map_or_else(String::new, |block| block.name.clone()),
            })
            .collect(),
        blocks,
        path,
    })
}

/// What the passes make of a model: for inference by running statistics, and for training all of it.
#[derive(Debug, Clone, Serialize)]
pub struct Passes {
    /// Nodes of the graph.
    pub nodes: usize,
    /// Steps that they become for inference.
    pub steps: usize,
    /// Why there is no program for inference, so that the network is run node by node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_refused: Option<String>,
    /// What each pass for inference did with a node, or why it left it alone.
    pub inference: Vec<PassReport>,
    /// The same of the passes for training.
    pub training: Vec<PassReport>,
}

/// What a pass did with a node.
#[derive(Debug, Clone, Serialize)]
pub struct PassReport {
    /// The pass.
    pub pass: &'static str,
    /// The node's name in the file.
    pub node: String,
    /// The node that it is computed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Why it stays by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<&'static str>,
}

impl From<&Note> for PassReport {
    fn from(note: &Note) -> Self {
        let (into, left) = match &note.outcome {
            Outcome::Into(other) => (Some(other.clone()), None),
            Outcome::Left(why) => (None, Some(*why)),
        };
        Self {
            pass: note.pass.name(),
            node: note.node.clone(),
            into,
            left,
        }
    }
}

impl fmt::Display for PassReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20} `{}`", self.pass, self.node)?;
        match (&self.into, self.left) {
            (Some(other), _) => write!(f, " is computed with `{other}`"),
            (None, Some(why)) => write!(f, " stays by itself: {why}"),
            (None, None) => Ok(()),
        }
    }
}

/// What the passes make of a model file or a run folder's best model.
///
/// # Errors
/// As [`inspect`].
pub fn passes(name: &str) -> Result<Passes, Error> {
    let path = model_file(name)?;
    let fault = |source| Error::model(&path, source);
    let model = Model::open(&path).map_err(fault)?;
    let graph = Graph::import(&model, &ImportOptions::default()).map_err(fault)?;
    let list = |notes: &[Note]| notes.iter().map(PassReport::from).collect();
    let training = TrainingProgram::new(&graph, 0, &kept_values(&graph));
    let program = Program::inference(&graph, graph.logits);
    Ok(Passes {
        nodes: graph.nodes.len(),
        steps: program.as_ref().map_or(0, |program| program.steps.len()),
        inference_refused: program.as_ref().err().map(ToString::to_string),
        inference: program
            .as_ref()
            .map_or_else(|_| Vec::new(), |program| list(&program.notes)),
        training: list(&training.notes),
    })
}
