//! Einsum of one and two operands: axes are put in order, summed, and multiplied as matrices.

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use super::known::Known;
use super::layers::linear_part;
use crate::error::Error;
use crate::ir::dim::Dim;
use crate::ir::ids::{ParameterId, ValueId};
use crate::ir::parameter::Role;
use crate::proto::attributes::Attributes;
use crate::proto::nodes::{fault, unsupported};

/// Einsum (ONNX operators, Einsum 12) of activations, or of an activation and a weight.
pub(super) fn einsum(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let equation = Attributes(node).string("equation").unwrap_or_default();
    let (operands, output) = parsed(importer, node, &equation)?;
    let known = (0..operands.len())
        .map(|index| importer.required(node, index))
        .collect::<Result<Vec<_>, _>>()?;
    match (&known[..], &operands[..]) {
        (&[Known::Activation(only)], [labels]) => {
            let mut steps = Steps::new(importer, node);
            let value = summed(&mut steps, only, labels, &output)?;
            let kept: Vec<char> = kept(labels, &output);
            let value = ordered(&mut steps, value, &kept, &output)?;
            steps.end(value)
        }
        (&[Known::Activation(left), Known::Activation(right)], [a, b]) => {
            let mut steps = Steps::new(importer, node);
            let value = of_activations(&mut steps, (left, a), (right, b), &output)?;
            steps.end(value)
        }
        ([Known::Activation(value), _], [labels, weight]) => {
            with_weight(importer, node, (*value, labels), (1, weight), &output)
        }
        ([_, Known::Activation(value)], [weight, labels]) => {
            with_weight(importer, node, (*value, labels), (0, weight), &output)
        }
        _ => Err(unsupported(
            node,
            format!("`{equation}`: one or two operands are supported"),
        )),
    }
}

/// The labels of every operand and of the output. The axes of an ellipsis are the letters A, B, … of their distance from the right.
fn parsed(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    equation: &str,
) -> Result<(Vec<Vec<char>>, Vec<char>), Error> {
    let refused = || unsupported(node, format!("`{equation}`"));
    let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (equation.as_str(), None),
    };
    // What an ellipsis stands for in an operand of a rank: none where there is none.
    let spread = |term: &str, extra: usize| -> Option<Vec<char>> {
        let dots: Vec<char> = (0..extra)
            .rev()
            .map(|from_right| char::from(b'A' + (from_right % 26) as u8))
            .collect();
        let labels: Vec<char> = match term.split_once("...") {
            Some((before, after)) => {
                let before: Vec<char> = before.chars().collect();
                [before, dots, after.chars().collect()].concat()
            }
            None => term.chars().collect(),
        };
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let plain = labels.iter().all(char::is_ascii_alphabetic);
        (plain && sorted.len() == labels.len()).then_some(labels)
    };
    let mut operands = Vec::new();
    let mut widest = 0;
    for (index, term) in inputs.split(',').enumerate() {
        let rank = match importer.required(node, index)? {
            Known::Activation(id) => importer.shape(id).len(),
            _ => importer
                .constant(node, index)?
                .map_or(0, |constant| constant.shape.len()),
        };
        let own = term.replace("...", "").chars().count();
        let extra = rank.checked_sub(own).ok_or_else(refused)?;
        if term.contains("...") {
            widest = widest.max(extra);
        }
        let labels = spread(term, extra).filter(|labels| labels.len() == rank);
        operands.push(labels.ok_or_else(refused)?);
    }
    if operands.len() != node.input.len() {
        return Err(refused());
    }
    let output = match output {
        Some(term) => spread(term, widest).ok_or_else(refused)?,
        None => {
            let all: Vec<char> = operands.concat();
            let mut once: Vec<char> = all.clone();
            once.retain(|label| all.iter().filter(|other| *other == label).count() == 1);
            once.sort_unstable();
            once
        }
    };
    if output
        .iter()
        .any(|label| !operands.concat().contains(label))
    {
        return Err(refused());
    }
    Ok((operands, output))
}

fn kept(labels: &[char], wanted: &[char]) -> Vec<char> {
    let kept = labels.iter().copied();
    kept.filter(|label| wanted.contains(label)).collect()
}

/// `value` less the axes that nobody wants any more, which are summed.
fn summed(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    labels: &[char],
    wanted: &[char],
) -> Result<ValueId, Error> {
    let axes: Vec<usize> = (0..labels.len())
        .filter(|&axis| !wanted.contains(&labels[axis]))
        .collect();
    if axes.is_empty() {
        return Ok(value);
    }
    let shape = steps.shape(value);
    if axes
        .iter()
        .any(|&axis| matches!(shape[axis], Dim::Batch(_)))
    {
        return Err(unsupported(steps.node, "sums over the batch"));
    }
    let value = steps.sum(value, &axes)?;
    let left = (0..labels.len()).filter(|axis| !axes.contains(axis));
    steps.reshape(value, left.map(|axis| shape[axis]).collect())
}

/// `value` with its axes in the order of `to`.
fn ordered(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    from: &[char],
    to: &[char],
) -> Result<ValueId, Error> {
    let place = |label: &char| from.iter().position(|other| other == label);
    let perm: Option<Vec<usize>> = to.iter().map(place).collect();
    let perm = perm.filter(|perm| perm.len() == from.len());
    let perm = perm.ok_or_else(|| fault(steps.node, "its equation does not fit its operands"))?;
    steps.transpose(value, &perm)
}

/// Extents of `labels`, one of which may be the batch.
fn merged(shape: &[Dim]) -> usize {
    shape.iter().map(|dim| dim.per_image()).product()
}

