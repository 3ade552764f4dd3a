//! What the policy engine knows of a network: blocks in order, parameters and normalisation layers by name.
//! Whoever reads a network makes one of these; nothing here touches tensors.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A network as an ordered chain of blocks, from the input (index 0) to the head (last).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// Blocks from the input to the output. The blocks with `head == true` come last.
    pub blocks: Vec<BlockOutline>,
    /// Every parameter that could be trained, in graph order. Running statistics are not among them.
    pub parameters: Vec<ParameterOutline>,
    /// Every normalisation layer with running statistics, in graph order.
    pub norms: Vec<NormOutline>,
    /// Whether the weights are initial ones, so that there is nothing to keep.
    #[serde(default)]
    pub untrained: bool,
}

impl Outline {
    /// Checks that every parameter is listed once, and that parameters and norms lie in blocks that exist.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut names = HashSet::new();
        for parameter in &self.parameters {
            if !names.insert(parameter.name.as_str()) {
                return Err(Error::ListedTwice {
                    name: parameter.name.clone(),
                });
            }
        }
        let blocks = self.blocks.len();
        let parameters = self.parameters.iter().map(|p| (&p.name, p.block));
        let mut members = parameters.chain(self.norms.iter().map(|norm| (&norm.name, norm.block)));
        match members.find(|(_, block)| *block >= blocks) {
            Some((name, block)) => Err(Error::OutsideBlocks {
                name: name.clone(),
                block,
                blocks,
            }),
            None => Ok(()),
        }
    }

    /// Number of lowest blocks before the first one that trains.
    pub(crate) fn blocks_below(&self, trains: impl Fn(usize) -> bool) -> usize {
        (0..self.blocks.len())
            .take_while(|block| !trains(*block))
            .count()
    }
}

/// One block: the part of the graph between two neighbouring cuts.
///
/// Its costs only serve [`crate::estimate`] and [`crate::table`]. Whoever does not know them leaves them at 0
/// (`..BlockOutline::default()`) and prints [`crate::FreezePlan::table`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BlockOutline {
    /// The name people use, e.g. `layer1.0`, `Mixed_5b`, `features.17`.
    pub name: String,
    /// Whether the block belongs to the head.
    pub head: bool,
    /// Multiply-accumulates of one image through this block, forward.
    pub macs: u64,
    /// f32 values that the backward pass keeps of this block for one image.
    pub activations: u64,
    /// f32 values of its largest tensor for one image.
    #[serde(default)]
    pub largest: u64,
    /// f32 values that cross the cut above this block for one image.
    pub output_values: u64,
}

/// One trainable parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterOutline {
    /// Canonical dotted name, e.g. `layer1.0.conv1.weight`.
    pub name: String,
    /// What it is, for weight decay and for `norm-only` / `bias-only`.
    pub kind: ParameterKind,
    /// Its shape as stored in the file.
    pub shape: Vec<usize>,
    /// Index into [`Outline::blocks`].
    pub block: usize,
    /// Whether it was made afresh (a new head) and has no pretrained value.
    pub fresh: bool,
}

/// Whether a parameter is a normalisation layer's scale or shift.
pub(crate) fn is_norm(parameter: &ParameterOutline) -> bool {
    matches!(
        parameter.kind,
        ParameterKind::NormScale | ParameterKind::NormShift
    )
}

/// What a parameter is in its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterKind {
    /// Convolution, linear or other multiplicative weight.
    Weight,
    /// Additive bias of a convolution or linear layer.
    Bias,
    /// Scale (gamma) of a normalisation layer.
    NormScale,
    /// Shift (beta) of a normalisation layer.
    NormShift,
}

/// One normalisation layer with running statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormOutline {
    /// Canonical dotted name of the layer, e.g. `layer1.0.bn1`.
    pub name: String,
    /// Index into [`Outline::blocks`].
    pub block: usize,
    /// Names of its scale and shift among [`Outline::parameters`], where they are trainable.
    pub affine: Vec<String>,
}
