//! Pooled features at several values of a network, in one pass.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Device;
use regraft_onnx::Graph;
use regraft_program::{Tap, tap};
use regraft_spec::Pooling;
use regraft_trunk::Precision;

use crate::error::Error;
use crate::network::check_images;
use crate::trunk::Trunk;

/// A network up to its taps, whose features one pass gives all at once.
pub struct Taps {
    graph: Arc<Graph>,
    /// None where no tap has features.
    trunk: Option<Trunk>,
    columns: Vec<Option<Range<usize>>>,
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taps")
            .field("columns", &self.columns)
            .field("compiled", &self.is_compiled())
            .finish_non_exhaustive()
    }
}

impl Taps {
    /// The network up to `taps`.
    ///
    /// # Errors
    /// When a parameter has a rank that is not supported.
    pub fn new(graph: &Arc<Graph>, taps: &[Tap], device: &Device) -> Result<Self, Error> {
        let Some(tapped) = tap(graph, taps) else {
            return Ok(Self {
                graph: graph.clone(),
                trunk: None,
                columns: vec![None; taps.len()],
            });
        };
        let graph = Arc::new(tapped.graph);
        let trunk = Trunk::up_to(&graph, graph.output, device, Precision::F32)?;
        Ok(Self {
            graph,
            trunk: Some(trunk),
            columns: tapped.columns,
        })
    }

    /// The means after every block below the head: a tap a block.
    ///
    /// # Errors
    /// As [`Taps::new`].
    pub fn at_every_cut(graph: &Arc<Graph>, device: &Device) -> Result<Self, Error> {
        let blocks = graph.blocks.iter().take_while(|block| !block.head);
        let taps: Vec<Tap> = blocks
            .map(|block| Tap {
                value: block.output,
                pooling: Pooling::Mean,
            })
            .collect();
        Self::new(graph, &taps, device)
    }

    /// Of each tap, its columns among the features; none where the value has not what the pooling wants.
    pub fn columns(&self) -> &[Option<Range<usize>>] {
        &self.columns
    }

    /// Features of an image.
    pub fn width(&self) -> usize {
        self.columns
            .iter()
            .flatten()
            .map(ExactSizeIterator::len)
            .sum()
    }

    /// Whether a compiled plan runs it.
    pub fn is_compiled(&self) -> bool {
        self.trunk.as_ref().is_some_and(Trunk::is_compiled)
    }

    /// The features `[N, width]` of images `[N, H, W, C]`, row by row. `shape` is N, C, H, W.
    ///
    /// # Errors
    /// When the images have another shape than the network takes.
    pub fn features(&self, pixels: Vec<f32>, shape: [usize; 4]) -> Result<Vec<f32>, Error> {
        let Some(trunk) = &self.trunk else {
            return Ok(Vec::new());
        };
        check_images(&self.graph, &pixels, shape)?;
        trunk.forward(pixels, shape[0])?.into_values()
    }
}
