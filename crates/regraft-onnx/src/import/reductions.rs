//! Sums, norms and extremes over axes of an activation.

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use super::known::Known;
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Activation, Binary, Op};
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::unsupported;

/// The axes that a reduction names, in order: an attribute in older operator sets, an input in newer ones.
pub(super) fn reduced_axes(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    shape: &[Dim],
) -> Result<Vec<usize>, Error> {
    let attributes = Attributes(node);
    let given = match attributes.ints("axes") {
        Some(axes) => Some(axes.to_vec()),
        None => importer.integers(node, 1)?,
    };
    let mut axes = given
        .filter(|axes| !axes.is_empty())
        .ok_or_else(|| unsupported(node, "over every axis, the batch too"))?
        .into_iter()
        .map(|a| axis(node, a, shape.len()))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    if axes.iter().any(|&a| matches!(shape[a], Dim::Batch(_))) {
        return Err(unsupported(node, "over the batch"));
    }
    Ok(axes)
}

/// ReduceSum, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp: means times how many there are; ReduceMax
/// and ReduceMin: pools.
pub(super) fn reduce(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let attributes = Attributes(node);
    let named = match attributes.ints("axes") {
        Some(axes) => !axes.is_empty(),
        None => importer
            .integers(node, 1)?
            .is_some_and(|axes| !axes.is_empty()),
    };
    if !named && attributes.int("noop_with_empty_axes").unwrap_or(0) != 0 {
        return importer.alias(node, Known::Activation(input));
    }
    let axes = reduced_axes(importer, node, &shape)?;
    let keeps = attributes.int("keepdims").unwrap_or(1) != 0;
    let mut steps = Steps::new(importer, node);
    let operator = node.op_type.as_str();
    let value = match operator {
        "ReduceMax" | "ReduceMin" => extreme(&mut steps, input, &axes, operator == "ReduceMin")?,
        _ => summed(&mut steps, input, &axes, operator)?,
    };
    let value = match keeps {
        true => value,
        false => {
            let kept = shape.iter().enumerate();
            let kept = kept.filter(|(axis, _)| !axes.contains(axis));
            steps.reshape(value, kept.map(|(_, dim)| *dim).collect())?
        }
    };
    steps.end(value)
}

/// A sum of what the operator makes of each value, and what it makes of the sum; the axes stay with extent 1.
fn summed(
    steps: &mut Steps<'_, '_, '_>,
    input: ValueId,
    axes: &[usize],
    operator: &str,
) -> Result<ValueId, Error> {
    let terms = match operator {
        "ReduceL1" => steps.function(Activation::Abs, input)?,
        "ReduceL2" | "ReduceSumSquare" => {
            steps.combine(Binary::Mul, Input::Value(input), Input::Value(input))?
        }
        "ReduceLogSumExp" => steps.function(Activation::Exp, input)?,
        _ => input,
    };
    let sum = steps.sum(terms, axes)?;
    match operator {
        "ReduceL2" => steps.function(Activation::Sqrt, sum),
        "ReduceLogSum" | "ReduceLogSumExp" => steps.function(Activation::Log, sum),
        _ => Ok(sum),
    }
}

/// The largest over axes, or the smallest, the axes with extent 1: a pool over images whose columns are what is reduced.
fn extreme(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    axes: &[usize],
    smallest: bool,
) -> Result<ValueId, Error> {
    let shape = steps.shape(value);
    let kept: Vec<usize> = (0..shape.len())
        .filter(|axis| !axes.contains(axis))
        .collect();
    let Some((&Dim::Batch(each), rest)) = kept.first().map(|&first| (&shape[first], &kept[1..]))
    else {
        return Err(unsupported(
            steps.node,
            format!("over {} of {}", axes.len(), show(&shape)),
        ));
    };
    let count = |axes: &[usize]| -> usize {
        let extents = axes.iter().map(|&axis| shape[axis].per_image());
        extents.product()
    };
    let (places, reduced) = (count(rest), count(axes));
    let value = match smallest {
        true => steps.function(Activation::Neg, value)?,
        false => value,
    };
    let value = steps.transpose(value, &[&kept[..], axes].concat())?;
    let seen = [
        Dim::Batch(each),
        Dim::Fixed(places),
        Dim::Fixed(1),
        Dim::Fixed(reduced),
    ];
    let value = steps.reshape(value, seen.to_vec())?;
    let pooled = vec![
        Dim::Batch(each),
        Dim::Fixed(places),
        Dim::Fixed(1),
        Dim::Fixed(1),
    ];
    let value = steps.step(Op::GlobalMaxPool, vec![Input::Value(value)], pooled)?;
    let value = match smallest {
        true => steps.function(Activation::Neg, value)?,
        false => value,
    };
    let mut target = shape;
    for &axis in axes {
        target[axis] = Dim::Fixed(1);
    }
    steps.reshape(value, target)
}
