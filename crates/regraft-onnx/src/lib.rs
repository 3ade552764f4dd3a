//! An ONNX classification network as typed nodes under the file's own names, ready to be trained, and back to a file.
//!
//! [`Model`] is the file. [`Graph::import`] gives it meaning: nodes in order with resolved shapes, parameters
//! under canonical dotted names, [`Block`]s between cuts, and where the head is. [`head::replace`] cuts the head off and puts
//! another on; it edits the file, so what is trained and what is written are one thing. [`write::with_weights`] puts
//! trained values into the file again; every node, initializer, input and output that was kept keeps its name.
//!
//! ```no_run
//! use regraft_onnx::{Graph, ImportOptions, Model};
//!
//! # fn main() -> Result<(), regraft_onnx::Error> {
//! let model = Model::open("squeezenet.onnx".as_ref())?;
//! let graph = Graph::import(&model, &ImportOptions::default())?;
//! for block in &graph.blocks {
//!     println!("{:20} {:3} nodes", block.name, block.nodes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The crate computes nothing and knows no framework: weights are plain `f32` values.

mod attributes;
mod blocks;
mod derived;
mod element;
mod error;
mod external;
mod graph;
pub mod head;
mod import;
pub mod metadata;
mod model;
mod names;
mod nodes;
pub mod op;
mod resize;
mod tensor;
mod weights;
mod wire;
pub mod write;

pub use blocks::Block;
pub use error::{Error, UnsupportedNode};
pub use graph::{
    Dim, Graph, Input, InputLayout, Node, Parameter, ParameterId, Role, Value, ValueId,
};
pub use head::{HeadKind, HeadSite, HeadSpec};
pub use import::ImportOptions;
pub use model::Model;
pub use op::Op;
pub use tensor::tensor_from_pb;
pub use weights::Weights;
