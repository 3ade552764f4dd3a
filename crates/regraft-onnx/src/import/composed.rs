//! Operators that are a few steps of others: each step is a node of the graph, so that it runs, trains and is compiled
//! wherever those do.

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::known::{Known, Test};
use super::layers::Part;
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Activation, Binary, Op};
use crate::ir::parameter::Role;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::ConstantData;

/// Longest side of the blocks that places are sorted by.
const LARGEST_BLOCK: usize = 16;
/// Most parts that an axis is taken apart into.
const MOST_PARTS: usize = 256;

/// One node of the file on its way to several of the graph.
pub(super) struct Steps<'i, 'm, 'n> {
    pub(super) importer: &'i mut Importer<'m>,
    pub(super) node: &'n NodeProto,
    /// Steps so far: each has a name of its own.
    count: usize,
}

impl<'i, 'm, 'n> Steps<'i, 'm, 'n> {
    pub(super) fn new(importer: &'i mut Importer<'m>, node: &'n NodeProto) -> Self {
        Self {
            importer,
            node,
            count: 0,
        }
    }

    pub(super) fn step(
        &mut self,
        op: Op,
        inputs: Vec<Input>,
        shape: Vec<Dim>,
    ) -> Result<ValueId, Error> {
        self.count += 1;
        let name = self.count.to_string();
        self.importer.emit_step(self.node, &name, op, inputs, shape)
    }

    pub(super) fn shape(&self, value: ValueId) -> Vec<Dim> {
        self.importer.shape(value).to_vec()
    }

    /// A layer.
    pub(super) fn layer(&mut self, part: Part) -> Result<ValueId, Error> {
        let value = self.step(part.op, part.inputs, part.shape)?;
        if let Some(node) = self.importer.nodes.last_mut() {
            node.macs = part.macs;
        }
        Ok(value)
    }

    pub(super) fn function(
        &mut self,
        function: Activation,
        value: ValueId,
    ) -> Result<ValueId, Error> {
        let shape = self.shape(value);
        self.step(Op::Activation(function), vec![Input::Value(value)], shape)
    }

    fn number(&mut self, value: f32) -> Input {
        self.number_of_rank(value, 1)
    }

    /// Two values of one shape, a value and a number, or values of which one is spread over the other.
    pub(super) fn combine(
        &mut self,
        operator: Binary,
        left: Input,
        right: Input,
    ) -> Result<ValueId, Error> {
        let shapes = [left, right].map(|input| match input {
            Input::Value(id) => self.shape(id),
            Input::Parameter(id) => {
                let shape = self.importer.parameter_shape(id).iter();
                shape.map(|&extent| Dim::Fixed(extent)).collect()
            }
        });
        let shape = super::elementwise::broadcast(self.node, &shapes[0], &shapes[1])?;
        self.step(Op::Binary(operator), vec![left, right], shape)
    }

    pub(super) fn with_number(
        &mut self,
        operator: Binary,
        value: ValueId,
        number: f32,
    ) -> Result<ValueId, Error> {
        let number = self.number(number);
        self.combine(operator, Input::Value(value), number)
    }

    /// The mean over axes, which stay with extent 1.
    pub(super) fn mean(&mut self, value: ValueId, axes: &[usize]) -> Result<ValueId, Error> {
        let mut shape = self.shape(value);
        for &axis in axes {
            shape[axis] = Dim::Fixed(1);
        }
        let op = Op::ReduceMean {
            axes: axes.to_vec(),
            keep_dims: true,
        };
        self.step(op, vec![Input::Value(value)], shape)
    }

    /// The sum over axes, which stay with extent 1.
    pub(super) fn sum(&mut self, value: ValueId, axes: &[usize]) -> Result<ValueId, Error> {
        let shape = self.shape(value);
        let count: usize = axes.iter().map(|&axis| shape[axis].per_image()).product();
        let mean = self.mean(value, axes)?;
        self.with_number(Binary::Mul, mean, count as f32)
    }

