//! A network as data: nodes in order, the values between them, parameters, blocks and the head.

use std::collections::HashSet;
use std::ops::Range;

use onnx_ir::NodeProto;

use crate::blocks::Block;
use crate::head::HeadSite;
use crate::op::Op;
use crate::weights::Weights;

/// An imported network.
///
/// Nodes are in an order in which every input is computed before it is used; each produces one value. Nodes that the
/// output does not need, and those that compute only constants, are not in it.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The nodes in execution order.
    pub nodes: Vec<Node>,
    /// Every activation: the network's input and each node's output.
    pub values: Vec<Value>,
    /// Weights and constants.
    pub parameters: Vec<Parameter>,
    /// The image input.
    pub input: ValueId,
    /// How the input lays out an image.
    pub layout: InputLayout,
    /// The file's output, after a trailing softmax where there is one.
    pub output: ValueId,
    /// The value before a trailing softmax or sigmoid: what a loss is taken on. Equal to `output` where there is none.
    pub logits: ValueId,
    /// Stretches of nodes between neighbouring cuts, from the input to the output; together they cover all nodes.
    pub blocks: Vec<Block>,
    /// Where the head begins, or why it could not be found.
    pub head: Result<HeadSite, String>,
    /// Name of the input in the file.
    pub input_name: String,
    /// Name of the output in the file.
    pub output_name: String,
}

/// One operator.
#[derive(Debug, Clone)]
pub struct Node {
    /// The file's name for it; its first output's where the exporter gave none.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands, in the operator's order.
    pub inputs: Vec<Input>,
    /// The activation it produces.
    pub output: ValueId,
    /// Multiply-accumulates for one image; 0 where the operator has none.
    pub macs: u64,
}

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// An activation.
    Value(ValueId),
    /// A weight or constant.
    Parameter(ParameterId),
}

/// Identifies an activation in [`Graph::values`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

/// Identifies a parameter in [`Graph::parameters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub(crate) usize);

impl ValueId {
    /// The value at a position; beyond [`Graph::values`] those of somebody who adds to a graph.
    pub fn at(index: usize) -> Self {
        Self(index)
    }

    /// Position in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0
    }
}

impl ParameterId {
    /// The parameter at a position; beyond [`Graph::parameters`] those of somebody who adds to a graph.
    pub fn at(index: usize) -> Self {
        Self(index)
    }

    /// Position in [`Graph::parameters`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// An activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The file's name for it.
    pub name: String,
    /// Its shape for any batch.
    pub shape: Vec<Dim>,
}

impl Value {
    /// Number of f32 values for one image.
    pub fn values_per_image(&self) -> u64 {
        self.shape
            .iter()
            .map(|dim| dim.per_image() as u64)
            .product()
    }

    /// The extents for a batch of `n`.
    pub fn dims(&self, n: usize) -> Vec<usize> {
        self.shape
            .iter()
            .map(|dim| match dim {
                Dim::Batch(each) => n * each,
                Dim::Fixed(extent) => *extent,
            })
            .collect()
    }
}

/// An extent of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// So many entries for every image: 1 for the batch itself, more where an axis was merged into it (attention heads).
    Batch(usize),
    /// The same for every batch.
    Fixed(usize),
}

impl Dim {
    /// Entries for one image.
    pub fn per_image(self) -> usize {
        match self {
            Dim::Batch(entries) | Dim::Fixed(entries) => entries,
        }
    }
}

/// A weight or constant operand.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Canonical dotted name, unique in the graph, e.g. `layer1.0.conv1.weight`.
    pub name: String,
    /// The file's name for the initializer it comes from; `None` for constants that a node computes.
    pub initializer: Option<String>,
    /// What it is to its node.
    pub role: Role,
    /// Shape as stored in the file.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub data: Weights,
    /// Where the file's nodes read it.
    pub(crate) sites: Vec<Site>,
}

/// An operand of a node of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// The node's first output, which no other node has.
    pub(crate) output: String,
    /// Which of its inputs.
    pub(crate) input: usize,
}

impl Site {
    pub(crate) fn of(node: &NodeProto, input: usize) -> Self {
        Self {
            output: node.output.first().cloned().unwrap_or_default(),
            input,
        }
    }
}

/// What a parameter is to the node that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Multiplicative weight of a convolution, a linear layer or an elementwise product.
    Weight,
    /// Additive bias.
    Bias,
    /// Scale (gamma) of a batch normalisation.
    NormScale,
    /// Shift (beta) of a batch normalisation.
    NormShift,
    /// Running mean of a batch normalisation.
    RunningMean,
    /// Running variance of a batch normalisation.
    RunningVariance,
    /// A number of the graph that is not to be trained.
    Constant,
}

impl Role {
    /// Whether gradient descent may change it.
    pub fn trainable(self) -> bool {
        matches!(
            self,
            Role::Weight | Role::Bias | Role::NormScale | Role::NormShift
        )
    }
}

/// How the network's input lays out an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputLayout {
    /// `[N, C, H, W]`.
    ChannelsFirst,
    /// `[N, H, W, C]`.
    ChannelsLast,
}

impl Graph {
    /// An activation by its id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// A parameter by its id.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.parameters[id.0]
    }

    /// The parameters that a stretch of nodes reads, each once, in the order they are read.
    pub fn parameters_of(&self, nodes: Range<usize>) -> Vec<ParameterId> {
        let mut seen = HashSet::new();
        self.nodes[nodes]
            .iter()
            .flat_map(|node| &node.inputs)
            .filter_map(|input| match input {
                Input::Parameter(id) if seen.insert(*id) => Some(*id),
                _ => None,
            })
            .collect()
    }

    /// Channels, height and width of the image input.
    pub fn image_shape(&self) -> [usize; 3] {
        let dims = self.value(self.input).dims(1);
        match (self.layout, dims.as_slice()) {
            (InputLayout::ChannelsFirst, &[_, c, h, w])
            | (InputLayout::ChannelsLast, &[_, h, w, c]) => [c, h, w],
            // `import` only builds graphs with a rank-4 input.
            _ => [0, 0, 0],
        }
    }

    /// Number of classes: the last extent of the logits.
    pub fn classes(&self) -> usize {
        self.value(self.logits).dims(1).last().copied().unwrap_or(0)
    }

    /// Trainable values in all.
    pub fn trainable_values(&self) -> usize {
        self.parameters
            .iter()
            .filter(|p| p.role.trainable())
            .map(|p| p.data.len())
            .sum()
    }

    /// The index of the block that holds node `node`.
    pub fn block_of(&self, node: usize) -> usize {
        self.blocks
            .iter()
            .position(|block| block.nodes.contains(&node))
            .unwrap_or(0)
    }
}
