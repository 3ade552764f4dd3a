//! A draft made ready to run: weights packed, shapes checked, nothing left to decide but the number of images.

use regraft_kernels::{
    Activation, Conv2d, Divisor, Epilogue, Isa, PoolShape, PoolSpec, PreparedConv, Rounding,
};
use regraft_onnx::ValueId;
use regraft_onnx::op::{Binary, Lrn, Pool};

use crate::draft::{Combination, Draft, Function, Linear, Side, Tensor, Work};
use crate::extents::{Extents, Shape};
use crate::memory::Reads;
use crate::ops::elementwise::{self, Channels, Operand};
use crate::ops::{normalise, pool, product, rearrange};
use crate::read::Shapes;

/// What a step runs. Operands are its reads, by position.
#[derive(Debug)]
pub(crate) enum Kernel {
    Conv {
        conv: PreparedConv,
        bias: Option<Vec<f32>>,
        residual: bool,
        activation: Activation,
    },
    Linear {
        layer: Linear,
        weight: Vec<f32>,
    },
    MatMul {
        /// Rows, depth, columns.
        sizes: [usize; 3],
    },
    Scale {
        factor: Vec<f32>,
        offset: Vec<f32>,
        inner: usize,
        after: Option<Function>,
    },
    Function(Function),
    Binary {
        pair: Combination,
        /// Of the reads, in their order.
        inputs: Vec<Shape>,
        output: Shape,
    },
    LayerNorm {
        epsilon: f64,
        scale: Vec<f32>,
        shift: Option<Vec<f32>>,
    },
    MaxPool(PoolSpec),
    AveragePool(pool::Means),
    /// The same for planes too large for that.
    AverageLarge(PoolSpec, Divisor),
    Mean {
        first: usize,
        axes: usize,
        input: Shape,
    },
    GlobalMax,
    Lrn {
        lrn: Lrn,
        channels: usize,
        pixels: usize,
    },
    Concat {
        axis: usize,
        /// Where the reads go: those that were written in place are not among them.
        parts: Vec<Part>,
        /// Values of a row of the output.
        pitch: usize,
    },
    Slice {
        range: rearrange::Range,
        input: Shape,
    },
    Pad {
        pads: [usize; 4],
        value: f32,
        size: [usize; 2],
    },
    Transpose {
        perm: Vec<usize>,
        input: Shape,
    },
    Expand {
        constant: Option<Tensor>,
        input: Option<Shape>,
        output: Shape,
    },
    Softmax {
        axis: usize,
        log: bool,
        input: Shape,
    },
    Copy,
}

/// A part of a concatenation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Values of a row.
    pub row: usize,
    /// Where in the output's row.
    pub at: usize,
}

