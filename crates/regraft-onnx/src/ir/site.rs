//! The place where a network's head begins.

use super::ids::ValueId;

/// Where the head begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadSite {
    /// The activation a new head takes: `[N, F]`, or `[N, C, H, W]` where the classifier is a convolution.
    pub feature: ValueId,
    /// Position of the head's first node; it and all that follow are the head.
    pub first_node: usize,
    /// Length of the pooled feature vector: F or C; of all, where several are joined.
    pub features: usize,
    /// Whether the feature is an image that a new head has to pool.
    pub spatial: bool,
    /// Features of other heads, `[N, F]`, whose logits are averaged with those of the head that takes `feature`: a new head takes
    /// all of them, joined.
    pub beside: Vec<ValueId>,
    /// Values from lower blocks that the old head reads beside `feature`, it alone: pooled features, `[N, F]`, or the logits of heads
    /// further down.
    pub taps: Vec<ValueId>,
}
