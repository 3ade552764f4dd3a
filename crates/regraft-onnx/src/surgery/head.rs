//! Cutting the head off and putting another in its place.
//!
//! A new head is made of ordinary ONNX nodes in the file, so the grafted file is imported, trained and written like any
//! other.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use onnx_ir::{AttributeProto, GraphProto, NodeProto, TensorProto};

use crate::analysis::head::{site, site_after};
use crate::error::Error;
use crate::file::model::{Model, allow_plain_initializers};
use crate::file::{metadata, names};
use crate::import::ImportOptions;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Graph;
use crate::ir::ids::ValueId;
pub use crate::ir::site::HeadSite;
use crate::proto::{element, nodes, tensor};
use regraft_spec::Pooling;

/// What to put in the head's place.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSpec {
    /// Its layers.
    pub kind: HeadKind,
    /// Name of the node after which to cut, instead of where the head was found.
    pub at: Option<String>,
    /// One label a class, in the order of the logits.
    pub labels: Vec<String>,
    /// Decides the initial weights.
    pub seed: u64,
    /// Where the head takes its features, lowest first. None: at the network's own features, averaged.
    pub taps: Vec<HeadTap>,
}

/// A place where a head takes features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadTap {
    /// What people call the place: the name of the block that the value leaves. It becomes part of node names.
    pub block: String,
    /// Name of the value: `[N, C, H, W]`, `[N, tokens, F]` or `[N, F]`.
    pub value: String,
    /// What of it becomes a vector; of values without positions, and of tokens, only the mean.
    pub pooling: Pooling,
}

/// Layers of a head.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadKind {
    /// One linear layer.
    Linear,
    /// Linear, ReLU, linear.
    Mlp {
        /// Width of the hidden layer.
        hidden: usize,
    },
    /// The model's own head; its number of classes must be that of the labels.
    Keep,
}

/// Prefix of the names of everything a new head adds.
const PREFIX: &str = "head";
/// Name of a new head's output.
const LOGITS: &str = "logits";
/// Standard deviation of a new classifier's weights, as torchvision's VGG and MobileNet start theirs.
const CLASSIFIER_DEVIATION: f32 = 0.01;

/// The model with a new head and labels; with [`HeadKind::Keep`], its own head and the labels.
///
/// [`cut`] and [`graft`] in one; take them apart to change the image size in between.
///
/// # Errors
/// When the head cannot be found, or kept, or `at` names no cut.
pub fn replace(model: &Model, graph: &Graph, spec: &HeadSpec) -> Result<Model, Error> {
    if spec.kind == HeadKind::Keep {
        return keep(model, graph, &spec.labels);
    }
    let headless = cut(model, graph, spec.at.as_deref())?;
    let options = ImportOptions {
        image_size: Some([graph.image_shape()[1], graph.image_shape()[2]]),
        ..ImportOptions::default()
    };
    let trunk = Graph::import(&headless, &options)?;
    graft(&headless, &trunk, spec)
}

/// The model with its own head and other labels for the same number of classes.
///
/// # Errors
/// When the number of classes differs.
pub fn keep(model: &Model, graph: &Graph, labels: &[String]) -> Result<Model, Error> {
    if graph.classes() != labels.len() {
        return Err(Error::Head {
            reason: format!(
                "the model's own head has {} classes, the data has {}; use head `linear`",
                graph.classes(),
                labels.len()
            ),
        });
    }
    let mut kept = model.clone();
    metadata::set_labels(&mut kept, labels);
    Ok(kept)
}

