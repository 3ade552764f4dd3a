//! Resize and Upsample of an activation: one product with a fixed matrix an axis.

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use super::layers::Part;
use crate::error::Error;
use crate::file::evaluate::{Extent, Size, resize_operands, resized_axes};
use crate::ir::dim::Dim;
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Linear, Op};
use crate::proto::attributes::Attributes;
use crate::proto::nodes::fault;
use crate::proto::tensor::ConstantData;

/// Resize, opsets 10 to 19, and Upsample, opsets 7 to 9, by any mode but cropping.
pub(super) fn resize(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let opset = importer.opset();
    let extents: Vec<Option<usize>> = importer
        .shape(input)
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(extent) => Some(*extent),
            Dim::Batch(_) => None,
        })
        .collect();
    let size = size(importer, node, opset)?;
    let axes = resized_axes(node, opset, &extents, &size)?;
    let mut steps = Steps::new(importer, node);
    let mut value = input;
    for axis in axes {
        let to = axis.entries.len();
        value = along(
            &mut steps,
            value,
            axis.along,
            [axis.from, to],
            axis.matrix(),
        )?;
    }
    steps.end(value)
}

/// What the node is told about the size of its result.
fn size(importer: &mut Importer<'_>, node: &NodeProto, opset: i64) -> Result<Size, Error> {
    let (scales, sizes) = resize_operands(node, opset);
    if let Some(sizes) = sizes
        && let Some(sizes) = importer.extents(node, sizes)?
    {
        let numbers = sizes.into_iter().map(|extent| match extent {
            Extent::Number(number) => number,
            // That of the batch, which stays.
            Extent::Batch(_) => 0,
        });
        return Ok(Size::Extents(numbers.collect()));
    }
    if let Some(constant) = importer.constant(node, scales)?
        && let ConstantData::Floats(scales) = &constant.data
        && !scales.is_empty()
    {
        return Ok(Size::Scales(scales.to_vec()));
    }
    match Attributes(node).floats("scales") {
        Some(scales) => Ok(Size::Scales(scales.to_vec())),
        None => Err(fault(node, "its sizes are missing")),
    }
}

/// The product of an axis with a fixed matrix `[from, to]`.
fn along(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    axis: usize,
    [from, to]: [usize; 2],
    matrix: Vec<f32>,
) -> Result<ValueId, Error> {
    let rank = steps.shape(value).len();
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(axis, rank - 1);
    let turned = steps.transpose(value, &perm)?;
    let matrix = steps.numbers(vec![from, to], matrix);
    let mut shape = steps.shape(turned);
    let rows: usize = shape[..rank - 1]
        .iter()
        .map(|dim| dim.per_image())
        .product();
    shape[rank - 1] = Dim::Fixed(to);
    let product = steps.layer(Part {
        op: Op::Linear(Linear {
            weight_transposed: false,
        }),
        inputs: vec![Input::Value(turned), matrix],
        shape,
        macs: (rows * from) as u64 * to as u64,
    })?;
    steps.transpose(product, &perm)
}
