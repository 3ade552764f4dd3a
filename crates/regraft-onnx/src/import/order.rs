//! Which of the file's nodes the output needs, in what order, and what is left of them when constants are folded.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::Error;
use crate::file::model::Model;
use crate::ir::graph::{Input, Node};
use crate::ir::ids::{ParameterId, ValueId};
use crate::ir::parameter::Parameter;
use crate::proto::nodes::{fault, node_label, reads};

/// Indices of the nodes that a value needs, in an order in which inputs come before their users; ties in file order.
pub(super) fn execution_order(model: &Model, target: &str) -> Result<Vec<usize>, Error> {
    let nodes = &model.graph().node;
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(output, index).is_some() {
                return Err(fault(
                    node,
                    format!("its output `{output}` is computed twice"),
                ));
            }
        }
    }
    let mut needed = vec![false; nodes.len()];
    let mut queue: Vec<usize> = producer.get(target).copied().into_iter().collect();
    while let Some(index) = queue.pop() {
        if !std::mem::replace(&mut needed[index], true) {
            queue.extend(
                reads(&nodes[index])
                    .into_iter()
                    .filter_map(|name| producer.get(name)),
            );
        }
    }
    // Kahn's algorithm, always taking the earliest ready node of the file.
    let mut waiting_for: Vec<usize> = vec![0; nodes.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let sources: HashSet<usize> = reads(node)
            .into_iter()
            .filter_map(|name| producer.get(name).copied())
            .collect();
        for source in &sources {
            waiting_for[index] += 1;
            users[*source].push(index);
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len())
        .filter(|&index| needed[index] && waiting_for[index] == 0)
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &user in &users[index] {
            waiting_for[user] -= 1;
            if waiting_for[user] == 0 {
                ready.insert(user);
            }
        }
    }
    let wanted = needed.iter().filter(|&&needed| needed).count();
    if order.len() != wanted {
        let stuck = (0..nodes.len()).find(|&index| needed[index] && waiting_for[index] > 0);
        let name = stuck.map_or_else(String::new, |index| node_label(&nodes[index]));
        return Err(Error::Graph {
            reason: format!("the graph has a cycle through node `{name}`"),
        });
    }
    Ok(order)
}

/// Keeps the nodes that `output` needs, and the parameters those use.
pub(super) fn live(
    nodes: Vec<Node>,
    parameters: Vec<Parameter>,
    output: ValueId,
) -> (Vec<Node>, Vec<Parameter>) {
    let mut needed: HashSet<ValueId> = HashSet::from([output]);
    let mut keep = vec![false; nodes.len()];
    let mut used = vec![false; parameters.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        if needed.contains(&node.output) {
            keep[index] = true;
            for operand in &node.inputs {
                match operand {
                    Input::Value(value) => {
                        needed.insert(*value);
                    }
                    Input::Parameter(id) => used[id.0] = true,
                }
            }
        }
    }
    let mut renumbered = vec![ParameterId(0); parameters.len()];
    let mut kept = Vec::new();
    for (index, parameter) in parameters
        .into_iter()
        .enumerate()
        .filter(|(index, _)| used[*index])
    {
        renumbered[index] = ParameterId(kept.len());
        kept.push(parameter);
    }
    let mut live: Vec<Node> = nodes
        .into_iter()
        .zip(keep)
        .filter(|(_, keep)| *keep)
        .map(|(node, _)| node)
        .collect();
    for operand in live.iter_mut().flat_map(|node| &mut node.inputs) {
        if let Input::Parameter(id) = operand {
            *id = renumbered[id.0];
        }
    }
    (live, kept)
}
