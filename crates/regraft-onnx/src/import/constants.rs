//! Constants, shape queries, and operators that are the identity here.

use std::rc::Rc;

use onnx_ir::NodeProto;

use super::{Extent, Importer, Known, attributes, unsupported};
use crate::attributes::fault;
use crate::error::Error;
use crate::graph::Dim;
use crate::tensor::{self, Constant, ConstantData};

/// Constant, with whichever attribute holds its value.
pub(super) fn constant(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = attributes(node);
    let (shape, data) = if let Some(proto) = attributes.tensor("value") {
        let constant = tensor::constant(proto)?;
        (constant.shape, constant.data)
    } else if let Some(value) = attributes.int("value_int") {
        (vec![], ConstantData::Integers(vec![value]))
    } else if let Some(values) = attributes.ints("value_ints") {
        (vec![values.len()], ConstantData::Integers(values.to_vec()))
    } else if let Some(value) = attributes.float("value_float") {
        (vec![], ConstantData::Floats(vec![value]))
    } else if let Some(values) = attributes.floats("value_floats") {
        (vec![values.len()], ConstantData::Floats(values.to_vec()))
    } else {
        return Err(unsupported(
            node,
            "a constant that is neither floats nor whole numbers",
        ));
    };
    importer.alias(
        node,
        Known::Constant {
            constant: Rc::new(Constant { shape, data }),
            initializer: None,
        },
    )
}

/// Shape of an activation: extents, with the batch symbolic.
pub(super) fn shape(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = attributes(node);
    let extents: Vec<Extent> = match importer.required(node, 0)? {
        Known::Activation(id) => importer
            .shape(id)
            .iter()
            .map(|dim| match dim {
                Dim::Batch => Extent::Batch,
                Dim::Fixed(extent) => Extent::Number(*extent as i64),
            })
            .collect(),
        Known::Constant { constant, .. } => constant
            .shape
            .iter()
            .map(|&extent| Extent::Number(extent as i64))
            .collect(),
        Known::Extents(values) => vec![Extent::Number(values.len() as i64)],
    };
    let rank = extents.len() as i64;
    let bound =
        |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let start = bound(attributes.int("start").unwrap_or(0));
    let end = bound(attributes.int("end").unwrap_or(rank)).max(start);
    importer.alias(node, Known::Extents(extents[start..end].to_vec()))
}

/// Identity and Dropout: the output is another name for the input.
pub(super) fn pass(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let source = importer.required(node, 0)?;
    importer.alias(node, source)
}

/// Cast: extents stay what they are; an activation stays `f32`.
pub(super) fn cast(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let to = attributes(node)
        .int("to")
        .unwrap_or(i64::from(tensor::FLOAT));
    match importer.required(node, 0)? {
        Known::Activation(_) if to != i64::from(tensor::FLOAT) => Err(unsupported(
            node,
            format!("casting an activation to element type {to}"),
        )),
        Known::Constant { constant, .. } if to == i64::from(tensor::FLOAT) => {
            let data = match &constant.data {
                ConstantData::Floats(values) => values.clone(),
                ConstantData::Integers(values) => values.iter().map(|&v| v as f32).collect(),
            };
            let shape = constant.shape.clone();
            let constant = Rc::new(Constant {
                shape,
                data: ConstantData::Floats(data),
            });
            importer.alias(
                node,
                Known::Constant {
                    constant,
                    initializer: None,
                },
            )
        }
        Known::Constant {
            constant,
            initializer,
        } => match &constant.data {
            ConstantData::Integers(_) => importer.alias(
                node,
                Known::Constant {
                    constant,
                    initializer,
                },
            ),
            ConstantData::Floats(values) if values.iter().all(|v| v.fract() == 0.0) => {
                let data = ConstantData::Integers(values.iter().map(|&v| v as i64).collect());
                let shape = constant.shape.clone();
                importer.alias(
                    node,
                    Known::Constant {
                        constant: Rc::new(Constant { shape, data }),
                        initializer: None,
                    },
                )
            }
            ConstantData::Floats(_) => Err(fault(node, "casts fractions to whole numbers")),
        },
        other => importer.alias(node, other),
    }
}
