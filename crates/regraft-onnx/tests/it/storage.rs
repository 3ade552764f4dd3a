//! The ways a file may store its weights, and what of its bytes is kept when some are trained.

use std::collections::HashMap;

use half::{bf16, f16};
use onnx_ir::{AttributeProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use regraft_onnx::{Graph, HeadKind, HeadSpec, ImportOptions, Model, Role, head, write};

use crate::build::{self, floats, integers, node, raw, with_int};

/// Values that every float type holds exactly.
fn values() -> Vec<f32> {
    (0..96).map(|i| i as f32 / 8.0 - 4.0).collect()
}

fn parse(model: &ModelProto) -> Model {
    Model::from_bytes(&build::bytes(model)).unwrap()
}

fn import(model: &Model) -> Graph {
    Graph::import(model, &ImportOptions::default()).unwrap()
}

fn proto(model: &Model) -> ModelProto {
    ModelProto::parse_from_bytes(&model.to_bytes().unwrap()).unwrap()
}

/// The network's one weight.
fn weight(graph: &Graph) -> (&str, Vec<f32>) {
    let parameter = graph
        .parameters
        .iter()
        .find(|p| p.role == Role::Weight)
        .unwrap();
    (&parameter.name, parameter.data.to_vec())
}

fn le<const W: usize>(encode: impl Fn(f32) -> [u8; W]) -> Vec<u8> {
    values().into_iter().flat_map(encode).collect()
}

fn tensor(data_type: i32) -> TensorProto {
    raw("fc.weight", &[32, 3], data_type, vec![])
}

#[test]
fn every_float_type_is_read_from_raw_bytes_and_from_lists_and_stays_what_it_is() {
    let bits = |encode: fn(f32) -> u16| values().into_iter().map(|v| encode(v).into()).collect();
    let half = |v: f32| f16::from_f32(v).to_bits();
    let brain = |v: f32| bf16::from_f32(v).to_bits();
    let forms = [
        raw("fc.weight", &[32, 3], 1, le(f32::to_le_bytes)),
        raw("fc.weight", &[32, 3], 10, le(|v| half(v).to_le_bytes())),
        raw("fc.weight", &[32, 3], 16, le(|v| brain(v).to_le_bytes())),
        raw(
            "fc.weight",
            &[32, 3],
            11,
            le(|v| f64::from(v).to_le_bytes()),
        ),
        TensorProto {
            float_data: values(),
            ..tensor(1)
        },
        TensorProto {
            int32_data: bits(half),
            ..tensor(10)
        },
        TensorProto {
            int32_data: bits(brain),
            ..tensor(16)
        },
        TensorProto {
            double_data: values().into_iter().map(f64::from).collect(),
            ..tensor(11)
        },
    ];
    for form in forms {
        let element = form.data_type;
        let model = parse(&build::linear(form));
        let graph = import(&model);
        assert_eq!(weight(&graph), ("fc.weight", values()), "type {element}");
        let trained: Vec<f32> = values().iter().map(|v| v * 2.0).collect();
        let weights = HashMap::from([("fc.weight".to_owned(), trained.clone())]);
        let written = write::with_weights(&model, &graph, &weights).unwrap();
        assert_eq!(weight(&import(&written)).1, trained, "type {element}");
        let stored = &proto(&written).graph.initializer[0];
        assert_eq!(stored.data_type, element);
        assert!(stored.float_data.is_empty() && stored.int32_data.is_empty());
    }
}

#[test]
fn a_trained_value_that_float16_cannot_hold_is_an_error_not_an_infinity() {
    let form = raw(
        "fc.weight",
        &[32, 3],
        10,
        le(|v| f16::from_f32(v).to_le_bytes()),
    );
    let model = parse(&build::linear(form));
    let weights = HashMap::from([("fc.weight".to_owned(), vec![1e6; 96])]);
    let message = write::with_weights(&model, &import(&model), &weights)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("does not fit its element type float16"),
        "{message}"
    );
}

