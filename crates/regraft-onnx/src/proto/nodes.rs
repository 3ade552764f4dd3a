//! One node of a file: what people call it, how an error names it, and how a new one is made.

use onnx_ir::{AttributeProto, AttributeType, GraphProto, NodeProto};

use crate::error::{Error, UnsupportedNode};

/// What a person calls the node: its name, or its first output where the exporter gave none.
pub(crate) fn node_label(node: &NodeProto) -> String {
    match (node.name.as_str(), node.output.first()) {
        ("", Some(output)) => output.clone(),
        (name, _) => name.to_owned(),
    }
}

/// The values that the node reads, in its branches too; those that a branch makes for itself are among them.
pub(crate) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).collect();
    let mut graphs: Vec<&GraphProto> = branches(node).collect();
    while let Some(graph) = graphs.pop() {
        // What a branch gives out may be a value from outside.
        names.extend(graph.output.iter().map(|output| output.name.as_str()));
        for inner in &graph.node {
            names.extend(inner.input.iter().map(String::as_str));
            graphs.extend(branches(inner));
        }
    }
    names
}

fn branches(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    let attributes = node.attribute.iter();
    attributes.filter_map(|attribute| attribute.g.as_ref())
}

/// A node that contradicts its operator or its inputs.
pub(crate) fn fault(node: &NodeProto, reason: impl Into<String>) -> Error {
    Error::Node {
        node: format!("`{}` ({})", node_label(node), node.op_type),
        reason: reason.into(),
    }
}

/// A node that is valid ONNX but beyond what is supported.
pub(crate) fn unsupported(node: &NodeProto, reason: impl Into<String>) -> Error {
    Error::Unsupported(vec![UnsupportedNode {
        node: node_label(node),
        operator: node.op_type.clone(),
        reason: reason.into(),
    }])
}

/// A node named like its one output.
pub(crate) fn node(
    operator: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        name: output.to_owned(),
        op_type: operator.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..NodeProto::default()
    }
}

/// A whole-number attribute.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        type_: AttributeType::INT.into(),
        i: value,
        ..AttributeProto::default()
    }
}

/// An attribute of several whole numbers.
pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        type_: AttributeType::INTS.into(),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}
