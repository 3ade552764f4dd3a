//! Names in a file: nodes that share one, and names that are free.

use std::collections::{HashMap, HashSet};

use onnx_ir::{GraphProto, ModelProto};

/// The model with a name of its own for every node, since runtimes refuse two of one name; none where that is so already.
pub(super) fn unique(proto: &ModelProto) -> Option<ModelProto> {
    let graph = proto.graph.as_ref()?;
    let mut names: HashSet<&str> = HashSet::with_capacity(graph.node.len());
    let mut again = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        if !node.name.is_empty() && !names.insert(&node.name) {
            again.push(index);
        }
    }
    if again.is_empty() {
        return None;
    }
    let taken: HashSet<&str> = each(graph).map(String::as_str).collect();
    // Where each name's search goes on, so that thousands of one name take no longer than as many names.
    let mut next: HashMap<&str, usize> = HashMap::new();
    let mut renamed: HashSet<String> = HashSet::new();
    let mut names = Vec::with_capacity(again.len());
    for &index in &again {
        let name = graph.node[index].name.as_str();
        let number = next.entry(name).or_insert(1);
        let free = loop {
            *number += 1;
            let free = format!("{name}:{}", letters(*number));
            if !taken.contains(free.as_str()) && renamed.insert(free.clone()) {
                break free;
            }
        };
        names.push(free);
    }
    let mut unique = proto.clone();
    let nodes = &mut unique.graph.as_mut()?.node;
    for (index, name) in again.into_iter().zip(names) {
        nodes[index].name = name;
    }
    Some(unique)
}

/// b, c, … z, aa, ab, …: digits would make a block of each node.
fn letters(number: usize) -> String {
    let mut rest = number;
    let mut letters = Vec::new();
    while rest > 0 {
        rest -= 1;
        letters.insert(0, (b'a' + (rest % 26) as u8) as char);
        rest /= 26;
    }
    letters.into_iter().collect()
}

/// Every name in a graph, whatever it is a name of.
pub(crate) fn each(graph: &GraphProto) -> impl Iterator<Item = &String> {
    let nodes = graph.node.iter().flat_map(|node| {
        let values = node.output.iter().chain(&node.input);
        values.chain([&node.name])
    });
    let tensors = graph.initializer.iter().map(|tensor| &tensor.name);
    let ends = graph.input.iter().chain(&graph.output);
    let values = ends.chain(&graph.value_info).map(|value| &value.name);
    nodes.chain(tensors).chain(values)
}
