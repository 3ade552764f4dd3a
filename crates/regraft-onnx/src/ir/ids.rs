//! Numbers that stand for the values and parameters of a graph.

/// Identifies an activation in [`Graph::values`](crate::Graph::values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

impl ValueId {
    /// The value at a position; beyond [`Graph::values`](crate::Graph::values) those of somebody who adds to a graph.
    pub fn at(index: usize) -> Self {
        Self(index)
    }

    /// Position in [`Graph::values`](crate::Graph::values).
    pub fn index(self) -> usize {
        self.0
    }
}

/// Identifies a parameter in [`Graph::parameters`](crate::Graph::parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub(crate) usize);

impl ParameterId {
    /// The parameter at a position; beyond [`Graph::parameters`](crate::Graph::parameters) those of somebody who adds to a graph.
    pub fn at(index: usize) -> Self {
        Self(index)
    }

    /// Position in [`Graph::parameters`](crate::Graph::parameters).
    pub fn index(self) -> usize {
        self.0
    }
}