/// The model without its head: its output is the feature, `[N, F]` or `[N, C, H, W]`.
///
/// `at` names the node after which to cut, instead of where the head was found. Nodes and initializers that only the head
/// used are gone; all others keep their names.
///
/// # Errors
/// When the head cannot be found, or `at` names no cut.
pub fn cut(model: &Model, graph: &Graph, at: Option<&str>) -> Result<Model, Error> {
    let site = match at {
        Some(name) => site_after(graph, name)?,
        None => graph.head.clone().map_err(|reason| Error::Head {
            reason: format!("no head was found: {reason}; name the node to cut after with `head = {{ at = \"…\" }}`"),
        })?,
    };
    let mut proto = model.proto.clone();
    let file = proto.graph.mut_or_insert_default();
    let feature = joined_features(file, graph, &site);
    let weigh = |file: &GraphProto| -> usize {
        let bytes = |tensor: &TensorProto| tensor.raw_data.len();
        file.initializer.iter().map(bytes).sum()
    };
    let all = weigh(file);
    let used = prune(file, &feature);
    // Weights share the file's buffer: where most of it was the head (VGG), the rest lets go of it.
    if weigh(file) < all / 2 {
        for tensor in &mut file.initializer {
            tensor.raw_data = Bytes::copy_from_slice(&tensor.raw_data);
        }
    }
    let image = graph.input_name.clone();
    file.input
        .retain(|input| input.name == image || used.contains(&input.name));
    let mut shape = graph.value(site.feature).shape.clone();
    if !site.beside.is_empty() {
        shape = vec![Dim::Batch(1), Dim::Fixed(site.features)];
    }
    declare_output(file, &feature, &shape)?;
    Model::from_proto(proto)
}

/// The name of the value that a new head takes. Features of several heads are joined, for which the file gets a node.
fn joined_features(file: &mut GraphProto, graph: &Graph, site: &HeadSite) -> String {
    let name = |id: &ValueId| graph.value(*id).name.as_str();
    if site.beside.is_empty() {
        return name(&site.feature).to_owned();
    }
    let mut joined = "features/joined".to_owned();
    while names::each(file).any(|name| *name == joined) {
        joined.push('_');
    }
    let parts: Vec<&str> = [&site.feature]
        .into_iter()
        .chain(&site.beside)
        .map(name)
        .collect();
    let axis = nodes::int("axis", 1);
    file.node
        .push(nodes::node("Concat", &parts, &joined, vec![axis]));
    joined
}

/// A headless model with a new head and labels.
///
/// The new output is called `logits`, `[N, classes]`, without softmax. A new classifier's initial weights are small and its
/// biases zero, so that no class is favoured at first and little noise reaches the trunk; a hidden layer's keep the
/// activations' scale (He 2015). All are drawn from `seed`.
///
/// # Errors
/// When the model's output is no feature a head can take.
pub fn graft(headless: &Model, graph: &Graph, spec: &HeadSpec) -> Result<Model, Error> {
    let mut proto = headless.proto.clone();
    let file = proto.graph.mut_or_insert_default();
    let element = element::of(file, &graph.output_name);
    let free = names::each(file).all(|name| name != LOGITS);
    let mut builder = HeadBuilder::new(file, element, spec.seed);
    let classes = spec.labels.len();
    let (mut value, features) = match spec.taps.is_empty() {
        true => builder.features_of_output(graph)?,
        false => builder.tapped_features(file, graph, &spec.taps, headless.opset())?,
    };
    let logits = match spec.kind {
        HeadKind::Mlp { hidden } => {
            let he = (2.0 / features as f32).sqrt();
            value = builder.linear("fc1", &value, features, hidden, he)?;
            value = builder.node("Relu", "relu", &[&value], vec![]);
            builder.linear("fc2", &value, hidden, classes, CLASSIFIER_DEVIATION)?
        }
        HeadKind::Linear | HeadKind::Keep => {
            builder.linear("fc", &value, features, classes, CLASSIFIER_DEVIATION)?
        }
    };
    let logits = match builder.nodes.last_mut() {
        Some(last) if free => {
            last.output = vec![LOGITS.to_owned()];
            LOGITS.to_owned()
        }
        _ => logits,
    };
    file.node.extend(builder.nodes);
    file.initializer.extend(builder.initializers);
    // What lies above the highest tap has no reader.
    if !spec.taps.is_empty() {
        let needed = needed_by(&file.node, &logits);
        let used = retain(file, &needed);
        file.initializer
            .retain(|tensor| used.contains(&tensor.name));
    }
    declare_output(file, &logits, &[Dim::Batch(1), Dim::Fixed(classes)])?;
    allow_plain_initializers(&mut proto);
    let mut grafted = Model::from_proto(proto)?;
    metadata::set_labels(&mut grafted, &spec.labels);
    Ok(grafted)
}

