//! An imported network made ready to run: named passes over one graph, for every executor.
//!
//! [`Program::inference`] is what runs below a cut: batch norm folded into convolutions, residual sums, biases and activations
//! computed where their operand is written. [`TrainingProgram`] is what runs above it: batch norm and sums in one step with
//! what follows them. Both say of every node what a [`Pass`] did with it, or why it left it alone ([`Note`]).
//! [`tap`] puts pooled features of any number of values side by side, so that one pass gives them all.
//!
//! Nothing is computed here: what packs weights, places activations and runs kernels is `regraft-trunk`, what runs on tensors is
//! `regraft-nn`.
//!
//! ```no_run
//! use regraft_onnx::{Graph, ImportOptions, Model};
//! use regraft_program::Program;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::open("resnet18.onnx".as_ref())?;
//! let graph = Graph::import(&model, &ImportOptions::default())?;
//! let program = Program::inference(&graph, graph.logits)?;
//! for note in &program.notes {
//!     println!("{note}");
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod fold;
mod gelu;
mod graph;
mod inference;
mod pass;
mod read;
mod shape;
mod step;
mod training;

pub use error::Unsupported;
pub use fold::fold_batch_norm;
pub use graph::{Tap, Tapped, pixels_last, side_by_side, subgraph, tap};
pub use inference::Program;
pub use pass::{Note, Outcome, Pass};
pub use read::Shapes;
pub use shape::{Extents, MAX_RANK, Shape};
pub use step::{
    Combination, Convolution, Function, Linear, Scale, Side, Step, Tensor, Work, activation_of,
    gated_by,
};
pub use training::{Fused, TrainingProgram};

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
