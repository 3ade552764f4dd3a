//! A node's attributes by name, with the type the operator expects; and the axis that one of them means.

use onnx_ir::{AttributeProto, NodeProto, TensorProto};

use super::nodes;
use crate::error::Error;

/// Largest kernel, stride or dilation.
const LONGEST_WINDOW: i64 = 1 << 16;

/// Attribute look-up on one node.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub &'a NodeProto);

impl<'a> Attributes<'a> {
    fn get(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0
            .attribute
            .iter()
            .find(|attribute| attribute.name == name)
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name).map(|attribute| attribute.i)
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        self.get(name).map(|attribute| attribute.f)
    }

    pub fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.get(name).map(|attribute| attribute.ints.as_slice())
    }

    pub fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.get(name).map(|attribute| attribute.floats.as_slice())
    }

    pub fn string(&self, name: &str) -> Option<String> {
        self.get(name)
            .map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned())
    }

    pub fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.get(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// A pair of positive extents (kernel, stride, dilation), or `default` where absent.
    pub fn pair(&self, name: &str, default: [usize; 2]) -> Result<[usize; 2], Error> {
        match self.ints(name) {
            None | Some([]) => Ok(default),
            Some(&[height, width])
                if (1..=LONGEST_WINDOW).contains(&height)
                    && (1..=LONGEST_WINDOW).contains(&width) =>
            {
                Ok([height as usize, width as usize])
            }
            Some(other) => Err(self.fault(format!(
                "attribute `{name}` is {other:?}, expected two numbers from 1 to {LONGEST_WINDOW}"
            ))),
        }
    }

    pub fn fault(&self, reason: impl Into<String>) -> Error {
        nodes::fault(self.0, reason)
    }
}

/// An axis counted from the left, from one that may count from the right.
pub(crate) fn axis(node: &NodeProto, axis: i64, rank: usize) -> Result<usize, Error> {
    let from_left = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_left)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| {
            nodes::fault(
                node,
                format!("axis {axis} does not exist in a value of {rank} dimensions"),
            )
        })
}
