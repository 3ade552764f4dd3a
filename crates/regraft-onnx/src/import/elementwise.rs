//! Elementwise functions of one and two operands, and softmax.

use onnx_ir::NodeProto;

use super::composed;
use super::importer::Importer;
use super::known::Known;
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Activation, Binary, Op};
use crate::ir::parameter::Role;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::{fault, unsupported};

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

/// Functions of two operands: two activations, or an activation and a constant.
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
        return match node.op_type.as_str() {
            "Sum" | "Max" | "Min" => composed::several(importer, node),
            _ => Err(fault(node, format!("has {} operands", node.input.len()))),
        };
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
        _ => Err(unsupported(node, "calculates with the batch size")),
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
pub(super) fn broadcast(node: &NodeProto, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Error> {
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
