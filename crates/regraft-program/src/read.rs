//! Graph to steps: what a value needs, node by node, with every constant checked against the shape it has to have.

use regraft_kernels::{Activation, Conv2dSpec};
use regraft_onnx::op::{self, Binary, Op};
use regraft_onnx::{Graph, Input, Node, Parameter, ValueId, Weights};

use crate::error::Unsupported;
use crate::shape::{Extents, Shape};
use crate::step::{Combination, Convolution, Function, Linear, Scale, Side, Step, Tensor, Work};

/// The shapes of a graph's values; `None` for those that no program can hold.
#[derive(Debug, Clone)]
pub struct Shapes(Vec<Option<Shape>>);

impl Shapes {
    /// Those of a graph.
    pub fn of(graph: &Graph) -> Self {
        Self(graph.values.iter().map(Shape::of).collect())
    }

    /// Adds a value of a shape.
    pub fn push(&mut self, shape: Shape) -> ValueId {
        self.0.push(Some(shape));
        ValueId::at(self.0.len() - 1)
    }

    /// All of them, by [`ValueId`].
    pub fn iter(&self) -> impl Iterator<Item = &Option<Shape>> {
        self.0.iter()
    }

    /// That of one value.
    pub fn get(&self, value: ValueId) -> Option<&Shape> {
        self.0.get(value.index())?.as_ref()
    }
}

/// Why a node cannot run.
type Refusal = String;

/// A step for every node, in order.
pub(crate) fn read(graph: &Graph, shapes: &Shapes) -> Result<Vec<Step>, Unsupported> {
    graph
        .nodes
        .iter()
        .map(|node| {
            step(graph, shapes, node).map_err(|why| Unsupported {
                node: node.name.clone(),
                why,
            })
        })
        .collect()
}

/// A node's operands.
struct Operands<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    node: &'a Node,
}

impl<'a> Operands<'a> {
    /// The shape of an operand that is an activation.
    fn shape(&self, index: usize) -> Result<&'a Shape, Refusal> {
        match self.node.inputs.get(index) {
            Some(Input::Value(id)) => self.shapes.get(*id).ok_or_else(|| self.no_shape(*id)),
            Some(Input::Parameter(_)) => Err(format!("operand {index} is a constant")),
            None => Err(format!("operand {index} is missing")),
        }
    }

    fn output(&self) -> Result<&'a Shape, Refusal> {
        let output = self.node.output;
        self.shapes.get(output).ok_or_else(|| self.no_shape(output))
    }

    fn no_shape(&self, id: ValueId) -> Refusal {
        let value = self.graph.value(id);
        format!(
            "`{}` has the shape {:?}: no plan holds that",
            value.name, value.shape
        )
    }

    fn parameter(&self, index: usize) -> Result<Option<&'a Parameter>, Refusal> {
        match self.node.inputs.get(index) {
            None => Ok(None),
            Some(Input::Parameter(id)) => Ok(Some(self.graph.parameter(*id))),
            Some(Input::Value(_)) => Err(format!("operand {index} is computed, not a constant")),
        }
    }

    /// A constant of `count` values.
    fn weight(&self, index: usize, count: usize) -> Result<Weights, Refusal> {
        self.counted(index, count)?
            .ok_or_else(|| format!("operand {index} is missing"))
    }

    fn constant(&self, index: usize, count: usize) -> Result<Vec<f32>, Refusal> {
        Ok(self.weight(index, count)?.to_vec())
    }

    fn optional(&self, index: usize, count: usize) -> Result<Option<Vec<f32>>, Refusal> {
        Ok(self.counted(index, count)?.map(|values| values.to_vec()))
    }

    fn counted(&self, index: usize, count: usize) -> Result<Option<Weights>, Refusal> {
        let Some(parameter) = self.parameter(index)? else {
            return Ok(None);
        };
        if parameter.data.len() != count {
            let name = &parameter.name;
            let found = parameter.data.len();
            return Err(format!("`{name}` has {found} values, {count} fit"));
        }
        Ok(Some(parameter.data.clone()))
    }

    fn tensor(&self, parameter: &Parameter) -> Result<Tensor, Refusal> {
        let values = parameter.data.to_vec();
        let extents = Extents::new(&parameter.shape).filter(|e| e.count() == values.len());
        extents
            .map(|extents| Tensor { extents, values })
            .ok_or_else(|| format!("`{}` has the shape {:?}", parameter.name, parameter.shape))
    }

    /// Channels, rows and columns of an image operand.
    fn image(&self, index: usize) -> Result<[usize; 3], Refusal> {
        let shape = self.shape(index)?;
        shape
            .image()
            .ok_or_else(|| format!("{:?} is no [N, C, H, W]", &shape.one()[..]))
    }
}

