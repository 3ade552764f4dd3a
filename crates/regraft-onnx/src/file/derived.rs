//! Weights that the file computes from initializers: stored in eight bits (DequantizeLinear), turned, normalised, looked up.
//!
//! Such a weight goes by the name of its node's output. The file is as it was while the weight stays frozen; a trained one
//! is written as a float initializer of that name, in the place of the node.

use onnx_ir::{GraphProto, NodeProto, TensorProto};

use super::evaluate::{self, Budget, Tensor};
use super::model::Model;
use crate::error::Error;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::element;
use crate::proto::nodes::{fault, reads};
use crate::proto::tensor::{self, Constant, ConstantData};
use crate::proto::weights::Weights;

/// A value that nodes make of the file's own numbers alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Computed {
    /// The node whose output it is.
    pub node: usize,
    /// Whether it is a weight: floats, made of at least one initializer of floats.
    pub is_weight: bool,
}

/// What the node's one output is, where it is made of initializers, constants, and what nodes make of those.
pub(crate) fn computed(model: &Model, index: usize) -> Option<Computed> {
    let node = &model.graph().node[index];
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return None;
    }
    let output = match &node.output[..] {
        [output] => output,
        // A weight that is standardised by its own statistics, which it gives out too.
        [output, ..] if node.op_type == "BatchNormalization" => output,
        _ => return None,
    };
    // What is there already under that name stays what it is.
    if model.initializer(output).is_some() || model.computed(output).is_some() {
        return None;
    }
    let is_there = |name: &String| {
        name.is_empty() || model.initializer(name).is_some() || model.computed(name).is_some()
    };
    let is_weight = match node.op_type.as_str() {
        // Some exporters keep every weight so. One number is none.
        "Constant" => holds_weights(node),
        "DequantizeLinear" => {
            let stored = |name: &String| name.is_empty() || model.initializer(name).is_some();
            if !(2..=3).contains(&node.input.len()) || !node.input.iter().all(stored) {
                return None;
            }
            true
        }
        _ if evaluate::knows(node) && node.input.iter().all(is_there) => {
            gives_floats(node) && node.input.iter().any(|name| model.is_float_weight(name))
        }
        _ => return None,
    };
    Some(Computed {
        node: index,
        is_weight,
    })
}

/// Whether a Constant holds several floats.
fn holds_weights(node: &NodeProto) -> bool {
    let attributes = Attributes(node);
    if let Some(tensor) = attributes.tensor("value") {
        let count = tensor::element_count(&tensor.dims);
        return element::is_float(tensor.data_type) && count.is_some_and(|count| count > 1);
    }
    attributes
        .floats("value_floats")
        .is_some_and(|floats| floats.len() > 1)
}

/// Whether a node that is given floats makes floats.
fn gives_floats(node: &NodeProto) -> bool {
    match node.op_type.as_str() {
        "Shape" | "Size" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual"
        | "And" | "Or" | "Xor" | "Not" | "IsNaN" | "IsInf" | "ConstantOfShape" => false,
        "Cast" => {
            let to = Attributes(node).int("to").unwrap_or_default();
            i32::try_from(to).is_ok_and(element::is_float)
        }
        _ => true,
    }
}

/// What the node makes of its operands.
pub(crate) fn apply(
    model: &Model,
    node: &NodeProto,
    operands: &[Option<Constant>],
    budget: &mut Budget,
) -> Result<Constant, Error> {
    let missing = || fault(node, "its input is missing");
    let first = || operands.first().cloned().flatten().ok_or_else(missing);
    match node.op_type.as_str() {
        "Constant" => tensor::of_constant_node(node)?.ok_or_else(missing),
        "DequantizeLinear" => dequantized(model, node, first()?),
        "Identity" => first(),
        _ => {
            let operands: Vec<Option<Tensor>> = operands
                .iter()
                .map(|operand| operand.as_ref().map(Tensor::from))
                .collect();
            let outputs = evaluate::evaluate(node, model.opset(), &operands, budget);
            let output = outputs.ok_or_else(missing)??.into_iter().next();
            output
                .and_then(|output| output.into_constant().ok())
                .ok_or_else(|| fault(node, "has no output"))
        }
    }
}

