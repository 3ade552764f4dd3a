//! Nodes whose operands are all constant: computed while importing, they leave no node.

use std::rc::Rc;

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::known::Known;
use crate::error::Error;
use crate::file::derived;
use crate::file::evaluate::{self, Data, Extent, Tensor};
use crate::proto::attributes::Attributes;
use crate::proto::element;
use crate::proto::tensor::{self, Constant, ConstantData};
use crate::proto::weights::Weights;

/// Computes the node where its operands are constant; false where it has to be imported.
///
/// What is made of weights is a weight: it goes by the name of the node's output, and is written in the node's place.
pub(super) fn fold(importer: &mut Importer<'_>, node: &NodeProto) -> Result<bool, Error> {
    if !evaluate::knows(node) || node.input.is_empty() {
        return Ok(false);
    }
    if node.op_type == "ConstantOfShape" && repeated(importer, node)? {
        return Ok(true);
    }
    let mut known = Vec::with_capacity(node.input.len());
    for index in 0..node.input.len() {
        let operand = importer.operand(node, index)?;
        if operand
            .as_ref()
            .is_some_and(|operand| !operand.is_constant())
        {
            return Ok(false);
        }
        known.push(operand);
    }
    if matches!(known.first(), Some(Some(first)) if stays(node, first)) {
        return Ok(false);
    }
    of_known(importer, node, &known)
}

/// Computes the node, of which a weight may be made that is none yet.
pub(super) fn compute(importer: &mut Importer<'_>, node: &NodeProto) -> Result<bool, Error> {
    let mut known = Vec::with_capacity(node.input.len());
    for index in 0..node.input.len() {
        known.push(importer.operand(node, index)?);
    }
    of_known(importer, node, &known)
}

fn of_known(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    known: &[Option<Known>],
) -> Result<bool, Error> {
    let (mut holds_batch, mut made_of_weights) = (false, false);
    let mut operands = Vec::with_capacity(known.len());
    for operand in known {
        operands.push(match operand {
            Some(Known::Constant {
                constant,
                initializer,
            }) => {
                let floats = matches!(constant.data, ConstantData::Floats(_));
                if let ConstantData::Floats(values) = &constant.data
                    && values.are_repeated()
                {
                    importer.budget.spend(node, values.len())?;
                }
                made_of_weights |= floats && initializer.is_some();
                Some(Tensor::from(&**constant))
            }
            Some(Known::TransposedMatrix { constant, .. }) => {
                made_of_weights = true;
                Some(Tensor::from(&derived::turned(node, constant, &[1, 0])?))
            }
            Some(Known::Numbers(numbers)) => {
                holds_batch = true;
                Some((**numbers).clone())
            }
            _ => None,
        });
    }
    let opset = importer.opset();
    let whole = operands
        .first()
        .is_some_and(|first| first.as_ref().is_some_and(|first| !first.has_fractions()));
    if holds_batch && whole && matches!(node.op_type.as_str(), "ConstantOfShape" | "Expand") {
        // The same for every image: one image's spreads over the batch wherever it meets what depends on the image.
        for operand in operands.iter_mut().flatten() {
            for_one_image(operand);
        }
    }
    let outputs = match evaluate::evaluate(node, opset, &operands, &mut importer.budget) {
        Some(Ok(outputs)) => outputs,
        // What has no number may still have a meaning for every image.
        Some(Err(_)) if holds_batch && matches!(node.op_type.as_str(), "Expand" | "Range") => {
            return Ok(false);
        }
        Some(Err(error)) => return Err(error),
        None => return Ok(false),
    };
    for (index, tensor) in outputs.into_iter().enumerate() {
        let Some(output) = node.output.get(index).filter(|name| !name.is_empty()) else {
            continue;
        };
        let is_weight = made_of_weights && tensor.has_fractions() && tensor.len() > 1;
        let weight = is_weight && importer.model.is_derived(output);
        let known = match Known::from(tensor) {
            Known::Constant { constant, .. } => Known::Constant {
                constant,
                initializer: weight.then(|| output.clone()),
            },
            other => other,
        };
        importer.define(node, output.clone(), known)?;
    }
    Ok(true)
}

/// A long ConstantOfShape of floats, kept as its value and its length: files without weights are made of such.
fn repeated(importer: &mut Importer<'_>, node: &NodeProto) -> Result<bool, Error> {
    /// Shorter ones are computed like any constant.
    const LONG: usize = 1 << 12;
    let value = match Attributes(node).tensor("value").map(tensor::constant) {
        None => 0.0,
        Some(value) => match value?.data {
            ConstantData::Floats(values) if values.len() == 1 => values[0],
            _ => return Ok(false),
        },
    };
    let lengths = importer.extents(node, 0)?.unwrap_or_default();
    let shape = lengths.iter().map(|length| match length {
        Extent::Number(number) => usize::try_from(*number).ok(),
        Extent::Batch(_) => None,
    });
    let Some(shape) = shape.collect::<Option<Vec<usize>>>() else {
        return Ok(false);
    };
    let count = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    let Some(count) = count.filter(|&count| count >= LONG) else {
        return Ok(false);
    };
    importer.repeated.spend(node, count)?;
    let constant = Constant {
        shape,
        data: ConstantData::Floats(Weights::repeated(value, count)),
    };
    let known = Known::Constant {
        constant: Rc::new(constant),
        initializer: None,
    };
    importer.alias(node, known)?;
    Ok(true)
}

fn for_one_image(sizes: &mut Tensor) {
    if let Data::Whole(extents) = &mut sizes.data {
        for extent in extents {
            if *extent == Extent::Batch(1) {
                *extent = Extent::Number(1);
            }
        }
    }
}

/// Whether the node only gives a weight another shape or name: it stays the initializer that it is, or one repeated number.
fn stays(node: &NodeProto, operand: &Known) -> bool {
    let is_weight = match operand {
        Known::Constant {
            constant,
            initializer,
        } => match &constant.data {
            ConstantData::Floats(values) => initializer.is_some() || values.are_repeated(),
            ConstantData::Integers(_) => false,
        },
        Known::TransposedMatrix { .. } => true,
        _ => false,
    };
    is_weight
        && match node.op_type.as_str() {
            "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "Expand" => true,
            "Cast" => {
                let to = Attributes(node).int("to").unwrap_or_default();
                i32::try_from(to).is_ok_and(element::is_float)
            }
            _ => false,
        }
}
