//! The ONNX file itself: decoded, checked on the surface, with its initializers by name.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use onnx_ir::{GraphProto, Message, ModelProto, TensorProto};

use super::derived::{self, Computed};
use super::evaluate::Budget;
use super::{external, foreign, inference, inline, names};
use crate::error::Error;
use crate::proto::tensor::{self, Constant};
use crate::proto::{element, wire};

/// Most bytes of one protobuf message.
const LARGEST_FILE: u64 = i32::MAX as u64;
/// Most nodes of a graph; the deepest networks that are used have a few thousand.
pub(super) const MOST_NODES: usize = 1 << 15;
/// Numbers that nodes may make of the file's own, for each of its bytes: a weight that is normalised before its use is
/// computed in half a dozen steps.
const NUMBERS_A_BYTE: u64 = 4;

/// An ONNX model as it lies in its file.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) proto: ModelProto,
    /// Where it was read from, for messages.
    path: Option<PathBuf>,
    initializers: HashMap<String, usize>,
    /// What a person should know of how the file is used.
    notes: Vec<String>,
    /// What nodes make of the file's own numbers, by the name of their output.
    computed: HashMap<String, Computed>,
}

impl Model {
    /// Reads a model from a file, and the weights that it keeps in files beside it.
    ///
    /// # Errors
    /// When the file cannot be read or is no ONNX model, or when weights that it keeps in other files are not below its
    /// folder or not of the declared size.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Io {
            action: "reading",
            path: path.to_owned(),
            source,
        })?;
        let mut proto = decode(&bytes.into())?;
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        external::resolve(&mut proto, folder.unwrap_or(Path::new(".")))?;
        let mut model = Self::from_proto(proto)?;
        model.path = Some(path.to_owned());
        Ok(model)
    }

    /// Decodes a model from the bytes of an ONNX file, which are copied once.
    ///
    /// # Errors
    /// As [`Model::open`]; and when the model keeps its weights in other files.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_proto(decode(&Bytes::copy_from_slice(bytes))?)
    }

    /// A model made in memory, from onnx-ir's protobuf types.
    ///
    /// # Errors
    /// When it holds no graph, or an initializer's data does not fit its declaration.
    pub fn from_proto(mut proto: ModelProto) -> Result<Self, Error> {
        inline::functions(&mut proto)?;
        inline::sparse(&mut proto)?;
        let notes: Vec<String> = inference::settle(&mut proto).into_iter().collect();
        let Some(graph) = proto.graph.as_ref() else {
            return Err(Error::NotOnnx {
                reason: "it holds no graph".to_owned(),
            });
        };
        if graph.node.is_empty() {
            return Err(Error::NotOnnx {
                reason: "its graph has no nodes".to_owned(),
            });
        }
        if graph.node.len() > MOST_NODES {
            return Err(Error::Graph {
                reason: format!(
                    "the graph has {} nodes; at most {MOST_NODES} are supported",
                    graph.node.len()
                ),
            });
        }
        let mut initializers = HashMap::with_capacity(graph.initializer.len());
        for (index, tensor) in graph.initializer.iter().enumerate() {
            tensor::check(tensor)?;
            if initializers.insert(tensor.name.clone(), index).is_some() {
                return Err(Error::Tensor {
                    name: tensor.name.clone(),
                    reason: "declared twice".to_owned(),
                });
            }
        }
        let mut model = Self {
            proto,
            path: None,
            notes,
            initializers,
            computed: HashMap::new(),
        };
        // In the order of the file, which is that of execution in a valid one.
        for index in 0..model.graph().node.len() {
            if let Some(computed) = derived::computed(&model, index)
                && let Some(output) = model.graph().node[index].output.first().cloned()
            {
                model.computed.insert(output, computed);
            }
        }
        Ok(model)
    }

    /// Where the model was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What a person should know of how the file is used: that it was exported in training mode.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The version of the standard operator set the file asks for.
    pub fn opset(&self) -> i64 {
        self.proto
            .opset_import
            .iter()
            .find(|set| set.domain.is_empty() || set.domain == "ai.onnx")
            .map_or(1, |set| set.version)
    }

    /// The program that wrote the file, e.g. `pytorch 2.9`.
    pub fn producer(&self) -> String {
        format!(
            "{} {}",
            self.proto.producer_name, self.proto.producer_version
        )
        .trim()
        .to_owned()
    }

    /// Names of the file's outputs, in file order.
    pub fn output_names(&self) -> impl Iterator<Item = &str> {
        let outputs = self.graph().output.iter();
        outputs.map(|output| output.name.as_str())
    }

    /// Names of the file's nodes, in file order.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.graph().node.iter().map(|node| node.name.as_str())
    }

    /// Names of the file's initializers, in file order.
    pub fn initializer_names(&self) -> impl Iterator<Item = &str> {
        self.graph()
            .initializer
            .iter()
            .map(|tensor| tensor.name.as_str())
    }

    /// Whether the file has a weight of that name: an initializer, or one that nodes make of initializers.
    pub fn has_weight(&self, name: &str) -> bool {
        self.initializers.contains_key(name) || self.is_derived(name)
    }

    /// The values of a float initializer, or of a weight that nodes make of initializers.
    ///
    /// # Errors
    /// When there is none of that name, or its data is damaged.
    pub fn weights(&self, initializer: &str) -> Result<Vec<f32>, Error> {
        if self.is_derived(initializer)
            && let Some(weight) = self.constant(initializer)?
        {
            return Ok(weight.to_floats());
        }
        let tensor = self
            .initializer(initializer)
            .ok_or_else(|| Error::NoSuchName {
                what: "initializer",
                name: initializer.to_owned(),
                near: regraft_spec::similar::nearest(initializer, self.initializer_names()),
            })?;
        tensor::floats(tensor)
    }

    /// The initializer of that name, or what nodes make of initializers and constants under it.
    pub(crate) fn constant(&self, name: &str) -> Result<Option<Constant>, Error> {
        if let Some(tensor) = self.initializer(name) {
            return tensor::constant(tensor).map(Some);
        }
        let mut budget = self.budget();
        let mut known: HashMap<&str, Constant> = HashMap::new();
        for index in self.needed_by(name) {
            let node = &self.graph().node[index];
            let operands = node
                .input
                .iter()
                .map(|name| match known.get(name.as_str()) {
                    Some(constant) => Ok(Some(constant.clone())),
                    None => self.initializer(name).map(tensor::constant).transpose(),
                });
            let operands = operands.collect::<Result<Vec<_>, Error>>()?;
            let made = derived::apply(self, node, &operands, &mut budget)?;
            if let Some(output) = node.output.first() {
                known.insert(output, made);
            }
        }
        Ok(known.remove(name))
    }

    /// Numbers that may be made of the file's own.
    pub(crate) fn budget(&self) -> Budget {
        Budget(self.size().saturating_mul(NUMBERS_A_BYTE))
    }

    /// The nodes that make a value of the file's own numbers, in the order of the file.
    fn needed_by(&self, name: &str) -> BTreeSet<usize> {
        let mut needed = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            if let Some(computed) = self.computed(name)
                && needed.insert(computed.node)
            {
                open.extend(
                    self.graph().node[computed.node]
                        .input
                        .iter()
                        .map(String::as_str),
                );
            }
        }
        needed
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the model is larger than the format allows (2 GiB).
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size()).unwrap_or_default());
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes the file, tensor by tensor: it is not in memory a second time.
    ///
    /// # Errors
    /// When the model is larger than the format allows (2 GiB), or `out` cannot be written to.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), Error> {
        let size = self.size();
        if size > LARGEST_FILE {
            return Err(Error::Graph {
                reason: format!(
                    "the model takes {size} bytes, an ONNX file holds at most {LARGEST_FILE}"
                ),
            });
        }
        let unique = names::unique(&self.proto);
        let proto = unique.as_ref().unwrap_or(&self.proto);
        proto.write_to_writer(out).map_err(|error| Error::Graph {
            reason: format!("the model cannot be written: {error}"),
        })
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.proto.compute_size()
    }

    pub(crate) fn graph(&self) -> &GraphProto {
        // `from_proto` refuses a model without a graph; a default instance keeps this total.
        self.proto.graph.get_or_default()
    }

    pub(crate) fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.mut_or_insert_default()
    }

    pub(crate) fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.initializers
            .get(name)
            .map(|index| &self.graph().initializer[*index])
    }

    /// What a weight is called: the initializer's name; for one that nodes make, that of the largest it is made from.
    pub(crate) fn name_of_weight<'a>(&'a self, name: &'a str) -> &'a str {
        let Some(computed) = self.computed(name) else {
            return name;
        };
        let node = &self.graph().node[computed.node];
        match (node.op_type.as_str(), node.input.first()) {
            ("Identity", _) => return name,
            ("DequantizeLinear", Some(stored)) => return derived::original_name(stored),
            _ => {}
        }
        let sources = self.sources(name);
        let initializers: Vec<&TensorProto> = sources
            .into_iter()
            .filter_map(|name| self.initializer(name))
            .collect();
        let weights = initializers.into_iter().filter(|tensor| {
            let eight_bits = matches!(tensor.data_type, element::INT8 | element::UINT8);
            element::is_float(tensor.data_type) || eight_bits
        });
        // The first of equals.
        let largest = weights
            .rev()
            .max_by_key(|tensor| tensor::element_count(&tensor.dims));
        largest.map_or(name, |tensor| derived::original_name(&tensor.name))
    }

    /// What nodes make a weight of, down to initializers; nothing for an initializer.
    pub(crate) fn sources<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let needed = self.needed_by(name).into_iter().rev();
        needed
            .flat_map(|node| self.graph().node[node].input.iter().map(String::as_str))
            .collect()
    }

    pub(crate) fn computed(&self, name: &str) -> Option<Computed> {
        self.computed.get(name).copied()
    }

    /// Whether nodes make a weight of that name.
    pub(crate) fn is_derived(&self, name: &str) -> bool {
        self.computed(name)
            .is_some_and(|computed| computed.is_weight)
    }

    /// Whether there is a weight of floats of that name: an initializer, or what nodes make.
    pub(crate) fn is_float_weight(&self, name: &str) -> bool {
        let stored = self.initializer(name);
        stored.is_some_and(|tensor| element::is_float(tensor.data_type)) || self.is_derived(name)
    }

    pub(crate) fn initializer_index(&self, name: &str) -> Option<usize> {
        self.initializers.get(name).copied()
    }
}

/// A decoded model whose weights stay where they are in `bytes`.
fn decode(bytes: &Bytes) -> Result<ModelProto, Error> {
    if let Some(reason) = foreign::name(bytes) {
        return Err(Error::NotOnnx { reason });
    }
    wire::check(bytes, wire::Kind::Model)?;
    ModelProto::parse_from_tokio_bytes(bytes).map_err(|error| Error::NotOnnx {
        reason: error.to_string(),
    })
}

/// Makes initializers valid that are no graph inputs: before version 4 of the format each had to be one too.
pub(crate) fn allow_plain_initializers(proto: &mut ModelProto) {
    proto.ir_version = proto.ir_version.max(4);
}
