//! Operators that move values without computing: reshape, transpose, join, cut, pad.

use std::rc::Rc;

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use super::indices::Indices;
use super::known::Known;
use crate::error::Error;
use crate::file::derived;
use crate::file::evaluate::Extent;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::Op;
use crate::ir::parameter::Role;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::{Constant, ConstantData};

/// Reshape; the target is an attribute before opset 5, an input from then on.
pub(super) fn reshape(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let target = match attributes.ints("shape") {
        Some(shape) => shape.iter().map(|&n| Extent::Number(n)).collect(),
        None => importer
            .extents(node, 1)?
            .ok_or_else(|| fault(node, "its target shape is missing"))?,
    };
    let input = match importer.required(node, 0)? {
        Known::Activation(input) => input,
        Known::Constant {
            constant,
            initializer,
        } if matches!(constant.data, ConstantData::Floats(_)) => {
            return reshape_constant(importer, node, &constant, initializer, &target);
        }
        _ => return Err(unsupported(node, "reshapes numbers that hold the batch")),
    };
    let zero_copies = attributes.int("allowzero").unwrap_or(0) == 0;
    let from = importer.shape(input).to_vec();
    let batch = importer.fixed_batch.map(|batch| FixedBatch {
        batch,
        before: entries_before_batch(importer, input),
    });
    let shape = resolve(&from, &target, zero_copies, batch).ok_or_else(|| {
        fault(
            node,
            format!(
                "{} does not reshape to {}",
                show(&from),
                show_target(&target)
            ),
        )
    })?;
    emit_reshape(importer, node, input, shape)
}

/// A weight in another shape is the same values in the same order, so it stays the file's initializer.
fn reshape_constant(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    constant: &Constant,
    initializer: Option<String>,
    target: &[Extent],
) -> Result<(), Error> {
    let from: Vec<Dim> = constant.shape.iter().map(|&n| Dim::Fixed(n)).collect();
    let shape = resolve(&from, target, true, None).ok_or_else(|| {
        fault(
            node,
            format!(
                "{} does not reshape to {}",
                show(&from),
                show_target(target)
            ),
        )
    })?;
    let reshaped = Constant {
        shape: shape
            .iter()
            .map(|dim| if let Dim::Fixed(n) = dim { *n } else { 1 })
            .collect(),
        data: constant.data.clone(),
    };
    importer.alias(
        node,
        Known::Constant {
            constant: Rc::new(reshaped),
            initializer,
        },
    )
}

