//! Makes a file valid for another image size and any batch, before its head is replaced.
//!
//! Exporters bake the size in: a declared input shape, an average pool whose window is the whole image, a flatten
//! with a fixed number of features. Each is rewritten to what it meant; names stay.

use std::collections::{HashMap, HashSet};

use onnx_ir::{NodeProto, TensorProto};

use crate::error::Error;
use crate::file::model::{Model, allow_plain_initializers};
use crate::import::{ImportOptions, declared_dims};
use crate::ir::dim::Dim;
use crate::ir::graph::{Graph, Input, InputLayout, Node};
use crate::ir::op::Op;
use crate::proto::nodes::{int, node, node_label};
use crate::proto::tensor::{self, Constant, ConstantData};

impl Model {
    /// The model for images of `size` (height, width) and any batch.
    ///
    /// # Errors
    /// When the model cannot be imported at its own size.
    pub fn for_image_size(&self, size: [usize; 2]) -> Result<Model, Error> {
        let graph = Graph::import(
            self,
            &ImportOptions {
                image_size: Some(size),
                ..ImportOptions::default()
            },
        )?;
        let [_, height, width] = graph.image_shape();
        let fixed_batch = self
            .graph()
            .input
            .iter()
            .find(|input| input.name == graph.input_name)
            .is_some_and(|input| matches!(declared_dims(input).first(), Some(Some(_))));
        let resized = [height, width] != size;
        if !resized && !fixed_batch {
            return Ok(self.clone());
        }
        let mut proto = self.proto.clone();
        let file = proto.graph.mut_or_insert_default();
        // Shapes noted for the old size or batch no longer hold; they are optional in the format.
        file.value_info.clear();
        let typed: HashMap<&str, &Node> = graph
            .nodes
            .iter()
            .map(|node| (graph.value(node.output).name.as_str(), node))
            .collect();
        let mut rewritten = Rewritten::default();
        let mut nodes = Vec::with_capacity(file.node.len());
        for mut node in std::mem::take(&mut file.node) {
            // Names of nodes may be there twice, those of values not.
            match node
                .output
                .first()
                .and_then(|name| typed.get(name.as_str()))
            {
                Some(typed)
                    if typed.op == Op::GlobalAveragePool
                        && node.op_type == "AveragePool"
                        && resized =>
                {
                    node.op_type = "GlobalAveragePool".to_owned();
                    node.attribute.clear();
                }
                Some(typed) if typed.op == Op::Reshape && node.op_type == "Reshape" => {
                    self.free_reshape(&graph, typed, &mut node, resized, &mut rewritten);
                    nodes.append(&mut rewritten.nodes);
                }
                Some(typed)
                    if resized && node.op_type == "Expand" && only_combined(&graph, typed) =>
                {
                    rewritten.spread_later(&graph, typed, &mut node);
                }
                _ => {}
            }
            nodes.push(node);
        }
        file.node = nodes;
        // What was replaced goes, unless another node uses it too.
        let mut replaced = rewritten.replaced;
        for name in file.node.iter().flat_map(|node| &node.input) {
            replaced.remove(name);
        }
        file.initializer
            .retain(|tensor| !replaced.contains(&tensor.name));
        file.input.retain(|input| !replaced.contains(&input.name));
        let added = !rewritten.initializers.is_empty();
        file.initializer.extend(rewritten.initializers);
        let input_layout = graph.layout;
        for input in file
            .input
            .iter_mut()
            .filter(|input| input.name == graph.input_name)
        {
            let dims = &mut input
                .type_
                .mut_or_insert_default()
                .mut_tensor_type()
                .shape
                .mut_or_insert_default()
                .dim;
            if let Some(batch) = dims.first_mut()
                && fixed_batch
            {
                batch.set_dim_param("N".to_owned());
            }
            let first = match input_layout {
                InputLayout::ChannelsFirst => 2,
                InputLayout::ChannelsLast => 1,
            };
            for (dim, extent) in dims.iter_mut().skip(first).zip(size) {
                if dim.has_dim_value() {
                    dim.set_dim_value(extent as i64);
                }
            }
        }
        for output in &mut file.output {
            let dims = &mut output
                .type_
                .mut_or_insert_default()
                .mut_tensor_type()
                .shape
                .mut_or_insert_default()
                .dim;
            if let Some(batch) = dims.first_mut()
                && fixed_batch
            {
                batch.set_dim_param("N".to_owned());
            }
        }
        if added {
            allow_plain_initializers(&mut proto);
        }
        Model::from_proto(proto)
    }

