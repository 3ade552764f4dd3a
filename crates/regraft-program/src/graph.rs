//! Graphs made of other graphs: the part that a value needs, and the same with pooled features beside its output.

use std::ops::Range;

use regraft_onnx::op::Op;
use regraft_onnx::{Dim, Graph, Input, InputLayout, Node, Value, ValueId};

/// The part of a graph that `target` needs, with `target` as its output. It has no blocks and no head.
pub fn subgraph(graph: &Graph, target: ValueId) -> Graph {
    let mut needed = vec![false; graph.values.len()];
    needed[target.index()] = true;
    let mut nodes: Vec<Node> = Vec::new();
    for node in graph.nodes.iter().rev() {
        if needed[node.output.index()] {
            for input in &node.inputs {
                if let Input::Value(id) = input {
                    needed[id.index()] = true;
                }
            }
            nodes.push(node.clone());
        }
    }
    nodes.reverse();
    Graph {
        nodes,
        output: target,
        logits: target,
        blocks: Vec::new(),
        head: Err("it is a part of a network".to_owned()),
        ..graph.clone()
    }
}

/// The graph with its images as `[N, H, W, C]`, the order in which decoders give pixels: a transposition comes first, which a
/// compiled trunk reads through without moving anything. A graph whose images lie so already stays as it is.
pub fn pixels_last(graph: &Graph) -> Graph {
    let mut turned = graph.clone();
    if graph.layout == InputLayout::ChannelsLast {
        return turned;
    }
    let [channels, height, width] = graph.image_shape();
    let image = graph.input;
    let pixels = ValueId::at(turned.values.len());
    let name = format!("{} (channels last)", graph.value(image).name);
    turned.values.push(Value {
        name: name.clone(),
        shape: vec![
            Dim::Batch(1),
            Dim::Fixed(height),
            Dim::Fixed(width),
            Dim::Fixed(channels),
        ],
    });
    turned.nodes.insert(
        0,
        Node {
            name,
            op: Op::Transpose {
                perm: vec![0, 3, 1, 2],
            },
            inputs: vec![Input::Value(pixels)],
            output: image,
            macs: 0,
        },
    );
    turned.input = pixels;
    turned.layout = InputLayout::ChannelsLast;
    // Their positions would be off by one.
    turned.blocks = Vec::new();
    turned.head = Err("it is a part of a network".to_owned());
    turned
}

/// A graph whose output is `[N, F]`: the features at several values side by side, each averaged over positions.
#[derive(Debug, Clone)]
pub struct Tapped {
    /// The graph; its output is what the taps give.
    pub graph: Graph,
    /// Of each value asked for, its columns in the output; none where it is no map of features.
    pub columns: Vec<Option<Range<usize>>>,
}

/// Taps values of a graph: `[N, C, H, W]` and `[N, tokens, F]` are averaged over positions, `[N, F]` is taken as it is. One
/// pass through the part of the network that the taps need gives all of them. `None` where no value can be tapped.
pub fn tap(graph: &Graph, values: &[ValueId]) -> Option<Tapped> {
    let mut tapped = graph.clone();
    let mut columns = Vec::with_capacity(values.len());
    let mut pooled = Vec::new();
    let mut width = 0;
    for &value in values {
        let Some((axes, features)) = positions(graph.value(value)) else {
            columns.push(None);
            continue;
        };
        columns.push(Some(width..width + features));
        width += features;
        if axes.is_empty() {
            pooled.push(Input::Value(value));
            continue;
        }
        let name = format!("{} (pooled)", graph.value(value).name);
        let op = Op::ReduceMean {
            axes,
            keep_dims: false,
        };
        let mean = node(&mut tapped, name, op, vec![Input::Value(value)], features);
        pooled.push(Input::Value(mean.output));
        // Right behind what makes the value, so that it need not be kept for long.
        let maker = tapped.nodes.iter().position(|node| node.output == value);
        tapped
            .nodes
            .insert(maker.map_or(0, |maker| maker + 1), mean);
    }
    let output = match pooled[..] {
        [] => return None,
        [Input::Value(only)] => only,
        _ => {
            let op = Op::Concat { axis: 1 };
            let joined = node(&mut tapped, "taps".to_owned(), op, pooled, width);
            let output = joined.output;
            tapped.nodes.push(joined);
            output
        }
    };
    Some(Tapped {
        graph: subgraph(&tapped, output),
        columns,
    })
}

/// The axes that a value's positions lie on, and how many features it has at each.
fn positions(value: &Value) -> Option<(Vec<usize>, usize)> {
    match value.shape[..] {
        [Dim::Batch(1), Dim::Fixed(features)] => Some((Vec::new(), features)),
        [Dim::Batch(1), Dim::Fixed(_), Dim::Fixed(features)] => Some((vec![1], features)),
        [
            Dim::Batch(1),
            Dim::Fixed(channels),
            Dim::Fixed(_),
            Dim::Fixed(_),
        ] => Some((vec![2, 3], channels)),
        _ => None,
    }
}

/// A node that gives `[N, features]`, and its value in the graph.
fn node(graph: &mut Graph, name: String, op: Op, inputs: Vec<Input>, features: usize) -> Node {
    let output = ValueId::at(graph.values.len());
    graph.values.push(Value {
        name: name.clone(),
        shape: vec![Dim::Batch(1), Dim::Fixed(features)],
    });
    Node {
        name,
        op,
        inputs,
        output,
        macs: 0,
    }
}