fn step(graph: &Graph, shapes: &Shapes, node: &Node) -> Result<Step, Refusal> {
    let operands = Operands {
        graph,
        shapes,
        node,
    };
    operands.output()?;
    let work = work(&operands)?;
    let inputs = node.inputs.iter().filter_map(|input| match input {
        Input::Value(id) => Some(*id),
        Input::Parameter(_) => None,
    });
    Ok(Step {
        name: node.name.clone(),
        work,
        inputs: inputs.collect(),
        output: node.output,
    })
}

fn work(operands: &Operands<'_>) -> Result<Work, Refusal> {
    let output = operands.output()?;
    let first = || operands.shape(0);
    let keeps_its_size = matches!(
        operands.node.op,
        Op::BatchNorm(_)
            | Op::LayerNorm { .. }
            | Op::Lrn(_)
            | Op::Softmax { .. }
            | Op::LogSoftmax { .. }
    );
    if keeps_its_size {
        same_count(first()?, output)?;
    }
    Ok(match &operands.node.op {
        Op::Conv(conv) => Work::Conv(Box::new(convolution(operands, conv)?)),
        Op::Linear(linear) => Work::Linear(Box::new(fully_connected(operands, linear)?)),
        Op::MatMul => {
            product(operands)?;
            Work::MatMul
        }
        Op::BatchNorm(norm) => Work::Scale(Box::new(batch_norm(operands, norm)?)),
        Op::LayerNorm { epsilon } => {
            let shape = first()?;
            not_over_images(shape, shape.one().len().saturating_sub(1))?;
            let width = last(shape);
            Work::LayerNorm {
                epsilon: *epsilon,
                scale: operands.constant(1, width)?,
                shift: operands.optional(2, width)?,
            }
        }
        Op::Activation(activation) => {
            same_count(first()?, output)?;
            Work::Function(Function::Onnx(*activation))
        }
        Op::Binary(operator) => combination(operands, *operator)?,
        Op::MaxPool(pool) => {
            operands.image(0)?;
            Work::MaxPool(pool.clone())
        }
        Op::AveragePool {
            pool,
            count_include_pad,
        } => {
            operands.image(0)?;
            Work::AveragePool {
                pool: pool.clone(),
                count_include_pad: *count_include_pad,
            }
        }
        Op::GlobalAveragePool => {
            reduced_count(first()?, output, operands.image(0)?[1..].iter().product())?;
            Work::Mean { first: 2, axes: 2 }
        }
        Op::GlobalMaxPool => {
            let [_, height, width] = operands.image(0)?;
            reduced_count(first()?, output, height * width)?;
            Work::MaxPool(whole(height, width))
        }
        Op::ReduceMean { axes, .. } => {
            let mean = mean(first()?, axes)?;
            let extents = first()?.one();
            let reduced = axes.iter().map(|&axis| extents[axis]);
            reduced_count(first()?, output, reduced.product())?;
            mean
        }
        Op::Lrn(lrn) => {
            operands.image(0)?;
            Work::Lrn(lrn.clone())
        }
        Op::Concat { axis } => {
            for index in 0..operands.node.inputs.len() {
                if operands.shape(index)?.batch_axis() >= *axis {
                    return Err(format!("axis {axis} does not lie within the images"));
                }
            }
            Work::Concat { axis: *axis }
        }
        Op::Slice {
            axis, start, step, ..
        } => {
            not_over_images(first()?, *axis)?;
            if *step == 0 {
                return Err("a step of 0".to_owned());
            }
            Work::Slice {
                axis: *axis,
                start: *start,
                step: *step,
            }
        }
        Op::Select { axis, index } => {
            not_over_images(first()?, *axis)?;
            Work::Slice {
                axis: *axis,
                start: *index,
                step: 1,
            }
        }
        Op::Pad { pads, value } => {
            operands.image(0)?;
            Work::Pad {
                pads: *pads,
                value: *value,
                channels_last: false,
            }
        }
        Op::Transpose { perm } => {
            same_count(first()?, output)?;
            let rank = first()?.one().len();
            let mut axes = perm.clone();
            axes.sort_unstable();
            if !axes.into_iter().eq(0..rank) {
                return Err(format!("permutation {perm:?} of {rank} axes"));
            }
            Work::Transpose { perm: perm.clone() }
        }
        Op::Reshape => {
            same_count(first()?, output)?;
            Work::View
        }
        Op::Expand => match operands.parameter(0) {
            Ok(Some(parameter)) => {
                let tensor = operands.tensor(parameter)?;
                let repeats = tensor.extents.aligned(output.one().len());
                let fits = broadcasts(&tensor.extents, output.one())
                    && repeats.get(output.batch_axis()) == Some(&1);
                if !fits {
                    return Err("a constant that does not spread over its output".to_owned());
                }
                Work::Expand(Some(tensor))
            }
            _ if broadcasts(first()?.one(), output.one()) => Work::Expand(None),
            _ => return Err("its input does not spread over its output".to_owned()),
        },
        Op::Softmax { axis } => softmax(first()?, *axis, false)?,
        Op::LogSoftmax { axis } => softmax(first()?, *axis, true)?,
    })
}

