//! `TensorProto` to plain values and back, with every declared size checked against the bytes that are there.

use bytes::Bytes;
use onnx_ir::{Message, NodeProto, TensorProto};

use super::attributes::Attributes;
use super::element::{BOOL, DOUBLE, Encoding, FLOAT, INT8, INT32, INT64, UINT8, chunks, width};
use super::weights::Weights;
use super::wire;
use crate::error::Error;

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// The smallest magnitude that rounds to infinity in float16.
const HALF_OVERFLOWS: f32 = 65520.0;

/// A constant of the graph.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub shape: Vec<usize>,
    pub data: ConstantData,
}

impl Constant {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        match &self.data {
            ConstantData::Floats(values) => values.len(),
            ConstantData::Integers(values) => values.len(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ConstantData {
    Floats(Weights),
    Integers(Vec<i64>),
}

impl Constant {
    /// The values as floats, whole numbers turned into such.
    pub fn to_floats(&self) -> Vec<f32> {
        match &self.data {
            ConstantData::Floats(values) => values.to_vec(),
            ConstantData::Integers(values) => values.iter().map(|&v| v as f32).collect(),
        }
    }
}

/// The value of a Constant node, whichever attribute holds it; none where it is neither floats nor whole numbers.
pub(crate) fn of_constant_node(node: &NodeProto) -> Result<Option<Constant>, Error> {
    let attributes = Attributes(node);
    let (shape, data) = if let Some(proto) = attributes.tensor("value") {
        return constant(proto).map(Some);
    } else if let Some(value) = attributes.int("value_int") {
        (vec![], ConstantData::Integers(vec![value]))
    } else if let Some(values) = attributes.ints("value_ints") {
        (vec![values.len()], ConstantData::Integers(values.to_vec()))
    } else if let Some(value) = attributes.float("value_float") {
        (vec![], ConstantData::Floats(vec![value].into()))
    } else if let Some(values) = attributes.floats("value_floats") {
        let floats = values.to_vec().into();
        (vec![values.len()], ConstantData::Floats(floats))
    } else {
        return Ok(None);
    };
    Ok(Some(Constant { shape, data }))
}

/// Number of elements, or `None` where a dimension is negative or the product overflows.
pub(crate) fn element_count(dims: &[i64]) -> Option<usize> {
    dims.iter().try_fold(1usize, |count, &dim| {
        count.checked_mul(usize::try_from(dim).ok()?)
    })
}

pub(crate) fn shape(tensor: &TensorProto) -> Result<Vec<usize>, Error> {
    tensor
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim))
        .collect::<Result<_, _>>()
        .map_err(|_| {
            fault(
                tensor,
                format!("negative dimension in its shape {:?}", tensor.dims),
            )
        })
}

pub(crate) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location.value() == EXTERNAL
}

/// Checks that the data is in the file and has the declared size, without decoding it.
pub(crate) fn check(tensor: &TensorProto) -> Result<(), Error> {
    if is_external(tensor) {
        return Err(fault(
            tensor,
            "its data lies in another file; open the model by its path, with that file beside it"
                .to_owned(),
        ));
    }
    let count = element_count(&tensor.dims)
        .ok_or_else(|| fault(tensor, format!("impossible shape {:?}", tensor.dims)))?;
    // Other element types are refused where, and if, a node uses them.
    let Some(width) = width(tensor.data_type) else {
        return Ok(());
    };
    let typed = match tensor.data_type {
        FLOAT => tensor.float_data.len(),
        DOUBLE => tensor.double_data.len(),
        INT64 => tensor.int64_data.len(),
        _ => tensor.int32_data.len(),
    };
    let raw = tensor.raw_data.len();
    if raw > 0 && typed > 0 {
        return Err(fault(
            tensor,
            "it holds its values twice, as raw bytes and as a list".to_owned(),
        ));
    }
    let (held, unit) = if raw > 0 { (raw, width) } else { (typed, 1) };
    if count.checked_mul(unit) != Some(held) {
        return Err(fault(
            tensor,
            format!(
                "shape {:?} wants {count} values, its data holds {}",
                tensor.dims,
                held / unit
            ),
        ));
    }
    Ok(())
}

/// The values as `f32`, converted from half, bfloat16 or double where needed; raw bytes are converted when looked at.
pub(crate) fn weights(tensor: &TensorProto) -> Result<Weights, Error> {
    check(tensor)?;
    let encoding = Encoding::of(tensor.data_type).ok_or_else(|| {
        fault(
            tensor,
            format!("element type {} is not a float", tensor.data_type),
        )
    })?;
    if !tensor.raw_data.is_empty() {
        return Ok(Weights::stored(encoding, tensor.raw_data.clone()));
    }
    // Halves in a list are bit patterns in the low 16 bits.
    let bits = tensor.int32_data.iter().map(|&v| v as u16);
    let values: Vec<f32> = match encoding {
        Encoding::Float => tensor.float_data.clone(),
        Encoding::Half => bits.map(|v| half::f16::from_bits(v).to_f32()).collect(),
        Encoding::Brain => bits.map(|v| half::bf16::from_bits(v).to_f32()).collect(),
        Encoding::Double => tensor.double_data.iter().map(|&v| v as f32).collect(),
    };
    Ok(values.into())
}

