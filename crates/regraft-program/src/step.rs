//! The steps of a program: nodes with their constants at hand, before anything is packed or placed.

use regraft_kernels::{Activation, Conv2dSpec};
use regraft_onnx::op::{Binary, Lrn, Pool};
use regraft_onnx::{ValueId, Weights, op};

use crate::shape::{Extents, Shape};

/// One node, or several that became one.
#[derive(Debug, Clone)]
pub struct Step {
    /// The name of the first of its nodes.
    pub name: String,
    /// What it computes.
    pub work: Work,
    /// Activations it reads.
    pub inputs: Vec<ValueId>,
    /// What it makes.
    pub output: ValueId,
}

/// What a step computes. Everything that is known of it is in it; activations are its step's inputs.
#[derive(Debug, Clone)]
pub enum Work {
    /// A convolution of `[N, C, H, W]`.
    Conv(Box<Convolution>),
    /// A linear layer.
    Linear(Box<Linear>),
    /// Product of two activations, batched over leading axes.
    MatMul,
    /// `factor x + offset`, a pair a channel.
    Scale(Box<Scale>),
    /// A function of each value.
    Function(Function),
    /// Arithmetic on two operands.
    Binary(Box<Combination>),
    /// Layer normalisation over the last axis.
    LayerNorm {
        /// Added to the variance.
        epsilon: f64,
        /// One a feature.
        scale: Vec<f32>,
        /// One a feature, where there is any.
        shift: Option<Vec<f32>>,
    },
    /// Of channels that lie last, as [`Work::Conv`] and [`Work::AveragePool`].
    MaxPool(Pool),
    /// The mean of windows.
    AveragePool {
        /// The windows.
        pool: Pool,
        /// Whether padding counts.
        count_include_pad: bool,
    },
    /// Mean over a run of neighbouring axes.
    Mean {
        /// The first of the axes.
        first: usize,
        /// How many.
        axes: usize,
    },
    /// From channels first to channels last, or back.
    Reorder {
        /// Whether channels go last.
        to_last: bool,
    },
    /// Local response normalisation.
    Lrn(Lrn),
    /// The same values under another shape.
    View,
    /// Joins its inputs.
    Concat {
        /// Along this axis.
        axis: usize,
    },
    /// Every `step`-th index of an axis from `start` on; how many, the output's shape says.
    Slice {
        /// The axis.
        axis: usize,
        /// The first index.
        start: usize,
        /// Distance to the next.
        step: usize,
    },
    /// Adds a border to images.
    Pad {
        /// Above, left, below, right, in pixels.
        pads: [usize; 4],
        /// What the border is filled with.
        value: f32,
        /// Whether channels lie last.
        channels_last: bool,
    },
    /// Puts axes in another order.
    Transpose {
        /// Which axis comes where.
        perm: Vec<usize>,
    },
    /// Repeats extents of 1 of the input, or of a constant where there is one.
    Expand(Option<Tensor>),
    /// Softmax along an axis.
    Softmax {
        /// The axis.
        axis: usize,
        /// Whether its logarithm is meant.
        log: bool,
    },
}

/// A convolution with what happens to its output.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// For one image.
    pub spec: Conv2dSpec,
    /// `[out, in / groups, kernel height, kernel width]`.
    pub weight: Weights,
    /// One an output channel.
    pub bias: Option<Vec<f32>>,
    /// Whether the second input is added to the output.
    pub residual: bool,
    /// What is applied to the output.
    pub activation: Activation,
}

/// `x W + b` over the last axis.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Features of a row going in.
    pub inputs: usize,
    /// Features of a row coming out.
    pub outputs: usize,
    /// `[outputs, inputs]` where `transposed`, else `[inputs, outputs]`.
    pub weight: Weights,
    /// How the weight lies.
    pub transposed: bool,
    /// One an output.
    pub bias: Option<Vec<f32>>,
    /// Whether the second input is added to the output, before `after`.
    pub residual: bool,
    /// What is applied to the output.
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
pub struct Scale {
    /// The axis of the channels.
    pub axis: usize,
    /// One a channel.
    pub factor: Vec<f64>,
    /// One a channel.
    pub offset: Vec<f64>,
    /// What is applied to the output.
    pub after: Option<Function>,
}

/// `after(left operator right)`; an operand that is a constant is not among the step's inputs.
#[derive(Debug, Clone)]
pub struct Combination {
    /// The operator.
    pub operator: Binary,
    /// The operand that is a constant, and which of the two it is.
    pub constant: Option<(Side, Tensor)>,
    /// What is applied to the output.
    pub after: Option<Function>,
}

/// Which operand of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// A constant operand.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its shape.
    pub extents: Extents,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// An elementwise function of one activation: ONNX's, and those that ONNX writes in several nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// One of ONNX's.
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
