//! The operators a network is made of, with every attribute resolved: no defaults left, no opset differences.

/// What a node computes. Activations are `[N, C, H, W]` unless an operator changed their rank.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// 2-D convolution; inputs: activation, weight `[out, in / groups, kh, kw]`, optional bias `[out]`.
    Conv(Conv),
    /// `x W + b` (Gemm, or MatMul with a constant); inputs: activation `[N, in]`, weight, optional bias.
    Linear(Linear),
    /// Product of two activations, batched over leading dimensions.
    MatMul,
    /// Batch normalisation; inputs: activation, scale, shift, running mean, running variance, each `[C]`.
    BatchNorm(BatchNorm),
    /// Layer normalisation over the last axis (Ba 2016); inputs: activation, scale and optional shift, each `[C]`.
    LayerNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// Elementwise function of one activation.
    Activation(Activation),
    /// Elementwise function of two operands with broadcasting from the right.
    Binary(Binary),
    /// Maximum over windows.
    MaxPool(Pool),
    /// Mean over windows.
    AveragePool {
        /// The windows.
        pool: Pool,
        /// Whether padding counts as zeros in the mean.
        count_include_pad: bool,
    },
    /// Mean over all positions: `[N, C, H, W]` to `[N, C, 1, 1]`.
    GlobalAveragePool,
    /// Maximum over all positions: `[N, C, H, W]` to `[N, C, 1, 1]`.
    GlobalMaxPool,
    /// Mean over axes.
    ReduceMean {
        /// Axes, counted from the left.
        axes: Vec<usize>,
        /// Whether reduced axes stay with extent 1.
        keep_dims: bool,
    },
    /// Local response normalisation across channels (Krizhevsky 2012).
    Lrn(Lrn),
    /// Joins activations along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// A range along one axis.
    Slice {
        /// The axis.
        axis: usize,
        /// First index.
        start: usize,
        /// One past the last index.
        end: usize,
        /// Step, at least 1.
        step: usize,
    },
    /// One index along an axis, which disappears.
    Select {
        /// The axis.
        axis: usize,
        /// The index.
        index: usize,
    },
    /// Pads the two last dimensions with a value.
    Pad {
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// The value.
        value: f32,
    },
    /// Reorders axes.
    Transpose {
        /// Source axis of every target axis.
        perm: Vec<usize>,
    },
    /// Another shape for the same values; at most one dimension is the batch. The shape is the output value's.
    Reshape,
    /// Repeats extents of 1, for every image too. The shape is the output value's.
    Expand,
    /// Softmax along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Logarithm of softmax along an axis.
    LogSoftmax {
        /// The axis.
        axis: usize,
    },
}

/// A 2-D convolution's geometry.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Vertical and horizontal dilation.
    pub dilation: [usize; 2],
    /// Channel groups.
    pub groups: usize,
}

/// A linear layer's orientation.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Whether the weight is stored `[out, in]` (true) or `[in, out]`.
    pub weight_transposed: bool,
}

/// Batch normalisation (Ioffe and Szegedy, 2015).
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
    /// ONNX's momentum: the weight of the *old* running value in an update.
    pub momentum: f64,
}

/// Elementwise functions of one activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, min), max)`; ReLU6 is `0, 6`.
    Clip {
        /// Lower bound, minus infinity where absent.
        min: f32,
        /// Upper bound, infinity where absent.
        max: f32,
    },
    /// `x` for positive, `alpha x` for negative values.
    LeakyRelu {
        /// Slope for negative values.
        alpha: f32,
    },
    /// `x` for positive, `alpha (e^x - 1)` for negative values.
    Elu {
        /// Factor for negative values.
        alpha: f32,
    },
    /// Logistic function.
    Sigmoid,
    /// `max(0, min(1, alpha x + beta))`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x max(0, min(1, x / 6 + 1 / 2))`.
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// Gauss error function.
    Erf,
    /// Gaussian error linear unit, exact or by tanh.
    Gelu {
        /// Whether the tanh approximation is meant.
        tanh: bool,
    },
    /// `e^x`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `1 / x`.
    Reciprocal,
    /// `-x`.
    Neg,
    /// `|x|`.
    Abs,
}

