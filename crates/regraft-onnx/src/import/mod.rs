//! From the file's nodes to typed ones: attributes resolved, shapes inferred for any batch, shape arithmetic folded.
//!
//! The graph is walked once in execution order. Every value of the file is known as one of three things: an activation
//! that depends on the image, a constant, or numbers that hold the batch (what `Shape` gives), which stays symbolic. Nodes
//! whose operands are all of the latter two are computed (`fold`) and leave no node.

mod composed;
mod constants;
mod elementwise;
mod fold;
mod importer;
mod indices;
mod input;
mod known;
mod layers;
mod layout;
pub(crate) mod names;
mod options;
mod order;
mod pooling;
mod refusals;
mod table;

use self::importer::{Draft, Importer};
use self::known::Known;
use crate::error::Error;
use crate::file::model::Model;
use crate::ir::graph::{Graph, InputLayout};
use crate::ir::ids::ValueId;
use crate::ir::output::OutputKind;
use crate::ir::value::Value;
use crate::proto::nodes::unsupported;

pub(crate) use self::input::declared_dims;
pub use self::options::ImportOptions;

/// The file's nodes, values and parameters as a graph without blocks, whose head is still to be looked for and whose
/// logits are its output.
pub(crate) fn walk(model: &Model, options: &ImportOptions) -> Result<Graph, Error> {
    let order = order::execution_order(model)?;
    refusals::check(model, &order)?;
    let mut importer = Importer::new(model, options.most_generated);
    let (input, layout) = input::add(&mut importer, options)?;
    for index in order {
        let node = &model.graph().node[index];
        if fold::fold(&mut importer, node)? {
            continue;
        }
        let import = table::importer(&node.op_type).ok_or_else(|| {
            unsupported(
                node,
                "is supported on constants alone, and its input depends on the image",
            )
        })?;
        import(&mut importer, node)?;
    }
    finish(importer, input, layout)
}

/// What the walk found, less what the output does not need.
fn finish(importer: Importer<'_>, input: ValueId, layout: InputLayout) -> Result<Graph, Error> {
    let outputs = &importer.model.graph().output;
    let [output] = outputs.as_slice() else {
        return Err(Error::Graph {
            reason: format!(
                "the graph has {} outputs; expected one, the logits or probabilities",
                outputs.len()
            ),
        });
    };
    let Some(Known::Activation(id)) = importer.known.get(&output.name) else {
        return Err(Error::Graph {
            reason: format!("output `{}` does not depend on the image", output.name),
        });
    };
    let id = *id;
    let input_name = importer.values[input.0].name.clone();
    let (nodes, parameters) = order::live(importer.nodes, importer.parameters, id);
    if nodes.is_empty() {
        return Err(Error::Graph {
            reason: "the output is the input itself".to_owned(),
        });
    }
    let value = |draft: Draft| Value {
        name: draft.name,
        shape: draft.shape,
    };
    Ok(Graph {
        nodes,
        values: importer.values.into_iter().map(value).collect(),
        parameters,
        input,
        layout,
        output: id,
        logits: id,
        output_kind: OutputKind::Classes,
        blocks: Vec::new(),
        head: Err(String::new()),
        input_name,
        output_name: output.name.clone(),
    })
}