fn convolution(operands: &Operands<'_>, conv: &op::Conv) -> Result<Convolution, Refusal> {
    let [in_channels, in_height, in_width] = operands.image(0)?;
    let out = operands
        .output()?
        .image()
        .ok_or("its output is no [N, C, H, W]")?;
    let spec = Conv2dSpec {
        batch: 1,
        in_channels,
        in_height,
        in_width,
        out_channels: out[0],
        kernel: conv.kernel,
        stride: conv.stride,
        pads: conv.pads,
        dilation: conv.dilation,
        groups: conv.groups,
    };
    let shape =
        regraft_kernels::Conv2dShape::new(spec.clone()).map_err(|error| error.to_string())?;
    if [shape.out_height(), shape.out_width()] != out[1..] {
        return Err(format!("its output is declared as {out:?}"));
    }
    Ok(Convolution {
        spec,
        weight: operands.weight(1, shape.weight_len())?,
        bias: operands.optional(2, out[0])?,
        residual: false,
        activation: Activation::None,
    })
}

/// The window that holds all pixels.
fn whole(height: usize, width: usize) -> op::Pool {
    op::Pool {
        kernel: [height, width],
        stride: [1; 2],
        pads: [0; 4],
        dilation: [1; 2],
        ceil_mode: false,
    }
}

fn fully_connected(operands: &Operands<'_>, linear: &op::Linear) -> Result<Linear, Refusal> {
    let shape = operands.shape(0)?;
    not_over_images(shape, shape.one().len().saturating_sub(1))?;
    let inputs = last(shape);
    let outputs = last(operands.output()?);
    let weights = inputs.checked_mul(outputs).ok_or("too large")?;
    if shape.one().count() / inputs != operands.output()?.one().count() / outputs {
        return Err("its output has another number of rows than its input".to_owned());
    }
    Ok(Linear {
        inputs,
        outputs,
        weight: operands.weight(1, weights)?,
        transposed: linear.weight_transposed,
        bias: operands.optional(2, outputs)?,
        residual: false,
        after: None,
    })
}

/// Checks that two activations multiply without broadcasting.
fn product(operands: &Operands<'_>) -> Result<(), Refusal> {
    let (left, right) = (operands.shape(0)?.one(), operands.shape(1)?.one());
    let rank = left.len();
    let fits = rank >= 2
        && right.len() == rank
        && left[..rank - 2] == right[..rank - 2]
        && left[rank - 1] == right[rank - 2]
        && operands.shape(0)?.batch_axis() == operands.shape(1)?.batch_axis()
        && operands.shape(0)?.batch_axis() + 2 < rank;
    if fits {
        Ok(())
    } else {
        Err(format!(
            "no product of {:?} and {:?}",
            &left[..],
            &right[..]
        ))
    }
}

fn batch_norm(operands: &Operands<'_>, norm: &op::BatchNorm) -> Result<Scale, Refusal> {
    let one = operands.shape(0)?.one();
    let channels = *one.get(1).ok_or("its input has no channels")?;
    if operands.shape(0)?.batch_axis() != 0 {
        return Err("its input does not begin with the images".to_owned());
    }
    let vector = |index| operands.constant(index, channels);
    let (scale, shift, mean, variance) = (vector(1)?, vector(2)?, vector(3)?, vector(4)?);
    let factor: Vec<f64> = scale
        .iter()
        .zip(&variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + norm.epsilon).sqrt())
        .collect();
    let offset = (0..channels)
        .map(|c| f64::from(shift[c]) - f64::from(mean[c]) * factor[c])
        .collect();
    Ok(Scale {
        axis: 1,
        factor,
        offset,
        after: None,
    })
}

