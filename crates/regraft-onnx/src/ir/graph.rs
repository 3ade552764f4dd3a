//! A network as data: nodes in order, the values between them, parameters, blocks and the head.

use std::collections::HashSet;
use std::ops::Range;

use super::block::Block;
use super::ids::{ParameterId, ValueId};
use super::op::Op;
use super::output::OutputKind;
use super::parameter::Parameter;
use super::site::HeadSite;
use super::value::Value;

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
    /// Whether the file's input takes whole numbers of 8 bits; they are given as floats all the same.
    pub whole_pixels: bool,
    /// The file's output, after a trailing softmax where there is one.
    pub output: ValueId,
    /// The value before a trailing softmax or sigmoid: what a loss is taken on. Equal to `output` where there is none.
    pub logits: ValueId,
    /// What the output says of an image.
    pub output_kind: OutputKind,
    /// The operator that the file applies to the output and that was left off, such as `ArgMax`.
    pub left_off: Option<String>,
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

    /// Number of classes that the logits tell apart, where they do; 2 where they are one value.
    ///
    /// Where the output tells no classes ([`OutputKind::tells_classes`]), the values of its last axis.
    pub fn classes(&self) -> usize {
        let dims = self.value(self.logits).dims(1);
        let behind = dims.get(1..).unwrap_or_default();
        match self.output_kind {
            OutputKind::TwoClasses => 2,
            kind if kind.tells_classes() => behind.iter().product(),
            _ => dims.last().copied().unwrap_or(0),
        }
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