    /// Axes in another order.
    pub(super) fn transpose(&mut self, value: ValueId, perm: &[usize]) -> Result<ValueId, Error> {
        if perm.iter().copied().eq(0..perm.len()) {
            return Ok(value);
        }
        let shape = self.shape(value);
        let shape = perm.iter().map(|&axis| shape[axis]).collect();
        let op = Op::Transpose {
            perm: perm.to_vec(),
        };
        self.step(op, vec![Input::Value(value)], shape)
    }

    /// The matrix products of the last two axes; extents of 1 ahead of them are spread.
    pub(super) fn product(&mut self, left: ValueId, right: ValueId) -> Result<ValueId, Error> {
        let (a, b) = (self.shape(left), self.shape(right));
        let refused = |node| {
            let (a, b) = (show(&a), show(&b));
            Err(unsupported(node, format!("a product of {a} and {b}")))
        };
        let rank = a.len().max(b.len());
        if a.len() < 2 || b.len() < 2 || a[a.len() - 1] != b[b.len() - 2] {
            return refused(self.node);
        }
        let (ahead_left, ahead_right) = (&a[..a.len() - 2], &b[..b.len() - 2]);
        let ahead = super::elementwise::broadcast(self.node, ahead_left, ahead_right)?;
        if !ahead.iter().any(|dim| matches!(dim, Dim::Batch(_))) {
            return refused(self.node);
        }
        let mut spread = |value: ValueId, own: &[Dim]| {
            let mut shape = vec![Dim::Fixed(1); rank - own.len()];
            shape.extend(own);
            let value = self.reshape(value, shape.clone())?;
            if shape[..rank - 2] == ahead[..] {
                return Ok(value);
            }
            let mut spread = ahead.clone();
            spread.extend(&own[own.len() - 2..]);
            self.step(Op::Expand, vec![Input::Value(value)], spread)
        };
        let (left, right) = (spread(left, &a)?, spread(right, &b)?);
        let mut shape = ahead;
        shape.extend([a[a.len() - 2], b[b.len() - 1]]);
        let macs = shape.iter().chain([&a[a.len() - 1]]);
        let macs = macs.map(|dim| dim.per_image() as u64).product();
        let inputs = vec![Input::Value(left), Input::Value(right)];
        self.layer(Part {
            op: Op::MatMul,
            inputs,
            shape,
            macs,
        })
    }

    /// Operand `index`, a weight, repeated for every image; where its first extent is not 1, one is put there.
    pub(super) fn for_every_image(&mut self, index: usize, role: Role) -> Result<ValueId, Error> {
        let node = self.node;
        let constant = self.importer.constant(node, index)?;
        let constant = constant.ok_or_else(|| fault(node, format!("input {index} is missing")))?;
        let mut own = constant.shape.clone();
        if own.len() < 2 || own[0] != 1 {
            own.insert(0, 1);
        }
        self.weight_for_every_image(index, role, &own)
    }

    /// Operand `index`, a weight seen in a shape that begins with 1, repeated for every image.
    pub(super) fn weight_for_every_image(
        &mut self,
        index: usize,
        role: Role,
        own: &[usize],
    ) -> Result<ValueId, Error> {
        let parameter = self.importer.parameter_as(self.node, index, role, own)?;
        let mut shape: Vec<Dim> = own.iter().map(|&extent| Dim::Fixed(extent)).collect();
        shape[0] = Dim::Batch(1);
        self.step(Op::Expand, vec![Input::Parameter(parameter)], shape)
    }

    /// Numbers that are no weights, as a parameter.
    pub(super) fn numbers(&mut self, shape: Vec<usize>, values: Vec<f32>) -> Input {
        self.count += 1;
        let name = format!("number{}", self.count);
        self.importer
            .constant_values(self.node, &name, shape, values)
    }

    pub(super) fn reshape(&mut self, value: ValueId, shape: Vec<Dim>) -> Result<ValueId, Error> {
        if self.shape(value) == shape {
            return Ok(value);
        }
        self.step(Op::Reshape, vec![Input::Value(value)], shape)
    }

    /// Entries `start` to `end` of an axis, every `step`-th.
    pub(super) fn slice(
        &mut self,
        value: ValueId,
        axis: usize,
        start: usize,
        end: usize,
        step: usize,
    ) -> Result<ValueId, Error> {
        let mut shape = self.shape(value);
        shape[axis] = Dim::Fixed((end - start).div_ceil(step));
        let op = Op::Slice {
            axis,
            start,
            end,
            step,
        };
        self.step(op, vec![Input::Value(value)], shape)
    }

