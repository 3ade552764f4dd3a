//! Why a network has no program.

/// A node that no program can hold. Nothing is computed before this is known, so a caller can run the network elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node `{node}`: {why}")]
pub struct Unsupported {
    /// The node's name in the file.
    pub node: String,
    /// What about it.
    pub why: String,
}
