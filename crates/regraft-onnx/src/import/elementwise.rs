//! Elementwise functions of one and two operands, and softmax.

use onnx_ir::NodeProto;

use super::constants::pairs;
use super::importer::Importer;
use super::known::{Extent, Known};
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Activation, Binary, Op};
use crate::ir::parameter::Role;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::Constant;

/// Functions of one activation.
pub(super) fn activation(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let function = match node.op_type.as_str() {
        "Relu" => Activation::Relu,
        "Clip" => clip(importer, node)?,
        "LeakyRelu" => Activation::LeakyRelu {
            alpha: attributes.float("alpha").unwrap_or(0.01),
        },
        "Elu" => Activation::Elu {
            alpha: attributes.float("alpha").unwrap_or(1.0),
        },
        "Sigmoid" => Activation::Sigmoid,
        "HardSigmoid" => Activation::HardSigmoid {
            alpha: attributes.float("alpha").unwrap_or(0.2),
            beta: attributes.float("beta").unwrap_or(0.5),
        },
        "HardSwish" => Activation::HardSwish,
        "Tanh" => Activation::Tanh,
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Erf" => Activation::Erf,
        "Gelu" => Activation::Gelu {
            tanh: attributes
                .string("approximate")
                .is_some_and(|a| a == "tanh"),
        },
        "Exp" => Activation::Exp,
        "Log" => Activation::Log,
        "Sqrt" => Activation::Sqrt,
        "Reciprocal" => Activation::Reciprocal,
        "Neg" => Activation::Neg,
        "Abs" => Activation::Abs,
        _ => return Err(fault(node, "is not an activation function")),
    };
    if let Some(constant) = importer.floats(node, 0)? {
        return on_constant(importer, node, function, &constant);
    }
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    importer.emit(
        node,
        0,
        Op::Activation(function),
        vec![Input::Value(input)],
        shape,
        0,
    )
}

/// A function of constants, as exporters write the scale of attention: computed here.
fn on_constant(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    function: Activation,
    constant: &Constant,
) -> Result<(), Error> {
    let compute: fn(f32) -> f32 = match function {
        Activation::Sqrt => f32::sqrt,
        Activation::Reciprocal => f32::recip,
        Activation::Neg => |x| -x,
        Activation::Abs => f32::abs,
        Activation::Exp => f32::exp,
        Activation::Log => f32::ln,
        _ => return Err(unsupported(node, "of a constant")),
    };
    let values = constant.to_floats().into_iter().map(compute).collect();
    importer.alias(node, Known::floats(constant.shape.clone(), values))
}

/// Two constants of which one at least holds fractions; the shorter one is a single number.
fn on_constants(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    operator: Binary,
) -> Result<(), Error> {
    let (Some(left), Some(right)) = (importer.floats(node, 0)?, importer.floats(node, 1)?) else {
        return Err(unsupported(node, "calculates with the batch size"));
    };
    let (a, b) = (left.to_floats(), right.to_floats());
    let (shape, count) = match (a.len(), b.len()) {
        (n, m) if n == m || m == 1 => (left.shape, n),
        (1, m) => (right.shape, m),
        _ => return Err(unsupported(node, "of constants of different shapes")),
    };
    let compute: fn(f32, f32) -> f32 = match operator {
        Binary::Add => |a, b| a + b,
        Binary::Sub => |a, b| a - b,
        Binary::Mul => |a, b| a * b,
        Binary::Div => |a, b| a / b,
        Binary::Pow => f32::powf,
        Binary::Max => f32::max,
        Binary::Min => f32::min,
    };
    let values = (0..count)
        .map(|index| compute(a[index % a.len()], b[index % b.len()]))
        .collect();
    importer.alias(node, Known::floats(shape, values))
}

/// Clip's bounds are attributes before opset 11, inputs from then on.
fn clip(importer: &mut Importer<'_>, node: &NodeProto) -> Result<Activation, Error> {
    let attributes = Attributes(node);
    let (min, max) = if importer.opset() < 11 {
        (attributes.float("min"), attributes.float("max"))
    } else {
        (importer.scalar(node, 1)?, importer.scalar(node, 2)?)
    };
    Ok(Activation::Clip {
        min: min.unwrap_or(f32::NEG_INFINITY),
        max: max.unwrap_or(f32::INFINITY),
    })
}

/// Functions of two operands: two activations, an activation and a constant, or two lists of extents.
pub(super) fn binary(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let operator = match node.op_type.as_str() {
        "Add" | "Sum" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Pow" => Binary::Pow,
        "Max" => Binary::Max,
        "Min" => Binary::Min,
        _ => return Err(fault(node, "is not an elementwise operator")),
    };
    if node.input.len() != 2 {
        return Err(unsupported(
            node,
            format!("{} operands; two are supported", node.input.len()),
        ));
    }
    let (left, right) = (importer.required(node, 0)?, importer.required(node, 1)?);
    match (&left, &right) {
        (Known::Activation(a), Known::Activation(b)) => {
            let shape = broadcast(node, importer.shape(*a), importer.shape(*b))?;
            importer.emit(
                node,
                0,
                Op::Binary(operator),
                vec![Input::Value(*a), Input::Value(*b)],
                shape,
                0,
            )
        }
        (Known::Activation(value), _) => with_constant(importer, node, operator, *value, 1),
        (_, Known::Activation(value)) => with_constant(importer, node, operator, *value, 0),
        (Known::Indices(indices), Known::Constant { constant, .. })
        | (Known::Constant { constant, .. }, Known::Indices(indices)) => {
            let combined = indices.combined(node, operator, constant)?;
            importer.alias(node, Known::Indices(combined))
        }
        _ if left.has_fractions() || right.has_fractions() => {
            on_constants(importer, node, operator)
        }
        _ => on_extents(importer, node, operator),
    }
}