    /// Values side by side along an axis.
    pub(super) fn join(&mut self, parts: Vec<ValueId>, axis: usize) -> Result<ValueId, Error> {
        if let [only] = parts[..] {
            return Ok(only);
        }
        let mut shape = match parts.first() {
            Some(&first) => self.shape(first),
            None => return Err(fault(self.node, "takes nothing")),
        };
        let extents = parts.iter().map(|&part| self.shape(part)[axis].per_image());
        shape[axis] = Dim::Fixed(extents.sum());
        let inputs = parts.into_iter().map(Input::Value).collect();
        self.step(Op::Concat { axis }, inputs, shape)
    }

    /// Entries of an axis in any order, any number of times: stretches that lie evenly apart are taken at once.
    pub(super) fn pick(
        &mut self,
        value: ValueId,
        axis: usize,
        indices: &[usize],
    ) -> Result<ValueId, Error> {
        let mut parts = Vec::new();
        let mut rest = indices;
        while let Some((&first, behind)) = rest.split_first() {
            let apart = behind
                .first()
                .and_then(|&second| second.checked_sub(first))
                .filter(|&step| step > 0);
            let mut length = 1;
            if let Some(step) = apart {
                while rest.get(length) == Some(&(first + length * step)) {
                    length += 1;
                }
            }
            let step = apart.unwrap_or(1);
            parts.push((first, first + (length - 1) * step + 1, step));
            rest = &rest[length..];
        }
        if parts.len() > MOST_PARTS {
            return Err(unsupported(
                self.node,
                format!("takes an axis apart into {} pieces", parts.len()),
            ));
        }
        let mut pieces = Vec::with_capacity(parts.len());
        let whole = self.shape(value)[axis];
        for (start, end, step) in parts {
            pieces.push(match (start, step) {
                (0, 1) if whole == Dim::Fixed(end) => value,
                _ => self.slice(value, axis, start, end, step)?,
            });
        }
        self.join(pieces, axis)
    }

    /// Top, left, bottom and right of maps, filled with a number.
    pub(super) fn pad(
        &mut self,
        value: ValueId,
        pads: [usize; 4],
        number: f32,
    ) -> Result<ValueId, Error> {
        let mut shape = self.shape(value);
        let [top, left, bottom, right] = pads;
        for (axis, more) in [(2, top + bottom), (3, left + right)] {
            shape[axis] = Dim::Fixed(shape[axis].per_image() + more);
        }
        let op = Op::Pad {
            pads,
            value: number,
        };
        self.step(op, vec![Input::Value(value)], shape)
    }

    /// An axis with so many entries more before and after it, filled with a number; with fewer where they are negative.
    pub(super) fn fill(
        &mut self,
        value: ValueId,
        axis: usize,
        [before, after]: [i64; 2],
        number: f32,
    ) -> Result<ValueId, Error> {
        let extent = self.shape(value)[axis].per_image();
        let cut = |pad: i64| usize::try_from(-pad).unwrap_or(0);
        let (first, last) = (cut(before), extent.saturating_sub(cut(after)));
        if first >= last {
            return Err(fault(
                self.node,
                format!("takes nothing of an axis of {extent}"),
            ));
        }
        let mut middle = value;
        if (first, last) != (0, extent) {
            middle = self.slice(value, axis, first, last, 1)?;
        }
        let mut parts = Vec::new();
        for (pad, is_first) in [(before, true), (after, false)] {
            if !is_first {
                parts.push(middle);
            }
            if let Some(more) = usize::try_from(pad).ok().filter(|&more| more > 0) {
                let mut shape = self.shape(middle);
                shape[axis] = Dim::Fixed(more);
                let one = self.number_of_rank(number, shape.len());
                parts.push(self.step(Op::Expand, vec![one], shape)?);
            }
        }
        self.join(parts, axis)
    }

    fn number_of_rank(&mut self, value: f32, rank: usize) -> Input {
        self.numbers(vec![1; rank], vec![value])
    }

