//! Import and training held against references.
//!
//! Two suites, each a function from files to [`Case`]s: [`goldens`] compares small networks of real topology with PyTorch,
//! down to every gradient; [`cases`] runs the ONNX project's own backend cases. The program of this crate runs both on every
//! device compiled in and prints what it found as JSON, from which `cargo xtask conformance` makes its table.

pub mod cases;
pub mod goldens;

use serde::Serialize;

/// How one case went.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What it belongs to: `goldens`, `light`, `pytorch-operator`, …
    pub suite: String,
    /// Its name in the suite.
    pub name: String,
    /// The device it ran on.
    pub device: String,
    /// How it went.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Passed, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Outcome {
    /// Everything agrees.
    Passed,
    /// The file was refused, and the reason given.
    Unsupported(String),
    /// It ran and differs, or broke.
    Failed(String),
}