fn with_constant(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    operator: Binary,
    value: ValueId,
    constant: usize,
) -> Result<(), Error> {
    let role = constant_role(importer, node, operator, value, constant)?;
    let parameter = importer
        .parameter(node, constant, role)?
        .ok_or_else(|| fault(node, format!("input {constant} is missing")))?;
    let other: Vec<Dim> = importer
        .parameter_shape(parameter)
        .iter()
        .map(|&n| Dim::Fixed(n))
        .collect();
    let shape = broadcast(node, importer.shape(value), &other)?;
    let operands = match constant {
        0 => vec![Input::Parameter(parameter), Input::Value(value)],
        _ => vec![Input::Value(value), Input::Parameter(parameter)],
    };
    importer.emit(node, 0, Op::Binary(operator), operands, shape, 0)
}

/// A vector that multiplies or is added behind the first layer is a folded normalisation or a bias, and trains;
/// single numbers and what comes before the first layer (preprocessing) stay as they are.
fn constant_role(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    operator: Binary,
    value: ValueId,
    constant: usize,
) -> Result<Role, Error> {
    let values = importer
        .constant(node, constant)?
        .map_or(0, |c| c.shape.iter().product());
    if values <= 1 || !importer.past_first_layer() {
        return Ok(Role::Constant);
    }
    let scaled = importer.producer(value).is_some_and(|before| {
        before.op == Op::Binary(Binary::Mul)
            && before
                .inputs
                .iter()
                .any(|i| matches!(i, Input::Parameter(_)))
    });
    Ok(match operator {
        Binary::Mul => Role::NormScale,
        Binary::Add if scaled => Role::NormShift,
        Binary::Add => Role::Bias,
        _ => Role::Constant,
    })
}

/// Shape arithmetic: computed here.
fn on_extents(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    operator: Binary,
) -> Result<(), Error> {
    let values = pairs(importer, node, 0, 1)?
        .into_iter()
        .map(|pair| {
            let combined = match (pair, operator) {
                ((Extent::Batch(a), Extent::Number(0)), Binary::Add | Binary::Sub) => {
                    Some(Extent::Batch(a))
                }
                ((Extent::Batch(a), Extent::Number(b)), Binary::Mul)
                | ((Extent::Number(a), Extent::Batch(b)), Binary::Mul) => {
                    a.checked_mul(b).map(Extent::Batch)
                }
                ((Extent::Batch(a), Extent::Number(b)), Binary::Div) => a
                    .checked_rem(b)
                    .filter(|&rest| rest == 0)
                    .map(|_| Extent::Batch(a / b)),
                ((Extent::Number(a), Extent::Number(b)), operator) => match operator {
                    Binary::Add => a.checked_add(b),
                    Binary::Sub => a.checked_sub(b),
                    Binary::Mul => a.checked_mul(b),
                    Binary::Div => a.checked_div(b),
                    Binary::Max => Some(a.max(b)),
                    Binary::Min => Some(a.min(b)),
                    Binary::Pow => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
                }
                .map(Extent::Number),
                _ => return Err(unsupported(node, "calculates with the batch size")),
            };
            combined.ok_or_else(|| fault(node, format!("{pair:?} cannot be combined")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    importer.alias(node, Known::Extents(values))
}

/// Softmax and LogSoftmax; before opset 13 they work on the input flattened from `axis` on.
pub(super) fn softmax(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let flattens = importer.opset() < 13;
    let axis = axis(
        node,
        Attributes(node)
            .int("axis")
            .unwrap_or(if flattens { 1 } else { -1 }),
        shape.len(),
    )?;
    if flattens && shape[axis + 1..].iter().any(|&dim| dim != Dim::Fixed(1)) {
        return Err(unsupported(
            node,
            format!("over several axes of {}", show(&shape)),
        ));
    }
    if matches!(shape[axis], Dim::Batch(_)) {
        return Err(unsupported(node, "over the batch"));
    }
    let op = match node.op_type.as_str() {
        "LogSoftmax" => Op::LogSoftmax { axis },
        _ => Op::Softmax { axis },
    };
    importer.emit(node, 0, op, vec![Input::Value(input)], shape, 0)
}

/// The shape of an elementwise result, aligned from the right.
fn broadcast(node: &NodeProto, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Error> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], index: usize| {
        (index + shape.len())
            .checked_sub(rank)
            .map_or(Dim::Fixed(1), |index| shape[index])
    };
    (0..rank)
        .map(|index| match (at(a, index), at(b, index)) {
            (x, y) if x == y => Ok(x),
            (x, Dim::Fixed(1)) => Ok(x),
            (Dim::Fixed(1), y) => Ok(y),
            _ => Err(fault(
                node,
                format!("shapes {} and {} do not broadcast", show(a), show(b)),
            )),
        })
        .collect()
}