    /// Gives the node's output to what the steps came to.
    pub(super) fn end(self, value: ValueId) -> Result<(), Error> {
        self.importer.finish_steps(self.node, value)
    }
}

/// `value` with mean 0 and variance 1 over axes.
fn normalised(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    axes: &[usize],
    epsilon: f32,
) -> Result<ValueId, Error> {
    let mean = steps.mean(value, axes)?;
    let centred = steps.combine(Binary::Sub, Input::Value(value), Input::Value(mean))?;
    let squares = steps.combine(Binary::Mul, Input::Value(centred), Input::Value(centred))?;
    let variance = steps.mean(squares, axes)?;
    let variance = steps.with_number(Binary::Add, variance, epsilon)?;
    let deviation = steps.function(Activation::Sqrt, variance)?;
    steps.combine(Binary::Div, Input::Value(centred), Input::Value(deviation))
}

/// Multiplies channels by a scale `[C]` and adds a shift `[C]`: operands 1 and 2 of the node.
fn scaled_and_shifted(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    channels: usize,
) -> Result<ValueId, Error> {
    let mut value = value;
    let behind = steps.shape(value).len() - 2;
    let operands = [
        (1, Role::NormScale, Binary::Mul),
        (2, Role::NormShift, Binary::Add),
    ];
    for (index, role, operator) in operands {
        let node = steps.node;
        // Exporters write a normalisation without weights of its own with ones and zeros, which no module has a name for.
        let neutral = f32::from(index == 1);
        let stored = node.input.get(index).map_or("", String::as_str);
        let of_a_module = steps.importer.model.initializer(stored).is_some()
            && super::names::is_dotted_path(stored);
        let constant = steps.importer.constant(node, index)?;
        let is_neutral = constant.is_some_and(|constant| match &constant.data {
            ConstantData::Floats(values) => values.iter().all(|&value| value == neutral),
            ConstantData::Integers(_) => false,
        });
        if is_neutral && !of_a_module {
            continue;
        }
        let mut shape = vec![channels];
        shape.extend(std::iter::repeat_n(1, behind));
        let parameter = steps.importer.parameter_as(node, index, role, &shape)?;
        value = steps.combine(operator, Input::Value(value), Input::Parameter(parameter))?;
    }
    Ok(value)
}

/// InstanceNormalization (Ulyanov 2016): every channel of every image by itself.
pub(super) fn instance_norm(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let &[_, Dim::Fixed(channels), _, ..] = &shape[..] else {
        return Err(unsupported(node, format!("over {}", show(&shape))));
    };
    let epsilon = Attributes(node).float("epsilon").unwrap_or(1e-5);
    let axes: Vec<usize> = (2..shape.len()).collect();
    let mut steps = Steps::new(importer, node);
    let value = normalised(&mut steps, input, &axes, epsilon)?;
    let value = scaled_and_shifted(&mut steps, value, channels)?;
    steps.end(value)
}

/// GroupNormalization (Wu 2018), opsets 18 (a scale a group) and 21 (a scale a channel).
pub(super) fn group_norm(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let attributes = Attributes(node);
    let groups = attributes.int("num_groups").unwrap_or(0);
    let groups = usize::try_from(groups).unwrap_or(0);
    let (Some(&Dim::Fixed(channels)), Some(Dim::Batch(1))) = (shape.get(1), shape.first()) else {
        return Err(unsupported(node, format!("over {}", show(&shape))));
    };
    if groups == 0 || channels % groups != 0 {
        return Err(fault(
            node,
            format!("{groups} groups of {channels} channels"),
        ));
    }
    let each: usize = shape[1..]
        .iter()
        .map(|dim| dim.per_image())
        .product::<usize>()
        / groups;
    let grouped = vec![Dim::Batch(1), Dim::Fixed(groups), Dim::Fixed(each)];
    let epsilon = attributes.float("epsilon").unwrap_or(1e-5);
    let scales = importer.constant(node, 1)?.map_or(0, |scale| scale.len());
    let mut steps = Steps::new(importer, node);
    let value = steps.reshape(input, grouped)?;
    let value = normalised(&mut steps, value, &[2], epsilon)?;
    let value = if scales == groups && groups != channels {
        let value = scaled_and_shifted(&mut steps, value, groups)?;
        steps.reshape(value, shape)?
    } else {
        let value = steps.reshape(value, shape)?;
        scaled_and_shifted(&mut steps, value, channels)?
    };
    steps.end(value)
}

