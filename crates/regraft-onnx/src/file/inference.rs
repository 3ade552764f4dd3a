//! Files that were exported while they trained: batch norms that normalise by the batch, dropouts that drop. They are read, used and
//! written in the form for inference.

use std::collections::HashSet;

use onnx_ir::{GraphProto, ModelProto, NodeProto};

use crate::proto::attributes::Attributes;

/// Puts what trains into the form for inference; says what there was, where there was something.
pub(super) fn settle(proto: &mut ModelProto) -> Option<String> {
    let opset = proto
        .opset_import
        .iter()
        .find(|set| set.domain.is_empty() || set.domain == "ai.onnx")
        .map_or(1, |set| set.version);
    let graph = proto.graph.as_mut()?;
    let trains: Vec<usize> = (0..graph.node.len())
        .filter(|&index| is_training(&graph.node[index]))
        .collect();
    if trains.is_empty() {
        return None;
    }
    let of_image = of_image(graph);
    let (mut norms, mut dropouts) = (0, 0);
    let mut gone = HashSet::new();
    for index in trains {
        let node = &mut graph.node[index];
        // A batch norm over a weight standardises it: the statistics of what it is given are meant.
        if !node
            .input
            .first()
            .is_some_and(|name| of_image.contains(name))
        {
            continue;
        }
        gone.extend(node.output.drain(1..).filter(|name| !name.is_empty()));
        if node.op_type == "BatchNormalization" {
            node.attribute
                .retain(|attribute| attribute.name != "training_mode");
            norms += 1;
        } else {
            node.input.truncate(2);
            if opset < 7 {
                node.attribute
                    .retain(|attribute| attribute.name != "is_test");
                node.attribute.push(crate::proto::nodes::int("is_test", 1));
            }
            dropouts += 1;
        }
    }
    // Running statistics that the file gave out, and copies of them.
    while let Some(index) = graph.node.iter().position(|node| {
        node.op_type == "Identity" && node.input.iter().any(|name| gone.contains(name))
    }) {
        gone.extend(graph.node.remove(index).output);
    }
    graph.output.retain(|output| !gone.contains(&output.name));
    graph.value_info.retain(|value| !gone.contains(&value.name));
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let parts = [count(norms, "batch norm"), count(dropouts, "dropout")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| {
        format!(
            "the file was exported in training mode ({}); it is used and written in the form for inference",
            parts.join(", ")
        )
    })
}

fn is_training(node: &NodeProto) -> bool {
    let attributes = Attributes(node);
    match node.op_type.as_str() {
        // Before opset 14, five outputs said the same.
        "BatchNormalization" => {
            attributes.int("training_mode").unwrap_or(0) != 0
                || node.output.iter().skip(1).any(|name| !name.is_empty())
        }
        "Dropout" => node.input.get(2).is_some_and(|name| !name.is_empty()),
        _ => false,
    }
}

/// Values that depend on what the graph is given.
fn of_image(graph: &GraphProto) -> HashSet<String> {
    let stored: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    let inputs = graph.input.iter().map(|input| input.name.clone());
    let mut known: HashSet<String> = inputs
        .filter(|name| !stored.contains(name.as_str()))
        .collect();
    // In the order of the file, which is that of execution in a valid one.
    for node in &graph.node {
        if node.input.iter().any(|name| known.contains(name)) {
            known.extend(node.output.iter().cloned());
        }
    }
    known
}
