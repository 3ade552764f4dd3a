//! Which nodes are refused, and why, before anything else is done with them.

use onnx_ir::NodeProto;

use super::table;
use crate::error::{Error, UnsupportedNode};
use crate::file::evaluate;
use crate::file::model::Model;
use crate::proto::nodes::node_label;

/// Lists every needed node whose operator is not in the table.
pub(super) fn check(model: &Model, order: &[usize]) -> Result<(), Error> {
    let refused: Vec<UnsupportedNode> = order
        .iter()
        .map(|&index| &model.graph().node[index])
        .filter_map(|node| Some((node, reason(model, node)?)))
        .map(|(node, reason)| UnsupportedNode {
            node: node_label(node),
            operator: match node.domain.as_str() {
                "" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            },
            reason,
        })
        .collect();
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Error::Unsupported(refused))
    }
}

/// Why a node cannot be imported; `None` where it can.
fn reason(model: &Model, node: &NodeProto) -> Option<String> {
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Some(format!(
            "only the standard operators are supported, not those of `{}`; export without runtime-specific optimisation",
            node.domain
        ));
    }
    let is_weight = node
        .output
        .first()
        .is_some_and(|output| model.is_derived(output));
    let quantised = node.op_type == "DequantizeLinear" && !is_weight;
    let known = table::importer(&node.op_type).is_some() || evaluate::knows(node);
    if known && !quantised {
        return None;
    }
    let reason = match node.op_type.as_str() {
        "ConvInteger"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear"
        | "MatMulInteger"
        | "QLinearConv"
        | "QLinearMatMul"
        | "QuantizeLinear" => {
            "computes on quantised activations, which cannot be trained; use the model before its quantisation"
        }
        "Loop" | "Scan" => {
            "control flow is not supported; export the model by tracing, for one kind of input"
        }
        _ => "operator not supported",
    };
    Some(reason.to_owned())
}