/// PRelu: a slope below 0, one for all or one a channel, that trains.
pub(super) fn prelu(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let rank = importer.shape(input).len();
    let slopes = importer.constant(node, 1)?.map_or(0, |slope| slope.len());
    let own = importer
        .constant(node, 1)?
        .map_or(0, |slope| slope.shape.len());
    let slope = if own == 1 && slopes > 1 && importer.opset() < 9 && rank > 2 {
        // Before opset 9 one slope a channel was a list.
        let mut shape = vec![slopes];
        shape.extend(std::iter::repeat_n(1, rank - 2));
        importer.parameter_as(node, 1, Role::Weight, &shape)?
    } else {
        importer
            .parameter(node, 1, Role::Weight)?
            .ok_or_else(|| fault(node, "its slope is missing"))?
    };
    let mut steps = Steps::new(importer, node);
    let above = steps.function(Activation::Relu, input)?;
    let below = Activation::Clip {
        min: f32::NEG_INFINITY,
        max: 0.0,
    };
    let below = steps.function(below, input)?;
    let below = steps.combine(Binary::Mul, Input::Value(below), Input::Parameter(slope))?;
    let value = steps.combine(Binary::Add, Input::Value(above), Input::Value(below))?;
    steps.end(value)
}

/// Selu (Klambauer 2017), Celu (Barron 2017), Mish (Misra 2019) and Swish (Ramachandran 2017).
pub(super) fn function(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let attributes = Attributes(node);
    let alpha = |default: f32| attributes.float("alpha").unwrap_or(default);
    let mut steps = Steps::new(importer, node);
    let value = match node.op_type.as_str() {
        "Selu" => {
            // The specification's defaults: the values of the paper.
            let elu = Activation::Elu {
                alpha: alpha(1.673_263_2),
            };
            let elu = steps.function(elu, input)?;
            let gamma = attributes.float("gamma").unwrap_or(1.050_701);
            steps.with_number(Binary::Mul, elu, gamma)?
        }
        "Celu" => {
            let alpha = alpha(1.0);
            let scaled = steps.with_number(Binary::Div, input, alpha)?;
            let elu = steps.function(Activation::Elu { alpha: 1.0 }, scaled)?;
            steps.with_number(Binary::Mul, elu, alpha)?
        }
        "Mish" => {
            let soft = steps.function(Activation::Softplus, input)?;
            let gate = steps.function(Activation::Tanh, soft)?;
            steps.combine(Binary::Mul, Input::Value(input), Input::Value(gate))?
        }
        _ => {
            let scaled = match alpha(1.0) {
                1.0 => input,
                alpha => steps.with_number(Binary::Mul, input, alpha)?,
            };
            let gate = steps.function(Activation::Sigmoid, scaled)?;
            steps.combine(Binary::Mul, Input::Value(input), Input::Value(gate))?
        }
    };
    steps.end(value)
}

/// Sum, Mean, Max and Min of any number of operands.
pub(super) fn several(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let operator = match node.op_type.as_str() {
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => Binary::Add,
    };
    let mut operands = Vec::with_capacity(node.input.len());
    for index in 0..node.input.len() {
        operands.push(match importer.required(node, index)? {
            Known::Activation(id) => Input::Value(id),
            _ => Input::Parameter(
                importer
                    .parameter(node, index, Role::Constant)?
                    .ok_or_else(|| fault(node, format!("input {index} is missing")))?,
            ),
        });
    }
    let count = operands.len();
    // One of them depends on the image: it comes first.
    operands.sort_by_key(|operand| matches!(operand, Input::Parameter(_)));
    let mut operands = operands.into_iter();
    let Some(Input::Value(mut value)) = operands.next() else {
        return Err(fault(node, "has no inputs"));
    };
    let mut steps = Steps::new(importer, node);
    for operand in operands {
        value = steps.combine(operator, Input::Value(value), operand)?;
    }
    if node.op_type == "Mean" && count > 1 {
        value = steps.with_number(Binary::Mul, value, 1.0 / count as f32)?;
    }
    steps.end(value)
}

