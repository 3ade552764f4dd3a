//! Makes a file valid for another image size and any batch, before its head is replaced.
//!
//! Exporters bake the size in: a declared input shape, an average pool whose window is the whole image, a flatten
//! with a fixed number of features. Each is rewritten to what it meant; names stay.

use std::collections::{HashMap, HashSet};

use crate::error::Error;
use crate::graph::{Dim, Graph, Node};
use crate::import::{ImportOptions, declared_dims};
use crate::model::{Model, allow_plain_initializers, node_label};
use crate::op::Op;
use crate::tensor;

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
        let nodes: HashMap<&str, &Node> = graph
            .nodes
            .iter()
            .map(|node| (node.name.as_str(), node))
            .collect();
        let (mut targets, mut replaced) = (Vec::new(), Vec::new());
        for node in &mut file.node {
            let Some(typed) = nodes.get(node_label(node).as_str()) else {
                continue;
            };
            match (&typed.op, node.op_type.as_str()) {
                (Op::GlobalAveragePool, "AveragePool") if resized => {
                    node.op_type = "GlobalAveragePool".to_owned();
                    node.attribute.clear();
                }
                (Op::Reshape, "Reshape") => {
                    // A target that the file computes from shapes adapts by itself, unless it flattens to a number of
                    // features that was written down.
                    let stored = self
                        .initializer(node.input.get(1).map_or("", String::as_str))
                        .is_some();
                    let flattens = graph.value(typed.output).shape.len() == 2;
                    if let Some(target) = target_for_any_size(&graph, typed)
                        && node.input.len() > 1
                        && (stored || flattens)
                    {
                        let name = format!("{}/any_size", node_label(node));
                        replaced.push(std::mem::replace(&mut node.input[1], name.clone()));
                        targets.push(tensor::integer_proto(&name, &target));
                    }
                }
                _ => {}
            }
        }
        // What was replaced goes, unless another node uses it too.
        let mut replaced: HashSet<String> = replaced.into_iter().collect();
        for name in file.node.iter().flat_map(|node| &node.input) {
            replaced.remove(name);
        }
        file.initializer
            .retain(|tensor| !replaced.contains(&tensor.name));
        file.input.retain(|input| !replaced.contains(&input.name));
        let added = !targets.is_empty();
        file.initializer.extend(targets);
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
                crate::graph::InputLayout::ChannelsFirst => 2,
                crate::graph::InputLayout::ChannelsLast => 1,
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
