//! What some exporters write in their own way: weights in Constant nodes, networks that still train, names twice, names of ours.

use std::collections::{HashMap, HashSet};

use onnx_ir::{AttributeProto, AttributeType, Message, ModelProto, NodeProto};
use regraft_onnx::{Graph, HeadKind, ImportOptions, Model, head, write};

use crate::{import, spec};

/// A small ResNet-18 that was exported for inference, with its batch norms.
fn resnet() -> ModelProto {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../regraft-conformance/goldens/resnet18.kept-13.onnx"
    );
    ModelProto::parse_from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

fn trainable(graph: &Graph) -> Vec<(String, Vec<f32>)> {
    let parameters = graph.parameters.iter().filter(|p| p.role.trainable());
    let mut values: Vec<(String, Vec<f32>)> = parameters
        .map(|p| (p.name.clone(), p.data.to_vec()))
        .collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    values
}

#[test]
fn weights_in_constant_nodes_train_like_initializers() {
    let plain = import(&Model::from_proto(resnet()).unwrap());
    let mut proto = resnet();
    let graph = proto.graph.as_mut().unwrap();
    let constants: Vec<NodeProto> = std::mem::take(&mut graph.initializer)
        .into_iter()
        .map(|tensor| NodeProto {
            op_type: "Constant".to_owned(),
            output: vec![tensor.name.clone()],
            attribute: vec![AttributeProto {
                name: "value".to_owned(),
                type_: AttributeType::TENSOR.into(),
                t: Some(tensor).into(),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        })
        .collect();
    graph.node.splice(0..0, constants);
    let model = Model::from_proto(proto).unwrap();
    let graph = import(&model);
    let weights = trainable(&graph);
    assert_eq!(weights, trainable(&plain));
    let blocks = |graph: &Graph| -> Vec<String> {
        graph
            .blocks
            .iter()
            .map(|block| block.name.clone())
            .collect()
    };
    assert_eq!(blocks(&graph), blocks(&plain));

    let doubled: HashMap<String, Vec<f32>> = weights
        .iter()
        .map(|(name, values)| (name.clone(), values.iter().map(|v| 2.0 * v).collect()))
        .collect();
    let written = write::with_weights(&model, &graph, &doubled).unwrap();
    let again = Model::from_bytes(&written.to_bytes().unwrap()).unwrap();
    for (name, values) in trainable(&import(&again)) {
        assert_eq!(values, doubled[&name], "{name}");
    }
}

/// The values of a file in training mode depend on the batch: ONNX Runtime gives others for it than for what is written.
#[test]
fn a_network_that_still_trains_is_read_and_written_for_inference() {
    let mut proto = resnet();
    let graph = proto.graph.as_mut().unwrap();
    let mut norms = 0;
    for node in &mut graph.node {
        if node.op_type == "BatchNormalization" {
            node.attribute.push(AttributeProto {
                name: "training_mode".to_owned(),
                type_: AttributeType::INT.into(),
                i: 1,
                ..AttributeProto::default()
            });
            for what in ["mean", "variance"] {
                node.output.push(format!("{}/{what}", node.output[0]));
            }
            norms += 1;
        }
    }
    let model = Model::from_proto(proto).unwrap();
    assert!(
        model.notes()[0].contains(&format!("{norms} batch norms")),
        "{:?}",
        model.notes()
    );
    let plain = import(&Model::from_proto(resnet()).unwrap());
    assert_eq!(trainable(&import(&model)), trainable(&plain));
    let written = ModelProto::parse_from_bytes(&model.to_bytes().unwrap()).unwrap();
    for node in &written.graph.as_ref().unwrap().node {
        assert!(node.attribute.iter().all(|a| a.name != "training_mode"));
        assert!(node.op_type != "BatchNormalization" || node.output.len() == 1);
    }
    assert!(Model::from_proto(resnet()).unwrap().notes().is_empty());
}

#[test]
fn names_that_are_taken_or_there_twice_stand_in_no_heads_way() {
    let mut proto = resnet();
    let graph = proto.graph.as_mut().unwrap();
    // The image goes by our name for the output, an activation by that of the pooling of our head, and nodes by one name.
    let image = graph.input[0].name.clone();
    let inner = graph.node[3].output[0].clone();
    graph.input[0].name = "logits".to_owned();
    for node in &mut graph.node {
        for name in node.input.iter_mut().chain(&mut node.output) {
            if *name == image {
                *name = "logits".to_owned();
            } else if *name == inner {
                *name = "head/pool".to_owned();
            }
        }
        if node.op_type == "Relu" {
            node.name = "same".to_owned();
        }
    }
    let model = Model::from_proto(proto).unwrap();
    let graph = import(&model);
    let grafted = head::replace(&model, &graph, &spec(HeadKind::Linear)).unwrap();
    let bytes = grafted.to_bytes().unwrap();
    let written = ModelProto::parse_from_bytes(&bytes).unwrap();
    let nodes = &written.graph.as_ref().unwrap().node;
    let names: HashSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names.len(), nodes.len(), "every node has a name of its own");
    let values: Vec<&String> = nodes.iter().flat_map(|node| &node.output).collect();
    assert_eq!(values.iter().collect::<HashSet<_>>().len(), values.len());
    let again = Graph::import(
        &Model::from_bytes(&bytes).unwrap(),
        &ImportOptions::default(),
    );
    assert_eq!(again.unwrap().classes(), 3);
}

#[test]
fn a_network_that_normalises_pixels_says_which_it_wants() {
    // What the image goes through ahead of the first layer, as operators and their numbers.
    let wants = |steps: &[(&str, f32)]| {
        let mut proto = resnet();
        let graph = proto.graph.as_mut().unwrap();
        let image = graph.input[0].name.clone();
        let mut nodes = Vec::new();
        graph.input[0].name = "pixels".to_owned();
        for (at, (operator, number)) in steps.iter().enumerate() {
            let name = |at: usize| match at {
                0 => "pixels".to_owned(),
                at if at == steps.len() => image.clone(),
                at => format!("step{at}"),
            };
            let constant = format!("number{at}");
            nodes.push(crate::build::node(
                operator,
                &[&name(at), &constant],
                &name(at + 1),
            ));
            graph
                .initializer
                .push(crate::build::floats(&constant, &[1], &[*number]));
        }
        graph.node.splice(0..0, nodes);
        import(&Model::from_proto(proto).unwrap()).pixel_range()
    };
    use regraft_onnx::PixelRange::{Bytes, Unit};
    assert_eq!(wants(&[("Div", 127.5), ("Sub", 1.0)]), Some(Bytes));
    assert_eq!(wants(&[("Sub", 123.7), ("Mul", 0.017)]), Some(Bytes));
    assert_eq!(wants(&[("Sub", 116.0)]), Some(Bytes));
    assert_eq!(wants(&[("Sub", 0.485), ("Div", 0.229)]), Some(Unit));
    assert_eq!(wants(&[("Mul", 2.0), ("Add", -1.0)]), Some(Unit));
    let plain = import(&Model::from_proto(resnet()).unwrap());
    assert_eq!(plain.pixel_range(), None);
}

#[test]
fn of_several_outputs_the_one_that_is_named_is_left() {
    let mut proto = resnet();
    let graph = proto.graph.as_mut().unwrap();
    let classifier = graph.node.iter().rev().find(|node| node.op_type == "Gemm");
    let features = classifier.unwrap().input[0].clone();
    let mut second = graph.output[0].clone();
    second.name.clone_from(&features);
    graph.output.insert(0, second);
    let model = Model::from_proto(proto).unwrap();
    let logits = import(&model).output_name;

    let chosen = model.with_output(&features).unwrap();
    assert_eq!(import(&chosen).output_name, features);
    assert!(!chosen.initializer_names().any(|name| name == "fc.weight"));
    assert_eq!(
        import(&model.with_output(&logits).unwrap()).output_name,
        logits
    );
    let message = model.with_output("logit").unwrap_err().to_string();
    assert!(
        message.contains("output") && message.contains("logit"),
        "{message}"
    );
}
