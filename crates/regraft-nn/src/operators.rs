//! One node on a device: typed operators to Burn's tensor operations.

use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions, PadMode};
use burn::tensor::{Slice, Tensor, activation as function};
use regraft_onnx::op::{Activation as Function, Binary, Conv, Lrn, Pool};
use regraft_onnx::{Node, Op};
use regraft_ops::{
    Divisor, PoolSpec, Pooled, Rounding, add, concatenate, conv2d, pool_shape, pool2d,
};

use crate::activation::{Activation, each_rank};
use regraft_spec::Statistics;

use crate::batch_norm::{self, Mode, Norm};
use crate::error::Error;

/// What a node computes, and running statistics where it updated any.
pub(crate) struct Outcome {
    pub output: Output,
    pub statistics: Option<(Tensor<1>, Tensor<1>)>,
}

/// A node's output, or what its only reader needs to compute it.
#[allow(clippy::large_enum_variant)] // one at a time, never many of them
pub(crate) enum Output {
    Value(Activation),
    Norm(regraft_ops::Norm),
}

impl Output {
    /// The output, computed now where it was not.
    pub(crate) fn value(self) -> Activation {
        match self {
            Self::Value(value) => value,
            Self::Norm(norm) => Activation::R4(norm.output()),
        }
    }
}

