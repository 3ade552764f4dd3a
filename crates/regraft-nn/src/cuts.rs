//! Features at every cut of a network, for judging how far up it serves other images.

use std::sync::Arc;

use burn::tensor::Device;
use regraft_onnx::{Graph, ValueId};

use crate::activation::Activation;
use crate::error::Error;
use crate::fold::FoldedNode;
use crate::network::own_layout;
use crate::trunk::{folded, run_nodes};

/// The blocks below the head, run one image batch at a time.
pub struct Cuts {
    graph: Arc<Graph>,
    device: Device,
    nodes: Vec<(FoldedNode, Vec<Activation>)>,
    /// Each block and the value that leaves it.
    cuts: Vec<(usize, ValueId)>,
}

impl Cuts {
    /// The cuts above every block of the graph that is below its head.
    ///
    /// # Errors
    /// When a parameter has a rank that is not supported.
    pub fn new(graph: &Arc<Graph>, device: &Device) -> Result<Self, Error> {
        let device = device.clone().without_autodiff();
        let blocks = graph.blocks.iter().take_while(|block| !block.head);
        let cuts: Vec<(usize, ValueId)> = blocks
            .clone()
            .map(|block| block.output)
            .enumerate()
            .collect();
        let end = blocks.last().map_or(0, |block| block.nodes.end);
        Ok(Self {
            graph: graph.clone(),
            nodes: folded(graph, end, &device)?,
            device,
            cuts,
        })
    }

    /// What leaves each block for a batch of images `[N, C, H, W]`, averaged over positions: block, and `[N, features]` row
    /// by row. A block whose output is no map of features is left out.
    ///
    /// # Errors
    /// When the images have another shape than the network takes.
    pub fn features(
        &self,
        pixels: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Vec<(usize, Vec<f32>)>, Error> {
        let pixels = own_layout(&self.graph, pixels, shape)?;
        let Some((_, output)) = self.cuts.last() else {
            return Ok(Vec::new());
        };
        let input = self.graph.value(self.graph.input).dims(shape[0]);
        let input = Activation::from_values(pixels, &input, &self.device)?;
        let mut found = Vec::new();
        run_nodes(
            &self.graph,
            &self.nodes,
            *output,
            input,
            &mut |value, activation| {
                let block = self.cuts.iter().find(|(_, cut)| *cut == value);
                if let (Some((block, _)), Some(pooled)) = (block, pooled(activation)) {
                    found.push((*block, pooled));
                }
            },
        )?;
        found
            .into_iter()
            .map(|(block, pooled)| Ok((block, pooled.into_values()?)))
            .collect()
    }
}

/// The mean over positions, `[N, features]`.
fn pooled(activation: &Activation) -> Option<Activation> {
    match activation.clone() {
        Activation::R2(features) => Some(Activation::R2(features)),
        Activation::R3(tokens) => Some(Activation::R2(tokens.mean_dim(1).squeeze_dim(1))),
        Activation::R4(map) => {
            let [n, channels, height, width] = map.dims();
            let map = map.reshape([n, channels, height * width]);
            Some(Activation::R2(map.mean_dim(2).squeeze_dim(2)))
        }
        _ => None,
    }
}