impl Kernel {
    /// Packs what is packed once. `Err` says why it cannot run.
    pub fn new(draft: &Draft, shapes: &Shapes) -> Result<Self, String> {
        let shape = |value: &ValueId| shapes.get(*value).copied().ok_or("a shape is missing");
        let output = shape(&draft.output)?;
        let input = draft.inputs.first().ok_or("an operand is missing");
        let input = || input.and_then(shape);
        Ok(match &draft.work {
            Work::Conv(conv) => Self::Conv {
                conv: PreparedConv::new(
                    &Conv2d::new(conv.spec.clone()).map_err(|error| error.to_string())?,
                    &conv.weight.to_vec(),
                ),
                bias: conv.bias.clone(),
                residual: conv.residual,
                activation: conv.activation,
            },
            Work::Linear(linear) => Self::Linear {
                weight: linear.weight.to_vec(),
                layer: (**linear).clone(),
            },
            Work::MatMul => {
                let one = *input()?.one();
                let columns = output.one().last().copied().unwrap_or(1);
                let rank = one.len();
                Self::MatMul {
                    sizes: [one[rank - 2], one[rank - 1], columns],
                }
            }
            Work::Scale(scale) => Self::Scale {
                factor: scale.factor.iter().map(|&v| v as f32).collect(),
                offset: scale.offset.iter().map(|&v| v as f32).collect(),
                inner: output.one()[2..].iter().product(),
                after: scale.after,
            },
            Work::Function(function) => Self::Function(*function),
            Work::Binary(pair) => Self::Binary {
                pair: (**pair).clone(),
                inputs: draft.inputs.iter().map(shape).collect::<Result<_, _>>()?,
                output,
            },
            Work::LayerNorm {
                epsilon,
                scale,
                shift,
            } => Self::LayerNorm {
                epsilon: *epsilon,
                scale: scale.clone(),
                shift: shift.clone(),
            },
            Work::MaxPool(pool) => Self::MaxPool(pooling(pool, &input()?, &output)?),
            Work::AveragePool {
                pool,
                count_include_pad,
            } => {
                let divisor = if *count_include_pad {
                    Divisor::PaddedImage
                } else {
                    Divisor::Image
                };
                let spec = pooling(pool, &input()?, &output)?;
                let shape = PoolShape::new(spec.clone()).map_err(|error| error.to_string())?;
                match pool::Means::new(&shape, divisor) {
                    Some(means) => Self::AveragePool(means),
                    None => Self::AverageLarge(spec, divisor),
                }
            }
            Work::Mean { first, axes } => Self::Mean {
                first: *first,
                axes: *axes,
                input: input()?,
            },
            Work::GlobalMax => Self::GlobalMax,
            Work::Lrn(lrn) => {
                let [channels, height, width] = output.image().ok_or("no image")?;
                Self::Lrn {
                    lrn: lrn.clone(),
                    channels,
                    pixels: height * width,
                }
            }
            Work::Concat { axis } => Self::Concat {
                axis: *axis,
                parts: parts(draft, shapes, *axis)?,
                pitch: output.one()[*axis..].iter().product(),
            },
            Work::Slice { axis, start, step } => {
                let input = input()?;
                let extents = input.one();
                let kept = output.one().count() * extents[*axis] / extents.count();
                if kept == 0 || start + (kept - 1) * step >= extents[*axis] {
                    return Err(format!(
                        "{kept} indices from {start} by {step} leave axis {axis}"
                    ));
                }
                Self::Slice {
                    range: rearrange::Range {
                        axis: *axis,
                        start: *start,
                        step: *step,
                    },
                    input,
                }
            }
            Work::Pad { pads, value } => {
                let ([c, h, w], [oc, oh, ow]) = (
                    input()?.image().ok_or("no image")?,
                    output.image().ok_or("no image")?,
                );
                if [oc, oh, ow] != [c, h + pads[0] + pads[2], w + pads[1] + pads[3]] {
                    return Err(format!("its output is declared as {:?}", [oc, oh, ow]));
                }
                Self::Pad {
                    pads: *pads,
                    value: *value,
                    size: [h, w],
                }
            }
            Work::Transpose { perm } => Self::Transpose {
                perm: perm.clone(),
                input: input()?,
            },
            Work::Expand(constant) => Self::Expand {
                constant: constant.clone(),
                input: draft.inputs.first().map(shape).transpose()?,
                output,
            },
            Work::Softmax { axis, log } => Self::Softmax {
                axis: *axis,
                log: *log,
                input: input()?,
            },
            Work::View => Self::Copy,
        })
    }

    /// Whether it can write over its first operand, value by value.
    pub fn works_in_place(&self) -> bool {
        match self {
            Self::Function(_)
            | Self::Scale { .. }
            | Self::LayerNorm { .. }
            | Self::Softmax { .. } => true,
            Self::Binary {
                pair,
                inputs,
                output,
            } => {
                !matches!(pair.constant, Some((Side::Left, _)))
                    && inputs
                        .first()
                        .is_some_and(|first| first.one().count() == output.one().count())
            }
            _ => false,
        }
    }

    /// Whether an image can be run alone into a place of its own.
    pub fn writes_image_by_image(&self) -> bool {
        matches!(
            self,
            Self::Conv { .. } | Self::MaxPool(_) | Self::AveragePool(_)
        )
    }