/// Makes `name`, a tensor of `shape`, the file's output.
fn declare_output(file: &mut GraphProto, name: &str, shape: &[Dim]) -> Result<(), Error> {
    let element = element::of(file, name);
    let Some(output) = file.output.first_mut() else {
        return Err(Error::Head {
            reason: "the model has no output".to_owned(),
        });
    };
    name.clone_into(&mut output.name);
    let tensor_type = output.type_.mut_or_insert_default().mut_tensor_type();
    tensor_type.elem_type = element;
    let dims = &mut tensor_type.shape.mut_or_insert_default().dim;
    dims.clear();
    for extent in shape {
        dims.push(Default::default());
        match (dims.last_mut(), extent) {
            (Some(dim), Dim::Batch(_)) => dim.set_dim_param("N".to_owned()),
            (Some(dim), Dim::Fixed(extent)) => dim.set_dim_value(*extent as i64),
            (None, _) => {}
        }
    }
    file.output.truncate(1);
    Ok(())
}

/// Leaves of a file only what makes the value `name`: nodes, weights, and notes on values. Gives the names of everything that is
/// still read.
pub(super) fn prune(file: &mut GraphProto, name: &str) -> HashSet<String> {
    let needed = needed_by(&file.node, name);
    let used = retain(file, &needed);
    file.initializer
        .retain(|tensor| used.contains(&tensor.name));
    file.value_info.retain(|value| used.contains(&value.name));
    file.quantization_annotation.clear();
    used
}

/// Keeps the needed nodes of a file; gives the names of everything they read.
fn retain(file: &mut GraphProto, needed: &[bool]) -> HashSet<String> {
    let mut index = 0;
    file.node.retain(|_| {
        index += 1;
        needed[index - 1]
    });
    let inputs = file.node.iter().flat_map(nodes::reads);
    inputs.map(str::to_owned).collect()
}

/// Which nodes the value `name` depends on.
fn needed_by(nodes: &[NodeProto], name: &str) -> Vec<bool> {
    let producers: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let mut needed = vec![false; nodes.len()];
    let mut queue: Vec<usize> = producers.get(name).copied().into_iter().collect();
    while let Some(index) = queue.pop() {
        if !std::mem::replace(&mut needed[index], true) {
            let inputs = nodes::reads(&nodes[index]).into_iter();
            queue.extend(inputs.filter_map(|name| producers.get(name)));
        }
    }
    needed
}

/// Makes the nodes and weights of a head under names that are free in the file.
struct HeadBuilder {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    prefix: String,
    /// Element type of the feature, and so of all weights.
    element: i32,
    random: SplitMix,
}

impl HeadBuilder {
    fn new(file: &GraphProto, element: i32, seed: u64) -> Self {
        let taken = |prefix: &str| {
            names::each(file).any(|name| {
                let rest = name.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
            })
        };
        let mut prefix = PREFIX.to_owned();
        let mut count = 2;
        while taken(&prefix) && count < 1000 {
            prefix = format!("{PREFIX}{count}");
            count += 1;
        }
        Self {
            nodes: Vec::new(),
            initializers: Vec::new(),
            prefix,
            element,
            random: SplitMix(seed),
        }
    }

    fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let output = format!("{}/{name}", self.prefix);
        self.nodes
            .push(nodes::node(operator, inputs, &output, attribute));
        output
    }

    /// The network's own features, averaged over positions: their value and how many there are.
    fn features_of_output(&mut self, graph: &Graph) -> Result<(String, usize), Error> {
        let site = site(graph, graph.output, graph.nodes.len())
            .map_err(|reason| Error::Head { reason })?;
        let mut value = graph.output_name.clone();
        if site.spatial {
            value = self.node("GlobalAveragePool", "pool", &[&value], vec![]);
            value = self.node("Flatten", "flatten", &[&value], vec![]);
        }
        Ok((value, site.features))
    }

    /// The features of all taps side by side: their value and how many there are.
    ///
    /// The nodes of a tap stand right behind the one that makes its value, so that a cut above it has nothing but pooled
    /// features to carry.
    fn tapped_features(
        &mut self,
        file: &mut GraphProto,
        graph: &Graph,
        taps: &[HeadTap],
        opset: i64,
    ) -> Result<(String, usize), Error> {
        let mut pooled = Vec::new();
        let mut width = 0;
        for tap in taps {
            let fault = |reason: String| Error::Head {
                reason: format!("no tap after `{}`: {reason}", tap.block),
            };
            let named = graph.values.iter().find(|value| value.name == tap.value);
            let maker = file
                .node
                .iter()
                .position(|node| node.output.contains(&tap.value));
            let (Some(value), Some(maker)) = (named, maker) else {
                return Err(fault(format!("the file has no value `{}`", tap.value)));
            };
            let before = self.nodes.len();
            let Some((output, features)) = self.pooled(tap, &value.shape, opset) else {
                return Err(fault(format!(
                    "a value of shape {} has no pooling `{}`",
                    show(&value.shape),
                    tap.pooling
                )));
            };
            let at = maker + 1;
            file.node.splice(at..at, self.nodes.drain(before..));
            pooled.push(output);
            width += features;
        }
        if let [only] = &pooled[..] {
            return Ok((only.clone(), width));
        }
        let inputs: Vec<&str> = pooled.iter().map(String::as_str).collect();
        let joined = self.node("Concat", "features", &inputs, vec![nodes::int("axis", 1)]);
        Ok((joined, width))
    }

    /// A tap's features: their value and how many there are.
    fn pooled(&mut self, tap: &HeadTap, shape: &[Dim], opset: i64) -> Option<(String, usize)> {
        let name = format!("{}/{}", tap.block, tap.pooling);
        let value = tap.value.as_str();
        match (shape, tap.pooling) {
            ([Dim::Batch(1), Dim::Fixed(features)], Pooling::Mean) => {
                Some((tap.value.clone(), *features))
            }
            ([Dim::Batch(1), Dim::Fixed(_), Dim::Fixed(features)], Pooling::Mean) => {
                let keep = nodes::int("keepdims", 0);
                let mean = match opset {
                    ..18 => self.node(
                        "ReduceMean",
                        &name,
                        &[value],
                        vec![nodes::ints("axes", &[1]), keep],
                    ),
                    18.. => {
                        let axes = format!("{}.{name}.axes", self.prefix);
                        self.initializers.push(tensor::integer_proto(&axes, &[1]));
                        self.node("ReduceMean", &name, &[value, &axes], vec![keep])
                    }
                };
                Some((mean, *features))
            }
            (
                [
                    Dim::Batch(1),
                    Dim::Fixed(channels),
                    Dim::Fixed(height),
                    Dim::Fixed(width),
                ],
                _,
            ) => {
                let (operator, windows) = match tap.pooling {
                    Pooling::Mean => ("GlobalAveragePool", vec![]),
                    Pooling::Max => ("GlobalMaxPool", vec![]),
                    Pooling::Grid(_) => {
                        let rows = tap.pooling.windows(*height)?;
                        let columns = tap.pooling.windows(*width)?;
                        let both = [rows, columns];
                        let kernel = both.map(|windows| windows.length as i64);
                        let strides = both.map(|windows| windows.stride as i64);
                        let [before, after] =
                            [0, 1].map(|end| both.map(|windows| windows.pads[end] as i64));
                        let attributes = vec![
                            nodes::ints("kernel_shape", &kernel),
                            nodes::ints("strides", &strides),
                            nodes::ints("pads", &[before, after].concat()),
                        ];
                        ("AveragePool", attributes)
                    }
                };
                let pooled = self.node(operator, &name, &[value], windows);
                let flat = self.node("Flatten", &format!("{name}/flatten"), &[&pooled], vec![]);
                Some((flat, channels * tap.pooling.cells()))
            }
            _ => None,
        }
    }

    /// A linear layer with uniform weights of the given standard deviation and zero biases.
    fn linear(
        &mut self,
        name: &str,
        input: &str,
        inputs: usize,
        outputs: usize,
        deviation: f32,
    ) -> Result<String, Error> {
        let bound = deviation * 3f32.sqrt();
        let weight_name = format!("{}.{name}.weight", self.prefix);
        let bias_name = format!("{}.{name}.bias", self.prefix);
        let weight = self.random.uniform(outputs * inputs, bound);
        let bias = vec![0.0; outputs];
        let shape = [outputs, inputs];
        self.initializers.push(tensor::float_proto(
            &weight_name,
            &shape,
            self.element,
            &weight,
        )?);
        self.initializers.push(tensor::float_proto(
            &bias_name,
            &shape[..1],
            self.element,
            &bias,
        )?);
        Ok(self.node(
            "Gemm",
            name,
            &[input, &weight_name, &bias_name],
            vec![nodes::int("transB", 1)],
        ))
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count)
            .map(|_| {
                let unit = (self.next() >> 40) as f32 / (1u64 << 24) as f32;
                (2.0 * unit - 1.0) * bound
            })
            .collect()
    }
}
