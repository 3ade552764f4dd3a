//! Cuts and blocks: places where exactly one activation crosses, and the stretches of nodes between them.

use std::collections::HashMap;
use std::ops::Range;

use crate::import::names;
use crate::ir::block::Block;
use crate::ir::dim::Dim;
use crate::ir::graph::{Graph, Input, Node};
use crate::ir::ids::ValueId;
use crate::ir::op::Op;
use crate::ir::parameter::Parameter;
use crate::ir::value::Value;

/// The blocks of a graph whose head, if it has one, has been found: no block lies on both sides of its beginning.
pub(crate) fn split(graph: &Graph) -> Vec<Block> {
    let (nodes, parameters) = (&graph.nodes, &graph.parameters);
    let head = graph.head.as_ref().ok();
    let head_start = head.map(|site| site.first_node);
    let taps = head.map_or(&[][..], |site| &site.taps);
    let segments = segments(nodes, &graph.values, graph.input, graph.output, taps);
    let mut blocks: Vec<(Block, Option<String>)> = Vec::new();
    for (nodes_range, value) in segments {
        let head = head_start.is_some_and(|start| nodes_range.start >= start);
        let name = segment_name(&nodes[nodes_range.clone()], parameters);
        let key = name.as_deref().map(block_key);
        if let Some((last, last_key)) = blocks.last_mut() {
            // Activations, pools and lone normalisations stay with the layer they follow.
            let follows =
                key.is_none() || key == *last_key || normalises_only(&nodes[nodes_range.clone()]);
            if last.head == head && follows && (last_key.is_some() || key.is_none()) {
                last.nodes.end = nodes_range.end;
                last.output = value;
                continue;
            }
            // A stretch without parameters before the first layer joins that layer.
            if last.head == head && last_key.is_none() {
                last.nodes.end = nodes_range.end;
                last.output = value;
                last.name = key.clone().unwrap_or_default();
                *last_key = key;
                continue;
            }
        }
        blocks.push((
            Block {
                name: key.clone().unwrap_or_default(),
                nodes: nodes_range,
                output: value,
                head,
            },
            key,
        ));
    }
    let mut blocks: Vec<Block> = blocks.into_iter().map(|(block, _)| block).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for index in 0..blocks.len() {
        if blocks[index].name.is_empty() {
            let first = &nodes[blocks[index].nodes.start];
            blocks[index].name = names::scope(&first.name).unwrap_or_else(|| first.name.clone());
        }
        let name = blocks[index].name.clone();
        let before = seen.entry(name.clone()).or_insert(0usize);
        *before += 1;
        if *before > 1 {
            blocks[index].name = format!("{name}#{before}");
        }
    }
    blocks
}

/// Stretches of nodes between places where exactly one activation is alive, images first: only such a one can be kept for
/// each image. Each comes with the activation that leaves it. `taps`, pooled features on their way to the head, may pass.
fn segments(
    nodes: &[Node],
    values: &[Value],
    input: ValueId,
    output: ValueId,
    taps: &[ValueId],
) -> Vec<(Range<usize>, ValueId)> {
    let images_first = |value: ValueId| {
        let shape = &values[value.0].shape;
        shape.first() == Some(&Dim::Batch(1))
            && shape[1..].iter().all(|d| matches!(d, Dim::Fixed(_)))
    };
    let mut last_use = vec![0usize; values.len()];
    for (index, node) in nodes.iter().enumerate() {
        for operand in &node.inputs {
            if let Input::Value(value) = operand {
                last_use[value.0] = index;
            }
        }
    }
    last_use[output.0] = nodes.len();
    let mut segments = Vec::new();
    let mut start = 0;
    let mut alive: Vec<ValueId> = vec![input];
    for (index, node) in nodes.iter().enumerate() {
        if !taps.contains(&node.output) {
            alive.push(node.output);
        }
        alive.retain(|value| last_use[value.0] > index);
        if let [only] = alive[..]
            && (only == node.output || taps.contains(&node.output))
            && images_first(only)
        {
            segments.push((start..index + 1, only));
            start = index + 1;
        }
    }
    if let Some(last) = nodes.last().filter(|_| start < nodes.len()) {
        segments.push((start..nodes.len(), last.output));
    }
    segments
}