/// Two activations, or one and a constant.
fn combination(operands: &Operands<'_>, operator: Binary) -> Result<Work, Refusal> {
    let output = operands.output()?;
    let constant = match &operands.node.inputs[..] {
        [Input::Value(_), Input::Value(_)] => None,
        [Input::Value(_), Input::Parameter(id)] => {
            Some((Side::Right, operands.tensor(operands.graph.parameter(*id))?))
        }
        [Input::Parameter(id), Input::Value(_)] => {
            Some((Side::Left, operands.tensor(operands.graph.parameter(*id))?))
        }
        _ => return Err("it has not two operands, one of them computed".to_owned()),
    };
    for index in 0..2 {
        if let Ok(shape) = operands.shape(index) {
            let (rank, full) = (shape.one().len(), output.one());
            let skip = full.len().checked_sub(rank);
            let counts = skip.is_some_and(|skip| {
                shape.batch_axis() + skip == output.batch_axis() && broadcasts(shape.one(), full)
            });
            if !counts {
                return Err(format!(
                    "{:?} does not spread over {:?}",
                    &shape.one()[..],
                    &full[..]
                ));
            }
        }
    }
    if let Some((side, tensor)) = &constant {
        // A constant for each image of a batch of fixed size is none of ours.
        let fits = broadcasts(&tensor.extents, output.one())
            && tensor
                .extents
                .aligned(output.one().len())
                .get(output.batch_axis())
                == Some(&1);
        if !fits {
            let extents = &tensor.extents[..];
            return Err(format!(
                "a constant of shape {extents:?} does not spread over its output"
            ));
        }
        if let Some(scale) = per_channel(operator, *side, tensor, output) {
            return Ok(Work::Scale(Box::new(scale)));
        }
    }
    Ok(Work::Binary(Box::new(Combination {
        operator,
        constant,
        after: None,
    })))
}

/// `x operator constant` as a scale and an offset a channel, where it is one.
fn per_channel(operator: Binary, side: Side, constant: &Tensor, output: &Shape) -> Option<Scale> {
    let [channels, ..] = output.image()?;
    let extents = constant.extents.aligned(4);
    let spread = match extents[..] {
        [1, 1, 1, 1] => vec![f64::from(*constant.values.first()?); channels],
        [1, c, 1, 1] if c == channels => constant.values.iter().map(|&v| f64::from(v)).collect(),
        _ => return None,
    };
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let negated = |values: &[f64]| values.iter().map(|v| -v).collect::<Vec<_>>();
    let (factor, offset) = match (operator, side) {
        (Binary::Add, _) => (ones, spread),
        (Binary::Sub, Side::Right) => (ones, negated(&spread)),
        (Binary::Sub, Side::Left) => (negated(&ones), spread),
        (Binary::Mul, _) => (spread, zeros),
        (Binary::Div, Side::Right) => (spread.iter().map(|v| 1.0 / v).collect(), zeros),
        _ => return None,
    };
    // Division by zero and the like keep their meaning, value by value.
    let finite = factor.iter().chain(&offset).all(|v| v.is_finite());
    finite.then_some(Scale {
        axis: 1,
        factor,
        offset,
        after: None,
    })
}

fn mean(input: &Shape, axes: &[usize]) -> Result<Work, Refusal> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    let first = *sorted.first().ok_or("it reduces nothing")?;
    let together = sorted
        .iter()
        .enumerate()
        .all(|(i, &axis)| axis == first + i);
    if !together || first + sorted.len() > input.one().len() {
        return Err(format!(
            "a mean over the axes {axes:?}, which are not neighbours"
        ));
    }
    if sorted.contains(&input.batch_axis()) {
        return Err("a mean over the images".to_owned());
    }
    Ok(Work::Mean {
        first,
        axes: sorted.len(),
    })
}

fn softmax(input: &Shape, axis: usize, log: bool) -> Result<Work, Refusal> {
    if axis >= input.one().len() {
        return Err(format!("axis {axis} of {} axes", input.one().len()));
    }
    not_over_images(input, axis)?;
    Ok(Work::Softmax { axis, log })
}

fn not_over_images(shape: &Shape, axis: usize) -> Result<(), Refusal> {
    if axis == shape.batch_axis() {
        return Err(format!("axis {axis} counts the images"));
    }
    Ok(())
}

/// Checks the output of a reduction of so many values to one.
fn reduced_count(input: &Shape, output: &Shape, by: usize) -> Result<(), Refusal> {
    if output.one().count().checked_mul(by) == Some(input.one().count()) {
        Ok(())
    } else {
        Err("its output has not one value for all that it reduces".to_owned())
    }
}

fn same_count(input: &Shape, output: &Shape) -> Result<(), Refusal> {
    if input.one().count() == output.one().count() {
        Ok(())
    } else {
        Err("its output has another number of values than its input".to_owned())
    }
}

fn last(shape: &Shape) -> usize {
    shape.one().last().copied().unwrap_or(1)
}

/// Whether `from`, aligned to the right, spreads over `to`.
fn broadcasts(from: &Extents, to: &Extents) -> bool {
    from.len() <= to.len()
        && from
            .iter()
            .rev()
            .zip(to.iter().rev())
            .all(|(&from, &to)| from == to || from == 1)
}
