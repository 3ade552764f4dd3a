//! Reading a network: the walk over its file, and then what its structure tells.

use crate::analysis::{blocks, head, output};
use crate::error::Error;
use crate::file::model::Model;
use crate::import::{self, ImportOptions};
use crate::ir::graph::Graph;

impl Graph {
    /// Gives a file's graph its meaning.
    ///
    /// # Errors
    /// When the graph holds operators that cannot be imported (all are listed), is inconsistent, or is not a network from
    /// one image tensor to one output.
    pub fn import(model: &Model, options: &ImportOptions) -> Result<Graph, Error> {
        let mut graph = import::walk(model, options)?;
        // The head is searched from the logits up, and no block lies across its beginning.
        (graph.logits, graph.output_kind) = output::read(&graph);
        graph.head = head::find(&graph);
        graph.blocks = blocks::split(&graph);
        Ok(graph)
    }
}
