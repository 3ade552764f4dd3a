//! Trained values into the file again: the bytes of the trained initializers change, nothing else does.

use std::collections::HashMap;

use crate::error::Error;
use crate::graph::Graph;
use crate::model::Model;
use crate::tensor;

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
        tensor::overwrite(proto, values)?;
    }
    Ok(written)
}
