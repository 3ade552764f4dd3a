//! Networks that benches measure on: of real size, made here, so that nothing has to be downloaded.

use std::path::Path;

use anyhow::Result;
use onnx_ir::{AttributeProto, GraphProto, Message, ModelProto, NodeProto, TensorProto};

/// Writes VGG-16 (Simonyan and Zisserman 2015, configuration D, 1,000 classes, 224 x 224, opset 13) with weights of zero:
/// 553 MB.
///
/// # Errors
/// When the file cannot be written.
pub fn write_vgg16(path: &Path) -> Result<()> {
    let mut graph = GraphProto::new();
    let mut value = "input".to_owned();
    let mut channels = 3;
    let stages: [(i64, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
    for (stage, (width, layers)) in stages.into_iter().enumerate() {
        for layer in 0..layers {
            let name = format!("features.{stage}.{layer}");
            weight(
                &mut graph,
                &format!("{name}.weight"),
                &[width, channels, 3, 3],
            );
            weight(&mut graph, &format!("{name}.bias"), &[width]);
            let operands = [value, format!("{name}.weight"), format!("{name}.bias")];
            let pads = integers("pads", &[1, 1, 1, 1]);
            value = node(&mut graph, "Conv", &operands, vec![pads]);
            value = node(&mut graph, "Relu", &[value], vec![]);
            channels = width;
        }
        let windows = vec![
            integers("kernel_shape", &[2, 2]),
            integers("strides", &[2, 2]),
        ];
        value = node(&mut graph, "MaxPool", &[value], windows);
    }
    value = node(&mut graph, "Flatten", &[value], vec![]);
    for (index, [outputs, inputs]) in [[4096, 512 * 49], [4096, 4096], [1000, 4096]]
        .into_iter()
        .enumerate()
    {
        let name = format!("classifier.{index}");
        weight(&mut graph, &format!("{name}.weight"), &[outputs, inputs]);
        weight(&mut graph, &format!("{name}.bias"), &[outputs]);
        let operands = [value, format!("{name}.weight"), format!("{name}.bias")];
        let transposed = AttributeProto {
            name: "transB".to_owned(),
            i: 1,
            ..Default::default()
        };
        value = node(&mut graph, "Gemm", &operands, vec![transposed]);
        if index < 2 {
            value = node(&mut graph, "Relu", &[value], vec![]);
        }
    }
    for (list, name, dims) in [
        (&mut graph.input, "input".to_owned(), &[1, 3, 224, 224][..]),
        (&mut graph.output, value, &[1, 1000][..]),
    ] {
        list.push(Default::default());
        if let Some(declared) = list.last_mut() {
            declared.name = name;
            let tensor = declared.type_.mut_or_insert_default().mut_tensor_type();
            tensor.elem_type = FLOAT;
            let shape = tensor.shape.mut_or_insert_default();
            for &extent in dims {
                shape.dim.push(Default::default());
                if let Some(dim) = shape.dim.last_mut() {
                    dim.set_dim_value(extent);
                }
            }
        }
    }
    let mut model = ModelProto {
        ir_version: 8,
        ..Default::default()
    };
    model.opset_import.push(Default::default());
    if let Some(opset) = model.opset_import.last_mut() {
        opset.version = 13;
    }
    model.graph = Some(graph).into();
    std::fs::write(path, model.write_to_bytes()?)?;
    Ok(())
}

/// ONNX's number for 32-bit floats.
const FLOAT: i32 = 1;

fn weight(graph: &mut GraphProto, name: &str, dims: &[i64]) {
    let values: i64 = dims.iter().product();
    graph.initializer.push(TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        raw_data: vec![0; 4 * usize::try_from(values).unwrap_or(0)].into(),
        ..Default::default()
    });
}

/// Adds a node; returns the name of its output.
fn node(
    graph: &mut GraphProto,
    operator: &str,
    inputs: &[String],
    attribute: Vec<AttributeProto>,
) -> String {
    let output = format!("{operator}_{}", graph.node.len());
    graph.node.push(NodeProto {
        name: output.clone(),
        op_type: operator.to_owned(),
        input: inputs.to_vec(),
        output: vec![output.clone()],
        attribute,
        ..Default::default()
    });
    output
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        ..Default::default()
    }
}
