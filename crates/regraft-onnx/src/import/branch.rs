//! `If` whose condition is the same for every image: the branch that is taken, in the place of the node.

use std::rc::Rc;

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::known::Known;
use crate::error::Error;
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::{self, ConstantData};

/// Imports the branch that the condition names.
///
/// # Errors
/// When the condition depends on the image, and whatever stops a node of the branch.
pub(super) fn branch(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let refused = || {
        unsupported(
            node,
            "chooses by what is in the image or by the number of images; export the model by tracing, for one kind of input",
        )
    };
    let Known::Constant { constant, .. } = importer.required(node, 0)? else {
        return Err(refused());
    };
    let holds = match &constant.data {
        ConstantData::Integers(values) if values.len() == 1 => values[0] != 0,
        _ => return Err(refused()),
    };
    let wanted = if holds { "then_branch" } else { "else_branch" };
    let attribute = node.attribute.iter().find(|a| a.name == wanted);
    let taken = attribute
        .and_then(|attribute| attribute.g.as_ref())
        .filter(|taken| taken.output.len() >= node.output.len())
        .ok_or_else(|| fault(node, format!("its `{wanted}` is missing")))?;
    // Names of a branch are its own: they are forgotten behind it.
    let mut own = Vec::new();
    let values_before = importer.values.len();
    for stored in &taken.initializer {
        tensor::check(stored)?;
        let known = Known::Constant {
            constant: Rc::new(tensor::constant(stored)?),
            initializer: None,
        };
        importer.define(node, stored.name.clone(), known)?;
        own.push(stored.name.clone());
    }
    for inner in &taken.node {
        super::import(importer, inner)?;
        own.extend(inner.output.iter().cloned());
    }
    let mut given = Vec::new();
    for (output, name) in taken.output.iter().zip(&node.output) {
        let known = importer.named(node, &output.name)?;
        // What the branch made goes by the name that it has outside.
        if let Known::Activation(id) = known
            && id.0 >= values_before
        {
            importer.values[id.0].name.clone_from(name);
        }
        given.push((name.clone(), known));
    }
    for name in own {
        importer.known.remove(&name);
    }
    for (name, known) in given {
        importer.define(node, name, known)?;
    }
    Ok(())
}