    /// Multiplications and additions for one image with `len` values of output, each counted as one.
    pub fn flops(&self, len: usize) -> f64 {
        match self {
            Self::Conv { conv, .. } => conv.shape().flops(),
            Self::Linear { layer, .. } => 2.0 * len as f64 * layer.inputs as f64,
            Self::MatMul { sizes } => 2.0 * len as f64 * sizes[1] as f64,
            _ => 0.0,
        }
    }

    /// What it computes, for listings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "convolution",
            Self::Linear { .. } => "linear",
            Self::MatMul { .. } => "product",
            Self::Scale { .. } => "scale",
            Self::Function(_) => "function",
            Self::Binary { .. } => "binary",
            Self::LayerNorm { .. } => "layer norm",
            Self::MaxPool(_) => "max pool",
            Self::AveragePool(_) | Self::AverageLarge(..) => "average pool",
            Self::Mean { .. } => "mean",
            Self::GlobalMax => "global max",
            Self::Lrn { .. } => "lrn",
            Self::Concat { .. } => "concat",
            Self::Slice { .. } => "slice",
            Self::Pad { .. } => "pad",
            Self::Transpose { .. } => "transpose",
            Self::Expand { .. } => "expand",
            Self::Softmax { .. } => "softmax",
            Self::Copy => "copy",
        }
    }

    /// Memory of its weights.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Conv { conv, .. } => conv.bytes(),
            Self::Linear { weight, .. } => 4 * weight.len(),
            _ => 0,
        }
    }

    /// Computes `output` for `images`. In place, the output holds the first operand, which is then not
    /// to be read.
    pub fn run(
        &self,
        images: usize,
        reads: &Reads<'_>,
        in_place: bool,
        output: &mut [f32],
    ) -> Result<(), regraft_kernels::Error> {
        let first = || (!in_place).then(|| reads.get(0));
        match self {
            Self::Conv {
                conv,
                bias,
                residual,
                activation,
            } => {
                let epilogue = Epilogue {
                    bias: bias.as_deref(),
                    residual: residual.then(|| reads.get(1)),
                    activation: *activation,
                };
                conv.forward(images, reads.get(0), &epilogue, output)?;
            }
            Self::Linear { layer, weight } => product::linear(layer, weight, reads.get(0), output),
            Self::MatMul { sizes } => {
                product::matrices(*sizes, reads.get(0), reads.get(1), output);
            }
            Self::Scale {
                factor,
                offset,
                inner,
                after,
            } => {
                let channels = Channels {
                    factor,
                    offset,
                    inner: *inner,
                };
                elementwise::scale(&channels, *after, first(), output);
            }
            Self::Function(function) => elementwise::function(*function, first(), output),
            Self::Binary {
                pair,
                inputs,
                output: shape,
            } => {
                let read = |index: usize| Operand {
                    values: reads.get(index),
                    extents: inputs[index].times(images),
                };
                let (left, right) = match &pair.constant {
                    Some((Side::Left, left)) => (Some(constant(left)), read(0)),
                    Some((Side::Right, right)) => ((!in_place).then(|| read(0)), constant(right)),
                    None => ((!in_place).then(|| read(0)), read(1)),
                };
                let extents = shape.times(images);
                elementwise::binary(pair.operator, left, right, pair.after, extents, output);
            }
            Self::LayerNorm {
                epsilon,
                scale,
                shift,
            } => normalise::layer_norm(*epsilon, scale, shift.as_deref(), first(), output),
            Self::MaxPool(spec) => pool::max_pool(&over(spec, images)?, reads.get(0), output),
            Self::AveragePool(means) => means.run(reads.get(0), output),
            Self::AverageLarge(spec, divisor) => {
                let shape = over(spec, images)?;
                let isa = Isa::detect();
                regraft_kernels::average_pool(isa, &shape, *divisor, reads.get(0), output);
            }
            Self::Mean { first, axes, input } => {
                normalise::mean(*first, *axes, reads.get(0), input.times(images), output);
            }
            Self::GlobalMax => pool::global_max(reads.get(0), output),
            Self::Lrn {
                lrn,
                channels,
                pixels,
            } => normalise::local_response(lrn, *channels, *pixels, reads.get(0), output),
            Self::Concat { parts, pitch, .. } => {
                for (index, part) in parts.iter().enumerate() {
                    rearrange::place(reads.get(index), part.row, part.at, *pitch, output);
                }
            }
            Self::Slice { range, input } => {
                rearrange::slice(range, reads.get(0), input.times(images), output);
            }
            Self::Pad { pads, value, size } => {
                rearrange::pad(*pads, *value, *size, reads.get(0), output);
            }
            Self::Transpose { perm, input } => {
                rearrange::transpose(perm, reads.get(0), input.times(images), output);
            }
            Self::Expand {
                constant: tensor,
                input,
                output: shape,
            } => {
                let from = match (tensor, input) {
                    (Some(tensor), _) => Some(constant(tensor)),
                    (None, input) => input.map(|input| Operand {
                        values: reads.get(0),
                        extents: input.times(images),
                    }),
                };
                if let Some(from) = from {
                    elementwise::spread(from, shape.times(images), output);
                }
            }
            Self::Softmax { axis, log, input } => {
                normalise::softmax(*axis, *log, first(), input.times(images), output);
            }
            Self::Copy => output.copy_from_slice(reads.get(0)),
        }
        Ok(())
    }
}