#[test]
fn a_head_grafted_on_a_float16_model_is_float16_too() {
    let form = raw(
        "fc.weight",
        &[32, 3],
        10,
        le(|v| f16::from_f32(v).to_le_bytes()),
    );
    let mut half = build::linear(form);
    let graph = half.graph.mut_or_insert_default();
    graph.input[0] = build::value("x", 10, &[None, Some(2), Some(4), Some(4)]);
    graph.output[0] = build::value("y", 10, &[None, Some(3)]);
    let model = parse(&half);
    let spec = HeadSpec {
        kind: HeadKind::Mlp { hidden: 8 },
        at: None,
        labels: vec!["cat".to_owned(), "dog".to_owned()],
        seed: 1,
        taps: Vec::new(),
    };
    let grafted = head::replace(&model, &import(&model), &spec).unwrap();
    let file = proto(&grafted).graph;
    assert!(file.initializer.iter().all(|tensor| tensor.data_type == 10));
    assert_eq!(file.output[0].type_.tensor_type().elem_type, 10);
}

/// Before version 4 of the format every initializer was a graph input too.
#[test]
fn initializers_that_are_graph_inputs_are_weights_and_stay_inputs() {
    let mut old = build::linear(floats("fc.weight", &[32, 3], &values()));
    old.ir_version = 3;
    let input = build::value("fc.weight", 1, &[Some(32), Some(3)]);
    old.graph.mut_or_insert_default().input.insert(0, input);
    let model = parse(&old);
    let graph = import(&model);
    assert_eq!(graph.input_name, "x");
    let weights = HashMap::from([("fc.weight".to_owned(), vec![1.0; 96])]);
    let written = proto(&write::with_weights(&model, &graph, &weights).unwrap());
    assert_eq!(written.ir_version, 3);
    let inputs: Vec<&str> = written
        .graph
        .input
        .iter()
        .map(|i| i.name.as_str())
        .collect();
    assert_eq!(inputs, ["fc.weight", "x"]);
}

/// A network of two linear layers whose file also holds what no importer looks at.
fn decorated() -> ModelProto {
    let mut file = build::model(
        vec![
            node("Flatten", &["x"], "flat"),
            node("MatMul", &["flat", "a.weight"], "hidden"),
            node("Relu", &["hidden"], "active"),
            node("MatMul", &["active", "b.weight"], "y"),
        ],
        vec![
            floats("a.weight", &[32, 4], &[0.5; 128]),
            floats("b.weight", &[4, 3], &[0.25; 12]),
        ],
    );
    file.doc_string = "of the model".to_owned();
    let graph = file.graph.mut_or_insert_default();
    graph.doc_string = "of the graph".to_owned();
    graph.node[2].doc_string = "of a node".to_owned();
    graph.initializer[0].doc_string = "of a weight".to_owned();
    graph.value_info.push(ValueInfoProto {
        doc_string: "of a value".to_owned(),
        ..build::value("active", 1, &[None, Some(4)])
    });
    file
}

#[test]
fn what_training_does_not_touch_keeps_its_bytes() {
    let before = decorated();
    let model = parse(&before);
    let weights = HashMap::from([("b.weight".to_owned(), vec![0.75; 12])]);
    let after = proto(&write::with_weights(&model, &import(&model), &weights).unwrap());
    let mut expected = before;
    expected.graph.mut_or_insert_default().initializer[1] =
        floats("b.weight", &[4, 3], &[0.75; 12]);
    assert!(build::bytes(&after) == build::bytes(&expected));
    let none = write::with_weights(&model, &import(&model), &HashMap::new()).unwrap();
    assert!(none.to_bytes().unwrap() == build::bytes(&decorated()));
}

/// `stored` in eight bits, one scale a column.
fn quantised() -> ModelProto {
    let stored: Vec<u8> = (0..96u8).collect();
    build::model(
        vec![
            with_int(
                node(
                    "DequantizeLinear",
                    &["fc.weight_quantized", "scale", "zero"],
                    "dequantized",
                ),
                "axis",
                1,
            ),
            node("Flatten", &["x"], "flat"),
            node("MatMul", &["flat", "dequantized"], "y"),
        ],
        vec![
            raw("fc.weight_quantized", &[32, 3], 2, stored),
            floats("scale", &[3], &[1.0, 0.5, 2.0]),
            raw("zero", &[3], 2, vec![0, 1, 2]),
        ],
    )
}

