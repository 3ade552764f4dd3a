//! What a file may hold instead of plain nodes and weights, made plain: functions of its own (ONNX IR, `FunctionProto`) are put
//! in the place of the nodes that call them, and sparse initializers are written out.

use std::collections::{HashMap, HashSet};

use onnx_ir::{AttributeProto, ModelProto, NodeProto};

use super::model::MOST_NODES;
use super::names;
use crate::error::Error;
use crate::proto::nodes::{fault, node_label};
use crate::proto::tensor::{self, ConstantData};

/// How deep functions may call each other.
const DEEPEST: usize = 64;
/// How many values a sparse initializer may have for each that it stores, and in any case.
const MOST_FOR_EACH: usize = 1024;
const ALWAYS: usize = 1 << 16;

/// One of the file's functions (ONNX IR, `FunctionProto`).
struct Function<'a> {
    /// Domain, name and overload, by which it is called.
    key: [&'a str; 3],
    input: &'a [String],
    output: &'a [String],
    node: &'a [NodeProto],
    /// Attributes with a value of their own.
    attributes: &'a [AttributeProto],
}

/// Puts the file's own functions in the place of their calls.
///
/// # Errors
/// When they call each other without end, come to too many nodes, or are for another operator set than the file.
pub(super) fn functions(proto: &mut ModelProto) -> Result<(), Error> {
    if proto.functions.is_empty() {
        return Ok(());
    }
    let functions = std::mem::take(&mut proto.functions);
    let standard = |domain: &str| matches!(domain, "" | "ai.onnx");
    for set in functions.iter().flat_map(|function| &function.opset_import) {
        let mut own = proto.opset_import.iter();
        let own = own
            .find(|own| own.domain == set.domain || standard(&own.domain) && standard(&set.domain));
        match own {
            Some(own) if standard(&set.domain) && own.version != set.version => {
                return Err(Error::Graph {
                    reason: format!(
                        "it is of operator set {}, a function in it of operator set {}",
                        own.version, set.version
                    ),
                });
            }
            Some(_) => {}
            None => proto.opset_import.push(set.clone()),
        }
    }
    let known: Vec<Function<'_>> = functions
        .iter()
        .map(|function| Function {
            key: [&function.domain, &function.name, &function.overload],
            input: &function.input,
            output: &function.output,
            node: &function.node,
            attributes: &function.attribute_proto,
        })
        .collect();
    let Some(graph) = proto.graph.as_mut() else {
        return Ok(());
    };
    let mut taken: HashSet<String> = names::each(graph).cloned().collect();
    for _ in 0..DEEPEST {
        let called = |node: &NodeProto| {
            let key = [&node.domain, &node.op_type, &node.overload];
            known.iter().find(|function| function.key == key)
        };
        if !graph.node.iter().any(|node| called(node).is_some()) {
            return Ok(());
        }
        let mut nodes = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node) {
            match called(&node) {
                Some(function) => nodes.extend(body(function, &node, &mut taken)?),
                None => nodes.push(node),
            }
            if nodes.len() > MOST_NODES {
                return Err(Error::Graph {
                    reason: format!(
                        "its functions come to more than {MOST_NODES} nodes, which are supported"
                    ),
                });
            }
        }
        graph.node = nodes;
    }
    Err(Error::Graph {
        reason: "its functions call each other without end".to_owned(),
    })
}

/// The nodes of a function for one call of it.
fn body(
    function: &Function<'_>,
    call: &NodeProto,
    taken: &mut HashSet<String>,
) -> Result<Vec<NodeProto>, Error> {
    if call.input.len() > function.input.len() || call.output.len() > function.output.len() {
        return Err(fault(call, "is called with more than its function takes"));
    }
    let mut renamed: HashMap<&str, String> = HashMap::new();
    for (index, name) in function.input.iter().enumerate() {
        renamed.insert(name, call.input.get(index).cloned().unwrap_or_default());
    }
    for (name, given) in function.output.iter().zip(&call.output) {
        if !given.is_empty() {
            renamed.insert(name, given.clone());
        }
    }
    let scope = node_label(call);
    let mut fresh = |name: &str| {
        let mut name = format!("{scope}/{name}");
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        name
    };
    for name in function.node.iter().flat_map(|node| &node.output) {
        if !name.is_empty() && !renamed.contains_key(name.as_str()) {
            renamed.insert(name, fresh(name));
        }
    }
    let mut nodes = Vec::with_capacity(function.node.len());
    for node in function.node {
        let mut node = node.clone();
        if !node.name.is_empty() {
            node.name = fresh(&node.name);
        }
        rename(&mut node, &renamed);
        bind(&mut node, function, call);
        nodes.push(node);
    }
    Ok(nodes)
}