/// The values as `f32`, decoded.
pub(crate) fn floats(tensor: &TensorProto) -> Result<Vec<f32>, Error> {
    weights(tensor).map(|weights| weights.to_vec())
}

/// The tensor as a constant, floats or integers.
pub(crate) fn constant(tensor: &TensorProto) -> Result<Constant, Error> {
    check(tensor)?;
    let shape = shape(tensor)?;
    let raw = &tensor.raw_data;
    let data = match (tensor.data_type, raw.is_empty()) {
        (INT64, false) => ConstantData::Integers(chunks(raw, i64::from_le_bytes)),
        (INT64, true) => ConstantData::Integers(tensor.int64_data.clone()),
        (INT32, false) => {
            ConstantData::Integers(chunks(raw, |b: [u8; 4]| i32::from_le_bytes(b).into()))
        }
        (UINT8 | BOOL, false) => ConstantData::Integers(raw.iter().map(|&v| v.into()).collect()),
        (INT8, false) => ConstantData::Integers(raw.iter().map(|&v| i64::from(v as i8)).collect()),
        (INT32 | UINT8 | INT8 | BOOL, true) => {
            ConstantData::Integers(tensor.int32_data.iter().map(|&v| v.into()).collect())
        }
        _ => ConstantData::Floats(weights(tensor)?),
    };
    Ok(Constant { shape, data })
}

/// A float tensor proto of an element type, with little-endian raw data.
pub(crate) fn float_proto(
    name: &str,
    shape: &[usize],
    data_type: i32,
    values: &[f32],
) -> Result<TensorProto, Error> {
    Ok(TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|&dim| dim as i64).collect(),
        data_type,
        raw_data: encode(name, data_type, values)?,
        ..TensorProto::default()
    })
}

/// An integer tensor proto with little-endian raw data.
pub(crate) fn integer_proto(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: INT64,
        raw_data: values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
            .into(),
        ..TensorProto::default()
    }
}

/// Replaces a float tensor's values, keeping its name, shape and element type.
///
/// # Errors
/// When its element type cannot hold one of them.
pub(crate) fn overwrite(tensor: &mut TensorProto, values: &[f32]) -> Result<(), Error> {
    let bytes = encode(&tensor.name, tensor.data_type, values)?;
    tensor.float_data.clear();
    tensor.double_data.clear();
    tensor.int32_data.clear();
    tensor.raw_data = bytes;
    Ok(())
}

/// Values as raw bytes of an element type; `f32` for one that is no float.
pub(crate) fn encode(name: &str, data_type: i32, values: &[f32]) -> Result<Bytes, Error> {
    let bytes: Vec<u8> = match Encoding::of(data_type) {
        Some(Encoding::Half) => {
            if let Some(value) = values
                .iter()
                .find(|v| v.abs() >= HALF_OVERFLOWS && v.is_finite())
            {
                return Err(Error::Tensor {
                    name: name.to_owned(),
                    reason: format!(
                        "the value {value} does not fit its element type float16; convert the model to float32 first"
                    ),
                });
            }
            values
                .iter()
                .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                .collect()
        }
        Some(Encoding::Brain) => values
            .iter()
            .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
            .collect(),
        Some(Encoding::Double) => values
            .iter()
            .flat_map(|&v| f64::from(v).to_le_bytes())
            .collect(),
        Some(Encoding::Float) | None => float_bytes(values),
    };
    Ok(bytes.into())
}

pub(crate) fn float_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 4);
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// Reads a serialized `TensorProto` (`.pb`), as the ONNX project ships test data: its shape and values.
///
/// # Errors
/// When the bytes are no float tensor or sizes disagree.
pub fn tensor_from_pb(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>), Error> {
    wire::check(bytes, wire::Kind::Tensor)?;
    let tensor = TensorProto::parse_from_bytes(bytes).map_err(|error| Error::NotOnnx {
        reason: format!("no TensorProto: {error}"),
    })?;
    Ok((shape(&tensor)?, floats(&tensor)?))
}

pub(crate) fn fault(tensor: &TensorProto, reason: String) -> Error {
    Error::Tensor {
        name: tensor.name.clone(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::element::FLOAT16;
    use super::*;

    #[test]
    fn half_precision_weights_become_f32() {
        let tensor = TensorProto {
            dims: vec![2],
            data_type: FLOAT16,
            raw_data: [half::f16::from_f32(1.5), half::f16::from_f32(-2.0)]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>()
                .into(),
            ..TensorProto::default()
        };
        assert_eq!(floats(&tensor).unwrap(), [1.5, -2.0]);
    }

    #[test]
    fn a_shape_larger_than_its_data_is_an_error_before_any_allocation() {
        let tensor = TensorProto {
            name: "w".into(),
            dims: vec![1 << 40, 1 << 20],
            data_type: FLOAT,
            raw_data: vec![0u8; 16].into(),
            ..TensorProto::default()
        };
        let message = check(&tensor).unwrap_err().to_string();
        assert!(message.contains("initializer `w`"), "{message}");
    }

    #[test]
    fn a_shape_that_overflows_is_an_error() {
        assert_eq!(element_count(&[i64::MAX, 8]), None);
        assert_eq!(element_count(&[3, -1]), None);
        assert_eq!(element_count(&[]), Some(1));
    }
}