/// Expand of an activation or a weight to a shape, for every image.
pub(super) fn expand(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let target = importer
        .extents(node, 1)?
        .ok_or_else(|| fault(node, "its target shape is missing"))?;
    let (input, from) = match importer.required(node, 0)? {
        Known::Activation(id) => (Input::Value(id), importer.shape(id).to_vec()),
        Known::Constant { .. } => {
            let role = Role::Weight;
            let id = importer
                .parameter(node, 0, role)?
                .ok_or_else(|| fault(node, "its input is missing"))?;
            let shape = importer.parameter_shape(id).iter();
            (
                Input::Parameter(id),
                shape.map(|&n| Dim::Fixed(n)).collect(),
            )
        }
        _ => return Err(unsupported(node, "expanding a shape")),
    };
    let rank = from.len().max(target.len());
    // A weight that is repeated for the one batch a file was exported with is repeated for any.
    let fixed_batch = importer
        .fixed_batch
        .filter(|_| matches!(input, Input::Parameter(_)) && target.len() == rank);
    let fits = || {
        fault(
            node,
            format!(
                "{} does not expand to {}",
                show(&from),
                show_target(&target)
            ),
        )
    };
    let shape = (0..rank)
        .map(|index| {
            let own = (index + from.len())
                .checked_sub(rank)
                .map_or(Dim::Fixed(1), |index| from[index]);
            let asked = (index + target.len())
                .checked_sub(rank)
                .map_or(Extent::Number(1), |index| target[index]);
            match (own, asked) {
                (Dim::Fixed(1), Extent::Number(n)) if index == 0 && fixed_batch == Some(n) => {
                    Ok(Dim::Batch(1))
                }
                (own, Extent::Number(1 | -1)) => Ok(own),
                (Dim::Fixed(1), Extent::Batch(1)) => Ok(Dim::Batch(1)),
                (Dim::Batch(own), Extent::Batch(asked)) if own as i64 == asked => {
                    Ok(Dim::Batch(own))
                }
                (Dim::Fixed(own), Extent::Number(n)) if own == 1 || own as i64 == n => {
                    usize::try_from(n).map(Dim::Fixed).map_err(|_| fits())
                }
                _ => Err(fits()),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    match input {
        Input::Value(id) if importer.shape(id) == shape => {
            importer.alias(node, Known::Activation(id))
        }
        // A weight may lack the batch.
        _ if shape.iter().any(|dim| matches!(dim, Dim::Batch(_))) => {
            importer.emit(node, 0, Op::Expand, vec![input], shape, 0)
        }
        _ => super::fold::compute(importer, node).map(|_| ()),
    }
}

/// A batch that the file fixes, and how many entries of an image come before it in the value to be reshaped.
#[derive(Clone, Copy)]
struct FixedBatch {
    batch: i64,
    before: usize,
}

/// How many entries of an image come before the batch in row-major order.
fn entries_before_batch(importer: &Importer<'_>, value: ValueId) -> usize {
    let shape = importer.shape(value);
    let ahead = batch_axis(shape).and_then(|axis| per_image(&shape[..axis]));
    ahead.unwrap_or(0) * importer.before_batch(value)
}

fn batch_axis(shape: &[Dim]) -> Option<usize> {
    shape.iter().position(|dim| matches!(dim, Dim::Batch(_)))
}

/// The target shape for any batch; `None` where the counts cannot agree.
///
/// Where the target names no batch, the open extent is it; in a file with a fixed batch, the axis that holds the entries
/// which the batch lay among before.
fn resolve(
    from: &[Dim],
    target: &[Extent],
    zero_copies: bool,
    fixed: Option<FixedBatch>,
) -> Option<Vec<Dim>> {
    let total = per_image(from)?;
    let has_batch = batch_axis(from).is_some();
    let mut shape: Vec<Option<Dim>> = Vec::with_capacity(target.len());
    for (index, extent) in target.iter().enumerate() {
        shape.push(match extent {
            Extent::Batch(each) => Some(Dim::Batch(usize::try_from(*each).ok()?)),
            Extent::Number(0) if zero_copies => Some(*from.get(index)?),
            Extent::Number(-1) => None,
            Extent::Number(n) => Some(Dim::Fixed(usize::try_from(*n).ok()?)),
        });
    }
    let named = shape.iter().flatten().any(|d| matches!(d, Dim::Batch(_)));
    let mut open_is_batch = false;
    if has_batch && !named {
        let place = match fixed {
            None => shape.iter().position(Option::is_none)?,
            Some(FixedBatch { batch, before }) => {
                let batch = usize::try_from(batch).ok()?;
                let place = batch_place(&shape, before, batch)?;
                if let Some(Dim::Fixed(n)) = shape[place] {
                    shape[place] = Some(Dim::Batch(n / batch));
                }
                place
            }
        };
        open_is_batch = shape[place].is_none();
    }
    if shape.iter().any(Option::is_none) {
        let known: Vec<Dim> = shape.iter().flatten().copied().collect();
        let rest = total.checked_div(per_image(&known)?)?;
        let dim = if open_is_batch {
            Dim::Batch(rest)
        } else {
            Dim::Fixed(rest)
        };
        if let Some(open) = shape.iter_mut().find(|dim| dim.is_none()) {
            *open = Some(dim);
        }
    }
    let shape: Vec<Dim> = shape.into_iter().collect::<Option<_>>()?;
    let batches = shape.iter().filter(|d| matches!(d, Dim::Batch(_))).count();
    (per_image(&shape)? == total && batches == usize::from(has_batch)).then_some(shape)
}

/// Entries for every image; `None` where they cannot be counted.
fn per_image(shape: &[Dim]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |count, dim| count.checked_mul(dim.per_image()))
}

/// The axis of a target that holds the batch of a file that fixes it, where `before` entries preceded it so far.
///
/// The last axis holds features, so it comes second to an earlier one that the batch can be part of.
fn batch_place(target: &[Option<Dim>], before: usize, batch: usize) -> Option<usize> {
    let (mut passed, mut among) = (1usize, None);
    for (index, dim) in target.iter().enumerate() {
        let last = index + 1 == target.len();
        let Some(Dim::Fixed(n)) = dim else {
            return among.or((passed <= before).then_some(index));
        };
        if n.checked_rem(batch) == Some(0) {
            let reach = passed.checked_mul(n / batch)?;
            if passed == before && (!last || among.is_none()) {
                return Some(index);
            }
            if passed <= before && before <= reach && among.is_none() {
                among = Some(index);
            }
        }
        passed = passed.checked_mul(*n)?;
    }
    among
}

fn show_target(target: &[Extent]) -> String {
    let extents: Vec<String> = target
        .iter()
        .map(|extent| match extent {
            Extent::Batch(1) => "N".to_owned(),
            Extent::Batch(each) => format!("{each} N"),
            Extent::Number(n) => n.to_string(),
        })
        .collect();
    format!("[{}]", extents.join(", "))
}

/// A reshape that changes nothing leaves no node.
fn emit_reshape(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
    shape: Vec<Dim>,
) -> Result<(), Error> {
    if importer.shape(input) == shape {
        return importer.alias(node, Known::Activation(input));
    }
    let passed = batch_axis(&shape).and_then(|place| per_image(&shape[..place]));
    let before = entries_before_batch(importer, input).checked_div(passed.unwrap_or(0));
    importer.emit(node, 0, Op::Reshape, vec![Input::Value(input)], shape, 0)?;
    importer.last_merged(before.unwrap_or(1).max(1));
    Ok(())
}

/// Flatten to two dimensions.
pub(super) fn flatten(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let given = Attributes(node).int("axis").unwrap_or(1);
    let at = match given {
        at if at == shape.len() as i64 => shape.len(),
        at => axis(node, at, shape.len())?,
    };
    let product = |dims: &[Dim]| dims.iter().map(|dim| dim.per_image()).product::<usize>();
    let (Some(Dim::Batch(each)), true) = (shape.first(), at >= 1) else {
        return Err(unsupported(
            node,
            format!("flattening {} at axis {given}", show(&shape)),
        ));
    };
    let rows = Dim::Batch(each * product(&shape[1..at]));
    let columns = Dim::Fixed(product(&shape[at..]));
    emit_reshape(importer, node, input, vec![rows, columns])
}

/// Squeeze; axes are an attribute before opset 13, an input from then on.
pub(super) fn squeeze(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let mut given = axes(importer, node)?;
    // A file for one image may take the batch off at its end: here it stays.
    if importer.fixed_batch == Some(1)
        && let (Some(axes), Known::Activation(input)) = (&mut given, importer.required(node, 0)?)
    {
        let shape = importer.shape(input);
        let is_batch = |given: i64| {
            axis(node, given, shape.len()).is_ok_and(|axis| shape[axis] == Dim::Batch(1))
        };
        axes.retain(|&given| !is_batch(given));
    }
    rearrange(importer, node, |shape| squeezed(node, shape, given))
}

/// Unsqueeze; axes are an attribute before opset 13, an input from then on.
pub(super) fn unsqueeze(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let given = axes(importer, node)?.ok_or_else(|| fault(node, "its axes are missing"))?;
    if let Known::Indices(indices) = importer.required(node, 0)? {
        let spread = indices.unsqueezed(node, &given)?;
        return importer.alias(node, Known::Indices(spread));
    }
    rearrange(importer, node, |shape| unsqueezed(node, shape, &given))
}

/// Gives an activation or a weight the shape that `shaped` makes of its own; lists of whole numbers stay lists.
fn rearrange(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    shaped: impl FnOnce(&[Dim]) -> Result<Vec<Dim>, Error>,
) -> Result<(), Error> {
    match importer.required(node, 0)? {
        Known::Activation(input) => {
            let shape = shaped(importer.shape(input))?;
            emit_reshape(importer, node, input, shape)
        }
        Known::Constant {
            constant,
            initializer,
        } if matches!(constant.data, ConstantData::Floats(_)) => {
            let from: Vec<Dim> = constant.shape.iter().map(|&n| Dim::Fixed(n)).collect();
            let constant = Constant {
                shape: shaped(&from)?.into_iter().map(Dim::per_image).collect(),
                data: constant.data.clone(),
            };
            let constant = Rc::new(constant);
            importer.alias(
                node,
                Known::Constant {
                    constant,
                    initializer,
                },
            )
        }
        _ => Err(unsupported(
            node,
            "changes the shape of numbers that hold the batch",
        )),
    }
}

fn squeezed(node: &NodeProto, shape: &[Dim], given: Option<Vec<i64>>) -> Result<Vec<Dim>, Error> {
    let axes = match given {
        Some(axes) => axes
            .into_iter()
            .map(|a| axis(node, a, shape.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..shape.len())
            .filter(|&axis| shape[axis] == Dim::Fixed(1))
            .collect(),
    };
    if let Some(&wrong) = axes.iter().find(|&&axis| shape[axis] != Dim::Fixed(1)) {
        return Err(fault(
            node,
            format!("axis {wrong} of {} is not 1", show(shape)),
        ));
    }
    Ok((0..shape.len())
        .filter(|axis| !axes.contains(axis))
        .map(|axis| shape[axis])
        .collect())
}

fn unsqueezed(node: &NodeProto, shape: &[Dim], given: &[i64]) -> Result<Vec<Dim>, Error> {
    let rank = shape.len() + given.len();
    let axes = given
        .iter()
        .map(|&a| axis(node, a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mut old = shape.iter().copied();
    (0..rank)
        .map(|index| {
            if axes.contains(&index) {
                Some(Dim::Fixed(1))
            } else {
                old.next()
            }
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| fault(node, "an axis is named twice"))
}

fn axes(importer: &mut Importer<'_>, node: &NodeProto) -> Result<Option<Vec<i64>>, Error> {
    match Attributes(node).ints("axes") {
        Some(axes) => Ok(Some(axes.to_vec())),
        None => importer.integers(node, 1),
    }
}

/// Transpose.
pub(super) fn transpose(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = match importer.required(node, 0)? {
        Known::Activation(input) => input,
        Known::Constant {
            constant,
            initializer: Some(initializer),
        } if constant.shape.len() == 2
            && Attributes(node).ints("perm").is_none_or(|p| p == [1, 0]) =>
        {
            let turned = Known::TransposedMatrix {
                constant,
                initializer,
            };
            return importer.alias(node, turned);
        }
        Known::Constant { constant, .. } => {
            let perm = derived::permutation(node, constant.shape.len())?;
            let turned = derived::turned(node, &constant, &perm)?;
            importer.budget.spend(node, turned.len())?;
            let known = Known::Constant {
                constant: Rc::new(turned),
                initializer: importer.weight_output(node),
            };
            return importer.alias(node, known);
        }
        _ => return Err(unsupported(node, "transposes a list of numbers")),
    };
    let shape = importer.shape(input).to_vec();
    let perm = derived::permutation(node, shape.len())?;
    let moved = perm.iter().map(|&axis| shape[axis]).collect();
    importer.emit(
        node,
        0,
        Op::Transpose { perm },
        vec![Input::Value(input)],
        moved,
        0,
    )
}

/// Concat of activations, and of weights that are the same for every image, such as a class token.
pub(super) fn concat(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let count = node.input.len();
    if count == 0 {
        return Err(fault(node, "has no inputs"));
    }
    let inputs = (0..count)
        .map(|index| match importer.required(node, index)? {
            Known::Activation(id) => Ok(id),
            _ => for_every_image(importer, node, index),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut shape = importer.shape(inputs[0]).to_vec();
    let axis = axis(node, Attributes(node).int("axis").unwrap_or(1), shape.len())?;
    let mut extent = 0;
    for &input in &inputs {
        let other = importer.shape(input);
        let fits = other.len() == shape.len()
            && (0..shape.len()).all(|a| a == axis || other[a] == shape[a]);
        match (fits, other.get(axis)) {
            (true, Some(Dim::Fixed(n))) => extent += n,
            _ => {
                return Err(fault(
                    node,
                    format!(
                        "{} does not join {} along axis {axis}",
                        show(other),
                        show(&shape)
                    ),
                ));
            }
        }
    }
    shape[axis] = Dim::Fixed(extent);
    importer.emit(
        node,
        0,
        Op::Concat { axis },
        inputs.into_iter().map(Input::Value).collect(),
        shape,
        0,
    )
}

/// A weight `[1, …]` repeated for every image of the batch.
fn for_every_image(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    index: usize,
) -> Result<ValueId, Error> {
    let id = importer
        .parameter(node, index, Role::Weight)?
        .ok_or_else(|| fault(node, format!("input {index} is missing")))?;
    let own = importer.parameter_shape(id).to_vec();
    if own.len() < 2 || own[0] != 1 {
        return Err(unsupported(
            node,
            format!("joins a constant of shape {own:?}"),
        ));
    }
    let mut shape: Vec<Dim> = own.iter().map(|&n| Dim::Fixed(n)).collect();
    shape[0] = Dim::Batch(1);
    let step = format!("input{index}");
    importer.emit_step(node, &step, Op::Expand, vec![Input::Parameter(id)], shape)
}

/// Gather along an axis of an activation.
pub(super) fn gather(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let given = Attributes(node).int("axis").unwrap_or(0);
    if let (Known::Activation(input), Known::Indices(by_image), 0) = (
        importer.required(node, 0)?,
        importer.required(node, 1)?,
        given,
    ) {
        return gather_by_image(importer, node, input, &by_image);
    }
    let indices = importer
        .constant(node, 1)?
        .ok_or_else(|| fault(node, "its indices are missing"))?;
    let numbers = importer.integers(node, 1)?.unwrap_or_default();
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let axis_index = axis(node, given, shape.len())?;
    let Dim::Fixed(extent) = shape[axis_index] else {
        return Err(unsupported(node, "gathering images of the batch"));
    };
    let picked = numbers
        .iter()
        .map(|&number| axis(node, number, extent))
        .collect::<Result<Vec<_>, _>>()?;
    if let ([index], true) = (&picked[..], indices.shape.is_empty()) {
        let mut rest = shape;
        rest.remove(axis_index);
        let op = Op::Select {
            axis: axis_index,
            index: *index,
        };
        return importer.emit(node, 0, op, vec![Input::Value(input)], rest, 0);
    }
    let mut target = shape[..axis_index].to_vec();
    target.extend(indices.shape.iter().map(|&extent| Dim::Fixed(extent)));
    target.extend(&shape[axis_index + 1..]);
    let mut steps = Steps::new(importer, node);
    let value = steps.pick(input, axis_index, &picked)?;
    let value = steps.reshape(value, target)?;
    steps.end(value)
}

/// Gather by indices that count through a flattened batch: a reshape.
fn gather_by_image(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
    indices: &Indices,
) -> Result<(), Error> {
    let from = importer.shape(input).to_vec();
    let [Dim::Batch(each), rest @ ..] = from.as_slice() else {
        return Err(unsupported(
            node,
            "gathers by image from a value without a batch",
        ));
    };
    if !indices.count_through(*each) {
        return Err(unsupported(node, "gathers by computed indices"));
    }
    let mut shape = vec![Dim::Batch(1)];
    shape.extend(indices.shape().iter().map(|&extent| Dim::Fixed(extent)));
    shape.extend(rest);
    if shape == from {
        return importer.alias(node, Known::Activation(input));
    }
    importer.emit(node, 0, Op::Reshape, vec![Input::Value(input)], shape, 0)
}

/// Slice of an activation on any axes. Bounds are attributes before opset 10.
pub(super) fn slice(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let (starts, ends, axes, strides) = match (attributes.ints("starts"), attributes.ints("ends")) {
        (Some(starts), Some(ends)) => (
            starts.to_vec(),
            ends.to_vec(),
            attributes.ints("axes").map(<[i64]>::to_vec),
            None,
        ),
        _ => {
            let starts = importer
                .integers(node, 1)?
                .ok_or_else(|| fault(node, "its starts are missing"))?;
            let ends = importer
                .integers(node, 2)?
                .ok_or_else(|| fault(node, "its ends are missing"))?;
            (
                starts,
                ends,
                importer.integers(node, 3)?,
                importer.integers(node, 4)?,
            )
        }
    };
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let strides = strides.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || strides.len() != starts.len() {
        return Err(fault(node, "starts, ends, axes and steps differ in number"));
    }
    let input = importer.activation(node, 0)?;
    let mut steps = Steps::new(importer, node);
    let mut value = input;
    for index in 0..starts.len() {
        let shape = steps.importer.shape(value).to_vec();
        let along = axis(node, axes[index], shape.len())?;
        let Dim::Fixed(extent) = shape[along] else {
            if starts[index] == 0 && ends[index] >= i64::from(i32::MAX) && strides[index] == 1 {
                continue;
            }
            return Err(unsupported(node, "slicing the batch"));
        };
        if strides[index] < 0 {
            let picked = backwards(starts[index], ends[index], strides[index], extent);
            if picked.is_empty() {
                return Err(fault(node, format!("takes nothing of an axis of {extent}")));
            }
            value = steps.pick(value, along, &picked)?;
            continue;
        }
        let (start, end, step) = bounds(node, starts[index], ends[index], strides[index], extent)?;
        if (start, end, step) != (0, extent, 1) {
            value = steps.slice(value, along, start, end, step)?;
        }
    }
    steps.end(value)
}

/// The entries that a step backwards takes, in its order.
fn backwards(start: i64, end: i64, step: i64, extent: usize) -> Vec<usize> {
    let length = extent as i64;
    let from_left = |at: i64| {
        if at < 0 {
            at.saturating_add(length)
        } else {
            at
        }
    };
    let mut at = from_left(start).min(length - 1);
    let end = from_left(end).max(-1);
    let mut picked = Vec::new();
    while at > end && at >= 0 {
        picked.push(at as usize);
        at = at.saturating_add(step);
    }
    picked
}

#[allow(clippy::too_many_arguments)]
fn emit_slice(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    output: usize,
    input: ValueId,
    axis: usize,
    start: usize,
    end: usize,
    step: usize,
) -> Result<(), Error> {
    let mut shape = importer.shape(input).to_vec();
    shape[axis] = Dim::Fixed((end - start).div_ceil(step));
    importer.emit(
        node,
        output,
        Op::Slice {
            axis,
            start,
            end,
            step,
        },
        vec![Input::Value(input)],
        shape,
        0,
    )
}

/// Bounds on an axis of an activation, of which something must be left.
fn bounds(
    node: &NodeProto,
    start: i64,
    end: i64,
    step: i64,
    extent: usize,
) -> Result<(usize, usize, usize), Error> {
    let (start, end, step) = clamped(node, start, end, step, extent)?;
    if start == end {
        return Err(fault(node, format!("takes nothing of an axis of {extent}")));
    }
    Ok((start, end, step))
}

/// Python-like bounds on `extent` entries, the end never before the start; a backward step is not supported.
fn clamped(
    node: &NodeProto,
    start: i64,
    end: i64,
    step: i64,
    extent: usize,
) -> Result<(usize, usize, usize), Error> {
    let Some(step) = usize::try_from(step).ok().filter(|&step| step > 0) else {
        return Err(unsupported(node, format!("slicing with step {step}")));
    };
    let length = extent as i64;
    let clamp = |at: i64| {
        (if at < 0 {
            at.saturating_add(length)
        } else {
            at
        })
        .clamp(0, length) as usize
    };
    let start = clamp(start);
    Ok((start, clamp(end).max(start), step))
}

/// Split of an activation along an axis; sizes are an attribute before opset 13, an input from then on.
pub(super) fn split(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let axis = axis(node, attributes.int("axis").unwrap_or(0), shape.len())?;
    let Dim::Fixed(extent) = shape[axis] else {
        return Err(unsupported(node, "splitting the batch"));
    };
    let given = match attributes.ints("split") {
        Some(sizes) => Some(sizes.to_vec()),
        None => importer.integers(node, 1)?,
    };
    let sizes: Vec<usize> = match given {
        Some(sizes) => sizes
            .iter()
            .map(|&size| usize::try_from(size).unwrap_or(0))
            .collect(),
        None => {
            let parts = node.output.len().max(1);
            let part = extent.div_ceil(parts);
            (0..parts)
                .map(|index| part.min(extent.saturating_sub(index * part)))
                .collect()
        }
    };
    if sizes.len() != node.output.len()
        || sizes.contains(&0)
        || sizes.iter().map(|&size| size as u128).sum::<u128>() != extent as u128
    {
        return Err(fault(
            node,
            format!("parts {sizes:?} do not make up an axis of {extent}"),
        ));
    }
    let mut start = 0;
    for (index, size) in sizes.into_iter().enumerate() {
        emit_slice(importer, node, index, input, axis, start, start + size, 1)?;
        start += size;
    }
    Ok(())
}

/// Pad on any axes but the batch, in every mode; pads are an attribute before opset 11, an input from then on. Negative pads
/// cut.
pub(super) fn pad(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    /// Most entries that an axis grows by on a side.
    const MOST: i64 = 1 << 16;
    let attributes = Attributes(node);
    let mode = attributes
        .string("mode")
        .unwrap_or_else(|| "constant".to_owned());
    if !matches!(mode.as_str(), "constant" | "reflect" | "edge" | "wrap") {
        return Err(unsupported(node, format!("padding mode `{mode}`")));
    }
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let (pads, value) = match attributes.ints("pads") {
        Some(pads) => (pads.to_vec(), attributes.float("value").unwrap_or(0.0)),
        None => (
            importer
                .integers(node, 1)?
                .ok_or_else(|| fault(node, "its pads are missing"))?,
            importer.scalar(node, 2)?.unwrap_or(0.0),
        ),
    };
    let axes = match importer.integers(node, 3)? {
        Some(axes) => axes
            .into_iter()
            .map(|given| axis(node, given, shape.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..shape.len()).collect(),
    };
    if pads.len() != 2 * axes.len() || pads.iter().any(|pad| pad.abs() > MOST) {
        return Err(fault(node, format!("its pads are {pads:?}")));
    }
    let mut grown = vec![[0i64; 2]; shape.len()];
    for (index, &axis) in axes.iter().enumerate() {
        grown[axis] = [pads[index], pads[axes.len() + index]];
    }
    let mut steps = Steps::new(importer, node);
    let mut value_now = input;
    if let (&[Dim::Batch(1), Dim::Fixed(_), Dim::Fixed(_), Dim::Fixed(_)], "constant") =
        (&shape[..], mode.as_str())
        && let [[0, 0], [0, 0], [top, bottom], [left, right]] = grown[..]
        && [top, bottom, left, right].iter().all(|&pad| pad >= 0)
    {
        let pads = [top, left, bottom, right].map(|pad| pad as usize);
        if pads != [0; 4] {
            value_now = steps.pad(input, pads, value)?;
        }
        return steps.end(value_now);
    }
    for (along, [before, after]) in grown.into_iter().enumerate() {
        if [before, after] == [0, 0] {
            continue;
        }
        let Dim::Fixed(extent) = shape[along] else {
            return Err(unsupported(node, "padding the batch"));
        };
        value_now = match mode.as_str() {
            "constant" => steps.fill(value_now, along, [before, after], value)?,
            mode => {
                let extent = extent as i64;
                let at = |place: i64| match mode {
                    "edge" => place.clamp(0, extent - 1),
                    "wrap" => place.rem_euclid(extent),
                    _ if extent == 1 => 0,
                    _ => {
                        let period = 2 * (extent - 1);
                        let place = place.rem_euclid(period);
                        place.min(period - place)
                    }
                };
                let picked: Vec<usize> = (-before..extent + after)
                    .map(|place| at(place) as usize)
                    .collect();
                steps.pick(value_now, along, &picked)?
            }
        };
    }
    steps.end(value_now)
}