/// Computes one node.
///
/// `operands` are all its inputs in order, but for the first of a reader of a `norm`, which computes that; `shape` the extents of its output for this batch; `mode` says how a batch
/// norm or a sum is computed.
pub(crate) fn compute(
    node: &Node,
    norm: Option<regraft_ops::Norm>,
    operands: Vec<Activation>,
    shape: &[usize],
    mode: Mode,
) -> Result<Outcome, Error> {
    let fault = |reason: &str| Error::Node {
        node: node.name.clone(),
        reason: reason.to_owned(),
    };
    let ranks: Vec<usize> = operands
        .iter()
        .map(|operand| operand.dims().len())
        .collect();
    let wrong = || {
        fault(&format!(
            "{} does not take operands of ranks {ranks:?}",
            node.op.name()
        ))
    };
    let mut operands = operands.into_iter();
    if let Some(norm) = norm {
        let output = match (&node.op, operands.next()) {
            (Op::Conv(conv), Some(Activation::R4(weight))) => {
                norm.conv2d(weight, convolution_options(conv))
            }
            (Op::MaxPool(pool), None) => match pool_shape(&norm.input, windows(pool)) {
                Some(shape) => norm.max_pool2d(shape),
                None => max_pool(pool, norm.output()),
            },
            (Op::Binary(Binary::Add), Some(Activation::R4(other))) => {
                norm.add(other, mode.activation)
            }
            _ => return Err(wrong()),
        };
        return Ok(Outcome {
            output: Output::Value(Activation::R4(output)),
            statistics: None,
        });
    }
    let first = operands.next().ok_or_else(|| fault("has no operands"))?;
    if let Op::BatchNorm(config) = &node.op {
        let mut vector = || match operands.next() {
            Some(Activation::R1(tensor)) => Ok(tensor),
            _ => Err(fault("a batch norm operand is missing")),
        };
        let norm = Norm {
            scale: vector()?,
            shift: vector()?,
            mean: vector()?,
            variance: vector()?,
        };
        return match mode.statistics {
            Statistics::Frozen => batch_norm::frozen(first, norm, config.epsilon, mode)
                .map(|output| Outcome {
                    output,
                    statistics: None,
                })
                .ok_or_else(wrong),
            Statistics::Updated => {
                batch_norm::updated(first, norm, config.epsilon, config.momentum, mode)
                    .map(|(output, mean, variance)| Outcome {
                        output,
                        statistics: Some((mean, variance)),
                    })
                    .ok_or_else(wrong)
            }
        };
    }
    let output = match &node.op {
        Op::Conv(conv) => convolution(conv, first, operands.next(), operands.next()),
        Op::Linear(linear) => fully_connected(
            linear.weight_transposed,
            first,
            operands.next(),
            operands.next(),
            shape,
        ),
        Op::MatMul => product(first, operands.next()),
        Op::BatchNorm(_) => None,
        Op::LayerNorm { epsilon } => {
            let scale = operands.next();
            layer_norm(*epsilon, first, scale, operands.next())
        }
        Op::Expand => expand(first, shape),
        Op::Activation(activation) => {
            Some(each_rank!(first, tensor => elementwise(*activation, tensor)))
        }
        Op::Binary(binary) => {
            operands
                .next()
                .and_then(|second| match (mode.activation, first, second) {
                    (regraft_ops::Activation::None, first, second) => {
                        binary_op(*binary, first, second)
                    }
                    // Only sums of images are joined to an activation.
                    (activation, Activation::R4(a), Activation::R4(b)) => {
                        Some(Activation::R4(add(a, b, activation)))
                    }
                    _ => None,
                })
        }
        Op::MaxPool(pool) => image(first).map(|x| Activation::R4(max_pool(pool, x))),
        Op::AveragePool {
            pool,
            count_include_pad,
        } => image(first).map(|x| Activation::R4(average_pool(pool, *count_include_pad, x))),
        Op::GlobalAveragePool => image(first).map(|x| Activation::R4(x.mean_dim(3).mean_dim(2))),
        Op::GlobalMaxPool => image(first).map(|x| Activation::R4(x.max_dim(3).max_dim(2))),
        Op::ReduceMean { axes, .. } => {
            let reduced = axes.iter().fold(
                first,
                |value, &axis| each_rank!(value, t => t.mean_dim(axis)),
            );
            reduced.reshape(shape)
        }
        Op::Lrn(lrn) => image(first).map(|x| Activation::R4(local_response(lrn, x))),
        Op::Concat { axis } => concat(*axis, first, operands),
        Op::Slice {
            axis,
            start,
            end,
            step,
        } => {
            let slice = Slice::new(*start as isize, Some(*end as isize), *step as isize);
            Some(each_rank!(first, tensor => tensor.slice_dim(*axis, slice)))
        }
        Op::Select { axis, index } => {
            each_rank!(first, tensor => tensor.narrow(*axis, *index, 1)).reshape(shape)
        }
        Op::Pad {
            pads: [top, left, bottom, right],
            value,
        } => image(first).map(|x| {
            Activation::R4(x.pad(
                [(*top, *bottom), (*left, *right)],
                PadMode::Constant(*value),
            ))
        }),
        Op::Transpose { perm } => transpose(perm, first),
        Op::Reshape => first.reshape(shape),
        Op::Softmax { axis } => Some(each_rank!(first, tensor => function::softmax(tensor, *axis))),
        Op::LogSoftmax { axis } => {
            Some(each_rank!(first, tensor => function::log_softmax(tensor, *axis)))
        }
    };
    output
        .map(|output| Outcome {
            output: Output::Value(output),
            statistics: None,
        })
        .ok_or_else(wrong)
}

fn image(activation: Activation) -> Option<Tensor<4>> {
    match activation {
        Activation::R4(tensor) => Some(tensor),
        _ => None,
    }
}

fn convolution(
    conv: &Conv,
    input: Activation,
    weight: Option<Activation>,
    bias: Option<Activation>,
) -> Option<Activation> {
    let (Activation::R4(input), Some(Activation::R4(weight))) = (input, weight) else {
        return None;
    };
    let bias = match bias {
        None => None,
        Some(Activation::R1(bias)) => Some(bias),
        Some(_) => return None,
    };
    let options = convolution_options(conv);
    Some(Activation::R4(conv2d(input, weight, bias, options)))
}

