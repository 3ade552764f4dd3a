//! What a network gives out: where its logits are, and what they mean.
//!
//! Files end in logits, in probabilities, or in something that only looks different: a clip that keeps probabilities above 0,
//! axes of one entry, the exponential of a log-softmax.

use super::head::{producer, single_activation};
use crate::ir::dim::Dim;
use crate::ir::graph::{Graph, Input, Node};
use crate::ir::ids::ValueId;
use crate::ir::op::{Activation, Binary, Op};
use crate::ir::output::OutputKind;

/// The value whose softmax or sigmoid are the probabilities, and what the network says by it.
pub(crate) fn read(graph: &Graph) -> (ValueId, OutputKind) {
    let output = graph.output;
    let shape = &graph.value(output).shape;
    match long_axes(graph, output).as_slice() {
        [] => match probabilities(graph) {
            Some((logits, Ends::Sigmoid)) => (logits, OutputKind::TwoClasses),
            _ => (output, OutputKind::Features),
        },
        [_] => match probabilities(graph) {
            Some((logits, Ends::Softmax)) => (logits, OutputKind::Classes),
            Some((logits, Ends::Sigmoid)) if long_axes(graph, logits).is_empty() => {
                (logits, OutputKind::TwoClasses)
            }
            Some((logits, Ends::Sigmoid)) => (logits, OutputKind::SeveralClasses),
            None if is_pooled(graph) => (output, OutputKind::Features),
            None => (output, OutputKind::Classes),
        },
        _ if shape.len() == 4 => (output, OutputKind::Maps),
        _ => (output, OutputKind::Rows),
    }
}

/// Positions of the axes behind the batch with more than one entry.
fn long_axes(graph: &Graph, value: ValueId) -> Vec<usize> {
    let shape = graph.value(value).shape.iter().enumerate();
    shape
        .filter(|(_, dim)| !matches!(dim, Dim::Fixed(1) | Dim::Batch(1)))
        .map(|(axis, _)| axis)
        .collect()
}

/// What makes probabilities of logits.
enum Ends {
    Softmax,
    Sigmoid,
}

/// The value that a softmax or a sigmoid at the end turns into probabilities, through what keeps them as they are.
fn probabilities(graph: &Graph) -> Option<(ValueId, Ends)> {
    let mut value = graph.output;
    // Whether an exponential waits for the logarithm that it undoes.
    let mut exponential = false;
    loop {
        let (_, node) = producer(graph, value)?;
        let input = match &node.op {
            Op::Concat { .. } => return both_probabilities(graph, node),
            _ => single_activation(node)?,
        };
        match &node.op {
            Op::Softmax { .. } if !exponential => return Some((input, Ends::Softmax)),
            Op::LogSoftmax { .. } => return Some((input, Ends::Softmax)),
            Op::Activation(Activation::Sigmoid) if !exponential => {
                return Some((input, Ends::Sigmoid));
            }
            Op::Activation(Activation::Exp) if !exponential => exponential = true,
            Op::Activation(Activation::Log) => exponential = false,
            Op::Activation(Activation::Clip { min, max })
                if *min >= 0.0 && *min < 0.1 && *max > 0.9 => {}
            // The same entries in the same order.
            Op::Reshape | Op::Transpose { .. }
                if extents(graph, input) == extents(graph, value) => {}
            _ => return None,
        }
        value = input;
    }
}

/// The extents behind the batch that are longer than 1.
fn extents(graph: &Graph, value: ValueId) -> Vec<usize> {
    let shape = &graph.value(value).shape;
    let axes = long_axes(graph, value).into_iter();
    axes.map(|axis| shape[axis].per_image()).collect()
}

/// `[1 - s, s]` with a sigmoid s of one value: both probabilities, as some exporters write them.
fn both_probabilities(graph: &Graph, node: &Node) -> Option<(ValueId, Ends)> {
    let [Input::Value(first), Input::Value(second)] = node.inputs[..] else {
        return None;
    };
    let (_, rest) = producer(graph, first)?;
    let is_rest = rest.op == Op::Binary(Binary::Sub)
        && matches!(rest.inputs[..], [Input::Parameter(one), Input::Value(of)]
            if of == second && graph.parameter(one).data.to_vec() == [1.0]);
    let (_, sigmoid) = producer(graph, second)?;
    let is_sigmoid = sigmoid.op == Op::Activation(Activation::Sigmoid);
    (is_rest && is_sigmoid && long_axes(graph, second).is_empty())
        .then(|| single_activation(sigmoid))?
        .map(|logits| (logits, Ends::Sigmoid))
}

/// Whether the output is what a trunk ends in, pooled or flattened, and no classifier made it.
fn is_pooled(graph: &Graph) -> bool {
    let mut value = graph.output;
    let (mut normalised, mut activated) = (false, false);
    while let Some((_, node)) = producer(graph, value) {
        match &node.op {
            Op::BatchNorm(_) | Op::LayerNorm { .. } => normalised = true,
            // Blocks of a transformer end in sums, of which the last is normalised and a token taken.
            Op::Binary(Binary::Add) if single_activation(node).is_none() => return normalised,
            Op::Reshape
            | Op::Transpose { .. }
            | Op::Select { .. }
            | Op::Slice { .. }
            | Op::GlobalAveragePool
            | Op::GlobalMaxPool
            | Op::AveragePool { .. }
            | Op::MaxPool(_)
            | Op::ReduceMean { .. } => {}
            Op::Activation(_) => activated = true,
            // The last layer of a classifier looks at one place, or is neither normalised nor activated.
            Op::Conv(conv) => return normalised || activated && conv.kernel != [1, 1],
            _ => return false,
        }
        let Some(input) = single_activation(node) else {
            return false;
        };
        value = input;
    }
    false
}
