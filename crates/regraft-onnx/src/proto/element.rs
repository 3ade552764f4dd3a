//! Element types: how the values of each lie in bytes, and which of them an activation has.
//!
//! A model in half precision must stay so in every node, or no runtime takes it.

use std::collections::HashMap;

use onnx_ir::GraphProto;

// Element types of `TensorProto.DataType` in the ONNX specification (onnx.proto).
pub(crate) const FLOAT: i32 = 1;
pub(crate) const UINT8: i32 = 2;
pub(crate) const INT8: i32 = 3;
pub(crate) const INT32: i32 = 6;
pub(crate) const INT64: i32 = 7;
pub(crate) const BOOL: i32 = 9;
pub(crate) const FLOAT16: i32 = 10;
pub(crate) const DOUBLE: i32 = 11;
pub(crate) const BFLOAT16: i32 = 16;

/// Whether values of this type have fractions.
pub(crate) fn is_float(data_type: i32) -> bool {
    Encoding::of(data_type).is_some()
}

/// How floats lie in raw bytes, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Float,
    Half,
    Brain,
    Double,
}

impl Encoding {
    pub fn of(data_type: i32) -> Option<Self> {
        match data_type {
            FLOAT => Some(Self::Float),
            FLOAT16 => Some(Self::Half),
            BFLOAT16 => Some(Self::Brain),
            DOUBLE => Some(Self::Double),
            _ => None,
        }
    }

    /// Bytes of one value.
    pub fn width(self) -> usize {
        match self {
            Self::Half | Self::Brain => 2,
            Self::Float => 4,
            Self::Double => 8,
        }
    }
}

/// Little-endian floats of an encoding as `f32`.
pub(crate) fn decode(encoding: Encoding, raw: &[u8]) -> Vec<f32> {
    match encoding {
        Encoding::Float => chunks(raw, f32::from_le_bytes),
        Encoding::Half => chunks(raw, |b: [u8; 2]| half::f16::from_le_bytes(b).to_f32()),
        Encoding::Brain => chunks(raw, |b: [u8; 2]| half::bf16::from_le_bytes(b).to_f32()),
        Encoding::Double => chunks(raw, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
    }
}

/// Bytes of one value in raw data; `None` for element types that no network of images has.
pub(crate) fn width(data_type: i32) -> Option<usize> {
    match data_type {
        UINT8 | INT8 | BOOL => Some(1),
        FLOAT16 | BFLOAT16 => Some(2),
        FLOAT | INT32 => Some(4),
        INT64 | DOUBLE => Some(8),
        _ => None,
    }
}

/// Little-endian numbers of `W` bytes each.
pub(crate) fn chunks<const W: usize, T>(raw: &[u8], convert: impl Fn([u8; W]) -> T) -> Vec<T> {
    raw.as_chunks::<W>()
        .0
        .iter()
        .map(|chunk| convert(*chunk))
        .collect()
}

/// The element type (`TensorProto.DataType`) of the activation `name`: that of what it is computed from, up to a Cast,
/// a weight or the graph's input; `f32` where nothing says.
pub(crate) fn of(file: &GraphProto, name: &str) -> i32 {
    let producers: HashMap<&str, usize> = file
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
        .collect();
    let mut name = name;
    // A value is at most as many steps from its origin as there are nodes.
    for _ in 0..=file.node.len() {
        let Some(node) = producers.get(name).map(|&index| &file.node[index]) else {
            break;
        };
        if node.op_type == "Cast" {
            let to = node.attribute.iter().find(|a| a.name == "to");
            return to
                .and_then(|a| i32::try_from(a.i).ok())
                .filter(|&to| Encoding::of(to).is_some())
                .unwrap_or(FLOAT);
        }
        match node.input.first() {
            Some(input) => name = input,
            None => break,
        }
    }
    let stored = file.initializer.iter().find(|tensor| tensor.name == name);
    let declared = file.input.iter().find(|input| input.name == name);
    stored
        .map(|tensor| tensor.data_type)
        .or_else(|| declared.map(|input| input.type_.tensor_type().elem_type))
        .filter(|&element| Encoding::of(element).is_some())
        .unwrap_or(FLOAT)
}
