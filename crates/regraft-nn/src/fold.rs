//! Folds batch norm into the convolution before it, for a trunk that is not trained.

use regraft_onnx::{Graph, Input, Node, Op, ParameterId};

/// A weight of the folded trunk: one of the graph's as it is, or new values.
pub(crate) enum Operand {
    Original(ParameterId),
    Folded { values: Vec<f32>, shape: Vec<usize> },
}

/// A node whose parameters are its own.
pub(crate) struct FoldedNode {
    pub node: Node,
    pub operands: Vec<Operand>,
}

/// The nodes before `end`, with every batch norm that alone follows a convolution folded into it.
///
/// `y = s (conv(x) + b - m) / sqrt(v + e) + t` is a convolution with weight `w s / sqrt(v + e)` and bias
/// `(b - m) s / sqrt(v + e) + t`; computed in f64.
pub(crate) fn fold(graph: &Graph, end: usize) -> Vec<FoldedNode> {
    let nodes = &graph.nodes[..end];
    let mut folded: Vec<FoldedNode> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        if let Some((conv, operands)) = conv_before(graph, &folded, node, &graph.nodes[index..]) {
            let last = &mut folded[conv];
            last.node.output = node.output;
            last.operands = operands;
            continue;
        }
        folded.push(FoldedNode {
            node: node.clone(),
            operands: original_operands(node),
        });
    }
    folded
}

fn original_operands(node: &Node) -> Vec<Operand> {
    node.inputs
        .iter()
        .filter_map(|input| match input {
            Input::Parameter(id) => Some(Operand::Original(*id)),
            Input::Value(_) => None,
        })
        .collect()
}

/// Position of the convolution that `norm` can be folded into, with the folded weight and bias.
fn conv_before(
    graph: &Graph,
    done: &[FoldedNode],
    norm: &Node,
    later: &[Node],
) -> Option<(usize, Vec<Operand>)> {
    let Op::BatchNorm(config) = &norm.op else {
        return None;
    };
    let [
        Input::Value(source),
        Input::Parameter(scale),
        Input::Parameter(shift),
        Input::Parameter(mean),
        Input::Parameter(variance),
    ] = norm.inputs[..]
    else {
        return None;
    };
    let position = done
        .iter()
        .rposition(|folded| folded.node.output == source)?;
    let conv = &done[position];
    let alone = later[1..]
        .iter()
        .flat_map(|node| &node.inputs)
        .all(|input| *input != Input::Value(source))
        && done[position + 1..]
            .iter()
            .flat_map(|folded| &folded.node.inputs)
            .all(|input| *input != Input::Value(source));
    if !matches!(conv.node.op, Op::Conv(_)) || !alone {
        return None;
    }
    let operands: Option<Vec<ParameterId>> = conv
        .operands
        .iter()
        .map(|operand| match operand {
            Operand::Original(id) => Some(*id),
            Operand::Folded { .. } => None,
        })
        .collect();
    let operands = operands?;
    let values = |id: ParameterId| &graph.parameter(id).data;
    let weight = graph.parameter(*operands.first()?);
    let channels = *weight.shape.first()?;
    let factor: Vec<f64> = (0..channels)
        .map(|c| {
            f64::from(values(scale)[c]) / (f64::from(values(variance)[c]) + config.epsilon).sqrt()
        })
        .collect();
    let per_channel = weight.data.len() / channels.max(1);
    let folded_weight = weight
        .data
        .iter()
        .enumerate()
        .map(|(i, &w)| (f64::from(w) * factor[i / per_channel]) as f32)
        .collect();
    let bias = (0..channels)
        .map(|c| {
            let before = operands.get(1).map_or(0.0, |id| f64::from(values(*id)[c]));
            ((before - f64::from(values(mean)[c])) * factor[c] + f64::from(values(shift)[c])) as f32
        })
        .collect();
    Some((
        position,
        vec![
            Operand::Folded {
                values: folded_weight,
                shape: weight.shape.clone(),
            },
            Operand::Folded {
                values: bias,
                shape: vec![channels],
            },
        ],
    ))
}
