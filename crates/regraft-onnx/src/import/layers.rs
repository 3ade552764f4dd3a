//! Layers with weights: convolution, linear, batch normalisation; and local response normalisation.

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use super::known::Known;
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::{ParameterId, ValueId};
use crate::ir::op::{BatchNorm, Binary, Conv, Linear, Lrn, Op};
use crate::ir::parameter::Role;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::Constant;

/// Conv over images and lines, opsets 1 to 22.
pub(super) fn conv(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    Windowed::new(importer, node)?.emit(importer, node, conv_of_images)
}

fn conv_of_images(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
) -> Result<Part, Error> {
    let attributes = Attributes(node);
    let [channels, height, width] = importer.image(node, input)?;
    let weight = match importer.constant(node, 1)?.as_deref() {
        // That of a convolution over lines, which has one row, or over the slices of a volume.
        Some(Constant { shape, .. }) if shape.len() == 3 => {
            let shape = [shape[0], shape[1], 1, shape[2]];
            importer.parameter_as(node, 1, Role::Weight, &shape)?
        }
        Some(Constant { shape, .. }) if shape.len() == 5 && shape[4] == 1 => {
            let shape = [shape[0], shape[1], shape[2], shape[3]];
            importer.parameter_as(node, 1, Role::Weight, &shape)?
        }
        _ => required_parameter(importer, node, 1, Role::Weight)?,
    };
    let bias = importer.parameter(node, 2, Role::Bias)?;
    let weight_shape = importer.parameter_shape(weight).to_vec();
    let [outputs, per_group, kernel_height, kernel_width] = weight_shape[..] else {
        return Err(unsupported(
            node,
            format!("its weight has shape {weight_shape:?}; only 2-D convolutions are supported"),
        ));
    };
    let kernel = [kernel_height, kernel_width];
    if attributes.pair("kernel_shape", kernel)? != kernel || kernel.contains(&0) {
        return Err(attributes.fault(format!(
            "`kernel_shape` disagrees with its weight's shape {weight_shape:?}"
        )));
    }
    let groups = usize::try_from(attributes.int("group").unwrap_or(1)).unwrap_or(0);
    if groups == 0
        || outputs == 0
        || per_group.checked_mul(groups) != Some(channels)
        || outputs % groups != 0
    {
        return Err(attributes.fault(format!(
            "weight {weight_shape:?} in {groups} groups does not fit an input of {channels} channels"
        )));
    }
    if let Some(bias) = bias {
        expect_vector(importer, node, bias, outputs, "bias")?;
    }
    let stride = attributes.pair("strides", [1, 1])?;
    let dilation = attributes.pair("dilations", [1, 1])?;
    let pads = pads(&attributes, [height, width], kernel, stride, dilation)?;
    let conv = Conv {
        kernel,
        stride,
        pads,
        dilation,
        groups,
    };
    let (Some(out_height), Some(out_width)) = (conv.output(0, height), conv.output(1, width))
    else {
        return Err(attributes.fault(format!(
            "a kernel of {kernel_height} x {kernel_width} does not fit an input of {height} x {width}; the image is too small for this network"
        )));
    };
    let macs = [outputs, out_height, out_width]
        .into_iter()
        .chain([per_group, kernel_height, kernel_width])
        .fold(1u64, |macs, n| macs.saturating_mul(n as u64));
    let shape = vec![
        importer.shape(input)[0],
        Dim::Fixed(outputs),
        Dim::Fixed(out_height),
        Dim::Fixed(out_width),
    ];
    Ok(Part {
        op: Op::Conv(conv),
        inputs: operands(input, [Some(weight), bias]),
        shape,
        macs,
    })
}

/// An operator that slides a window over images, or over what can be seen as images.
pub(super) struct Windowed {
    input: ValueId,
    seen: Seen,
}

enum Seen {
    /// `[N, C, H, W]`.
    Images,
    /// `[N, C, L]`: images of one row.
    Lines,
    /// `[N, C, D, H, W]`, of which a window has one pixel of the last two axes: images of D rows.
    Rows,
    /// `[N, C, D, H, W]`, of which a window has one pixel of the last axis: W images each.
    Slices,
}

