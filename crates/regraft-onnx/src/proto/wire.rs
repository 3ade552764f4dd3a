//! A walk over a file's bytes before they are decoded: every declared length is checked against the bytes that hold it,
//! and what decoding would take in memory against the file's size.
//!
//! The decoder trusts a packed list's length when it reserves room, and makes a structure of hundreds of bytes out of
//! an empty message of two; a file of a few kilobytes could ask for gigabytes. Nothing is decoded here.

use onnx_ir::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};

use crate::error::Error;

/// Deepest nesting of messages; an image network without control flow needs seven.
const MOST_LEVELS: usize = 32;
/// Memory that decoding may take whatever the file's size.
const FREE_MEMORY: u64 = 16 << 20;
/// Memory that decoding may take for each byte of the file.
const MEMORY_PER_BYTE: u64 = 8;

/// The messages of onnx.proto that hold other messages or packed lists; all others are `Leaf`.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    ValueInfo,
    Type,
    TensorType,
    Sequence,
    Map,
    Shape,
    Function,
    Training,
    Annotation,
    Device,
    Sharding,
    ShardedDim,
    Leaf,
}

enum Content {
    Message(Kind),
    /// A packed list, with the memory its decoder reserves for each byte.
    Packed(u64),
    Plain,
}

/// What a field holds, by its number in onnx.proto.
fn content(kind: Kind, field: u64) -> Content {
    use Content::{Message, Packed, Plain};
    match (kind, field) {
        (Kind::Model, 7) => Message(Kind::Graph),
        (Kind::Model, 20) => Message(Kind::Training),
        (Kind::Model, 25) => Message(Kind::Function),
        (Kind::Graph, 1) | (Kind::Function, 7) => Message(Kind::Node),
        (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::SparseTensor, 1 | 2) => {
            Message(Kind::Tensor)
        }
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Message(Kind::SparseTensor),
        (Kind::Graph, 11..=13) | (Kind::Function, 12) => Message(Kind::ValueInfo),
        (Kind::Graph, 14) => Message(Kind::Annotation),
        (Kind::Node, 5) | (Kind::Function, 11) => Message(Kind::Attribute),
        (Kind::Node, 10) => Message(Kind::Device),
        (Kind::Attribute, 6 | 11) | (Kind::Training, 1 | 2) => Message(Kind::Graph),
        (Kind::Attribute, 14 | 15) | (Kind::ValueInfo, 2) => Message(Kind::Type),
        (Kind::Type, 1 | 8) => Message(Kind::TensorType),
        (Kind::Type, 4 | 9) => Message(Kind::Sequence),
        (Kind::Type, 5) => Message(Kind::Map),
        (Kind::TensorType, 2) => Message(Kind::Shape),
        (Kind::Sequence, 1) | (Kind::Map, 2) => Message(Kind::Type),
        (Kind::Device, 2) => Message(Kind::Sharding),
        (Kind::Sharding, 4) => Message(Kind::ShardedDim),
        (Kind::Attribute, 7) | (Kind::Tensor, 4 | 10) => Packed(1),
        (Kind::Tensor, 5) => Packed(4),
        (Kind::Attribute, 8) | (Kind::Tensor, 1 | 7 | 11) | (Kind::SparseTensor, 3) => Packed(8),
        (Kind::Sharding, 2) => Packed(8),
        (Kind::Model, 8 | 14 | 26)
        | (Kind::Graph, 16)
        | (Kind::Node, 9)
        | (Kind::Tensor, 3 | 13 | 16)
        | (Kind::ValueInfo, 4)
        | (Kind::Shape, 1)
        | (Kind::Function, 9 | 14)
        | (Kind::Training, 3 | 4)
        | (Kind::Annotation, 2)
        | (Kind::Sharding, 3)
        | (Kind::ShardedDim, 2) => Message(Kind::Leaf),
        _ => Plain,
    }
}

/// The size of the structure that a message becomes.
fn structure(kind: Kind) -> u64 {
    let size = match kind {
        Kind::Node => size_of::<NodeProto>(),
        Kind::Attribute => size_of::<AttributeProto>(),
        Kind::Tensor => size_of::<TensorProto>(),
        Kind::ValueInfo => size_of::<ValueInfoProto>(),
        _ => 128,
    };
    size as u64
}

/// Checks the bytes of a message of `kind`.
pub(crate) fn check(bytes: &[u8], kind: Kind) -> Result<(), Error> {
    let allowed = FREE_MEMORY.saturating_add(MEMORY_PER_BYTE.saturating_mul(bytes.len() as u64));
    let mut walk = Walk { left: allowed };
    walk.message(bytes, kind, 0)
        .map_err(|reason| Error::NotOnnx { reason })
}

struct Walk {
    /// Memory that may still be asked for.
    left: u64,
}

impl Walk {
    fn message(&mut self, bytes: &[u8], kind: Kind, level: usize) -> Result<(), String> {
        if level > MOST_LEVELS {
            return Err(format!(
                "messages are nested more than {MOST_LEVELS} levels deep"
            ));
        }
        self.spend(structure(kind))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let tag = varint(&mut rest)?;
            match tag & 7 {
                0 => {
                    varint(&mut rest)?;
                    self.spend(16)?;
                }
                1 => {
                    take(&mut rest, 8)?;
                    self.spend(16)?;
                }
                5 => {
                    take(&mut rest, 4)?;
                    self.spend(16)?;
                }
                2 => {
                    let length = varint(&mut rest)?;
                    let body = take(&mut rest, length)?;
                    match content(kind, tag >> 3) {
                        Content::Message(kind) => self.message(body, kind, level + 1)?,
                        Content::Packed(memory) => self.spend(length.saturating_mul(memory))?,
                        Content::Plain => self.spend(48)?,
                    }
                }
                other => return Err(format!("wire type {other} is not used by the format")),
            }
        }
        Ok(())
    }

    fn spend(&mut self, memory: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(memory).ok_or(
            "it would take many times its size in memory; it is made of empty or tiny parts",
        )?;
        Ok(())
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for index in 0..10 {
        let (&byte, tail) = rest.split_first().ok_or("it ends in the middle")?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is longer than ten bytes".to_owned())
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let split = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length));
    let (body, tail) = split.ok_or_else(|| {
        format!(
            "a part of {length} bytes is declared where {} are left",
            rest.len()
        )
    })?;
    *rest = tail;
    Ok(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        // Model.graph, then Graph.node, Node.attribute, Attribute.g, and again.
        let mut bytes = Vec::new();
        for level in (0..levels).rev() {
            let tag = match level {
                0 => 7 << 3 | 2,
                level => [1 << 3 | 2, 5 << 3 | 2, 6 << 3 | 2][(level - 1) % 3],
            };
            let mut outer = vec![tag];
            let mut length = bytes.len();
            while length > 0x7f {
                outer.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend(bytes);
            bytes = outer;
        }
        bytes
    }

    #[test]
    fn deep_nesting_is_refused() {
        check(&nested(20), Kind::Model).unwrap();
        let message = check(&nested(5000), Kind::Model).unwrap_err().to_string();
        assert!(message.contains("levels deep"), "{message}");
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        let message = check(&[7 << 3 | 2, 0xff, 0xff, 0x7f], Kind::Model)
            .unwrap_err()
            .to_string();
        assert!(message.contains("2097151 bytes"), "{message}");
    }

    #[test]
    fn a_million_empty_nodes_are_refused() {
        let empty: Vec<u8> = [1 << 3 | 2, 0].repeat(1 << 20);
        assert!(check(&empty, Kind::Graph).is_err());
    }
}
