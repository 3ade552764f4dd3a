//! What the walk can know of a value of the file: an activation, a constant, a list of extents, or indices.

use std::rc::Rc;

use super::indices::Indices;
use crate::ir::ids::ValueId;
use crate::proto::tensor::{Constant, ConstantData};

/// One extent of a shape being computed by the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Number(i64),
    /// So many times the batch.
    Batch(i64),
}

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
    Extents(Vec<Extent>),
    /// Indices with as many entries for every image.
    Indices(Indices),
}

impl Known {
    pub(super) fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Known::Constant {
            constant: Rc::new(Constant {
                shape,
                data: ConstantData::Floats(values.into()),
            }),
            initializer: None,
        }
    }

    pub(super) fn has_fractions(&self) -> bool {
        match self {
            Known::Constant { constant, .. } => matches!(constant.data, ConstantData::Floats(_)),
            _ => false,
        }
    }
}
