//! What the compiler works on: a graph's nodes with their constants at hand, before anything is packed or placed.

use regraft_kernels::{Activation, Conv2dSpec};
use regraft_onnx::op::{Binary, Lrn, Pool};
use regraft_onnx::{ValueId, Weights, op};

use crate::extents::{Extents, Shape};

/// One node, or several that became one.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// The name of the first of its nodes.
    pub name: String,
    pub work: Work,
    /// Activations it reads.
    pub inputs: Vec<ValueId>,
    pub output: ValueId,
}

/// What a draft computes. Everything that is known of it is in it; activations are its draft's inputs.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Conv(Box<Convolution>),
    Linear(Box<Linear>),
    /// Product of two activations, batched over leading axes.
    MatMul,
    /// `factor x + offset`, a pair a channel.
    Scale(Box<Scale>),
    Function(Function),
    Binary(Box<Combination>),
    /// Over the last axis.
    LayerNorm {
        epsilon: f64,
        scale: Vec<f32>,
        shift: Option<Vec<f32>>,
    },
    /// Of channels that lie last, as [`Work::Conv`] and [`Work::AveragePool`].
    MaxPool(Pool),
    AveragePool {
        pool: Pool,
        count_include_pad: bool,
    },
    /// Mean over a run of neighbouring axes.
    Mean {
        first: usize,
        axes: usize,
    },
    /// From channels first to channels last, or back.
    Reorder {
        to_last: bool,
    },
    Lrn(Lrn),
    /// The same values under another shape.
    View,
    Concat {
        axis: usize,
    },
    /// Every `step`-th index of an axis from `start` on; how many, the output's shape says.
    Slice {
        axis: usize,
        start: usize,
        step: usize,
    },
    Pad {
        pads: [usize; 4],
        value: f32,
        channels_last: bool,
    },
    Transpose {
        perm: Vec<usize>,
    },
    /// Repeats extents of 1 of the input, or of a constant where there is one.
    Expand(Option<Tensor>),
    Softmax {
        axis: usize,
        log: bool,
    },
}

/// A convolution with what happens to its output.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    /// For one image.
    pub spec: Conv2dSpec,
    pub weight: Weights,
    pub bias: Option<Vec<f32>>,
    /// Whether the second input is added to the output.
    pub residual: bool,
    pub activation: Activation,
}

/// `x W + b` over the last axis.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub inputs: usize,
    pub outputs: usize,
    /// `[outputs, inputs]` where `transposed`, else `[inputs, outputs]`.
    pub weight: Weights,
    pub transposed: bool,
    pub bias: Option<Vec<f32>>,
    /// Whether the second input is added to the output, before `after`.
    pub residual: bool,
    pub after: Option<Function>,
}

impl Linear {
    /// Rows of an image in the output, of the given shape.
    pub fn rows(&self, output: &Shape) -> usize {
        output.one().iter().product::<usize>() / self.outputs
    }
}

/// `after(factor x + offset)` along an axis.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub axis: usize,
    pub factor: Vec<f64>,
    pub offset: Vec<f64>,
    pub after: Option<Function>,
}

/// `after(left operator right)`; an operand that is a constant is not among the draft's inputs.
#[derive(Debug, Clone)]
pub(crate) struct Combination {
    pub operator: Binary,
    pub constant: Option<(Side, Tensor)>,
    pub after: Option<Function>,
}

/// Which operand of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A constant operand.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub extents: Extents,
    pub values: Vec<f32>,
}

/// An elementwise function of one activation: ONNX's, and those that ONNX writes in several nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    Onnx(op::Activation),
    /// `x / (1 + e^-x)`.
    Silu,
}

impl Function {
    /// The same as a convolution can apply it to its output.
    pub fn of_convolution(self) -> Option<Activation> {
        match self {
            Self::Onnx(function) => activation_of(function),
            Self::Silu => Some(Activation::Silu),
        }
    }
}

/// The kernels' activation that a function is, where they have it.
pub fn activation_of(function: op::Activation) -> Option<Activation> {
    match function {
        op::Activation::Relu => Some(Activation::Relu),
        op::Activation::Clip { min: 0.0, max: 6.0 } => Some(Activation::Relu6),
        op::Activation::HardSwish => Some(Activation::HardSwish),
        _ => None,
    }
}

/// The kernels' activation that `x gate(x)` is, where they have it.
pub fn gated_by(gate: op::Activation) -> Option<Activation> {
    match gate {
        op::Activation::Sigmoid => Some(Activation::Silu),
        op::Activation::HardSigmoid { alpha, beta: 0.5 } if (alpha - 1.0 / 6.0).abs() < 1e-6 => {
            Some(Activation::HardSwish)
        }
        _ => None,
    }
}
