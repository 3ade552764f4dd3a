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
//!
//! Its modules lie in layers, each of which uses only those before it; `cargo xtask verify` looks.
//!
//! 1. `error`: what can be wrong with a file.
//! 2. `proto`: the format's messages; bytes are checked before they are decoded, attributes and tensors read and made.
//! 3. `file`: a [`Model`], the weights it keeps in other files or computes from initializers, and its [`metadata`].
//! 4. `ir`: a [`Graph`] as data: nodes with their [`Op`]s, values, parameters, blocks and the head's place.
//! 5. `import`: the walk over a file that makes the nodes, values and parameters; one function an operator.
//! 6. `analysis`: what a graph's structure tells: blocks between cuts, and where the head begins.
//! 7. `read`: [`Graph::import`], the walk and then the analysis.
//! 8. `surgery`: changes to the file: [`head`], [`Model::for_image_size`] and [`mod@write`].

mod analysis;
mod error;
mod file;
mod import;
mod ir;
mod proto;
mod read;
mod surgery;

pub use analysis::pixels::PixelRange;
pub use error::{Error, UnsupportedNode};
pub use file::metadata;
pub use file::model::Model;
pub use import::ImportOptions;
pub use ir::block::Block;
pub use ir::dim::{Dim, show as show_shape};
pub use ir::graph::{Graph, Input, InputLayout, Node};
pub use ir::ids::{ParameterId, ValueId};
pub use ir::op::{self, Op};
pub use ir::output::OutputKind;
pub use ir::parameter::{Parameter, Role};
pub use ir::site::HeadSite;
pub use ir::value::Value;
pub use proto::tensor::tensor_from_pb;
pub use proto::weights::Weights;
pub use surgery::head::{self, HeadKind, HeadSpec, HeadTap};
pub use surgery::write;
