//! What the policy engine knows of a network: blocks in order, parameters and normalisation layers by name.
//! Whoever reads a network makes one of these; nothing here touches tensors.

use serde::{Deserialize, Serialize};

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

/// One block: the part of the graph between two neighbouring cuts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
