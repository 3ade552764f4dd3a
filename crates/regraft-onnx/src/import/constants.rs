//! Constants, shape queries, and operators that are the identity here.

use std::rc::Rc;

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::indices::Indices;
use super::known::Known;
use super::names;
use crate::error::Error;
use crate::file::evaluate::{Data, Extent, Tensor};
use crate::ir::dim::Dim;
use crate::proto::attributes::Attributes;
use crate::proto::element;
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::{self, ConstantData};

/// Constant, with whichever attribute holds its value.
pub(super) fn constant(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let constant = tensor::of_constant_node(node)?
        .ok_or_else(|| unsupported(node, "a constant that is neither floats nor whole numbers"))?;
    importer.budget.spend(node, constant.len())?;
    importer.alias(
        node,
        Known::Constant {
            constant: Rc::new(constant),
            initializer: importer.weight_output(node),
        },
    )
}

/// DequantizeLinear of initializers: a weight.
pub(super) fn dequantize(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let output = node.output.first().map_or("", String::as_str);
    let constant = importer.model.constant(output)?;
    let constant = constant.ok_or_else(|| fault(node, "its input is missing"))?;
    importer.budget.spend(node, constant.len())?;
    importer.alias(
        node,
        Known::Constant {
            constant: Rc::new(constant),
            initializer: importer.weight_output(node),
        },
    )
}

/// Shape of an activation, with the batch symbolic.
pub(super) fn shape(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let input = importer.activation(node, 0)?;
    let dims = importer.shape(input).iter().map(|dim| match dim {
        Dim::Batch(each) => Extent::Batch(*each as i64),
        Dim::Fixed(extent) => Extent::Number(*extent as i64),
    });
    let extents: Vec<Extent> = dims.collect();
    let rank = extents.len() as i64;
    let bound =
        |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let start = bound(attributes.int("start").unwrap_or(0));
    let end = bound(attributes.int("end").unwrap_or(rank)).max(start);
    let extents = Tensor {
        shape: vec![end - start],
        data: Data::Whole(extents[start..end].to_vec()),
    };
    importer.alias(node, extents.into())
}

/// Identity and Dropout: the output is another name for the input.
pub(super) fn pass(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let source = importer.required(node, 0)?;
    let known = unmerged(importer, node, &source).unwrap_or(source);
    importer.alias(node, known)
}

/// The weight of its own that an Identity of `source` is; `None` where it is only another name.
///
/// PyTorch's exporter merges initializers of equal values and leaves an Identity under each other parameter's name. Those that
/// only start alike (all ones, all zeros) are no tied weights.
fn unmerged(importer: &Importer<'_>, node: &NodeProto, source: &Known) -> Option<Known> {
    let Known::Constant {
        constant,
        initializer: Some(_),
    } = source
    else {
        return None;
    };
    let ConstantData::Floats(values) = &constant.data else {
        return None;
    };
    let output = importer
        .weight_output(node)
        .filter(|name| node.op_type == "Identity" && names::is_dotted_path(name))?;
    let values = values.to_vec();
    values
        .windows(2)
        .all(|pair| pair[0] == pair[1])
        .then(|| Known::Constant {
            constant: Rc::clone(constant),
            initializer: Some(output),
        })
}

/// Cast of an activation, which stays `f32`, and of a weight to another float.
pub(super) fn cast(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let to = Attributes(node)
        .int("to")
        .unwrap_or(i64::from(element::FLOAT));
    let source = importer.required(node, 0)?;
    // Halves and doubles are computed with as singles.
    let is_float = i32::try_from(to).is_ok_and(element::is_float);
    if matches!(source, Known::Activation(_)) && !is_float {
        return Err(unsupported(
            node,
            format!("casting an activation to element type {to}"),
        ));
    }
    importer.alias(node, source)
}

/// Range over the batch: the positions of the images.
pub(super) fn range(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let over_batch = importer.extents(node, 1)?.as_deref() == Some(&[Extent::Batch(1)]);
    match (
        over_batch,
        importer.integers(node, 0)?.as_deref(),
        importer.integers(node, 2)?.as_deref(),
    ) {
        (true, Some([0]), Some([1])) => importer.alias(node, Known::Indices(Indices::positions())),
        _ => Err(unsupported(
            node,
            "a range over the batch from other than 0 or in steps",
        )),
    }
}
