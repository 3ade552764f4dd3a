//! Reading a network: the walk over its file, and then what its structure tells.

use crate::analysis::{blocks, head, output};
use crate::error::Error;
use crate::file::model::Model;
use crate::import::{self, ImportOptions};
use crate::ir::graph::Graph;
use crate::ir::output::OutputKind;

impl Graph {
    /// Gives a file's graph its meaning.
    ///
    /// Of several outputs the first one counts that tells classes; what only the others need is not looked at.
    ///
    /// # Errors
    /// When the graph holds operators that cannot be imported (all are listed), is inconsistent, or is not a network from
    /// one image tensor.
    pub fn import(model: &Model, options: &ImportOptions) -> Result<Graph, Error> {
        let (mut found, mut fault) = (None, None);
        for walked in import::walks(model, options) {
            match walked {
                Ok(mut graph) => {
                    (graph.logits, graph.output_kind) = output::read(&graph);
                    let is_it = graph.output_kind.tells_classes();
                    if is_it || found.is_none() {
                        found = Some(graph);
                    }
                    if is_it {
                        break;
                    }
                }
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        let Some(mut graph) = found else {
            return Err(fault.unwrap_or_else(|| Error::Graph {
                reason: "the graph has no output".to_owned(),
            }));
        };
        // The head is searched from the logits up, and no block lies across its beginning.
        graph.head = match graph.output_kind {
            OutputKind::Features => head::on_top(&graph),
            _ => head::find(&graph),
        };
        graph.blocks = blocks::split(&graph);
        Ok(graph)
    }
}
