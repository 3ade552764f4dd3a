//! Trained values into the file again: the bytes of the trained initializers change, nothing else does.
//!
//! Two kinds of weight get an initializer of their own when they change: what nodes made of initializers, and what
//! shares an initializer with something that does not change alike.

use std::collections::{BTreeMap, HashMap, HashSet};

use onnx_ir::GraphProto;

use crate::error::Error;
use crate::file::derived;
use crate::file::model::{Model, allow_plain_initializers};
use crate::ir::graph::Graph;
use crate::ir::parameter::Parameter;
use crate::proto::{element, tensor};

/// The model with new values for some of its graph's parameters, by canonical name.
///
/// `graph` must come from `model`. Each value list has as many entries as the parameter's shape.
///
/// # Errors
/// When a name is no parameter of the graph, lies in no initializer, or a list has the wrong length.
pub fn with_weights(
    model: &Model,
    graph: &Graph,
    weights: &HashMap<String, Vec<f32>>,
) -> Result<Model, Error> {
    check(graph, weights)?;
    let mut written = model.clone();
    let mut keepers = Vec::new();
    let mut own = Vec::new();
    let mut changed: HashSet<&str> = HashSet::new();
    for (initializer, mut sharers) in by_initializer(graph) {
        // What is learned keeps the initializer: only its operands may lie behind other nodes.
        let keeper = sharers.iter().position(|p| p.role.trainable());
        let keeper = sharers.swap_remove(keeper.unwrap_or_default());
        keepers.push((initializer, keeper));
        let values = weights.get(&keeper.name);
        if let Some(values) = values {
            changed.insert(initializer);
            if let Some(index) = model.initializer_index(initializer) {
                tensor::overwrite(&mut written.graph_mut().initializer[index], values)?;
            }
        }
        own.extend(
            sharers
                .into_iter()
                .filter(|p| values.is_some() || weights.contains_key(&p.name)),
        );
    }
    // A node that makes a weight gives way when the weight changed, or what it is made of.
    keepers.retain(|(output, _)| {
        let made_of_changed = || {
            model
                .sources(output)
                .iter()
                .any(|name| changed.contains(name))
        };
        model.is_derived(output) && (changed.contains(output) || made_of_changed())
    });
    if own.is_empty() && keepers.is_empty() {
        return Ok(written);
    }
    let mut proto = written.proto;
    let file = proto.graph.mut_or_insert_default();
    let values = |parameter: &Parameter| {
        let new = weights.get(&parameter.name);
        new.cloned().unwrap_or_else(|| parameter.data.to_vec())
    };
    for parameter in own {
        separate(file, parameter, &values(parameter))?;
    }
    for (output, parameter) in keepers {
        // A node may read it in a shape that it has not in the file.
        let made = model.constant(output)?;
        let shape = made.map_or_else(|| parameter.shape.clone(), |made| made.shape);
        derived::replace(file, output, &shape, &values(parameter))?;
    }
    allow_plain_initializers(&mut proto);
    Model::from_proto(proto)
}

fn check(graph: &Graph, weights: &HashMap<String, Vec<f32>>) -> Result<(), Error> {
    let known: HashMap<&str, &Parameter> = graph
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p))
        .collect();
    for (name, values) in weights {
        let parameter = known.get(name.as_str()).ok_or_else(|| Error::NoSuchName {
            what: "parameter",
            name: name.clone(),
            near: regraft_spec::similar::nearest(
                name,
                graph.parameters.iter().map(|p| p.name.as_str()),
            ),
        })?;
        let expected: usize = parameter.shape.iter().product();
        if values.len() != expected {
            return Err(Error::Tensor {
                name: name.clone(),
                reason: format!(
                    "{} values given, its shape {:?} wants {expected}",
                    values.len(),
                    parameter.shape
                ),
            });
        }
        if parameter.initializer.is_none() {
            return Err(Error::Graph {
                reason: format!("parameter `{name}` lies in no initializer of the file"),
            });
        }
    }
    Ok(())
}

/// Parameters by the initializer, or the node's output, that holds them.
fn by_initializer(graph: &Graph) -> BTreeMap<&str, Vec<&Parameter>> {
    let mut sharers: BTreeMap<&str, Vec<&Parameter>> = BTreeMap::new();
    for parameter in &graph.parameters {
        if let Some(initializer) = &parameter.initializer {
            sharers.entry(initializer).or_default().push(parameter);
        }
    }
    sharers
}

/// Gives a parameter an initializer of its own: one for each shape in which nodes are given it.
fn separate(file: &mut GraphProto, parameter: &Parameter, values: &[f32]) -> Result<(), Error> {
    let element = element::of(file, parameter.initializer.as_deref().unwrap_or_default());
    let mut made: Vec<(&[usize], String)> = Vec::new();
    for site in &parameter.sites {
        let name = match made.iter().find(|(shape, _)| *shape == site.shape) {
            Some((_, name)) => name.clone(),
            None => {
                let name = free_name(file, &parameter.name);
                let tensor = tensor::float_proto(&name, &site.shape, element, values)?;
                file.initializer.push(tensor);
                made.push((&site.shape, name.clone()));
                name
            }
        };
        let node = file
            .node
            .iter_mut()
            .find(|node| node.output.first() == Some(&site.output));
        if let Some(input) = node.and_then(|node| node.input.get_mut(site.input)) {
            *input = name;
        }
    }
    Ok(())
}

/// `name`, or one like it that nothing in the file has.
fn free_name(file: &GraphProto, name: &str) -> String {
    let taken = |name: &str| {
        file.initializer.iter().any(|tensor| tensor.name == name)
            || file.input.iter().any(|input| input.name == name)
            || file
                .node
                .iter()
                .any(|node| node.output.iter().any(|output| output == name))
    };
    let mut name = name.to_owned();
    while taken(&name) {
        name.push_str("_own");
    }
    name
}