fn convolution_options(conv: &Conv) -> ConvOptions<2> {
    let [top, left, bottom, right] = conv.pads;
    ConvOptions::new_with_padding(
        conv.stride,
        [(top, bottom), (left, right)],
        conv.dilation,
        conv.groups,
    )
}

fn fully_connected(
    transposed: bool,
    input: Activation,
    weight: Option<Activation>,
    bias: Option<Activation>,
    shape: &[usize],
) -> Option<Activation> {
    let Some(Activation::R2(weight)) = weight else {
        return None;
    };
    let weight = if transposed {
        weight.transpose()
    } else {
        weight
    };
    let dims = input.dims();
    let features = *dims.last()?;
    let rows = dims[..dims.len() - 1].iter().product();
    let Activation::R2(input) = input.reshape(&[rows, features])? else {
        return None;
    };
    let product = input.matmul(weight);
    let output = match bias {
        None => product,
        Some(Activation::R1(bias)) => product + bias.unsqueeze(),
        Some(_) => return None,
    };
    if shape.len() == 2 {
        Some(Activation::R2(output))
    } else {
        Activation::R2(output).reshape(shape)
    }
}

fn product(left: Activation, right: Option<Activation>) -> Option<Activation> {
    match (left, right?) {
        (Activation::R2(a), Activation::R2(b)) => Some(Activation::R2(a.matmul(b))),
        (Activation::R3(a), Activation::R3(b)) => Some(Activation::R3(a.matmul(b))),
        (Activation::R4(a), Activation::R4(b)) => Some(Activation::R4(a.matmul(b))),
        (Activation::R5(a), Activation::R5(b)) => Some(Activation::R5(a.matmul(b))),
        (Activation::R6(a), Activation::R6(b)) => Some(Activation::R6(a.matmul(b))),
        _ => None,
    }
}

fn elementwise<const D: usize>(activation: Function, x: Tensor<D>) -> Tensor<D> {
    match activation {
        Function::Relu => function::relu(x),
        Function::Clip { min, max } => match (min.is_finite(), max.is_finite()) {
            (true, true) => x.clamp(min, max),
            (true, false) => x.clamp_min(min),
            (false, true) => x.clamp_max(max),
            (false, false) => x,
        },
        Function::LeakyRelu { alpha } => function::leaky_relu(x, alpha.into()),
        Function::Elu { alpha } => function::elu(x, alpha.into()),
        Function::Sigmoid => function::sigmoid(x),
        Function::HardSigmoid { alpha, beta } => {
            function::hard_sigmoid(x, alpha.into(), beta.into())
        }
        Function::HardSwish => function::hard_swish(x),
        Function::Tanh => function::tanh(x),
        Function::Softplus => function::softplus(x, 1.0),
        Function::Softsign => x.clone() / (x.abs() + 1.0),
        Function::Erf => x.erf(),
        // By its definition: a backend's own derivative may be off by 1e-3.
        Function::Gelu { tanh: false } => {
            let upper = (x.clone() * std::f32::consts::FRAC_1_SQRT_2).erf() + 1.0;
            x * upper * 0.5
        }
        Function::Gelu { tanh: true } => function::gelu_approximate(x),
        Function::Exp => x.exp(),
        Function::Log => x.log(),
        Function::Sqrt => x.sqrt(),
        Function::Reciprocal => x.recip(),
        Function::Neg => x.neg(),
        Function::Abs => x.abs(),
    }
}

/// Both operands at the larger rank, then the operation with broadcasting.
fn binary_op(operator: Binary, left: Activation, right: Activation) -> Option<Activation> {
    let rank = left.dims().len().max(right.dims().len());
    match (with_rank(left, rank)?, with_rank(right, rank)?) {
        (Activation::R1(a), Activation::R1(b)) => Some(Activation::R1(combine(operator, a, b))),
        (Activation::R2(a), Activation::R2(b)) => Some(Activation::R2(combine(operator, a, b))),
        (Activation::R3(a), Activation::R3(b)) => Some(Activation::R3(combine(operator, a, b))),
        (Activation::R4(a), Activation::R4(b)) => Some(Activation::R4(combine(operator, a, b))),
        (Activation::R5(a), Activation::R5(b)) => Some(Activation::R5(combine(operator, a, b))),
        (Activation::R6(a), Activation::R6(b)) => Some(Activation::R6(combine(operator, a, b))),
        _ => None,
    }
}

