//! Where the head begins, found by structure.
//!
//! The head is what follows the last pooled (or flattened) feature vector: one linear layer or several with activations
//! between them, or a 1 x 1 convolution before the pooling.

use std::collections::HashSet;

use regraft_spec::similar::nearest;

use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::{Graph, Input, Node};
use crate::ir::ids::ValueId;
use crate::ir::op::{Binary, Op};
use crate::ir::site::HeadSite;

/// Finds the head of a graph whose logits are known; an error says in words why there is none.
pub(crate) fn find(graph: &Graph) -> Result<HeadSite, String> {
    let classifier = match classifier(graph, graph.logits) {
        Ok(position) => position,
        // Heads whose logits are averaged, as distilled networks have them.
        Err(Stopped::AtSum(logits)) => return of_several_heads(graph, &logits),
        Err(Stopped::At(reason)) => return Err(reason),
    };
    let (feature, first) =
        features(graph, classifier).ok_or_else(|| "the classifier has no input".to_owned())?;
    let (feature_of_all, first_of_all) = (feature, first);
    match pooled_from_several(graph, feature, first) {
        Some((feature, first, taps)) => site_of(graph, &[feature], first, taps)
            .or_else(|_| site(graph, feature_of_all, first_of_all)),
        None => site(graph, feature, first),
    }
}

/// Why no classifier was found on the way up.
enum Stopped {
    /// Activations are added.
    AtSum(Vec<ValueId>),
    At(String),
}

/// The last linear layer or convolution that makes a value, through what may follow it.
fn classifier(graph: &Graph, value: ValueId) -> Result<usize, Stopped> {
    let mut value = value;
    // Axes of which the mean was taken on the way.
    let mut averaged: &[usize] = &[];
    loop {
        let (position, node) = producer(graph, value).ok_or_else(|| {
            Stopped::At("no linear layer or convolution was found before the output".to_owned())
        })?;
        match &node.op {
            Op::Linear(_) | Op::Conv(_) => return Ok(position),
            Op::Activation(_)
            | Op::Reshape
            | Op::Transpose { .. }
            | Op::GlobalAveragePool
            | Op::GlobalMaxPool
            | Op::AveragePool { .. }
            | Op::Softmax { .. }
            | Op::LogSoftmax { .. } => {}
            Op::ReduceMean { axes, .. } => averaged = axes,
            // Logits that are stacked and averaged.
            Op::Concat { axis } if averaged.contains(axis) => {
                return Err(Stopped::AtSum(activations(node).collect()));
            }
            // Some classes of all, as where a background class is left off.
            Op::Slice { .. } if graph.value(value).shape.len() == 2 => {}
            Op::Binary(operator) => match (&node.inputs[..], operator) {
                (&[Input::Value(a), Input::Value(b)], Binary::Add) => {
                    return Err(Stopped::AtSum(vec![a, b]));
                }
                _ if single_activation(node).is_some() => {}
                _ => return Err(Stopped::At(joins(node))),
            },
            other => {
                return Err(Stopped::At(format!(
                    "the output comes from `{}` ({}), not from a linear layer or convolution",
                    node.name,
                    other.name()
                )));
            }
        }
        value = single_activation(node).ok_or_else(|| Stopped::At(joins(node)))?;
    }
}

fn joins(node: &Node) -> String {
    format!(
        "node `{}` joins several activations after the classifier",
        node.name
    )
}

/// What a classifier takes, and its first node: of several linear layers, the first one after the flattened features.
fn features(graph: &Graph, classifier: usize) -> Option<(ValueId, usize)> {
    let mut feature = single_activation(&graph.nodes[classifier])?;
    let mut first = classifier;
    if graph.value(feature).shape.len() == 2 {
        let mut value = feature;
        while let Some((position, node)) = producer(graph, value) {
            let of_head = matches!(
                node.op,
                Op::Linear(_) | Op::Activation(_) | Op::BatchNorm(_) | Op::Binary(_)
            );
            let Some(input) = single_activation(node)
                .filter(|input| of_head && graph.value(*input).shape.len() == 2)
            else {
                break;
            };
            if matches!(node.op, Op::Linear(_)) {
                (feature, first) = (input, position);
            }
            value = input;
        }
    }
    Some((feature, first))
}