/// The longest dotted prefix that the modules of a stretch share; the first module's own where they share none.
fn segment_name(nodes: &[Node], parameters: &[Parameter]) -> Option<String> {
    let modules: Vec<Vec<&str>> = nodes
        .iter()
        .flat_map(|node| &node.inputs)
        .filter_map(|operand| match operand {
            Input::Parameter(id) if parameters[id.0].role.trainable() => {
                Some(&parameters[id.0].name)
            }
            _ => None,
        })
        .map(|name| {
            let mut parts: Vec<&str> = name.split('.').collect();
            if parts.len() > 1 {
                parts.pop();
            }
            parts
        })
        .collect();
    let first = modules.first()?;
    let shared = (0..first.len())
        .take_while(|&depth| {
            modules
                .iter()
                .all(|module| module.get(depth) == first.get(depth))
        })
        .count();
    let length = if shared == 0 { first.len() } else { shared };
    Some(first[..length].join("."))
}

/// What tells one block from the next: the module path through its first run of numbers (`layer1.0.conv2` and
/// `layer1.0` are both `layer1.0`), or through the last part that calls itself a numbered block (`block_16_expand` and
/// `block_16_project` are both `block_16`); the whole path where it has neither.
fn block_key(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    let numeric = |part: &&str| part.chars().all(|c| c.is_ascii_digit());
    if let Some(first) = parts.iter().position(numeric) {
        let run = parts[first..].iter().take_while(|part| numeric(part));
        return parts[..first + run.count()].join(".");
    }
    let numbered = parts.iter().enumerate().rev();
    let mut numbered = numbered.filter_map(|(at, part)| Some((at, numbered_block(part)?)));
    match numbered.next() {
        Some((at, block)) => {
            let mut parts = parts[..at].to_vec();
            parts.push(&block);
            parts.join(".")
        }
        None => path.to_owned(),
    }
}

/// What a part of a path calls a block, through its number: `conv5_block3_2_conv` is of `conv5_block3`, `block3b_se_reduce` of
/// `block3b`. The two halves of a separable convolution, `conv_dw_4` and `conv_pw_4`, are one.
fn numbered_block(part: &str) -> Option<String> {
    const CALLED: &[&str] = &["block", "unit", "bottleneck", "layer", "expanded_conv"];
    for half in ["conv_dw_", "conv_pw_"] {
        if let Some((ahead, rest)) = part.split_once(half) {
            let digits = rest.chars().take_while(char::is_ascii_digit).count();
            return (digits > 0).then(|| format!("{ahead}conv_{}", &rest[..digits]));
        }
    }
    let end = |word: &&str| {
        let start = part.rfind(word)? + word.len();
        let rest = &part[start..];
        let rest = rest.strip_prefix('_').unwrap_or(rest);
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let mut behind = rest[digits..].chars();
        // One letter may follow the number: Keras counts 3a, 3b, 3c.
        let letter = behind.clone().next().filter(char::is_ascii_lowercase);
        if letter.is_some() {
            behind.next();
        }
        let ends = matches!(behind.next(), None | Some('_' | '/'));
        let end = part.len() - rest.len() + digits + letter.map_or(0, char::len_utf8);
        (digits > 0 && ends).then_some(end)
    };
    let end = CALLED.iter().filter_map(end).max()?;
    Some(part[..end].to_owned())
}

fn normalises_only(nodes: &[Node]) -> bool {
    !nodes
        .iter()
        .any(|node| matches!(node.op, Op::Conv(_) | Op::Linear(_) | Op::MatMul))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_keys_follow_what_people_call_a_block() {
        for (path, key) in [
            ("layer1.0.conv1", "layer1.0"),
            ("layer1.0", "layer1.0"),
            ("features.17", "features.17"),
            ("features.1.0.block.0.0", "features.1.0"),
            ("features.1.conv.0.0", "features.1"),
            ("_blocks.15._project_conv", "_blocks.15"),
            ("Mixed_5b", "Mixed_5b"),
            ("block_16_expand", "block_16"),
            ("block_16_project", "block_16"),
            ("block1_conv2", "block1"),
            ("conv5_block3_2_conv", "conv5_block3"),
            ("block3b_se_reduce", "block3b"),
            ("expanded_conv_7.squeeze_excite", "expanded_conv_7"),
            (
                "MobilenetV2.expanded_conv_3.depthwise",
                "MobilenetV2.expanded_conv_3",
            ),
            (
                "convnext_stage_2_block_1_pointwise_conv_1",
                "convnext_stage_2_block_1",
            ),
            ("stage3_unit2_conv1", "stage3_unit2"),
            ("conv_dw_4", "conv_4"),
            ("conv_pw_4", "conv_4"),
            ("conv_pw_13.bn", "conv_13"),
            ("layer_norm", "layer_norm"),
            (
                "features.denseblock1.denselayer1",
                "features.denseblock1.denselayer1",
            ),
        ] {
            assert_eq!(block_key(path), key);
        }
    }
}
