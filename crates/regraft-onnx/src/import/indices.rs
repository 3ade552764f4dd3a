//! Indices that a graph computes for each image, as the dynamo exporter writes a view into a flattened batch: the image's
//! position times a stride, plus offsets that are the same for every image.

use onnx_ir::NodeProto;

use crate::error::Error;
use crate::ir::op::Binary;
use crate::proto::attributes::axis;
use crate::proto::nodes::unsupported;
use crate::proto::tensor::{Constant, ConstantData};

/// `stride * n + offsets` for image `n`, of shape `[N, shape…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Indices {
    stride: i64,
    shape: Vec<usize>,
    offsets: Vec<i64>,
}

impl Indices {
    /// 0, 1, 2, … to the last image.
    pub fn positions() -> Self {
        Self {
            stride: 1,
            shape: Vec::new(),
            offsets: vec![0],
        }
    }

    /// With extents of 1 at `axes`, none of which comes before the batch.
    pub fn unsqueezed(&self, node: &NodeProto, axes: &[i64]) -> Result<Self, Error> {
        let rank = 1 + self.shape.len() + axes.len();
        let mut old = self.shape.iter().copied();
        let mut added = Vec::new();
        for &given in axes {
            added.push(axis(node, given, rank)?);
        }
        if added.contains(&0) {
            return Err(unsupported(node, "puts an axis before the batch"));
        }
        let shape = (1..rank)
            .map(|index| {
                if added.contains(&index) {
                    1
                } else {
                    old.next().unwrap_or(1)
                }
            })
            .collect();
        Ok(Self {
            shape,
            ..self.clone()
        })
    }

    /// Multiplied by a number, or with offsets added.
    pub fn combined(
        &self,
        node: &NodeProto,
        operator: Binary,
        constant: &Constant,
    ) -> Result<Self, Error> {
        let beyond = || unsupported(node, "calculates with indices in a way that is not known");
        let ConstantData::Integers(numbers) = &constant.data else {
            return Err(beyond());
        };
        match (operator, numbers.as_slice()) {
            (Binary::Mul, &[factor]) => Ok(Self {
                stride: self.stride.checked_mul(factor).ok_or_else(beyond)?,
                shape: self.shape.clone(),
                offsets: scaled(&self.offsets, |offset| offset.checked_mul(factor))
                    .ok_or_else(beyond)?,
            }),
            (Binary::Add, &[offset]) => Ok(Self {
                offsets: scaled(&self.offsets, |own| own.checked_add(offset)).ok_or_else(beyond)?,
                ..self.clone()
            }),
            (Binary::Add, offsets) => match (constant.shape.as_slice(), self.offsets.as_slice()) {
                ([1, shape @ ..], &[own]) if shape.len() == self.shape.len() => Ok(Self {
                    stride: self.stride,
                    shape: shape.to_vec(),
                    offsets: scaled(offsets, |offset| own.checked_add(offset))
                        .ok_or_else(beyond)?,
                }),
                _ => Err(beyond()),
            },
            _ => Err(beyond()),
        }
    }

    /// The extents behind the batch.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether they count through a batch with `each` entries an image, in order.
    pub fn count_through(&self, each: usize) -> bool {
        self.stride == each as i64
            && self.offsets.len() == each
            && self.offsets.iter().copied().eq(0..each as i64)
    }
}

fn scaled(numbers: &[i64], change: impl Fn(i64) -> Option<i64>) -> Option<Vec<i64>> {
    numbers.iter().map(|&number| change(number)).collect()
}
