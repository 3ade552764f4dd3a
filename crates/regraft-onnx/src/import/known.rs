//! What the walk can know of a value of the file: an activation, a constant, numbers that hold the batch, or indices.

use std::rc::Rc;

use super::indices::Indices;
use crate::file::evaluate::Tensor;
use crate::ir::ids::ValueId;
use crate::proto::tensor::Constant;

/// What is known of a value of the file.
#[derive(Debug, Clone)]
pub(super) enum Known {
    Activation(ValueId),
    Constant {
        constant: Rc<Constant>,
        initializer: Option<String>,
    },
    /// An initializer seen through a Transpose: the parameter is the initializer as it lies in the file.
    TransposedMatrix {
        constant: Rc<Constant>,
        initializer: String,
    },
    /// Whole numbers of which at least one holds the batch.
    Numbers(Rc<Tensor>),
    /// Indices with as many entries for every image.
    Indices(Indices),
    /// What of an activation is tested, entry by entry.
    Test(Test),
}

/// A test of every entry of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Test {
    /// Whether it is no number.
    IsNan(ValueId),
    /// Whether it is larger than a threshold.
    Above(ValueId, f32),
}

impl From<Tensor> for Known {
    fn from(tensor: Tensor) -> Self {
        match tensor.into_constant() {
            Ok(constant) => Known::Constant {
                constant: Rc::new(constant),
                initializer: None,
            },
            Err(numbers) => Known::Numbers(Rc::new(numbers)),
        }
    }
}

impl Known {
    /// Whether it is made of the file's own numbers and the batch.
    pub(super) fn is_constant(&self) -> bool {
        !matches!(
            self,
            Known::Activation(_) | Known::Indices(_) | Known::Test(_)
        )
    }
}