    /// Gives a Reshape a target that holds for any batch, and for any image size where the old one had it written down.
    fn free_reshape(
        &self,
        graph: &Graph,
        typed: &Node,
        node: &mut NodeProto,
        resized: bool,
        rewritten: &mut Rewritten,
    ) {
        let Some(target) = node.input.get(1) else {
            return;
        };
        // A target that the file computes from shapes adapts by itself, unless it flattens to a number of features that
        // was written down.
        let is_constant = |node: &NodeProto| {
            node.op_type == "Constant" && node.output.first().is_some_and(|name| name == target)
        };
        let stored =
            self.initializer(target).is_some() || self.graph().node.iter().any(is_constant);
        let flattens = graph.value(typed.output).shape.len() == 2;
        if !stored && !flattens {
            return;
        }
        let written = match self.constant(target) {
            Ok(Some(Constant {
                data: ConstantData::Integers(written),
                ..
            })) => written,
            _ => Vec::new(),
        };
        let batch_first = graph.value(typed.output).shape.first() == Some(&Dim::Batch(1));
        let label = node_label(node);
        let name = format!("{label}/any_size");
        if batch_first && written.first() != Some(&-1) && written.contains(&-1) {
            // What is left open adapts by itself: groups of channels, with all places of each.
            let mut open = written;
            if open[0] == 0 {
                return;
            }
            open[0] = 0;
            rewritten
                .initializers
                .push(tensor::integer_proto(&name, &open));
        } else if resized && let Some(kept) = kept_extents(graph, typed) {
            rewritten.compute_target(&label, &node.input[0], &name, &kept);
        } else if let Some(target) = target_for_any_size(graph, typed) {
            rewritten
                .initializers
                .push(tensor::integer_proto(&name, &target));
        } else {
            return;
        }
        // The new target's 0 is "as it was", which is what it means where nothing is said.
        node.attribute
            .retain(|attribute| attribute.name != "allowzero");
        rewritten
            .replaced
            .insert(std::mem::replace(&mut node.input[1], name));
    }
}

/// What takes the place of numbers that were written down.
#[derive(Default)]
struct Rewritten {
    /// Names that are no longer read where they were.
    replaced: HashSet<String>,
    initializers: Vec<TensorProto>,
    /// Nodes to stand before the one being rewritten.
    nodes: Vec<NodeProto>,
}

/// Whether a spread activation is only read by functions of two operands, which spread it themselves.
fn only_combined(graph: &Graph, spread: &Node) -> bool {
    let of_value = matches!(spread.inputs[..], [Input::Value(_)]);
    let output = Input::Value(spread.output);
    let mut readers = graph
        .nodes
        .iter()
        .filter(|node| node.inputs.contains(&output));
    spread.op == Op::Expand
        && of_value
        && spread.output != graph.output
        && readers.all(|node| matches!(node.op, Op::Binary(_)))
}

impl Rewritten {
    /// Leaves an Expand's spreading to its readers: its target may hold the old size.
    fn spread_later(&mut self, graph: &Graph, typed: &Node, node: &mut NodeProto) {
        let name = format!("{}/any_size", node_label(node));
        let Some(target) = node.input.get_mut(1) else {
            return;
        };
        let ones = vec![1; graph.value(typed.output).shape.len()];
        self.initializers.push(tensor::integer_proto(&name, &ones));
        self.replaced.insert(std::mem::replace(target, name));
    }

    /// Computes the target `[0, leading..., height, width]` from the shape of `input`, whose last two extents these are.
    fn compute_target(&mut self, label: &str, input: &str, target: &str, kept: &Kept) {
        let part = |what: &str| format!("{label}/{what}");
        let [shape, places, size, leading] = ["shape", "places", "size", "leading"].map(part);
        let rank = kept.input_rank as i64;
        self.initializers
            .push(tensor::integer_proto(&places, &[rank - 2, rank - 1]));
        self.initializers
            .push(tensor::integer_proto(&leading, &kept.leading));
        self.nodes.extend([
            node("Shape", &[input], &shape, vec![]),
            node("Gather", &[&shape, &places], &size, vec![]),
            node("Concat", &[&leading, &size], target, vec![int("axis", 0)]),
        ]);
    }
}

/// A reshape of channels that leaves height and width as they are, as channel shuffling does.
struct Kept {
    input_rank: usize,
    /// The target before height and width; the batch is 0, "as it was".
    leading: Vec<i64>,
}

fn kept_extents(graph: &Graph, node: &Node) -> Option<Kept> {
    let Some(Input::Value(input)) = node.inputs.first() else {
        return None;
    };
    let (from, to) = (&graph.value(*input).shape, &graph.value(node.output).shape);
    if from.len() < 4 || to.len() < 4 || from[from.len() - 2..] != to[to.len() - 2..] {
        return None;
    }
    let [Dim::Batch(1), leading @ .., _, _] = to.as_slice() else {
        return None;
    };
    let leading = leading.iter().map(|dim| match dim {
        Dim::Fixed(extent) => Some(*extent as i64),
        Dim::Batch(_) => None,
    });
    Some(Kept {
        input_rank: from.len(),
        leading: std::iter::once(Some(0))
            .chain(leading)
            .collect::<Option<_>>()?,
    })
}

/// `[0, -1]` for a flatten with a baked-in feature count, `[0, ...]` for any other reshape that keeps the batch first.
fn target_for_any_size(graph: &Graph, node: &Node) -> Option<Vec<i64>> {
    let shape = &graph.value(node.output).shape;
    match shape.as_slice() {
        [Dim::Batch(1), Dim::Fixed(_)] => Some(vec![0, -1]),
        [Dim::Batch(1), rest @ ..] => {
            let mut target = vec![0];
            for dim in rest {
                match dim {
                    Dim::Fixed(extent) => target.push(*extent as i64),
                    Dim::Batch(_) => return None,
                }
            }
            Some(target)
        }
        _ => None,
    }
}
