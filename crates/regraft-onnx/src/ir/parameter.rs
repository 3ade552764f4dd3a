//! A weight or constant: its name, its values, and where the file's nodes read it.

use onnx_ir::NodeProto;

use crate::proto::weights::Weights;

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
    /// The shape in which the node is given it.
    pub(crate) shape: Vec<usize>,
}

impl Site {
    pub(crate) fn of(node: &NodeProto, input: usize, shape: &[usize]) -> Self {
        Self {
            output: node.output.first().cloned().unwrap_or_default(),
            input,
            shape: shape.to_vec(),
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