#[test]
fn a_quantised_weight_is_the_floats_it_stands_for() {
    let model = parse(&quantised());
    let graph = import(&model);
    let expected: Vec<f32> = (0..96)
        .map(|i| {
            let column = i % 3;
            (i as f32 - column as f32) * [1.0, 0.5, 2.0][column]
        })
        .collect();
    assert_eq!(weight(&graph), ("fc.weight", expected.clone()));
    assert_eq!(model.weights("dequantized").unwrap(), expected);
    // Frozen, it stays as it lies in the file.
    let frozen = write::with_weights(&model, &graph, &HashMap::new()).unwrap();
    assert!(frozen.to_bytes().unwrap() == build::bytes(&quantised()));
}

#[test]
fn a_trained_quantised_weight_takes_the_place_of_its_node() {
    let model = parse(&quantised());
    let trained: Vec<f32> = (0..96).map(|i| i as f32 / 100.0).collect();
    let weights = HashMap::from([("fc.weight".to_owned(), trained.clone())]);
    let written = write::with_weights(&model, &import(&model), &weights).unwrap();
    assert_eq!(weight(&import(&written)).1, trained);
    let file = proto(&written).graph;
    let operators: Vec<&str> = file.node.iter().map(|n| n.op_type.as_str()).collect();
    assert_eq!(operators, ["Flatten", "MatMul"]);
    let names: Vec<&str> = file.initializer.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["dequantized"]);
}

/// As TensorFlow's converters leave it: kernels `[height, width, in, out]` behind a Transpose, here a quantised one.
#[test]
fn a_convolutions_weight_behind_a_transpose_is_trained_and_written() {
    let mut turned = node("Transpose", &["dequantized"], "turned");
    turned.attribute.push(AttributeProto {
        name: "perm".to_owned(),
        ints: vec![3, 2, 0, 1],
        ..AttributeProto::default()
    });
    let file = build::model(
        vec![
            node("DequantizeLinear", &["conv.weight", "scale"], "dequantized"),
            turned,
            node("Conv", &["x", "turned"], "c"),
            node("GlobalAveragePool", &["c"], "pooled"),
            node("Flatten", &["pooled"], "y"),
        ],
        vec![
            raw("conv.weight", &[1, 2, 2, 3], 3, (0..12).collect()),
            floats("scale", &[], &[0.5]),
        ],
    );
    let model = parse(&file);
    let graph = import(&model);
    let (name, values) = weight(&graph);
    let turned = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11].map(|i| i as f32 / 2.0);
    // [height 1, width 2, in 2, out 3] to [out, in, height, width].
    let expected: Vec<f32> = turned
        .chunks(4)
        .flat_map(|out| [out[0], out[2], out[1], out[3]])
        .collect();
    assert_eq!((name, &values), ("conv.weight", &expected));
    assert_eq!(model.weights("turned").unwrap(), expected);

    let weights = HashMap::from([("conv.weight".to_owned(), vec![0.25; 12])]);
    let written = write::with_weights(&model, &graph, &weights).unwrap();
    assert_eq!(weight(&import(&written)).1, vec![0.25; 12]);
    let file = proto(&written).graph;
    assert_eq!(file.node[0].op_type, "Conv");
    let names: Vec<&str> = file.initializer.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["turned"]);
}

#[test]
fn a_zero_point_of_another_shape_is_an_error_with_the_nodes_name() {
    let mut model = quantised();
    model.graph.mut_or_insert_default().initializer[2] = raw("zero", &[2], 2, vec![0, 1]);
    let message = Graph::import(&parse(&model), &ImportOptions::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("node of dequantized"), "{message}");
    assert!(message.contains("zero point"), "{message}");
}

#[test]
fn every_node_that_cannot_be_trained_is_listed_before_anything_else() {
    let foreign = |mut node: NodeProto| {
        node.domain = "com.microsoft".to_owned();
        node
    };
    let model = parse(&build::model(
        vec![
            node("QuantizeLinear", &["x", "scale"], "q"),
            node("DequantizeLinear", &["q", "scale"], "d"),
            node("Loop", &["d"], "l"),
            foreign(node("FusedConv", &["l", "w"], "f")),
            node("Flatten", &["f"], "flat"),
            // Not listed: it would fail for want of a weight, but nobody looks that far.
            node("MatMul", &["flat", "nowhere"], "y"),
        ],
        vec![floats("scale", &[], &[1.0]), floats("w", &[1], &[1.0])],
    ));
    let message = Graph::import(&model, &ImportOptions::default())
        .unwrap_err()
        .to_string();
    for part in [
        "4 nodes",
        "`node of q` (QuantizeLinear)",
        "`node of d` (DequantizeLinear)",
        "`node of l` (Loop)",
        "`node of f` (com.microsoft.FusedConv)",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("nowhere"), "{message}");
}

