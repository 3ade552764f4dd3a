//! The element type of a value: a model in half precision must stay so in every node, or no runtime takes it.

use std::collections::HashMap;

use onnx_ir::GraphProto;

use crate::tensor;

/// The element type (`TensorProto.DataType`) of the activation `name`: that of what it is computed from, up to a Cast,
/// a weight or the graph's input; `f32` where nothing says.
pub(crate) fn of(file: &GraphProto, name: &str) -> i32 {
    let producers: HashMap<&str, usize> = file
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
        .collect();
    let mut name = name;
    // A value is at most as many steps from its origin as there are nodes.
    for _ in 0..=file.node.len() {
        let Some(node) = producers.get(name).map(|&index| &file.node[index]) else {
            break;
        };
        if node.op_type == "Cast" {
            let to = node.attribute.iter().find(|a| a.name == "to");
            return to
                .and_then(|a| i32::try_from(a.i).ok())
                .filter(|&to| tensor::Encoding::of(to).is_some())
                .unwrap_or(tensor::FLOAT);
        }
        match node.input.first() {
            Some(input) => name = input,
            None => break,
        }
    }
    let stored = file.initializer.iter().find(|tensor| tensor.name == name);
    let declared = file.input.iter().find(|input| input.name == name);
    stored
        .map(|tensor| tensor.data_type)
        .or_else(|| declared.map(|input| input.type_.tensor_type().elem_type))
        .filter(|&element| tensor::Encoding::of(element).is_some())
        .unwrap_or(tensor::FLOAT)
}