impl Windowed {
    pub(super) fn new(importer: &mut Importer<'_>, node: &NodeProto) -> Result<Self, Error> {
        let input = importer.activation(node, 0)?;
        let seen = match importer.shape(input).len() {
            3 => Seen::Lines,
            5 => match Attributes(node).ints("kernel_shape") {
                Some([_, 1, 1]) => Seen::Rows,
                Some([_, _, 1]) => Seen::Slices,
                _ => Seen::Images,
            },
            _ => Seen::Images,
        };
        Ok(Self { input, seen })
    }

    /// Adds what `part` makes of the images, with reshapes around it where they are none.
    pub(super) fn emit(
        self,
        importer: &mut Importer<'_>,
        node: &NodeProto,
        part: impl Fn(&mut Importer<'_>, &NodeProto, ValueId) -> Result<Part, Error>,
    ) -> Result<(), Error> {
        let shape = importer.shape(self.input).to_vec();
        if matches!(self.seen, Seen::Images) {
            let part = part(importer, node, self.input)?;
            return importer.emit(node, 0, part.op, part.inputs, part.shape, part.macs);
        }
        let extent = |axis: usize| shape[axis].per_image();
        let images = match self.seen {
            Seen::Lines => vec![shape[0], shape[1], Dim::Fixed(1), shape[2]],
            Seen::Rows => {
                let places = Dim::Fixed(extent(3) * extent(4));
                vec![shape[0], shape[1], shape[2], places]
            }
            _ => vec![
                Dim::Batch(extent(0) * extent(4)),
                shape[1],
                shape[2],
                shape[3],
            ],
        };
        let on_images = self.seen.on_images(node);
        let mut steps = Steps::new(importer, node);
        let value = match self.seen {
            Seen::Slices => steps.transpose(self.input, &[0, 4, 1, 2, 3])?,
            _ => self.input,
        };
        let value = steps.reshape(value, images)?;
        let part = part(steps.importer, &on_images, value)?;
        let made = part.shape.clone();
        let value = steps.layer(part)?;
        let value = match self.seen {
            Seen::Lines => steps.reshape(value, vec![made[0], made[1], made[3]])?,
            Seen::Rows => {
                let target = vec![made[0], made[1], made[2], shape[3], shape[4]];
                steps.reshape(value, target)?
            }
            _ => {
                let target = vec![shape[0], shape[4], made[1], made[2], made[3]];
                let value = steps.reshape(value, target)?;
                steps.transpose(value, &[0, 2, 3, 4, 1])?
            }
        };
        steps.end(value)
    }
}

impl Seen {
    /// The node's windows as windows over images.
    fn on_images(&self, node: &NodeProto) -> NodeProto {
        let mut node = node.clone();
        for attribute in &mut node.attribute {
            let is_pads = attribute.name == "pads";
            let plane = match (self, is_pads, &attribute.ints[..]) {
                (Seen::Lines, true, &[before, after]) => vec![0, before, 0, after],
                (Seen::Lines, false, &[along]) => vec![1, along],
                (Seen::Rows, true, &[before, 0, 0, after, 0, 0]) => vec![before, 0, after, 0],
                (Seen::Rows, false, &[along, 1, 1]) => vec![along, 1],
                (Seen::Slices, true, &[top, left, 0, bottom, right, 0]) => {
                    vec![top, left, bottom, right]
                }
                (Seen::Slices, false, &[down, across, 1]) => vec![down, across],
                // Anything else does not fit, and is refused with what it says.
                _ => continue,
            };
            let windows = ["kernel_shape", "strides", "dilations", "pads"];
            if windows.contains(&attribute.name.as_str()) {
                attribute.ints = plane;
            }
        }
        node
    }
}

/// Padding from `pads` or `auto_pad`: top, left, bottom, right.
pub(super) fn pads(
    attributes: &Attributes<'_>,
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<[usize; 4], Error> {
    let auto_pad = attributes
        .string("auto_pad")
        .unwrap_or_else(|| "NOTSET".to_owned());
    let upper = match auto_pad.as_str() {
        "NOTSET" | "" => {
            let explicit = attributes.ints("pads").unwrap_or(&[]);
            let small = |&pad: &i64| usize::try_from(pad).ok().filter(|&pad| pad <= 1 << 16);
            return match explicit {
                [] => Ok([0; 4]),
                pads => pads
                    .iter()
                    .map(small)
                    .collect::<Option<Vec<usize>>>()
                    .and_then(|pads| <[usize; 4]>::try_from(pads).ok())
                    .ok_or_else(|| {
                        attributes.fault(format!(
                            "attribute `pads` is {pads:?}, expected four numbers from 0"
                        ))
                    }),
            };
        }
        "VALID" => return Ok([0; 4]),
        "SAME_UPPER" => true,
        "SAME_LOWER" => false,
        other => return Err(attributes.fault(format!("unknown `auto_pad` `{other}`"))),
    };
    let mut pads = [0; 4];
    for axis in 0..2 {
        let window = dilation[axis] * (kernel[axis] - 1) + 1;
        let total = ((input[axis].div_ceil(stride[axis]) - 1) * stride[axis] + window)
            .saturating_sub(input[axis]);
        let (small, large) = (total / 2, total - total / 2);
        (pads[axis], pads[axis + 2]) = if upper {
            (small, large)
        } else {
            (large, small)
        };
    }
    Ok(pads)
}

/// Gemm with `beta` 1 or 0, opsets 1 to 13. Its bias may be a vector, a row, or one number for all.
pub(super) fn gemm(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let alpha = attributes.float("alpha").unwrap_or(1.0);
    let beta = attributes.float("beta").unwrap_or(1.0);
    if !(beta == 0.0 || beta == 1.0) {
        return Err(unsupported(node, "a `beta` other than 1 and 0"));
    }
    if attributes.int("transA").unwrap_or(0) != 0 {
        return Err(unsupported(node, "`transA` is not supported"));
    }
    let input = importer.activation(node, 0)?;
    let (weight, turned) = importer.matrix(node, 1)?;
    let weight_transposed = (attributes.int("transB").unwrap_or(0) != 0) != turned;
    let outputs = match (importer.parameter_shape(weight), weight_transposed) {
        (&[outputs, _], true) | (&[_, outputs], false) => outputs,
        _ => 0,
    };
    let bias = importer.constant(node, 2)?.filter(|_| beta != 0.0);
    let bias = bias.map(|bias| (bias.len(), bias.shape.clone()));
    match bias {
        Some((length, shape))
            if length == outputs && shape.last() == Some(&outputs) && alpha == 1.0 =>
        {
            let bias = importer.parameter_as(node, 2, Role::Bias, &[outputs])?;
            linear(importer, node, input, weight, Some(bias), weight_transposed)
        }
        None if alpha == 1.0 => linear(importer, node, input, weight, None, weight_transposed),
        bias => {
            let part = linear_part(importer, node, input, weight, None, weight_transposed)?;
            let mut steps = Steps::new(importer, node);
            let mut value = steps.layer(part)?;
            if alpha != 1.0 {
                value = steps.with_number(Binary::Mul, value, alpha)?;
            }
            if bias.is_some() {
                let bias = steps.importer.parameter(node, 2, Role::Bias)?;
                let bias = bias.ok_or_else(|| fault(node, "its bias is missing"))?;
                value = steps.combine(Binary::Add, Input::Value(value), Input::Parameter(bias))?;
            }
            steps.end(value)
        }
    }
}

/// MatMul with a constant matrix is a linear layer; with another activation it is a product.
pub(super) fn matmul(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    if !matches!(importer.required(node, 0)?, Known::Activation(_)) {
        return matmul_from_left(importer, node);
    }
    let left = importer.activation(node, 0)?;
    match importer.required(node, 1)? {
        Known::Constant { constant, .. } if constant.shape.len() > 2 => {
            let mut steps = Steps::new(importer, node);
            let right = steps.for_every_image(1, Role::Weight)?;
            let value = steps.product(left, right)?;
            steps.end(value)
        }
        Known::Activation(right) => {
            let mut steps = Steps::new(importer, node);
            let value = steps.product(left, right)?;
            steps.end(value)
        }
        _ => {
            let (weight, turned) = importer.matrix(node, 1)?;
            linear(importer, node, left, weight, None, turned)
        }
    }
}

/// A matrix of weights times an activation: a linear layer over the last axis but one.
fn matmul_from_left(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let right = importer.activation(node, 1)?;
    let rank = importer.shape(right).len();
    if matches!(importer.required(node, 0)?, Known::Constant { constant, .. } if constant.shape.len() > 2)
    {
        let mut steps = Steps::new(importer, node);
        let left = steps.for_every_image(0, Role::Weight)?;
        let value = steps.product(left, right)?;
        return steps.end(value);
    }
    if rank < 3 {
        return Err(unsupported(node, "a product over the batch"));
    }
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(rank - 2, rank - 1);
    let (weight, turned) = importer.matrix(node, 0)?;
    let mut steps = Steps::new(importer, node);
    let value = steps.transpose(right, &perm)?;
    let part = linear_part(steps.importer, node, value, weight, None, !turned)?;
    let value = steps.layer(part)?;
    let value = steps.transpose(value, &perm)?;
    steps.end(value)
}

/// A layer before it is a node: operator, operands, shape of the output, multiply-accumulates.
pub(super) struct Part {
    pub(super) op: Op,
    pub(super) inputs: Vec<Input>,
    pub(super) shape: Vec<Dim>,
    pub(super) macs: u64,
}

fn linear(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
    weight: ParameterId,
    bias: Option<ParameterId>,
    weight_transposed: bool,
) -> Result<(), Error> {
    let part = linear_part(importer, node, input, weight, bias, weight_transposed)?;
    importer.emit(node, 0, part.op, part.inputs, part.shape, part.macs)
}

pub(super) fn linear_part(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
    weight: ParameterId,
    bias: Option<ParameterId>,
    weight_transposed: bool,
) -> Result<Part, Error> {
    let weight_shape = importer.parameter_shape(weight).to_vec();
    let [rows, columns] = weight_shape[..] else {
        return Err(unsupported(
            node,
            format!("its weight has shape {weight_shape:?}; a matrix is expected"),
        ));
    };
    let (inputs, outputs) = if weight_transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    let mut shape = importer.shape(input).to_vec();
    if shape.len() < 2 || shape.last() != Some(&Dim::Fixed(inputs)) {
        return Err(fault(
            node,
            format!(
                "its weight takes {inputs} features, its input is {}",
                show(&shape)
            ),
        ));
    }
    if let Some(bias) = bias {
        expect_vector(importer, node, bias, outputs, "bias")?;
    }
    shape.pop();
    let rows: u64 = shape.iter().map(|dim| dim.per_image() as u64).product();
    shape.push(Dim::Fixed(outputs));
    Ok(Part {
        op: Op::Linear(Linear { weight_transposed }),
        inputs: operands(input, [Some(weight), bias]),
        shape,
        macs: rows.saturating_mul((inputs * outputs) as u64),
    })
}

/// BatchNormalization, opsets 1 to 15. `epsilon` and `momentum` are read from the file's own node, with the
/// specification's defaults.
pub(super) fn batch_norm(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    if attributes.int("spatial").unwrap_or(1) != 1 {
        return Err(unsupported(node, "`spatial = 0` is not supported"));
    }
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let Some(&Dim::Fixed(channels)) = shape.get(1) else {
        return Err(unsupported(
            node,
            format!(
                "its input has shape {}, expected channels second",
                show(&shape)
            ),
        ));
    };
    let mut inputs = Vec::new();
    let roles = [
        Role::NormScale,
        Role::NormShift,
        Role::RunningMean,
        Role::RunningVariance,
    ];
    for (index, role) in roles.into_iter().enumerate() {
        let parameter = required_parameter(importer, node, index + 1, role)?;
        expect_vector(importer, node, parameter, channels, "batch norm operand")?;
        inputs.push(Input::Parameter(parameter));
    }
    let op = Op::BatchNorm(BatchNorm {
        epsilon: attributes.float("epsilon").unwrap_or(1e-5).into(),
        momentum: attributes.float("momentum").unwrap_or(0.9).into(),
    });
    if shape.len() <= 4 {
        inputs.insert(0, Input::Value(input));
        return importer.emit(node, 0, op, inputs, shape, 0);
    }
    // Volumes are maps of as many places.
    let places = shape[2..].iter().map(|dim| dim.per_image()).product();
    let maps = vec![shape[0], shape[1], Dim::Fixed(places), Dim::Fixed(1)];
    let mut steps = Steps::new(importer, node);
    let value = steps.reshape(input, maps.clone())?;
    inputs.insert(0, Input::Value(value));
    let value = steps.step(op, inputs, maps)?;
    let value = steps.reshape(value, shape)?;
    steps.end(value)
}

/// LayerNormalization over the last axes, opset 17.
pub(super) fn layer_norm(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let axis = axis(node, attributes.int("axis").unwrap_or(-1), shape.len())?;
    let (ahead, normalised) = shape.split_at(axis);
    if normalised.iter().any(|dim| matches!(dim, Dim::Batch(_))) {
        return Err(unsupported(node, "over the batch"));
    }
    let features = normalised.iter().map(|dim| dim.per_image()).product();
    let scale = importer.parameter_as(node, 1, Role::NormScale, &[features])?;
    let shift = match importer.operand(node, 2)? {
        Some(_) => Some(importer.parameter_as(node, 2, Role::NormShift, &[features])?),
        None => None,
    };
    let op = Op::LayerNorm {
        epsilon: attributes.float("epsilon").unwrap_or(1e-5).into(),
    };
    if axis + 1 == shape.len() {
        let inputs = operands(input, [Some(scale), shift]);
        return importer.emit(node, 0, op, inputs, shape, 0);
    }
    let mut flat = ahead.to_vec();
    flat.push(Dim::Fixed(features));
    let mut steps = Steps::new(importer, node);
    let value = steps.reshape(input, flat.clone())?;
    let value = steps.step(op, operands(value, [Some(scale), shift]), flat)?;
    let value = steps.reshape(value, shape)?;
    steps.end(value)
}

/// LRN, opsets 1 and 13.
pub(super) fn lrn(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let input = importer.activation(node, 0)?;
    importer.image(node, input)?;
    let size = usize::try_from(attributes.int("size").unwrap_or(0)).unwrap_or(0);
    if size == 0 {
        return Err(attributes.fault("attribute `size` is missing"));
    }
    let op = Op::Lrn(Lrn {
        size,
        alpha: attributes.float("alpha").unwrap_or(1e-4),
        beta: attributes.float("beta").unwrap_or(0.75),
        bias: attributes.float("bias").unwrap_or(1.0),
    });
    let shape = importer.shape(input).to_vec();
    importer.emit(node, 0, op, vec![Input::Value(input)], shape, 0)
}

fn operands(input: ValueId, parameters: [Option<ParameterId>; 2]) -> Vec<Input> {
    let mut operands = vec![Input::Value(input)];
    operands.extend(parameters.into_iter().flatten().map(Input::Parameter));
    operands
}

fn required_parameter(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    index: usize,
    role: Role,
) -> Result<ParameterId, Error> {
    importer
        .parameter(node, index, role)?
        .ok_or_else(|| fault(node, format!("input {index} (its {role:?}) is missing")))
}

fn expect_vector(
    importer: &Importer<'_>,
    node: &NodeProto,
    id: ParameterId,
    length: usize,
    what: &str,
) -> Result<(), Error> {
    let shape = importer.parameter_shape(id);
    if shape.iter().product::<usize>() == length && shape.len() == 1 {
        return Ok(());
    }
    Err(fault(
        node,
        format!("its {what} has shape {shape:?}, expected [{length}]"),
    ))
}
