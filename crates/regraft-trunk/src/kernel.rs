//! A draft made ready to run: weights packed, shapes checked, nothing left to decide but the number of images.

use regraft_kernels::{
    Activation, ChannelsLastConv, ChannelsLastPool, Columns, Conv2d, Conv2dSpec, Divisor, Epilogue,
    Isa, PoolShape, PoolSpec, Precision, Rounding, channels_to_first, channels_to_last,
};
use regraft_onnx::ValueId;
use regraft_onnx::op::{Binary, Lrn, Pool};

use crate::memory::Reads;
use crate::ops::elementwise::{self, Channels, Operand};
use crate::ops::{normalise, product, rearrange};
use regraft_program::Shapes;
use regraft_program::{Combination, Function, Linear, Side, Step, Tensor, Work};
use regraft_program::{Extents, Shape};

/// What a step runs. Operands are its reads, by position.
#[derive(Debug)]
pub(crate) enum Kernel {
    Conv {
        conv: ChannelsLastConv,
        bias: Option<Vec<f32>>,
        residual: bool,
        activation: Activation,
    },
    /// A layer over one row an image.
    Linear {
        layer: Linear,
        weight: Vec<f32>,
    },
    /// A layer over many rows an image, as a convolution of single pixels.
    Rows {
        product: ChannelsLastConv,
        bias: Option<Vec<f32>>,
        residual: bool,
        activation: Activation,
        after: Option<Function>,
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
    MaxPool(ChannelsLastPool),
    AveragePool(ChannelsLastPool),
    Mean {
        first: usize,
        axes: usize,
        input: Shape,
    },
    Reorder {
        to_last: bool,
        channels: usize,
        pixels: usize,
    },
    Lrn {
        lrn: Lrn,
        channels: usize,
        pixels: usize,
    },
    Concat {
        axis: usize,
        /// Where the reads go: those that were written in place are not among them.
        parts: Vec<Part>,
    },
    Slice {
        range: rearrange::Range,
        input: Shape,
    },
    Pad {
        pads: [usize; 4],
        value: f32,
        size: [usize; 2],
        /// Values of a pixel.
        inner: usize,
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
    /// Values of the output's row.
    pub pitch: usize,
}

impl Kernel {
    /// Packs what is packed once. `Err` says why it cannot run.
    pub fn new(draft: &Step, shapes: &Shapes, precision: Precision) -> Result<Self, String> {
        let shape = |value: &ValueId| shapes.get(*value).copied().ok_or("a shape is missing");
        let output = shape(&draft.output)?;
        let input = draft.inputs.first().ok_or("an operand is missing");
        let input = || input.and_then(shape);
        Ok(match &draft.work {
            Work::Conv(conv) => Self::Conv {
                conv: ChannelsLastConv::in_precision(
                    &Conv2d::new(conv.spec.clone()).map_err(|error| error.to_string())?,
                    &conv.weight.to_vec(),
                    precision,
                ),
                bias: conv.bias.clone(),
                residual: conv.residual,
                activation: conv.activation,
            },
            Work::Linear(linear) => match linear.rows(&output) {
                0 | 1 => Self::Linear {
                    weight: linear.weight.to_vec(),
                    layer: (**linear).clone(),
                },
                rows => Self::rows(linear, rows, precision)?,
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
                inner: output.one()[scale.axis + 1..].iter().product(),
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
            Work::MaxPool(pool) => Self::MaxPool(ChannelsLastPool::largest(
                Isa::detect(),
                pooling(pool, &input()?, &output)?,
            )),
            Work::AveragePool {
                pool,
                count_include_pad,
            } => {
                let divisor = if *count_include_pad {
                    Divisor::PaddedImage
                } else {
                    Divisor::Image
                };
                let shape = pooling(pool, &input()?, &output)?;
                Self::AveragePool(ChannelsLastPool::mean(Isa::detect(), shape, divisor))
            }
            Work::Mean { first, axes } => Self::Mean {
                first: *first,
                axes: *axes,
                input: input()?,
            },
            Work::Reorder { to_last } => {
                let first = if *to_last { input()? } else { output };
                let [channels, height, width] = first.image().ok_or("no image")?;
                Self::Reorder {
                    to_last: *to_last,
                    channels,
                    pixels: height * width,
                }
            }
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
            Work::Pad {
                pads,
                value,
                channels_last,
            } => {
                let (from, to) = (*input()?.one(), *output.one());
                let axis = if *channels_last { 1 } else { 2 };
                let mut padded = from.to_vec();
                padded[axis] += pads[0] + pads[2];
                padded[axis + 1] += pads[1] + pads[3];
                if to[..] != padded[..] {
                    return Err(format!("its output is declared as {:?}", &to[..]));
                }
                Self::Pad {
                    pads: *pads,
                    value: *value,
                    size: [from[axis], from[axis + 1]],
                    inner: from[axis + 2..].iter().product(),
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

    /// Whether it can write columns of rows that are longer than its own.
    pub fn writes_columns(&self) -> bool {
        matches!(
            self,
            Self::Conv { .. } | Self::MaxPool(_) | Self::AveragePool(_)
        )
    }

    /// A layer over `rows` rows an image.
    fn rows(layer: &Linear, rows: usize, precision: Precision) -> Result<Self, String> {
        let mut weight = layer.weight.to_vec();
        if !layer.transposed {
            let at = |i: usize| weight[i % layer.inputs * layer.outputs + i / layer.inputs];
            weight = (0..weight.len()).map(at).collect();
        }
        let conv = Conv2d::new(Conv2dSpec {
            batch: 1,
            in_channels: layer.inputs,
            in_height: rows,
            in_width: 1,
            out_channels: layer.outputs,
            kernel: [1; 2],
            stride: [1; 2],
            pads: [0; 4],
            dilation: [1; 2],
            groups: 1,
        })
        .map_err(|error| error.to_string())?;
        let activation = layer.after.and_then(Function::of_convolution);
        Ok(Self::Rows {
            product: ChannelsLastConv::in_precision(&conv, &weight, precision),
            bias: layer.bias.clone(),
            residual: layer.residual,
            activation: activation.unwrap_or_default(),
            after: layer.after.filter(|_| activation.is_none()),
        })
    }

    /// Multiplications and additions for one image with `len` values of output, each counted as one.
    pub fn flops(&self, len: usize) -> f64 {
        match self {
            Self::Conv { conv, .. } => conv.shape().flops(),
            Self::Linear { layer, .. } => 2.0 * len as f64 * layer.inputs as f64,
            Self::Rows { product, .. } => product.shape().flops(),
            Self::MatMul { sizes } => 2.0 * len as f64 * sizes[1] as f64,
            _ => 0.0,
        }
    }

    /// What it computes, for listings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "convolution",
            Self::Linear { .. } | Self::Rows { .. } => "linear",
            Self::MatMul { .. } => "product",
            Self::Scale { .. } => "scale",
            Self::Function(_) => "function",
            Self::Binary { .. } => "binary",
            Self::LayerNorm { .. } => "layer norm",
            Self::MaxPool(_) => "max pool",
            Self::AveragePool(_) => "average pool",
            Self::Mean { .. } => "mean",
            Self::Reorder { .. } => "reorder",
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
            Self::Conv { conv, .. } | Self::Rows { product: conv, .. } => conv.bytes(),
            Self::Linear { weight, .. } => 4 * weight.len(),
            _ => 0,
        }
    }

    /// Computes `output` for `images`. In place, the output holds the first operand, which is then not
    /// to be read. `columns` are those of the output's rows that are written, where these are longer than its own.
    pub fn run(
        &self,
        images: usize,
        reads: &Reads<'_>,
        in_place: bool,
        columns: Option<Part>,
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
                let output = columns_of(output, columns, conv.shape().out_channels);
                conv.forward(images, reads.get(0), &epilogue, output)?;
            }
            Self::Linear { layer, weight } => product::linear(layer, weight, reads.get(0), output),
            Self::Rows {
                product,
                bias,
                residual,
                activation,
                after,
            } => {
                let epilogue = Epilogue {
                    bias: bias.as_deref(),
                    residual: residual.then(|| reads.get(1)),
                    activation: *activation,
                };
                let all = Columns::all(output, product.shape().out_channels);
                product.forward(images, reads.get(0), &epilogue, all)?;
                product::finish(*after, output);
            }
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
            Self::MaxPool(pool) | Self::AveragePool(pool) => {
                let output = columns_of(output, columns, pool.shape().planes);
                pool.run(reads.get(0), output);
            }
            Self::Mean { first, axes, input } => {
                normalise::mean(*first, *axes, reads.get(0), input.times(images), output);
            }
            Self::Reorder {
                to_last,
                channels,
                pixels,
            } => {
                let reorder = if *to_last {
                    channels_to_last
                } else {
                    channels_to_first
                };
                reorder(*channels, *pixels, reads.get(0), output);
            }
            Self::Lrn {
                lrn,
                channels,
                pixels,
            } => normalise::local_response(lrn, *channels, *pixels, reads.get(0), output),
            Self::Concat { parts, .. } => {
                for (index, part) in parts.iter().enumerate() {
                    rearrange::place(reads.get(index), part.row, part.at, part.pitch, output);
                }
            }
            Self::Slice { range, input } => {
                rearrange::slice(range, reads.get(0), input.times(images), output);
            }
            Self::Pad {
                pads,
                value,
                size,
                inner,
            } => {
                rearrange::pad(*pads, *value, *size, *inner, reads.get(0), output);
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

/// The columns of an output that a kernel of so many channels writes.
fn columns_of(output: &mut [f32], columns: Option<Part>, channels: usize) -> Columns<'_> {
    match columns {
        None => Columns::all(output, channels),
        Some(part) => Columns {
            values: output,
            pitch: part.pitch,
            first: part.at,
        },
    }
}

/// Where each operand of a concatenation goes.
fn parts(draft: &Step, shapes: &Shapes, axis: usize) -> Result<Vec<Part>, String> {
    let output = shapes.get(draft.output).ok_or("a shape is missing")?.one();
    let pitch = output[axis..].iter().product();
    let mut at = 0;
    let mut parts = Vec::with_capacity(draft.inputs.len());
    for input in &draft.inputs {
        let one = shapes.get(*input).ok_or("a shape is missing")?.one();
        let row = one[axis..].iter().product();
        parts.push(Part { row, at, pitch });
        at += row;
    }
    let rows = |extents: &Extents| extents.count() / extents[axis..].iter().product::<usize>();
    let fits = at == pitch
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

/// The windows of one image, of channels that lie last.
fn pooling(pool: &Pool, input: &Shape, output: &Shape) -> Result<PoolShape, String> {
    let (&[_, height, width, channels], &[_, rows, columns, outputs]) =
        (&input.one()[..], &output.one()[..])
    else {
        return Err("no image".to_owned());
    };
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
    let shape = PoolShape::new(spec).map_err(|error| error.to_string())?;
    if [channels, shape.out_height(), shape.out_width()] != [outputs, rows, columns] {
        let out = [outputs, rows, columns];
        return Err(format!("its output is declared as {out:?}"));
    }
    Ok(shape)
}

/// Whether two operands of an operator may change places.
pub(crate) fn commutes(operator: Binary) -> bool {
    matches!(
        operator,
        Binary::Add | Binary::Mul | Binary::Max | Binary::Min
    )
}
