//! A stretch of a network that can be frozen, cut off or run by itself.

use std::ops::Range;

use super::ids::ValueId;

/// A stretch of nodes between two cuts, under the name people use for it (`layer1.0`, `Mixed_5b`, `features.17`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name, unique in the graph.
    pub name: String,
    /// Positions in the graph's nodes.
    pub nodes: Range<usize>,
    /// The one activation that leaves it.
    pub output: ValueId,
    /// Whether it belongs to the head.
    pub head: bool,
}
