//! A batch that the file fixes becomes any batch, wherever exporters merged it with other axes.

use onnx_ir::{AttributeProto, ModelProto, NodeProto};
use regraft_onnx::{Dim, Graph, ImportOptions, Model};

use crate::build::{self, floats, integers, node, value};

fn transpose(perm: [i64; 3], input: &str, output: &str) -> NodeProto {
    let mut node = node("Transpose", &[input], output);
    node.attribute.push(AttributeProto {
        name: "perm".to_owned(),
        ints: perm.to_vec(),
        ..AttributeProto::default()
    });
    node
}

/// Two channels as a sequence that comes before the batch of one, merged with it for a linear layer, as PyTorch's attention
/// is exported for one image.
fn sequence_first() -> ModelProto {
    let mut model = build::model(
        vec![
            node("Reshape", &["x", "to tokens"], "tokens"),
            transpose([1, 0, 2], "tokens", "sequence"),
            node("Reshape", &["sequence", "to rows"], "rows"),
            node("MatMul", &["rows", "mix.weight"], "mixed"),
            node("Reshape", &["mixed", "to sequence"], "apart"),
            transpose([1, 0, 2], "apart", "back"),
            node("Flatten", &["back"], "flat"),
            node("MatMul", &["flat", "fc.weight"], "y"),
        ],
        vec![
            integers("to tokens", &[1, 2, 16]),
            integers("to rows", &[2, 16]),
            integers("to sequence", &[2, 1, 16]),
            floats("mix.weight", &[16, 16], &[0.5; 256]),
            floats("fc.weight", &[32, 3], &[0.5; 96]),
        ],
    );
    let graph = model.graph.mut_or_insert_default();
    graph.input = vec![value("x", 1, &[Some(1), Some(2), Some(4), Some(4)])];
    graph.output = vec![value("y", 1, &[Some(1), Some(3)])];
    model
}

#[test]
fn a_batch_merged_behind_a_sequence_is_found_again() {
    let model = Model::from_bytes(&build::bytes(&sequence_first())).unwrap();
    let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
    let shape = |name: &str| {
        let found = graph.values.iter().find(|value| value.name == name);
        found.unwrap().shape.clone()
    };
    assert_eq!(shape("rows"), [Dim::Batch(2), Dim::Fixed(16)]);
    assert_eq!(
        shape("apart"),
        [Dim::Fixed(2), Dim::Batch(1), Dim::Fixed(16)]
    );
    assert_eq!(shape("y"), [Dim::Batch(1), Dim::Fixed(3)]);
}