fn with_rank(activation: Activation, rank: usize) -> Option<Activation> {
    let dims = activation.dims();
    if dims.len() == rank {
        return Some(activation);
    }
    let mut padded = vec![1; rank - dims.len()];
    padded.extend(dims);
    activation.reshape(&padded)
}

fn combine<const D: usize>(operator: Binary, a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    match operator {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Max => a.max_pair(b),
        Binary::Min => a.min_pair(b),
    }
}

fn max_pool(pool: &Pool, x: Tensor<4>) -> Tensor<4> {
    if let Some(shape) = pool_shape(&x, windows(pool)) {
        return pool2d(x, Pooled::Largest, shape);
    }
    let [top, left, bottom, right] = pool.pads;
    let options = MaxPoolOptions::new(pool.kernel)
        .with_stride(pool.stride)
        .with_padding_pairs([(top, bottom), (left, right)])
        .with_dilation(pool.dilation)
        .with_ceil_mode(pool.ceil_mode);
    max_pool2d(x, options)
}

fn average_pool(pool: &Pool, count_include_pad: bool, x: Tensor<4>) -> Tensor<4> {
    if let Some(shape) = pool_shape(&x, windows(pool)) {
        let divisor = if count_include_pad {
            Divisor::PaddedImage
        } else {
            Divisor::Image
        };
        return pool2d(x, Pooled::Average(divisor), shape);
    }
    let [top, left, bottom, right] = pool.pads;
    let options = AvgPoolOptions::new(pool.kernel)
        .with_stride(pool.stride)
        .with_padding_pairs([(top, bottom), (left, right)])
        .with_count_include_pad(count_include_pad)
        .with_ceil_mode(pool.ceil_mode);
    avg_pool2d(x, options)
}

/// The windows of a pooling, for planes of any size.
fn windows(pool: &Pool) -> PoolSpec {
    PoolSpec {
        planes: 0,
        in_height: 0,
        in_width: 0,
        kernel: pool.kernel,
        stride: pool.stride,
        pads: pool.pads,
        dilation: pool.dilation,
        rounding: if pool.ceil_mode {
            Rounding::Up
        } else {
            Rounding::Down
        },
    }
}

/// `x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta` (Krizhevsky 2012, section 3.3).
fn local_response(lrn: &Lrn, x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let (before, after) = ((lrn.size - 1) / 2, lrn.size / 2);
    let squares = (x.clone() * x.clone()).reshape([n, 1, c, h * w]);
    // A mean over `size` channels, padding counted, is the sum divided by `size`: the formula's `1 / size`.
    let options = AvgPoolOptions::new([lrn.size, 1])
        .with_stride([1, 1])
        .with_padding_pairs([(before, after), (0, 0)])
        .with_count_include_pad(true);
    let mean = avg_pool2d(squares, options).reshape([n, c, h, w]);
    x / mean
        .mul_scalar(lrn.alpha)
        .add_scalar(lrn.bias)
        .powf_scalar(lrn.beta)
}

