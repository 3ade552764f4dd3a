//! Trained values into the file again: the bytes of the trained initializers change, nothing else does.

use std::collections::{HashMap, HashSet};

use onnx_ir::{ModelProto, ValueInfoProto};

use crate::error::Error;
use crate::graph::Graph;
use crate::model::Model;
use crate::tensor;

/// The first version of the file format in which a weight need not be a graph input as well.
const WEIGHTS_STAND_ALONE: i64 = 4;

/// In a file of an old format, declares weights that were added as graph inputs too.
pub(crate) fn declare_weights(proto: &mut ModelProto) {
    if proto.ir_version >= WEIGHTS_STAND_ALONE {
        return;
    }
    let graph = proto.graph.mut_or_insert_default();
    let declared: HashSet<String> = graph.input.iter().map(|i| i.name.clone()).collect();
    for weight in graph
        .initializer
        .iter()
        .filter(|weight| !declared.contains(&weight.name))
    {
        let mut input = ValueInfoProto::new();
        input.name.clone_from(&weight.name);
        let tensor = input.type_.mut_or_insert_default().mut_tensor_type();
        tensor.elem_type = weight.data_type;
        let dims = &mut tensor.shape.mut_or_insert_default().dim;
        for &extent in &weight.dims {
            dims.push(Default::default());
            if let Some(dim) = dims.last_mut() {
                dim.set_dim_value(extent);
            }
        }
        graph.input.push(input);
    }
}

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
    let mut written = model.clone();
    for (name, values) in weights {
        let parameter = graph
            .parameters
            .iter()
            .find(|p| p.name == *name)
            .ok_or_else(|| Error::NoSuchName {
                what: "parameter",
                name: name.clone(),
                near: crate::error::nearest(name, graph.parameters.iter().map(|p| p.name.as_str())),
            })?;
        let index = parameter
            .initializer
            .as_ref()
            .and_then(|initializer| written.initializer_index(initializer))
            .ok_or_else(|| Error::Graph {
                reason: format!("parameter `{name}` lies in no initializer of the file"),
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
        let proto = &mut written.graph_mut().initializer[index];
        tensor::overwrite(proto, values);
    }
    Ok(written)
}
