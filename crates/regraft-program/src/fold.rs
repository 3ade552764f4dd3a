//! Batch norm by running statistics goes into the convolution before it.

use regraft_onnx::op::{BatchNorm, Op};
use regraft_onnx::{Graph, Input, Node, Parameter, ParameterId, Role, ValueId};

use crate::pass::{Note, Pass};

/// The graph with every batch norm that alone reads a convolution folded into it, and a note on each batch norm.
///
/// `y = s (conv(x) + b - m) / sqrt(v + e) + t` is a convolution with the weight `f w` and the bias `f b + (t - f m)`, where
/// `f = s / sqrt(v + e)`; computed in f64.
pub fn fold_batch_norm(mut graph: Graph) -> (Graph, Vec<Note>) {
    let mut uses = vec![0usize; graph.values.len()];
    for input in graph.nodes.iter().flat_map(|node| &node.inputs) {
        if let Input::Value(id) = input {
            uses[id.index()] += 1;
        }
    }
    uses[graph.output.index()] += 1;
    let mut notes = Vec::new();
    let mut kept: Vec<Option<Node>> = Vec::with_capacity(graph.nodes.len());
    let mut maker: Vec<Option<usize>> = vec![None; graph.values.len()];
    for node in std::mem::take(&mut graph.nodes) {
        let mut node = node;
        if let Op::BatchNorm(norm) = &node.op {
            let found = convolution(&kept, &maker, &uses, &node);
            let folded = found.and_then(|position| {
                let conv = kept[position].as_ref().ok_or("it is gone")?;
                let whole = folded(&mut graph, conv, &node, norm)?;
                Ok((position, whole))
            });
            match folded {
                Ok((position, whole)) => {
                    notes.push(Note::applied(Pass::FoldBatchNorm, &node.name, &whole.name));
                    kept[position] = None;
                    node = whole;
                }
                Err(why) => notes.push(Note::left(Pass::FoldBatchNorm, &node.name, why)),
            }
        }
        // At the place of the later of the two.
        maker[node.output.index()] = Some(kept.len());
        kept.push(Some(node));
    }
    graph.nodes = kept.into_iter().flatten().collect();
    (graph, notes)
}

/// Position of the convolution that a batch norm alone reads.
fn convolution(
    kept: &[Option<Node>],
    maker: &[Option<usize>],
    uses: &[usize],
    norm: &Node,
) -> Result<usize, &'static str> {
    let Some(Input::Value(source)) = norm.inputs.first() else {
        return Err("its input is a constant");
    };
    let source: ValueId = *source;
    let position = maker[source.index()].ok_or("it reads the network's input")?;
    let is_conv = kept[position]
        .as_ref()
        .is_some_and(|node| matches!(node.op, Op::Conv(_)));
    if !is_conv {
        return Err("no convolution comes before it");
    }
    match uses[source.index()] {
        1 => Ok(position),
        _ => Err("others read the convolution too"),
    }
}

/// The convolution with the norm in it.
fn folded(
    graph: &mut Graph,
    conv: &Node,
    norm: &Node,
    config: &BatchNorm,
) -> Result<Node, &'static str> {
    let [_, statistics @ ..] = &norm.inputs[..] else {
        return Err("it has no operands");
    };
    let ids: Vec<ParameterId> = statistics.iter().filter_map(parameter).collect();
    let [scale, shift, mean, variance] = ids[..] else {
        return Err("its statistics are computed");
    };
    let operands: Vec<ParameterId> = conv.inputs.iter().filter_map(parameter).collect();
    if operands.len() + 1 != conv.inputs.len() || operands.is_empty() {
        return Err("the convolution's weight is computed");
    }
    let values = |id: ParameterId| graph.parameter(id).data.to_vec();
    let (scale, mean, variance) = (values(scale), values(mean), values(variance));
    let shift_values = values(shift);
    let weight = graph.parameter(operands[0]);
    let channels = weight.shape.first().copied().unwrap_or_default();
    let fits = [&scale, &shift_values, &mean, &variance];
    if channels == 0 || fits.iter().any(|values| values.len() != channels) {
        return Err("it has another number of channels than the convolution");
    }
    let factor: Vec<f64> = scale
        .iter()
        .zip(&variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + config.epsilon).sqrt())
        .collect();
    let each = (weight.data.len() / channels).max(1);
    let mut weights = weight.data.to_vec();
    for (weights, factor) in weights.chunks_mut(each).zip(&factor) {
        for weight in weights {
            *weight = (f64::from(*weight) * factor) as f32;
        }
    }
    let before = match operands.get(1) {
        Some(bias) => values(*bias),
        None => vec![0.0; channels],
    };
    if before.len() != channels {
        return Err("the convolution's bias does not fit its channels");
    }
    let bias = (0..channels)
        .map(|c| {
            let offset = f64::from(shift_values[c]) - f64::from(mean[c]) * factor[c];
            (f64::from(before[c]) * factor[c] + offset) as f32
        })
        .collect::<Vec<f32>>();
    let mut weight: Parameter = weight.clone();
    weight.data = weights.into();
    weight.initializer = None;
    let mut new_bias = graph.parameter(shift).clone();
    new_bias.data = bias.into();
    new_bias.role = Role::Bias;
    new_bias.initializer = None;
    let first = conv.inputs[0];
    let weight = push(graph, weight);
    let bias = push(graph, new_bias);
    Ok(Node {
        inputs: vec![first, weight, bias],
        output: norm.output,
        ..conv.clone()
    })
}

fn parameter(input: &Input) -> Option<ParameterId> {
    match input {
        Input::Parameter(id) => Some(*id),
        Input::Value(_) => None,
    }
}

fn push(graph: &mut Graph, parameter: Parameter) -> Input {
    let id = ParameterId::at(graph.parameters.len());
    graph.parameters.push(parameter);
    Input::Parameter(id)
}