/// The axes of a Transpose's input in the order of its output.
pub(crate) fn permutation(node: &NodeProto, rank: usize) -> Result<Vec<usize>, Error> {
    let perm: Vec<usize> = match Attributes(node).ints("perm") {
        None => (0..rank).rev().collect(),
        Some(perm) => perm
            .iter()
            .map(|&given| axis(node, given, rank))
            .collect::<Result<_, _>>()?,
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if sorted != (0..rank).collect::<Vec<_>>() {
        return Err(fault(
            node,
            format!("`perm` {perm:?} is no permutation of {rank} axes"),
        ));
    }
    Ok(perm)
}

/// A float constant with its axes in another order.
pub(crate) fn turned(
    node: &NodeProto,
    source: &Constant,
    perm: &[usize],
) -> Result<Constant, Error> {
    let ConstantData::Floats(values) = &source.data else {
        return Err(fault(node, "transposes whole numbers"));
    };
    let mut strides = vec![1; perm.len()];
    for axis in (1..perm.len()).rev() {
        strides[axis - 1] = strides[axis] * source.shape[axis];
    }
    let shape: Vec<usize> = perm.iter().map(|&axis| source.shape[axis]).collect();
    let steps: Vec<usize> = perm.iter().map(|&axis| strides[axis]).collect();
    // An odometer over the output's indices, with the place in the input that it stands at.
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    let turned: Vec<f32> = (0..values.len())
        .map(|_| {
            let value = values[place];
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                place += steps[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                place -= steps[axis] * shape[axis];
                index[axis] = 0;
            }
            value
        })
        .collect();
    Ok(Constant {
        shape,
        data: ConstantData::Floats(turned.into()),
    })
}

/// `(stored - zero point) * scale`, for the whole tensor or each index of one axis (ONNX operators, DequantizeLinear 10
/// to 23).
fn dequantized(model: &Model, node: &NodeProto, source: Constant) -> Result<Constant, Error> {
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
    let (shape, stored) = whole(node, source)?;
    let zeros = match operand(2) {
        None => vec![0; scales.len()],
        Some(zero_point) => match whole(node, tensor::constant(zero_point)?)? {
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

/// The shape and values of a constant that holds whole numbers.
fn whole(node: &NodeProto, constant: Constant) -> Result<(Vec<usize>, Vec<i64>), Error> {
    match constant.data {
        ConstantData::Integers(values) => Ok((constant.shape, values)),
        ConstantData::Floats(_) => Err(fault(
            node,
            "its input and zero point must be whole numbers of 8 or 32 bits",
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
    let axis = axis(
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
    let Some(node) = take_producer(file, output) else {
        return Ok(());
    };
    // A dequantised weight has the element type of its scale, any other that of the floats that it is made from.
    let own = Attributes(&node)
        .tensor("value")
        .map(|tensor| tensor.data_type);
    let elements = node
        .input
        .iter()
        .map(|name| element::of(file, name))
        .chain(own);
    let element = elements
        .into_iter()
        .find(|element| element::is_float(*element));
    let element = element.unwrap_or(element::FLOAT);
    forget_operands(file, &node);
    file.value_info.retain(|value| value.name != output);
    file.initializer
        .push(tensor::float_proto(output, shape, element, values)?);
    Ok(())
}

fn take_producer(file: &mut GraphProto, output: &str) -> Option<NodeProto> {
    let computes = |node: &NodeProto| node.output.first().is_some_and(|name| name == output);
    let position = file.node.iter().position(computes)?;
    Some(file.node.remove(position))
}

/// Takes out of the file what only `node`, which is no longer there, had a use for.
fn forget_operands(file: &mut GraphProto, node: &NodeProto) {
    let mut forgotten: Vec<String> = node.input.clone();
    while let Some(name) = forgotten.pop() {
        let used = name.is_empty()
            || file
                .node
                .iter()
                .any(|node| reads(node).contains(&name.as_str()))
            || file.output.iter().any(|output| output.name == name);
        if used {
            continue;
        }
        file.initializer.retain(|tensor| tensor.name != name);
        file.input.retain(|input| input.name != name);
        file.value_info.retain(|value| value.name != name);
        if let Some(producer) = take_producer(file, &name) {
            forgotten.extend(producer.input);
        }
    }
}
