//! Names in a file: nodes that share one, and names that are free.

use std::collections::HashSet;

use onnx_ir::{GraphProto, ModelProto};

/// Gives every node a name of its own: runtimes refuse two of one name.
pub(super) fn make_unique(proto: &mut ModelProto) {
    let Some(graph) = proto.graph.as_mut() else {
        return;
    };
    let mut names: HashSet<&str> = HashSet::with_capacity(graph.node.len());
    let mut again = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        if !node.name.is_empty() && !names.insert(&node.name) {
            again.push(index);
        }
    }
    if again.is_empty() {
        return;
    }
    let mut taken = all(graph);
    for index in again {
        let name = free(&taken, &graph.node[index].name);
        taken.insert(name.clone());
        graph.node[index].name = name;
    }
}

/// Every name in a graph, whatever it is a name of.
pub(crate) fn all(graph: &GraphProto) -> HashSet<String> {
    let nodes = graph.node.iter().flat_map(|node| {
        let values = node.output.iter().chain(&node.input);
        values.chain([&node.name])
    });
    let tensors = graph.initializer.iter().map(|tensor| &tensor.name);
    let ends = graph.input.iter().chain(&graph.output);
    let values = ends.chain(&graph.value_info).map(|value| &value.name);
    nodes.chain(tensors).chain(values).cloned().collect()
}

/// `name`, or the first of `name_2`, `name_3`, … that is not taken.
pub(crate) fn free(taken: &HashSet<String>, name: &str) -> String {
    let mut free = name.to_owned();
    let mut number = 1;
    while taken.contains(&free) {
        number += 1;
        free = format!("{name}_{number}");
    }
    free
}