/// Tile on any axes but the batch.
pub(super) fn tile(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let repeats = importer
        .integers(node, 1)?
        .ok_or_else(|| fault(node, "its repeats are missing"))?;
    let shape = importer.shape(input).to_vec();
    if repeats.len() != shape.len() {
        return Err(fault(node, "its repeats are not one an axis"));
    }
    let mut steps = Steps::new(importer, node);
    let mut value = input;
    for (axis, repeat) in repeats.into_iter().enumerate() {
        match (shape[axis], usize::try_from(repeat)) {
            (_, Ok(1)) => {}
            (Dim::Fixed(_), Ok(times)) if (1..=MOST_PARTS).contains(&times) => {
                value = steps.join(vec![value; times], axis)?;
            }
            _ => {
                return Err(unsupported(
                    node,
                    format!("repeats axis {axis} of {} {repeat} times", show(&shape)),
                ));
            }
        }
    }
    steps.end(value)
}

/// SpaceToDepth: the places of a block become channels, those of the block's first place first.
pub(super) fn space_to_depth(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let [_, height, width] = importer.image(node, input)?;
    let block = Attributes(node).int("blocksize").unwrap_or(0);
    let block = usize::try_from(block)
        .ok()
        .filter(|block| (1..=LARGEST_BLOCK).contains(block))
        .filter(|&block| height % block == 0 && width % block == 0)
        .ok_or_else(|| fault(node, format!("blocks of {block} in {height} x {width}")))?;
    let mut steps = Steps::new(importer, node);
    let mut parts = Vec::with_capacity(block * block);
    for row in 0..block {
        let rows = steps.slice(input, 2, row, height, block)?;
        for column in 0..block {
            parts.push(steps.slice(rows, 3, column, width, block)?);
        }
    }
    let value = steps.join(parts, 1)?;
    steps.end(value)
}

/// DepthToSpace: channels become the places of a block.
pub(super) fn depth_to_space(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let [channels, height, width] = importer.image(node, input)?;
    let batch = importer.shape(input)[0];
    let attributes = Attributes(node);
    let block = attributes.int("blocksize").unwrap_or(0);
    let block = usize::try_from(block)
        .ok()
        .filter(|block| (1..=LARGEST_BLOCK).contains(block))
        .filter(|&block| channels % (block * block) == 0)
        .ok_or_else(|| fault(node, format!("blocks of {block} of {channels} channels")))?;
    let outputs = channels / (block * block);
    let places_first = attributes.string("mode").is_none_or(|mode| mode == "DCR");
    let (ahead, perm) = match places_first {
        true => ([block, block, outputs], [0, 3, 4, 1, 5, 2]),
        false => ([outputs, block, block], [0, 1, 4, 2, 5, 3]),
    };
    let mut apart = vec![batch];
    apart.extend(ahead.into_iter().chain([height, width]).map(Dim::Fixed));
    let mut target = vec![batch];
    target.extend([outputs, height * block, width * block].map(Dim::Fixed));
    let mut steps = Steps::new(importer, node);
    let value = steps.reshape(input, apart)?;
    let value = steps.transpose(value, &perm)?;
    let value = steps.reshape(value, target)?;
    steps.end(value)
}

/// RMSNormalization (Zhang and Sennrich 2019) over the last axes, opset 23.
pub(super) fn rms_norm(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let attributes = Attributes(node);
    let first = axis(node, attributes.int("axis").unwrap_or(-1), shape.len())?;
    let axes: Vec<usize> = (first..shape.len()).collect();
    if axes
        .iter()
        .any(|&axis| matches!(shape[axis], Dim::Batch(_)))
    {
        return Err(unsupported(node, "over the batch"));
    }
    let scale = importer
        .parameter(node, 1, Role::NormScale)?
        .ok_or_else(|| fault(node, "its scale is missing"))?;
    let epsilon = attributes.float("epsilon").unwrap_or(1e-5);
    let mut steps = Steps::new(importer, node);
    let squares = steps.combine(Binary::Mul, Input::Value(input), Input::Value(input))?;
    let mean = steps.mean(squares, &axes)?;
    let mean = steps.with_number(Binary::Add, mean, epsilon)?;
    let root = steps.function(Activation::Sqrt, mean)?;
    let value = steps.combine(Binary::Div, Input::Value(input), Input::Value(root))?;
    let value = steps.combine(Binary::Mul, Input::Value(value), Input::Parameter(scale))?;
    steps.end(value)
}