/// The site of several heads: what all take in common, what each of them takes, or what the last one takes.
fn of_several_heads(graph: &Graph, logits: &[ValueId]) -> Result<HeadSite, String> {
    // What a head takes, and what that is made of by norms of its own.
    let chain = |value: ValueId| -> Option<Vec<(ValueId, usize)>> {
        let position = classifier(graph, value).ok()?;
        let mut chain = vec![features(graph, position)?];
        while let Some((position, node)) = producer(graph, chain.last()?.0)
            && matches!(node.op, Op::BatchNorm(_) | Op::Activation(_))
            && let Some(input) = single_activation(node)
        {
            chain.push((input, position));
        }
        Some(chain)
    };
    let chains: Option<Vec<_>> = logits.iter().map(|&value| chain(value)).collect();
    let Some(chains) = chains.filter(|chains| !chains.is_empty()) else {
        return Err("values are added that are not all a head's".to_owned());
    };
    let shared = chains[0].iter().find_map(|(feature, _)| {
        let firsts = chains.iter().map(|chain| {
            let mut own = chain.iter().filter(|(value, _)| value == feature);
            own.next().map(|(_, first)| *first)
        });
        let firsts: Option<Vec<usize>> = firsts.collect();
        Some((*feature, firsts?.into_iter().min()?))
    });
    if let Some((feature, first)) = shared {
        return site(graph, feature, first);
    }
    let features: Vec<ValueId> = chains.iter().map(|chain| chain[0].0).collect();
    let first = chains.iter().map(|chain| chain[0].1).min();
    site_of(graph, &features, first.unwrap_or_default(), Vec::new()).or_else(|_| {
        // Heads at several depths, or of which some look at every token: a new one goes where the last one is that it can replace.
        let mut by_depth: Vec<usize> = (0..chains.len()).collect();
        by_depth.sort_by_key(|&index| std::cmp::Reverse(chains[index][0].1));
        let sites = by_depth.into_iter().map(|last| {
            let (feature, first) = chains[last][0];
            let mut others: Vec<ValueId> = logits.to_vec();
            others.remove(last);
            others.retain(|value| producer(graph, *value).is_some_and(|(at, _)| at < first));
            site_of(graph, &[feature], first, others)
        });
        let mut sites: Vec<Result<HeadSite, String>> = sites.collect();
        let best = sites.iter().position(Result::is_ok).unwrap_or_default();
        sites.swap_remove(best)
    })
}

/// The site on top of a network that has no head: what it gives out are features.
pub(crate) fn on_top(graph: &Graph) -> Result<HeadSite, String> {
    site(graph, graph.output, graph.nodes.len())
}

/// Where the head's features are pooled from several values and joined: the highest of these values, the first node above
/// it, and the pooled features of the others.
fn pooled_from_several(
    graph: &Graph,
    feature: ValueId,
    first: usize,
) -> Option<(ValueId, usize, Vec<ValueId>)> {
    let (joins, join) = producer(graph, feature)?;
    let is_vector = graph.value(feature).shape.len() == 2;
    if !is_vector || !matches!(join.op, Op::Concat { axis: 1 }) {
        return None;
    }
    let mut pooling = HashSet::from([joins]);
    let mut highest: Option<(usize, ValueId)> = None;
    let mut sources = HashSet::new();
    let mut branches = Vec::new();
    for input in &join.inputs {
        let Input::Value(branch) = input else {
            return None;
        };
        let mut source = *branch;
        for of_pooling in [is_flattening, is_pooling] {
            if let Some((position, node)) = producer(graph, source).filter(|(_, n)| of_pooling(n)) {
                pooling.insert(position);
                source = single_activation(node)?;
            }
        }
        let position = producer(graph, source)?.0;
        sources.insert(source);
        branches.push(*branch);
        if highest.is_none_or(|(highest, _)| position > highest) {
            highest = Some((position, source));
        }
    }
    let (position, value) = highest?;
    // With a single source nothing passes the cuts below it.
    let all_of_head = (position + 1..first).all(|node| pooling.contains(&node));
    if sources.len() < 2 || !all_of_head {
        return None;
    }
    let below = |branch: &ValueId| producer(graph, *branch).is_some_and(|(at, _)| at < position);
    let read_once = |branch: &ValueId| {
        let reads = graph.nodes.iter().flat_map(|node| &node.inputs);
        reads
            .filter(|input| **input == Input::Value(*branch))
            .count()
            == 1
    };
    branches.retain(below);
    branches
        .iter()
        .all(read_once)
        .then_some((value, position + 1, branches))
}

