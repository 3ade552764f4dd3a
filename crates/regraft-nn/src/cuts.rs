//! Features at every cut of a network, for judging how far up it serves other images.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Device;
use regraft_onnx::{Graph, ValueId};
use regraft_program::tap;
use regraft_trunk::Precision;

use crate::error::Error;
use crate::network::check_images;
use crate::trunk::Trunk;

/// The blocks below the head, whose pooled outputs one pass gives all at once.
pub struct Cuts {
    graph: Arc<Graph>,
    /// None where no block gives a map of features.
    trunk: Option<Trunk>,
    /// Each block that gives features, and its columns among all.
    columns: Vec<(usize, Range<usize>)>,
}

impl fmt::Debug for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cuts")
            .field("columns", &self.columns)
            .field("compiled", &self.is_compiled())
            .finish_non_exhaustive()
    }
}

impl Cuts {
    /// The cuts above every block of the graph that is below its head. A block whose output is no map of features is left
    /// out.
    ///
    /// # Errors
    /// When a parameter has a rank that is not supported.
    pub fn new(graph: &Arc<Graph>, device: &Device) -> Result<Self, Error> {
        let blocks = graph.blocks.iter().take_while(|block| !block.head);
        let values: Vec<ValueId> = blocks.map(|block| block.output).collect();
        let Some(tapped) = tap(graph, &values) else {
            return Ok(Self {
                graph: graph.clone(),
                trunk: None,
                columns: Vec::new(),
            });
        };
        let columns = tapped.columns.into_iter().enumerate();
        let columns = columns.filter_map(|(block, columns)| Some((block, columns?)));
        let columns = columns.collect();
        let graph = Arc::new(tapped.graph);
        let trunk = Trunk::up_to(&graph, graph.output, device, Precision::F32)?;
        Ok(Self {
            graph,
            trunk: Some(trunk),
            columns,
        })
    }

    /// Whether a compiled plan runs them.
    pub fn is_compiled(&self) -> bool {
        self.trunk.as_ref().is_some_and(Trunk::is_compiled)
    }

    /// What leaves each block for a batch of images `[N, H, W, C]`, averaged over positions: block, and `[N, features]` row
    /// by row. `shape` is N, C, H, W.
    ///
    /// # Errors
    /// When the images have another shape than the network takes.
    pub fn features(
        &self,
        pixels: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Vec<(usize, Vec<f32>)>, Error> {
        let Some(trunk) = &self.trunk else {
            return Ok(Vec::new());
        };
        check_images(&self.graph, &pixels, shape)?;
        let all = trunk.forward(pixels, shape[0])?.into_values()?;
        let width = all.len() / shape[0].max(1);
        Ok(self
            .columns
            .iter()
            .map(|(block, columns)| {
                let rows = all.chunks_exact(width.max(1));
                let features = rows.flat_map(|row| row[columns.clone()].iter().copied());
                (*block, features.collect())
            })
            .collect())
    }
}