fn constant(tensor: &Tensor) -> Operand<'_> {
    Operand {
        values: &tensor.values,
        extents: tensor.extents,
    }
}

/// Where each operand of a concatenation goes.
fn parts(draft: &Draft, shapes: &Shapes, axis: usize) -> Result<Vec<Part>, String> {
    let mut at = 0;
    let mut parts = Vec::with_capacity(draft.inputs.len());
    for input in &draft.inputs {
        let one = shapes.get(*input).ok_or("a shape is missing")?.one();
        let row = one[axis..].iter().product();
        parts.push(Part { row, at });
        at += row;
    }
    let output = shapes.get(draft.output).ok_or("a shape is missing")?.one();
    let rows = |extents: &Extents| extents.count() / extents[axis..].iter().product::<usize>();
    let fits = at == output[axis..].iter().product::<usize>()
        && draft.inputs.iter().all(|input| {
            shapes
                .get(*input)
                .is_some_and(|shape| rows(shape.one()) == rows(output))
        });
    if fits {
        Ok(parts)
    } else {
        Err("its parts do not make up its output".to_owned())
    }
}

/// The windows of one image.
fn pooling(pool: &Pool, input: &Shape, output: &Shape) -> Result<PoolSpec, String> {
    let ([channels, height, width], out) = (
        input.image().ok_or("no image")?,
        output.image().ok_or("no image")?,
    );
    let spec = PoolSpec {
        planes: channels,
        in_height: height,
        in_width: width,
        kernel: pool.kernel,
        stride: pool.stride,
        pads: pool.pads,
        dilation: pool.dilation,
        rounding: if pool.ceil_mode {
            Rounding::Up
        } else {
            Rounding::Down
        },
    };
    let shape = PoolShape::new(spec.clone()).map_err(|error| error.to_string())?;
    if [channels, shape.out_height(), shape.out_width()] != out {
        return Err(format!("its output is declared as {out:?}"));
    }
    Ok(spec)
}

/// The same windows over several images.
fn over(spec: &PoolSpec, images: usize) -> Result<PoolShape, regraft_kernels::Error> {
    PoolShape::new(PoolSpec {
        planes: spec.planes * images,
        ..spec.clone()
    })
}

/// Whether two operands of an operator may change places.
pub(crate) fn commutes(operator: Binary) -> bool {
    matches!(
        operator,
        Binary::Add | Binary::Mul | Binary::Max | Binary::Min
    )
}
