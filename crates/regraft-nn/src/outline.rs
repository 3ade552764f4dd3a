//! What the freeze-policy engine is told of a graph.

use regraft_freeze::{BlockOutline, NormOutline, Outline, ParameterKind, ParameterOutline};
use regraft_onnx::{Graph, Input, Op, Role};

/// Whether the backward pass keeps a node's output in memory of its own: activations overwrite what they read, norms are
/// recomputed by their readers, and shapes share their values.
fn is_kept(op: &Op) -> bool {
    !matches!(op, Op::Activation(_) | Op::BatchNorm(_) | Op::Reshape)
}

/// Describes a graph to the policy engine.
///
/// `fresh` says of a canonical name whether that parameter has no pretrained value (a new head's).
pub fn outline(graph: &Graph, fresh: impl Fn(&str) -> bool) -> Outline {
    let blocks = graph
        .blocks
        .iter()
        .map(|block| {
            let nodes = &graph.nodes[block.nodes.clone()];
            BlockOutline {
                name: block.name.clone(),
                head: block.head,
                macs: nodes.iter().map(|node| node.macs).sum(),
                activations: nodes
                    .iter()
                    .filter(|node| is_kept(&node.op))
                    .map(|node| graph.value(node.output).values_per_image())
                    .sum(),
                largest: nodes
                    .iter()
                    .map(|node| graph.value(node.output).values_per_image())
                    .max()
                    .unwrap_or(0),
                output_values: graph.value(block.output).values_per_image(),
            }
        })
        .collect();
    let mut parameters: Vec<ParameterOutline> = Vec::new();
    let mut norms = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let block = graph.block_of(index);
        let mut affine = Vec::new();
        for input in &node.inputs {
            let Input::Parameter(id) = input else {
                continue;
            };
            let parameter = graph.parameter(*id);
            let Some(kind) = kind(parameter.role) else {
                continue;
            };
            affine.push(parameter.name.clone());
            // A tied weight is listed once, in the lowest block that uses it.
            if parameters
                .iter()
                .all(|listed| listed.name != parameter.name)
            {
                parameters.push(ParameterOutline {
                    name: parameter.name.clone(),
                    kind,
                    shape: parameter.shape.clone(),
                    block,
                    fresh: fresh(&parameter.name),
                });
            }
        }
        if matches!(node.op, Op::BatchNorm(_)) {
            norms.push(NormOutline {
                name: norm_name(graph, index),
                block,
                affine,
            });
        }
    }
    Outline {
        blocks,
        parameters,
        norms,
        untrained: false,
    }
}

fn kind(role: Role) -> Option<ParameterKind> {
    match role {
        Role::Weight => Some(ParameterKind::Weight),
        Role::Bias => Some(ParameterKind::Bias),
        Role::NormScale => Some(ParameterKind::NormScale),
        Role::NormShift => Some(ParameterKind::NormShift),
        Role::RunningMean | Role::RunningVariance | Role::Constant => None,
    }
}

/// A batch norm layer's name: its scale's, without the last part.
pub(crate) fn norm_name(graph: &Graph, node: usize) -> String {
    let scale = graph.nodes[node]
        .inputs
        .iter()
        .find_map(|input| match input {
            Input::Parameter(id) => Some(graph.parameter(*id).name.as_str()),
            Input::Value(_) => None,
        });
    let name = scale.unwrap_or(&graph.nodes[node].name);
    name.rsplit_once('.')
        .map_or(name, |(layer, _)| layer)
        .to_owned()
}