fn concat(
    axis: usize,
    first: Activation,
    rest: impl Iterator<Item = Activation>,
) -> Option<Activation> {
    match first {
        Activation::R4(first) if axis == 1 => {
            let rest = rest.map(image);
            let parts: Option<Vec<_>> = std::iter::once(Some(first)).chain(rest).collect();
            Some(Activation::R4(concatenate(parts?)))
        }
        Activation::R2(first) => join(axis, first, rest, |part| match part {
            Activation::R2(tensor) => Some(tensor),
            _ => None,
        })
        .map(Activation::R2),
        Activation::R3(first) => join(axis, first, rest, |part| match part {
            Activation::R3(tensor) => Some(tensor),
            _ => None,
        })
        .map(Activation::R3),
        Activation::R4(first) => join(axis, first, rest, |part| match part {
            Activation::R4(tensor) => Some(tensor),
            _ => None,
        })
        .map(Activation::R4),
        Activation::R5(first) => join(axis, first, rest, |part| match part {
            Activation::R5(tensor) => Some(tensor),
            _ => None,
        })
        .map(Activation::R5),
        Activation::R6(first) => join(axis, first, rest, |part| match part {
            Activation::R6(tensor) => Some(tensor),
            _ => None,
        })
        .map(Activation::R6),
        Activation::R1(_) => None,
    }
}

/// Joins tensors of one rank; `None` where `of_rank` does not know a part.
fn join<const D: usize>(
    axis: usize,
    first: Tensor<D>,
    rest: impl Iterator<Item = Activation>,
    of_rank: fn(Activation) -> Option<Tensor<D>>,
) -> Option<Tensor<D>> {
    let parts: Vec<Tensor<D>> = std::iter::once(Some(first))
        .chain(rest.map(of_rank))
        .collect::<Option<_>>()?;
    Some(Tensor::cat(parts, axis))
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift` over the last axis.
fn layer_norm(
    epsilon: f64,
    input: Activation,
    scale: Option<Activation>,
    shift: Option<Activation>,
) -> Option<Activation> {
    let rank = input.dims().len();
    let centred = each_rank!(input, x => {
        let mean = x.clone().mean_dim(rank - 1);
        x - mean
    });
    let normalised = each_rank!(centred, x => {
        let variance = (x.clone() * x.clone()).mean_dim(rank - 1);
        x * variance.add_scalar(epsilon).sqrt().recip()
    });
    let scaled = binary_op(Binary::Mul, normalised, scale?)?;
    match shift {
        Some(shift) => binary_op(Binary::Add, scaled, shift),
        None => Some(scaled),
    }
}

fn expand(input: Activation, shape: &[usize]) -> Option<Activation> {
    let input = with_rank(input, shape.len())?;
    Some(match (input, shape) {
        (Activation::R2(t), &[a, b]) => Activation::R2(t.expand([a, b])),
        (Activation::R3(t), &[a, b, c]) => Activation::R3(t.expand([a, b, c])),
        (Activation::R4(t), &[a, b, c, d]) => Activation::R4(t.expand([a, b, c, d])),
        (Activation::R5(t), &[a, b, c, d, e]) => Activation::R5(t.expand([a, b, c, d, e])),
        (Activation::R6(t), &[a, b, c, d, e, f]) => Activation::R6(t.expand([a, b, c, d, e, f])),
        _ => return None,
    })
}

fn transpose(perm: &[usize], value: Activation) -> Option<Activation> {
    let axis = |index: usize| perm[index] as isize;
    match (value, perm.len()) {
        (Activation::R2(tensor), 2) => Some(Activation::R2(tensor.permute([axis(0), axis(1)]))),
        (Activation::R3(tensor), 3) => {
            Some(Activation::R3(tensor.permute([axis(0), axis(1), axis(2)])))
        }
        (Activation::R4(tensor), 4) => Some(Activation::R4(tensor.permute([
            axis(0),
            axis(1),
            axis(2),
            axis(3),
        ]))),
        (Activation::R5(tensor), 5) => Some(Activation::R5(tensor.permute([
            axis(0),
            axis(1),
            axis(2),
            axis(3),
            axis(4),
        ]))),
        (Activation::R6(tensor), 6) => Some(Activation::R6(tensor.permute([
            axis(0),
            axis(1),
            axis(2),
            axis(3),
            axis(4),
            axis(5),
        ]))),
        _ => None,
    }
}
