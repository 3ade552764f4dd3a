//! Small models made by hand.
#![allow(dead_code)]

use onnx_ir::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};

pub fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("node of {output}"),
        op_type: operator.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

pub fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        i: value,
        ..AttributeProto::default()
    });
    node
}

/// A tensor with an element type and raw bytes.
pub fn raw(name: &str, dims: &[i64], data_type: i32, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type,
        raw_data: bytes.into(),
        ..TensorProto::default()
    }
}

pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    raw(name, dims, 1, bytes)
}

pub fn integers(name: &str, values: &[i64]) -> TensorProto {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    raw(name, &[values.len() as i64], 7, bytes)
}

/// A graph input or output of an element type; `None` is a symbolic extent.
pub fn value(name: &str, element: i32, dims: &[Option<i64>]) -> ValueInfoProto {
    let mut value = ValueInfoProto {
        name: name.to_owned(),
        ..ValueInfoProto::default()
    };
    let tensor = value.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = element;
    let shape = tensor.shape.mut_or_insert_default();
    for dim in dims {
        shape.dim.push(Default::default());
        let last = shape.dim.last_mut().unwrap();
        match dim {
            Some(extent) => last.set_dim_value(*extent),
            None => last.set_dim_param("N".to_owned()),
        }
    }
    value
}

/// A model from `x` `[N, 2, 4, 4]` to `y`, opset 17.
pub fn model(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ModelProto {
    let mut model = ModelProto {
        ir_version: 8,
        ..ModelProto::default()
    };
    model.opset_import.push(Default::default());
    model.opset_import[0].version = 17;
    model.graph = Some(GraphProto {
        name: "made by hand".to_owned(),
        node: nodes,
        initializer: initializers,
        input: vec![value("x", 1, &[None, Some(2), Some(4), Some(4)])],
        output: vec![value("y", 1, &[None, Some(3)])],
        ..GraphProto::default()
    })
    .into();
    model
}

/// Flatten, then a linear layer by `weight` `[32, 3]`: the smallest network with a head.
pub fn linear(weight: TensorProto) -> ModelProto {
    model(
        vec![
            node("Flatten", &["x"], "flat"),
            node("MatMul", &["flat", "fc.weight"], "y"),
        ],
        vec![weight],
    )
}

pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.write_to_bytes().unwrap()
}