fn is_flattening(node: &Node) -> bool {
    matches!(node.op, Op::Reshape)
}

fn is_pooling(node: &Node) -> bool {
    matches!(
        node.op,
        Op::GlobalAveragePool | Op::GlobalMaxPool | Op::AveragePool { .. } | Op::ReduceMean { .. }
    )
}

/// The site that takes `feature` and begins at `first_node`; an error says why a head cannot be cut there.
pub(crate) fn site(graph: &Graph, feature: ValueId, first_node: usize) -> Result<HeadSite, String> {
    site_of(graph, &[feature], first_node, Vec::new())
}

fn site_of(
    graph: &Graph,
    taken: &[ValueId],
    first_node: usize,
    taps: Vec<ValueId>,
) -> Result<HeadSite, String> {
    let Some((&feature, beside)) = taken.split_first() else {
        return Err("it takes nothing".to_owned());
    };
    let (features, spatial) = match graph.value(feature).shape.as_slice() {
        [Dim::Batch(1), Dim::Fixed(features)] => (*features, false),
        [
            Dim::Batch(1),
            Dim::Fixed(channels),
            Dim::Fixed(_),
            Dim::Fixed(_),
        ] => (*channels, true),
        other => {
            return Err(format!(
                "`{}` has shape {}; a head needs [N, features] or [N, C, H, W]",
                graph.value(feature).name,
                show(other)
            ));
        }
    };
    let mut features = features;
    for &other in beside {
        match (graph.value(other).shape.as_slice(), spatial) {
            (&[Dim::Batch(1), Dim::Fixed(more)], false) => features += more,
            (shape, _) => {
                return Err(format!(
                    "two heads are joined, one of which takes {}; both have to take [N, features]",
                    show(shape)
                ));
            }
        }
    }
    // Nothing computed before may be used after, except the features themselves.
    let before: HashSet<ValueId> = graph.nodes[..first_node]
        .iter()
        .map(|n| n.output)
        .chain([graph.input])
        .filter(|v| !taken.contains(v) && !taps.contains(v))
        .collect();
    let crossing = graph.nodes[first_node..]
        .iter()
        .flat_map(|node| node.inputs.iter().map(move |i| (node, i)));
    for (node, input) in crossing {
        if let Input::Value(value) = input
            && before.contains(value)
        {
            return Err(format!(
                "node `{}` reads `{}` past `{}`; cut where one activation crosses",
                node.name,
                graph.value(*value).name,
                graph.value(feature).name
            ));
        }
    }
    Ok(HeadSite {
        feature,
        first_node,
        features,
        spatial,
        beside: beside.to_vec(),
        taps,
    })
}

/// The site right after the node called `name`.
pub(crate) fn site_after(graph: &Graph, name: &str) -> Result<HeadSite, Error> {
    let position = graph
        .nodes
        .iter()
        .position(|node| node.name == name)
        .ok_or_else(|| Error::NoSuchName {
            what: "node",
            name: name.to_owned(),
            near: nearest(name, graph.nodes.iter().map(|node| node.name.as_str())),
        })?;
    site(graph, graph.nodes[position].output, position + 1).map_err(|reason| Error::Head {
        reason: format!("the head cannot be cut at node `{name}`: {reason}"),
    })
}

pub(super) fn producer(graph: &Graph, value: ValueId) -> Option<(usize, &Node)> {
    graph
        .nodes
        .iter()
        .enumerate()
        .rev()
        .find(|(_, node)| node.output == value)
}

/// The activations that a node takes.
fn activations(node: &Node) -> impl Iterator<Item = ValueId> {
    node.inputs.iter().filter_map(|input| match input {
        Input::Value(value) => Some(*value),
        Input::Parameter(_) => None,
    })
}

/// The node's activation, where it has exactly one.
pub(super) fn single_activation(node: &Node) -> Option<ValueId> {
    let mut values = activations(node);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}