/// Gives the node's values, and those in its branches, the names that they have outside.
fn rename(node: &mut NodeProto, renamed: &HashMap<&str, String>) {
    for name in node.input.iter_mut().chain(&mut node.output) {
        if let Some(outside) = renamed.get(name.as_str()) {
            name.clone_from(outside);
        }
    }
    for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
        graph.node.iter_mut().for_each(|node| rename(node, renamed));
        for output in &mut graph.output {
            if let Some(outside) = renamed.get(output.name.as_str()) {
                output.name.clone_from(outside);
            }
        }
    }
}

/// Gives attributes that stand for one of the function's its value: the call's, else the function's own.
fn bind(node: &mut NodeProto, function: &Function<'_>, call: &NodeProto) {
    let value = |name: &str| -> Option<AttributeProto> {
        let mut given = call.attribute.iter().chain(function.attributes);
        given.find(|attribute| attribute.name == name).cloned()
    };
    let attributes = std::mem::take(&mut node.attribute);
    node.attribute = attributes
        .into_iter()
        .filter_map(|attribute| match attribute.ref_attr_name.as_str() {
            "" => Some(attribute),
            name => value(name).map(|value| AttributeProto {
                name: attribute.name,
                ..value
            }),
        })
        .collect();
    for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
        let nodes = graph.node.iter_mut();
        nodes.for_each(|node| bind(node, function, call));
    }
}

/// Writes sparse initializers out as plain ones.
///
/// # Errors
/// When their indices do not fit, or they stand for far more than the file holds.
pub(super) fn sparse(proto: &mut ModelProto) -> Result<(), Error> {
    let Some(graph) = proto.graph.as_mut() else {
        return Ok(());
    };
    for sparse in std::mem::take(&mut graph.sparse_initializer) {
        let (Some(values), Some(indices)) = (sparse.values.as_ref(), sparse.indices.as_ref())
        else {
            continue;
        };
        let fault = |reason: &str| tensor::fault(values, reason.to_owned());
        tensor::check(values)?;
        let stored = tensor::floats(values)?;
        let ConstantData::Integers(places) = tensor::constant(indices)?.data else {
            return Err(fault("its indices are no whole numbers"));
        };
        let count = tensor::element_count(&sparse.dims)
            .filter(|&count| count <= ALWAYS.max(stored.len().saturating_mul(MOST_FOR_EACH)))
            .ok_or_else(|| fault("its shape is far beyond what it stores"))?;
        let rank = sparse.dims.len();
        let shape: Vec<usize> = sparse.dims.iter().map(|&extent| extent as usize).collect();
        // One number a value counts through the tensor; several are its indices along the axes.
        let by_axis = indices.dims.len() == 2;
        let each = if by_axis { rank } else { 1 };
        if places.len() != stored.len().saturating_mul(each) {
            return Err(fault("its indices are not one for each value"));
        }
        let mut dense = vec![0.0; count];
        for (value, place) in stored.iter().zip(places.chunks(each.max(1))) {
            let extents = if by_axis { &shape[..] } else { &[count] };
            let mut at = 0;
            for (&index, &extent) in place.iter().zip(extents) {
                let index = usize::try_from(index).ok().filter(|&index| index < extent);
                at = at * extent + index.ok_or_else(|| fault("an index is beyond its shape"))?;
            }
            dense[at] = *value;
        }
        let plain = tensor::float_proto(&values.name, &shape, values.data_type, &dense)?;
        graph.initializer.push(plain);
    }
    Ok(())
}