fn of_activations(
    steps: &mut Steps<'_, '_, '_>,
    (left, a): (ValueId, &[char]),
    (right, b): (ValueId, &[char]),
    output: &[char],
) -> Result<ValueId, Error> {
    let left_wants = [output, b].concat();
    let left = summed(steps, left, a, &left_wants)?;
    let a = kept(a, &left_wants);
    let right_wants = [output, &a].concat();
    let right = summed(steps, right, b, &right_wants)?;
    let b = kept(b, &right_wants);
    let of = |keep: &dyn Fn(char) -> bool, labels: &[char]| -> Vec<char> {
        labels
            .iter()
            .copied()
            .filter(|&label| keep(label))
            .collect()
    };
    let shared = of(&|label| b.contains(&label) && output.contains(&label), &a);
    let inner = of(&|label| b.contains(&label) && !output.contains(&label), &a);
    let rows = of(&|label| !b.contains(&label), &a);
    let columns = of(&|label| !a.contains(&label), &b);
    let left = ordered(steps, left, &a, &[&shared[..], &rows, &inner].concat())?;
    let right = ordered(steps, right, &b, &[&shared[..], &inner, &columns].concat())?;
    let (from_left, from_right) = (steps.shape(left), steps.shape(right));
    let (ahead, row_count) = from_left.split_at(shared.len());
    let (row_dims, inner_dims) = row_count.split_at(rows.len());
    let column_dims = &from_right[shared.len() + inner.len()..];
    let matrix = |rows: &[Dim], columns: &[Dim]| {
        let mut shape = ahead.to_vec();
        shape.extend([Dim::Fixed(merged(rows)), Dim::Fixed(merged(columns))]);
        shape
    };
    let batch = |dims: &[Dim]| dims.iter().any(|dim| matches!(dim, Dim::Batch(_)));
    if !batch(ahead) {
        return Err(unsupported(steps.node, "multiplies images with each other"));
    }
    let left = steps.reshape(left, matrix(row_dims, inner_dims))?;
    let right = steps.reshape(right, matrix(inner_dims, column_dims))?;
    let value = steps.product(left, right)?;
    let value = steps.reshape(value, [ahead, row_dims, column_dims].concat())?;
    ordered(
        steps,
        value,
        &[&shared[..], &rows, &columns].concat(),
        output,
    )
}

/// An activation and a weight that have only summed axes in common, which lie together in the weight: a linear layer. Any other
/// weight is repeated for every image.
fn with_weight(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    (value, labels): (ValueId, &[char]),
    (index, weight): (usize, &[char]),
    output: &[char],
) -> Result<(), Error> {
    let constant = importer
        .constant(node, index)?
        .ok_or_else(|| fault(node, format!("input {index} is missing")))?;
    let inner: Vec<char> = weight
        .iter()
        .copied()
        .filter(|label| labels.contains(label) && !output.contains(label))
        .collect();
    let outer = kept(weight, output);
    let is_linear = outer.iter().all(|label| !labels.contains(label))
        && inner.len() + outer.len() == weight.len()
        && !inner.is_empty()
        && !outer.is_empty();
    let inner_first = weight.starts_with(&inner);
    if is_linear && (inner_first || weight.ends_with(&inner)) {
        let count = |labels: &[char]| -> usize {
            let extents = labels.iter().filter_map(|label| {
                let place = weight.iter().position(|other| other == label)?;
                constant.shape.get(place)
            });
            extents.product()
        };
        let (inputs, outputs) = (count(&inner), count(&outer));
        let shape = match inner_first {
            true => [inputs, outputs],
            false => [outputs, inputs],
        };
        let parameter: ParameterId = importer.parameter_as(node, index, Role::Weight, &shape)?;
        let wants = [output, &inner].concat();
        let mut steps = Steps::new(importer, node);
        let value = summed(&mut steps, value, labels, &wants)?;
        let labels = kept(labels, &wants);
        let rows: Vec<char> = labels
            .iter()
            .copied()
            .filter(|label| !inner.contains(label))
            .collect();
        let value = ordered(&mut steps, value, &labels, &[&rows[..], &inner].concat())?;
        let mut shape = steps.shape(value);
        shape.truncate(rows.len());
        let mut target = shape.clone();
        shape.push(Dim::Fixed(inputs));
        let value = steps.reshape(value, shape)?;
        let part = linear_part(steps.importer, node, value, parameter, None, !inner_first)?;
        let value = steps.layer(part)?;
        target.extend(outer.iter().filter_map(|label| {
            let place = weight.iter().position(|other| other == label)?;
            constant.shape.get(place).map(|&extent| Dim::Fixed(extent))
        }));
        let value = steps.reshape(value, target)?;
        let value = ordered(&mut steps, value, &[&rows[..], &outer].concat(), output)?;
        return steps.end(value);
    }
    // The images are an axis of the activation that the weight lacks: it gets it.
    let shape = importer.shape(value).to_vec();
    let images = shape.iter().position(|dim| *dim == Dim::Batch(1));
    let label = images.map(|axis| labels[axis]);
    let Some(label) = label.filter(|label| !weight.contains(label)) else {
        return Err(unsupported(node, "multiplies a weight with the batch"));
    };
    let mut own = vec![1];
    own.extend(&constant.shape);
    let repeated = [&[label], weight].concat();
    let mut steps = Steps::new(importer, node);
    let parameter = steps.weight_for_every_image(index, Role::Weight, &own)?;
    let (left, right) = match index {
        1 => ((value, labels), (parameter, &repeated[..])),
        _ => ((parameter, &repeated[..]), (value, labels)),
    };
    let value = of_activations(&mut steps, left, right, output)?;
    steps.end(value)
}
