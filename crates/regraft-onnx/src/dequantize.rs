//! Weights stored in eight bits: a DequantizeLinear of initializers stands for a float weight of the name of its output.
//!
//! Such a file is as it was while the weight stays frozen. A trained weight is written as a float initializer of that
//! name, in the place of the node.

use onnx_ir::{GraphProto, NodeProto, TensorProto};

use crate::attributes::{Attributes, fault};
use crate::error::Error;
use crate::model::Model;
use crate::tensor::{self, Constant, ConstantData};
use crate::weights::Weights;

/// Whether the node turns initializers into a weight.
pub(crate) fn is_weight(model: &Model, node: &NodeProto) -> bool {
    node.op_type == "DequantizeLinear"
        && matches!(node.domain.as_str(), "" | "ai.onnx")
        && node.output.len() == 1
        && (2..=3).contains(&node.input.len())
        && node
            .input
            .iter()
            .all(|name| name.is_empty() || model.initializer(name).is_some())
}

/// The weight that the node computes: `(stored - zero point) * scale`, for the whole tensor or each index of one axis
/// (ONNX operators, DequantizeLinear 10 to 23).
pub(crate) fn weight(model: &Model, node: &NodeProto) -> Result<Constant, Error> {
    let attributes = Attributes(node);
    if attributes.int("block_size").unwrap_or(0) != 0 {
        return Err(fault(
            node,
            "has scales for blocks, which are not supported",
        ));
    }
    let operand = |index: usize| {
        node.input
            .get(index)
            .filter(|name| !name.is_empty())
            .and_then(|name| model.initializer(name))
    };
    let missing = |what: &str| fault(node, format!("its {what} is missing"));
    let scale = operand(1).ok_or_else(|| missing("scale"))?;
    let scales = tensor::weights(scale)?;
    let (shape, stored) = whole(node, operand(0).ok_or_else(|| missing("input"))?)?;
    let zeros = match operand(2) {
        None => vec![0; scales.len()],
        Some(zero_point) => match whole(node, zero_point)? {
            (_, zeros) if zeros.len() == scales.len() => zeros,
            _ => {
                return Err(fault(
                    node,
                    format!(
                        "its zero point has shape {:?}, its scale {:?}",
                        zero_point.dims, scale.dims
                    ),
                ));
            }
        },
    };
    let run = run_length(&attributes, scale, &scales, &shape)?;
    let values: Vec<f32> = stored
        .iter()
        .enumerate()
        .map(|(index, &value)| {
            let channel = index / run % scales.len();
            value.wrapping_sub(zeros[channel]) as f32 * scales[channel]
        })
        .collect();
    Ok(Constant {
        shape,
        data: ConstantData::Floats(values.into()),
    })
}

/// The shape and values of an operand that holds whole numbers.
fn whole(node: &NodeProto, tensor: &TensorProto) -> Result<(Vec<usize>, Vec<i64>), Error> {
    let constant = tensor::constant(tensor)?;
    match constant.data {
        ConstantData::Integers(values) => Ok((constant.shape, values)),
        ConstantData::Floats(_) => Err(fault(
            node,
            format!("`{}` must hold whole numbers of 8 or 32 bits", tensor.name),
        )),
    }
}

/// How many neighbouring values share one scale.
fn run_length(
    attributes: &Attributes<'_>,
    scale: &TensorProto,
    scales: &Weights,
    shape: &[usize],
) -> Result<usize, Error> {
    if scales.len() == 1 && scale.dims.len() <= 1 {
        return Ok(shape.iter().product::<usize>().max(1));
    }
    let axis = crate::import::axis(
        attributes.0,
        attributes.int("axis").unwrap_or(1),
        shape.len(),
    )?;
    if scale.dims.len() != 1 || scales.len() != shape[axis] || scales.is_empty() {
        return Err(attributes.fault(format!(
            "its scale has shape {:?}, expected one for each of axis {axis} of {shape:?}",
            scale.dims
        )));
    }
    Ok(shape[axis + 1..].iter().product::<usize>().max(1))
}

/// The name of a weight before its quantisation, from that of the tensor it is stored in.
pub(crate) fn original_name(stored: &str) -> &str {
    ["_quantized", "_quant", "_int8"]
        .iter()
        .find_map(|suffix| stored.strip_suffix(suffix))
        .unwrap_or(stored)
}

/// Puts float `values` in the place of the node that computes `output`, and takes out what only that node used.
pub(crate) fn replace(
    file: &mut GraphProto,
    output: &str,
    shape: &[usize],
    values: &[f32],
) -> Result<(), Error> {
    let computes = |node: &NodeProto| node.output.first().is_some_and(|name| name == output);
    let Some(position) = file.node.iter().position(computes) else {
        return Ok(());
    };
    let node = file.node.remove(position);
    // The element type of the output is that of the scale.
    let scale = node.input.get(1).map_or("", String::as_str);
    let element = file
        .initializer
        .iter()
        .find(|tensor| tensor.name == scale)
        .map_or(tensor::FLOAT, |tensor| tensor.data_type);
    for name in node.input.iter().filter(|name| !name.is_empty()) {
        let used = file.node.iter().any(|node| node.input.contains(name))
            || file.output.iter().any(|output| output.name == *name);
        if !used {
            file.initializer.retain(|tensor| tensor.name != *name);
            file.input.retain(|input| input.name != *name);
        }
    }
    file.value_info.retain(|value| value.name != output);
    file.initializer
        .push(tensor::float_proto(output, shape, element, values)?);
    Ok(())
}
