//! Constants, shape queries, and operators that are the identity here.

use std::rc::Rc;

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::indices::Indices;
use super::known::{Extent, Known};
use super::names;
use crate::error::Error;
use crate::file::derived;
use crate::ir::dim::Dim;
use crate::proto::attributes::Attributes;
use crate::proto::element;
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::{self, Constant, ConstantData};

/// Constant, with whichever attribute holds its value.
pub(super) fn constant(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let (shape, data) = if let Some(proto) = attributes.tensor("value") {
        let constant = tensor::constant(proto)?;
        (constant.shape, constant.data)
    } else if let Some(value) = attributes.int("value_int") {
        (vec![], ConstantData::Integers(vec![value]))
    } else if let Some(values) = attributes.ints("value_ints") {
        (vec![values.len()], ConstantData::Integers(values.to_vec()))
    } else if let Some(value) = attributes.float("value_float") {
        (vec![], ConstantData::Floats(vec![value].into()))
    } else if let Some(values) = attributes.floats("value_floats") {
        (
            vec![values.len()],
            ConstantData::Floats(values.to_vec().into()),
        )
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

/// DequantizeLinear of initializers: a weight.
pub(super) fn dequantize(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let stored = node.input.first().map_or("", String::as_str);
    let stored = importer
        .model
        .constant(stored)?
        .ok_or_else(|| fault(node, "its input is missing"))?;
    let constant = derived::apply(importer.model, node, stored)?;
    importer.spend_numbers(node, constant.len())?;
    importer.alias(
        node,
        Known::Constant {
            constant: Rc::new(constant),
            initializer: importer.weight_output(node),
        },
    )
}

/// Shape of an activation: extents, with the batch symbolic.
pub(super) fn shape(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let extents: Vec<Extent> = match importer.required(node, 0)? {
        Known::Activation(id) => importer
            .shape(id)
            .iter()
            .map(|dim| match dim {
                Dim::Batch(each) => Extent::Batch(*each as i64),
                Dim::Fixed(extent) => Extent::Number(*extent as i64),
            })
            .collect(),
        Known::Constant { constant, .. } => constant
            .shape
            .iter()
            .map(|&extent| Extent::Number(extent as i64))
            .collect(),
        Known::TransposedMatrix { constant, .. } => constant
            .shape
            .iter()
            .rev()
            .map(|&extent| Extent::Number(extent as i64))
            .collect(),
        Known::Extents(values) => vec![Extent::Number(values.len() as i64)],
        Known::Indices(_) => return Err(unsupported(node, "the shape of indices")),
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
    let known = unmerged(importer, node, &source).unwrap_or(source);
    importer.alias(node, known)
}

/// The weight of its own that an Identity of `source` is; `None` where it is only another name.
///
/// PyTorch's exporter merges initializers of equal values and leaves an Identity under each other parameter's name. Those that
/// only start alike (all ones, all zeros) are no tied weights.
fn unmerged(importer: &Importer<'_>, node: &NodeProto, source: &Known) -> Option<Known> {
    let Known::Constant {
        constant,
        initializer: Some(_),
    } = source
    else {
        return None;
    };
    let ConstantData::Floats(values) = &constant.data else {
        return None;
    };
    let output = importer
        .weight_output(node)
        .filter(|name| node.op_type == "Identity" && names::is_dotted_path(name))?;
    let values = values.to_vec();
    values
        .windows(2)
        .all(|pair| pair[0] == pair[1])
        .then(|| Known::Constant {
            constant: Rc::clone(constant),
            initializer: Some(output),
        })
}

/// Cast: computed here for constants and extents; an activation stays `f32`.
pub(super) fn cast(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let to = Attributes(node)
        .int("to")
        .unwrap_or(i64::from(element::FLOAT));
    let to_float = to == i64::from(element::FLOAT);
    let source = importer.required(node, 0)?;
    if matches!(source, Known::Activation(_)) && !to_float {
        return Err(unsupported(
            node,
            format!("casting an activation to element type {to}"),
        ));
    }
    if to_float == source.has_fractions() {
        return importer.alias(node, source);
    }
    match (source, importer.floats(node, 0)?) {
        (Known::Constant { .. } | Known::Extents(_), Some(constant)) if to_float => {
            let values = constant.to_floats();
            importer.alias(node, Known::floats(constant.shape, values))
        }
        (Known::Constant { constant, .. }, Some(floats)) => {
            // Towards zero, as the specification has it.
            let values = floats.to_floats().into_iter().map(|v| v as i64).collect();
            let data = ConstantData::Integers(values);
            let shape = constant.shape.clone();
            importer.alias(
                node,
                Known::Constant {
                    constant: Rc::new(Constant { shape, data }),
                    initializer: None,
                },
            )
        }
        // The batch as a number stays symbolic.
        (other, _) => importer.alias(node, other),
    }
}

/// Floor and Ceil of a constant.
pub(super) fn round(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let source = importer.required(node, 0)?;
    if !source.has_fractions() {
        return match source {
            Known::Activation(_) => Err(unsupported(node, "rounds activations")),
            whole => importer.alias(node, whole),
        };
    }
    let Some(constant) = importer.floats(node, 0)? else {
        return Err(unsupported(node, "rounds what is computed at run time"));
    };
    let up = node.op_type == "Ceil";
    let values = constant
        .to_floats()
        .into_iter()
        .map(|v| if up { v.ceil() } else { v.floor() })
        .collect();
    importer.alias(node, Known::floats(constant.shape, values))
}

/// ConstantOfShape with a shape that is known.
pub(super) fn constant_of_shape(
    importer: &mut Importer<'_>,
    node: &NodeProto,
) -> Result<(), Error> {
    let lengths = importer.integers(node, 0)?.unwrap_or_default();
    let shape: Vec<usize> = lengths
        .iter()
        .map(|&n| usize::try_from(n))
        .collect::<Result<_, _>>()
        .map_err(|_| fault(node, format!("its shape is {lengths:?}")))?;
    let count = shape
        .iter()
        .try_fold(1usize, |count, &n| count.checked_mul(n))
        .filter(|&count| count as u64 <= importer.numbers_left)
        .ok_or_else(|| unsupported(node, format!("a constant of shape {shape:?}")))?;
    let value = Attributes(node)
        .tensor("value")
        .map(tensor::constant)
        .transpose()?;
    let data = match value.map(|value| value.data) {
        None => ConstantData::Floats(vec![0.0; count].into()),
        Some(ConstantData::Floats(value)) => {
            ConstantData::Floats(vec![value.first().copied().unwrap_or(0.0); count].into())
        }
        Some(ConstantData::Integers(value)) => {
            ConstantData::Integers(vec![value.first().copied().unwrap_or(0); count])
        }
    };
    importer.alias(
        node,
        Known::Constant {
            constant: Rc::new(Constant { shape, data }),
            initializer: None,
        },
    )
}

/// Range of whole numbers.
pub(super) fn range(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let limit = importer.extents(node, 1)?;
    if limit.as_deref() == Some(&[Extent::Batch(1)]) {
        return match (
            importer.integers(node, 0)?.as_deref(),
            importer.integers(node, 2)?.as_deref(),
        ) {
            (Some([0]), Some([1])) => importer.alias(node, Known::Indices(Indices::positions())),
            _ => Err(unsupported(
                node,
                "a range over the batch from other than 0 or in steps",
            )),
        };
    }
    let mut bound = |index| -> Result<i64, Error> {
        match importer.integers(node, index)?.as_deref() {
            Some(&[number]) => Ok(number),
            _ => Err(fault(
                node,
                format!("input {index} must be a single number"),
            )),
        }
    };
    let (start, limit, step) = (bound(0)?, bound(1)?, bound(2)?);
    if step == 0 || limit.saturating_sub(start).unsigned_abs() > importer.numbers_left {
        return Err(unsupported(
            node,
            format!("a range from {start} to {limit} in steps of {step}"),
        ));
    }
    let mut numbers = Vec::new();
    let mut number = start;
    while (step > 0 && number < limit) || (step < 0 && number > limit) {
        numbers.push(Extent::Number(number));
        number = number.saturating_add(step);
    }
    importer.alias(node, Known::Extents(numbers))
}

/// Equal of two lists of extents: 1 where they are, 0 where not.
pub(super) fn equal(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let compared = pairs(importer, node, 0, 1)?
        .into_iter()
        .map(|(a, b)| Extent::Number((a == b).into()))
        .collect();
    importer.alias(node, Known::Extents(compared))
}

/// Where on lists of extents.
pub(super) fn choose(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let conditions = importer
        .integers(node, 0)?
        .ok_or_else(|| fault(node, "its condition is missing"))?;
    let chosen = pairs(importer, node, 1, 2)?
        .into_iter()
        .enumerate()
        .map(|(index, (a, b))| {
            let condition = match conditions.as_slice() {
                [one] => Some(one),
                many => many.get(index),
            };
            match condition {
                Some(0) => Ok(b),
                Some(_) => Ok(a),
                None => Err(fault(node, "its condition is shorter than its operands")),
            }
        })
        .collect::<Result<_, _>>()?;
    importer.alias(node, Known::Extents(chosen))
}

/// Mod of lists of whole numbers, with the divisor's sign.
pub(super) fn modulo(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let rests = pairs(importer, node, 0, 1)?
        .into_iter()
        .map(|pair| match pair {
            (Extent::Number(a), Extent::Number(b)) => a
                .checked_rem(b)
                .map(|rest| {
                    if rest != 0 && (rest < 0) != (b < 0) {
                        rest + b
                    } else {
                        rest
                    }
                })
                .map(Extent::Number)
                .ok_or_else(|| fault(node, format!("{a} has no rest by {b}"))),
            _ => Err(unsupported(node, "calculates with the batch size")),
        })
        .collect::<Result<_, _>>()?;
    importer.alias(node, Known::Extents(rests))
}

/// Two lists of extents side by side; a list of one goes with every entry of the other.
pub(super) fn pairs(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    left: usize,
    right: usize,
) -> Result<Vec<(Extent, Extent)>, Error> {
    let (Some(a), Some(b)) = (
        importer.extents(node, left)?,
        importer.extents(node, right)?,
    ) else {
        return Err(fault(node, "an operand is missing"));
    };
    let at = |list: &[Extent], index: usize| match list {
        [one] => Some(*one),
        many => many.get(index).copied(),
    };
    (0..a.len().max(b.len()))
        .map(|index| at(&a, index).zip(at(&b, index)))
        .collect::<Option<_>>()
        .ok_or_else(|| fault(node, "its operands differ in length"))
}
