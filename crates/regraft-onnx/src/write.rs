//! Trained values into the file again: the bytes of the trained initializers change, nothing else does; a weight
//! that nodes made of initializers becomes one when it was trained.

use std::collections::HashMap;

use crate::derived;
use crate::error::Error;
use crate::graph::Graph;
use crate::model::{Model, allow_plain_initializers};
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
    let mut derived_weights = Vec::new();
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
        let initializer = parameter.initializer.as_deref().unwrap_or_default();
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
        if model.is_derived(initializer) {
            derived_weights.push((initializer, &parameter.shape, values));
            continue;
        }
        let index = model
            .initializer_index(initializer)
            .ok_or_else(|| Error::Graph {
                reason: format!("parameter `{name}` lies in no initializer of the file"),
            })?;
        tensor::overwrite(&mut written.graph_mut().initializer[index], values)?;
    }
    if derived_weights.is_empty() {
        return Ok(written);
    }
    derived_weights.sort_unstable_by_key(|(initializer, ..)| *initializer);
    let mut proto = written.proto;
    for (initializer, shape, values) in derived_weights {
        derived::replace(
            proto.graph.mut_or_insert_default(),
            initializer,
            shape,
            values,
        )?;
    }
    allow_plain_initializers(&mut proto);
    Model::from_proto(proto)
}