/// Elementwise functions of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// `a ^ b`.
    Pow,
    /// The larger.
    Max,
    /// The smaller.
    Min,
}

/// Windows of a pooling operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pads: [usize; 4],
    /// Vertical and horizontal dilation.
    pub dilation: [usize; 2],
    /// Whether a last, partly covered window counts.
    pub ceil_mode: bool,
}

/// Local response normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Lrn {
    /// Channels in a window.
    pub size: usize,
    /// Scale.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Offset.
    pub bias: f32,
}

impl Op {
    /// The ONNX operator this stands for, for listings.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::Linear(_) => "Linear",
            Op::MatMul => "MatMul",
            Op::BatchNorm(_) => "BatchNormalization",
            Op::LayerNorm { .. } => "LayerNormalization",
            Op::Expand => "Expand",
            Op::Activation(activation) => activation.name(),
            Op::Binary(Binary::Add) => "Add",
            Op::Binary(Binary::Sub) => "Sub",
            Op::Binary(Binary::Mul) => "Mul",
            Op::Binary(Binary::Div) => "Div",
            Op::Binary(Binary::Pow) => "Pow",
            Op::Binary(Binary::Max) => "Max",
            Op::Binary(Binary::Min) => "Min",
            Op::MaxPool(_) => "MaxPool",
            Op::AveragePool { .. } => "AveragePool",
            Op::GlobalAveragePool => "GlobalAveragePool",
            Op::GlobalMaxPool => "GlobalMaxPool",
            Op::ReduceMean { .. } => "ReduceMean",
            Op::Lrn(_) => "LRN",
            Op::Concat { .. } => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Select { .. } => "Gather",
            Op::Pad { .. } => "Pad",
            Op::Transpose { .. } => "Transpose",
            Op::Reshape => "Reshape",
            Op::Softmax { .. } => "Softmax",
            Op::LogSoftmax { .. } => "LogSoftmax",
        }
    }
}

impl Activation {
    fn name(self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::Clip { .. } => "Clip",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::Elu { .. } => "Elu",
            Activation::Sigmoid => "Sigmoid",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::HardSwish => "HardSwish",
            Activation::Tanh => "Tanh",
            Activation::Softplus => "Softplus",
            Activation::Softsign => "Softsign",
            Activation::Erf => "Erf",
            Activation::Gelu { .. } => "Gelu",
            Activation::Exp => "Exp",
            Activation::Log => "Log",
            Activation::Sqrt => "Sqrt",
            Activation::Reciprocal => "Reciprocal",
            Activation::Neg => "Neg",
            Activation::Abs => "Abs",
        }
    }
}

impl Pool {
    /// Output extent along axis 0 (height) or 1 (width), by the ONNX specification of MaxPool and AveragePool:
    /// with `ceil_mode`, a window must start inside the input or its left padding.
    pub fn output(&self, axis: usize, input: usize) -> Option<usize> {
        let padded = input + self.pads[axis] + self.pads[axis + 2];
        let window = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        let room = padded.checked_sub(window)?;
        let stride = self.stride[axis];
        if !self.ceil_mode {
            return Some(room / stride + 1);
        }
        let windows = room.div_ceil(stride) + 1;
        let last_start = (windows - 1) * stride;
        Some(if last_start >= input + self.pads[axis] {
            windows - 1
        } else {
            windows
        })
    }
}

impl Conv {
    /// Output extent along axis 0 (height) or 1 (width); `None` where the kernel does not fit.
    pub fn output(&self, axis: usize, input: usize) -> Option<usize> {
        let padded = input + self.pads[axis] + self.pads[axis + 2];
        let window = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        Some(padded.checked_sub(window)? / self.stride[axis] + 1)
    }
}