/// GatherND along one axis that a list of single indices names: the first one, or the one behind it that a transposition
/// brought there.
pub(super) fn gather_nd(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let batch_dims = Attributes(node).int("batch_dims").unwrap_or(0);
    let along = usize::try_from(batch_dims).unwrap_or(usize::MAX);
    let indices = importer.constant(node, 1)?;
    let depth = indices
        .as_ref()
        .and_then(|indices| indices.shape.last().copied());
    let rows = indices.as_ref().map_or(0, |indices| indices.shape.len());
    let (Some(Dim::Fixed(extent)), Some(1), true) =
        (shape.get(along), depth, along == 0 && rows == 2)
    else {
        return Err(unsupported(
            node,
            format!("from {}, by indices of several axes", show(&shape)),
        ));
    };
    let numbers = importer.integers(node, 1)?.unwrap_or_default();
    let picked = numbers
        .iter()
        .map(|&number| axis(node, number, *extent))
        .collect::<Result<Vec<_>, _>>()?;
    let mut steps = Steps::new(importer, node);
    let value = steps.pick(input, along, &picked)?;
    steps.end(value)
}

/// IsNaN and Greater of an activation: a test, which only a `Where` can ask.
pub(super) fn test(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let test = match node.op_type.as_str() {
        "IsNaN" => Test::IsNan(input),
        _ => {
            let threshold = importer.scalar(node, 1)?;
            let threshold =
                threshold.ok_or_else(|| fault(node, "its second operand is missing"))?;
            Test::Above(input, threshold)
        }
    };
    importer.alias(node, Known::Test(test))
}

/// Where, in the two forms in which exporters guard numbers: something else where a softmax is no number, and a value in the
/// place of its softplus where both are the same.
pub(super) fn choose(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    /// Above this, a value and its softplus differ by less than a float can say.
    const SAME: f32 = 17.0;
    let condition = importer.required(node, 0)?;
    let (yes, no) = (importer.required(node, 1)?, importer.required(node, 2)?);
    match (condition, yes, no) {
        (Known::Test(Test::IsNan(tested)), _, Known::Activation(no)) if tested == no => {
            importer.alias(node, Known::Activation(no))
        }
        (
            Known::Test(Test::Above(tested, threshold)),
            Known::Activation(yes),
            Known::Activation(no),
        ) if threshold >= SAME && tested == yes => {
            let of = importer
                .producer(no)
                .filter(|node| node.op == Op::Activation(Activation::Softplus))
                .and_then(|node| node.inputs.first().copied());
            match of == Some(Input::Value(tested)) {
                true => importer.alias(node, Known::Activation(no)),
                false => Err(unsupported(node, "chooses by what is in the image")),
            }
        }
        _ => Err(unsupported(node, "chooses by what is in the image")),
    }
}

/// LpNormalization: an axis divided by its norm.
pub(super) fn normalise(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let attributes = Attributes(node);
    let along = axis(node, attributes.int("axis").unwrap_or(-1), shape.len())?;
    if matches!(shape[along], Dim::Batch(_)) {
        return Err(unsupported(node, "over the batch"));
    }
    let by_squares = attributes.int("p").unwrap_or(2) == 2;
    let mut steps = Steps::new(importer, node);
    let terms = match by_squares {
        true => steps.combine(Binary::Mul, Input::Value(input), Input::Value(input))?,
        false => steps.function(Activation::Abs, input)?,
    };
    let sum = steps.sum(terms, &[along])?;
    let norm = match by_squares {
        true => steps.function(Activation::Sqrt, sum)?,
        false => sum,
    };
    let value = steps.combine(Binary::Div, Input::Value(input), Input::Value(norm))?;
    steps.end(value)
}
