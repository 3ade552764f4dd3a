//! What can be wrong with an ONNX file, said so that a person can mend it.

use std::fmt;
use std::path::PathBuf;

/// Why a model could not be read, understood or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written.
    #[error("{action} `{path}`: {source}")]
    Io {
        /// `reading` or `writing`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error("not an ONNX model: {reason}; expected a file written by an ONNX exporter")]
    NotOnnx {
        /// What the decoder stumbled on.
        reason: String,
    },
    /// Operators that cannot be imported, all of them.
    #[error("{} cannot be imported:{}", count_nodes(.0.len()), list_nodes(.0))]
    Unsupported(Vec<UnsupportedNode>),
    /// A node contradicts its operator's specification or its inputs.
    #[error("node {node}: {reason}")]
    Node {
        /// Name (or first output) and operator of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The graph as a whole is not usable.
    #[error("{reason}")]
    Graph {
        /// What is wrong, and what would work.
        reason: String,
    },
    /// An initializer's data does not fit its declaration.
    #[error("initializer `{name}`: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A name given by the user is not in the model.
    #[error("no {what} named `{name}`{}", alike(.near))]
    NoSuchName {
        /// `node`, `value` or `parameter`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// The head could not be found or replaced.
    #[error("{reason}")]
    Head {
        /// What is in the way, and what would work.
        reason: String,
    },
}

/// One node that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// Its name, or its first output where it has none.
    pub node: String,
    /// Operator, with its domain where that is not the standard one.
    pub operator: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}): {}", self.node, self.operator, self.reason)
    }
}

fn count_nodes(count: usize) -> String {
    match count {
        1 => "one node".to_owned(),
        n => format!("{n} nodes"),
    }
}

fn list_nodes(nodes: &[UnsupportedNode]) -> String {
    nodes.iter().map(|node| format!("\n  {node}")).collect()
}

fn alike(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("; near: {}", quoted.join(", "))
}