#[test]
fn an_empty_constant_combined_with_a_number_is_empty() {
    let model = parse(&build::model(
        vec![
            node("Flatten", &["x"], "flat"),
            node("Mul", &["empty", "two"], "still empty"),
            node("Cast", &["still empty"], "numbers"),
            node("Concat", &["numbers", "shape"], "target"),
            node("Reshape", &["flat", "target"], "same"),
            node("MatMul", &["same", "fc.weight"], "y"),
        ]
        .into_iter()
        .map(|n| match n.op_type.as_str() {
            "Cast" => with_int(n, "to", 7),
            "Concat" => with_int(n, "axis", 0),
            _ => n,
        })
        .collect(),
        vec![
            floats("empty", &[0], &[]),
            floats("two", &[], &[2.0]),
            integers("shape", &[-1, 32]),
            floats("fc.weight", &[32, 3], &values()),
        ],
    ));
    assert_eq!(import(&model).classes(), 3);
}

#[test]
fn a_weight_used_twice_is_one_parameter() {
    let square = [0.5; 32 * 32];
    let model = parse(&build::model(
        vec![
            node("Flatten", &["x"], "flat"),
            node("MatMul", &["flat", "tied.weight"], "once"),
            node("Identity", &["tied.weight"], "again"),
            node("MatMul", &["once", "again"], "twice"),
            node("MatMul", &["twice", "fc.weight"], "y"),
        ],
        vec![
            floats("tied.weight", &[32, 32], &square),
            floats("fc.weight", &[32, 3], &values()),
        ],
    ));
    let graph = import(&model);
    let names: Vec<&str> = graph.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["tied.weight", "fc.weight"]);
}

/// Two batch norms after each other, as PyTorch exports fresh ones: equal vectors merged, an Identity under each name.
fn merged() -> ModelProto {
    let norm = |input: &str, names: [&str; 4], output: &str| {
        node(
            "BatchNormalization",
            &[input, names[0], names[1], names[2], names[3]],
            output,
        )
    };
    build::model(
        vec![
            node("Identity", &["bn1.weight"], "bn2.weight"),
            norm(
                "x",
                ["bn1.weight", "bn1.bias", "bn1.bias", "bn1.weight"],
                "a",
            ),
            norm(
                "a",
                ["bn2.weight", "bn1.bias", "bn1.bias", "bn1.weight"],
                "b",
            ),
            node("Flatten", &["b"], "flat"),
            node("MatMul", &["flat", "fc.weight"], "y"),
        ],
        vec![
            floats("bn1.weight", &[2], &[1.0, 1.0]),
            floats("bn1.bias", &[2], &[0.0, 0.0]),
            floats("fc.weight", &[32, 3], &values()),
        ],
    )
}

#[test]
fn equal_initializers_that_a_tool_merged_are_changed_apart() {
    let model = parse(&merged());
    let graph = import(&model);
    let role = |name: &str| graph.parameters.iter().find(|p| p.name == name).unwrap();
    assert_eq!(role("bn2.weight").role, Role::NormScale);
    let variance = graph
        .parameters
        .iter()
        .find(|p| p.role == Role::RunningVariance)
        .unwrap();
    assert_ne!(variance.name, "bn1.weight");

    for (changed, values) in [
        ("bn1.weight", vec![2.0, 3.0]),
        ("bn2.weight", vec![4.0, 5.0]),
        (&variance.name, vec![6.0, 7.0]),
    ] {
        let weights = HashMap::from([(changed.to_owned(), values.clone())]);
        let written = write::with_weights(&model, &graph, &weights).unwrap();
        let again = import(&written);
        assert_eq!(again.parameters.len(), graph.parameters.len());
        for (before, after) in graph.parameters.iter().zip(&again.parameters) {
            assert_eq!((&before.name, before.role), (&after.name, after.role));
            let expected = if before.name == changed {
                values.clone()
            } else {
                before.data.to_vec()
            };
            assert_eq!(
                after.data.to_vec(),
                expected,
                "{} after {changed}",
                after.name
            );
        }
    }
}
