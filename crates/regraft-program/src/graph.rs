//! Graphs made of other graphs: the part that a value needs, and the same with pooled features beside its output.

use std::ops::Range;

use regraft_onnx::op::{Op, Pool};
use regraft_onnx::{Dim, Graph, Input, InputLayout, Node, Value, ValueId};
use regraft_spec::Pooling;

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

/// A value to take features at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tap {
    /// `[N, C, H, W]`, `[N, tokens, F]` or `[N, F]`.
    pub value: ValueId,
    /// What of it becomes a vector. `[N, F]` is taken as it is, and `[N, tokens, F]` only averaged.
    pub pooling: Pooling,
}

/// A graph whose output is `[N, F]`: the features at several taps side by side.
#[derive(Debug, Clone)]
pub struct Tapped {
    /// The graph; its output is what the taps give.
    pub graph: Graph,
    /// Of each tap asked for, its columns in the output; none where the value has not what the pooling wants.
    pub columns: Vec<Option<Range<usize>>>,
}

/// The graph that gives the features at all `taps` in one pass through the part of the network that they need. `None` where
/// no tap has features.
pub fn tap(graph: &Graph, taps: &[Tap]) -> Option<Tapped> {
    let mut tapped = graph.clone();
    let mut columns = Vec::with_capacity(taps.len());
    let mut pooled = Vec::new();
    let mut width = 0;
    for tap in taps {
        let Some((ops, features)) = pooling(graph.value(tap.value), tap.pooling) else {
            columns.push(None);
            continue;
        };
        columns.push(Some(width..width + features));
        width += features;
        // Right behind what makes the value, so that it need not be kept for long.
        let maker = tapped.nodes.iter().position(|n| n.output == tap.value);
        let first = maker.map_or(0, |maker| maker + 1);
        let mut output = tap.value;
        for (position, (op, shape)) in (first..).zip(ops) {
            let name = format!(
                "{} ({}, {})",
                graph.value(tap.value).name,
                tap.pooling,
                op.name()
            );
            let node = node(&mut tapped, name, op, vec![Input::Value(output)], shape);
            output = node.output;
            tapped.nodes.insert(position, node);
        }
        pooled.push(Input::Value(output));
    }
    let output = match pooled[..] {
        [] => return None,
        [Input::Value(only)] => only,
        _ => join(&mut tapped, pooled, width),
    };
    Some(Tapped {
        graph: subgraph(&tapped, output),
        columns,
    })
}

/// The graph whose output is `[N, values]`: several values of a graph, each flattened, side by side.
pub fn side_by_side(graph: &Graph, values: &[ValueId]) -> Graph {
    let mut joined = graph.clone();
    let mut width = 0;
    let mut parts = Vec::new();
    for &value in values {
        let length = graph.value(value).values_per_image() as usize;
        let name = format!("{} (flat)", graph.value(value).name);
        let inputs = vec![Input::Value(value)];
        let flat = node(
            &mut joined,
            name,
            Op::Reshape,
            inputs,
            vec![Dim::Fixed(length)],
        );
        parts.push(Input::Value(flat.output));
        width += length;
        joined.nodes.push(flat);
    }
    let output = join(&mut joined, parts, width);
    subgraph(&joined, output)
}

/// Joins vectors at the end of a graph.
fn join(graph: &mut Graph, parts: Vec<Input>, width: usize) -> ValueId {
    let op = Op::Concat { axis: 1 };
    let joined = node(
        graph,
        "side by side".to_owned(),
        op,
        parts,
        vec![Dim::Fixed(width)],
    );
    let output = joined.output;
    graph.nodes.push(joined);
    output
}

/// An operator, and the shape of what it gives for one image.
type Pools = (Op, Vec<Dim>);

/// The nodes that pool a value, and how many features come of it.
fn pooling(value: &Value, pooling: Pooling) -> Option<(Vec<Pools>, usize)> {
    let mean = |axes: Vec<usize>| Op::ReduceMean {
        axes,
        keep_dims: false,
    };
    match (&value.shape[..], pooling) {
        ([Dim::Batch(1), Dim::Fixed(features)], Pooling::Mean) => Some((Vec::new(), *features)),
        ([Dim::Batch(1), Dim::Fixed(_), Dim::Fixed(features)], Pooling::Mean) => Some((
            vec![(mean(vec![1]), vec![Dim::Fixed(*features)])],
            *features,
        )),
        (
            [
                Dim::Batch(1),
                Dim::Fixed(channels),
                Dim::Fixed(height),
                Dim::Fixed(width),
            ],
            _,
        ) => {
            let features = channels * pooling.cells();
            let flat = vec![Dim::Fixed(features)];
            let cells =
                |side: usize| vec![Dim::Fixed(*channels), Dim::Fixed(side), Dim::Fixed(side)];
            let ops = match pooling {
                Pooling::Mean => vec![(mean(vec![2, 3]), flat)],
                Pooling::Max => vec![(Op::GlobalMaxPool, cells(1)), (Op::Reshape, flat)],
                Pooling::Grid(side) => {
                    let (rows, columns) = (pooling.windows(*height)?, pooling.windows(*width)?);
                    let windows = Op::AveragePool {
                        pool: Pool {
                            kernel: [rows.length, columns.length],
                            stride: [rows.stride, columns.stride],
                            pads: [rows.pads[0], columns.pads[0], rows.pads[1], columns.pads[1]],
                            dilation: [1, 1],
                            ceil_mode: false,
                        },
                        count_include_pad: false,
                    };
                    vec![(windows, cells(side)), (Op::Reshape, flat)]
                }
            };
            Some((ops, features))
        }
        _ => None,
    }
}

/// A node, and its value in the graph: of the batch, and of `shape` for each image.
fn node(graph: &mut Graph, name: String, op: Op, inputs: Vec<Input>, shape: Vec<Dim>) -> Node {
    let output = ValueId::at(graph.values.len());
    let batch = std::iter::once(Dim::Batch(1));
    graph.values.push(Value {
        name: name.clone(),
        shape: batch.chain(shape).collect(),
    });
    Node {
        name,
        op,
        inputs,
        output,
        macs: 0,
    }
}
