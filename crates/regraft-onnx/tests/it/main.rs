//! The embedded SqueezeNet from outside: blocks, head surgery, and back to bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch;
#[path = "../build/mod.rs"]
mod build;
mod exporters;
mod external;
mod storage;

use std::collections::HashMap;

use regraft_onnx::{Error, Graph, HeadKind, HeadSpec, ImportOptions, Model, head, metadata, write};

fn squeezenet() -> Model {
    Model::open(
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../models/squeezenet1.1-imagenet.onnx"
        )
        .as_ref(),
    )
    .unwrap()
}

fn import(model: &Model) -> Graph {
    Graph::import(model, &ImportOptions::default()).unwrap()
}

fn spec(kind: HeadKind) -> HeadSpec {
    HeadSpec {
        kind,
        at: None,
        labels: ["cat", "dog", "cow"].map(str::to_owned).to_vec(),
        seed: 7,
        taps: Vec::new(),
    }
}

#[test]
fn blocks_carry_the_names_people_use() {
    let graph = import(&squeezenet());
    let names: Vec<&str> = graph
        .blocks
        .iter()
        .map(|block| block.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "features.0",
            "features.3",
            "features.4",
            "features.6",
            "features.7",
            "features.9",
            "features.10",
            "features.11",
            "features.12",
            "classifier.1"
        ]
    );
    assert_eq!(
        graph.image_shape(),
        [3, 227, 227],
        "the size comes from the metadata"
    );
}

#[test]
fn a_new_head_keeps_every_other_name_and_weight() {
    let model = squeezenet();
    let grafted = head::replace(&model, &import(&model), &spec(HeadKind::Linear)).unwrap();
    let graph = import(&grafted);
    assert_eq!((graph.classes(), graph.output_name.as_str()), (3, "logits"));
    for name in model
        .initializer_names()
        .filter(|name| !name.starts_with("classifier."))
    {
        assert_eq!(
            model.weights(name).unwrap(),
            grafted.weights(name).unwrap(),
            "{name}"
        );
    }
    assert!(
        grafted
            .initializer_names()
            .all(|name| !name.starts_with("classifier."))
    );
    assert_eq!(metadata::labels(&grafted).unwrap(), ["cat", "dog", "cow"]);
    // The grafted head is found and replaced like any other.
    let again = head::replace(&grafted, &graph, &spec(HeadKind::Mlp { hidden: 16 })).unwrap();
    assert_eq!(import(&again).classes(), 3);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let model = squeezenet();
    let graph = import(&model);
    let bytes = |seed| {
        let spec = HeadSpec {
            seed,
            ..spec(HeadKind::Linear)
        };
        head::replace(&model, &graph, &spec)
            .unwrap()
            .to_bytes()
            .unwrap()
    };
    assert!(bytes(1) == bytes(1));
    assert!(bytes(1) != bytes(2));
}

#[test]
fn written_weights_are_read_back_and_nothing_else_changes() {
    let model = squeezenet();
    let graph = import(&model);
    let values = vec![0.25; 64];
    let weights = HashMap::from([("features.0.bias".to_owned(), values.clone())]);
    let written = write::with_weights(&model, &graph, &weights).unwrap();
    let read = Model::from_bytes(&written.to_bytes().unwrap()).unwrap();
    for name in model.initializer_names() {
        let expected = if name == "features.0.bias" {
            values.clone()
        } else {
            model.weights(name).unwrap()
        };
        assert_eq!(read.weights(name).unwrap(), expected, "{name}");
    }
}

#[test]
fn keeping_a_head_of_another_size_is_refused() {
    let model = squeezenet();
    let message = head::replace(&model, &import(&model), &spec(HeadKind::Keep))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("has 1000 classes, the data has 3"),
        "{message}"
    );
}

#[test]
fn a_cut_at_an_unknown_node_lists_near_names() {
    let model = squeezenet();
    let spec = HeadSpec {
        at: Some("Concat_60".to_owned()),
        ..spec(HeadKind::Linear)
    };
    let message = head::replace(&model, &import(&model), &spec)
        .unwrap_err()
        .to_string();
    assert!(message.contains("`Concat_61`"), "{message}");
}

#[test]
fn files_that_are_no_onnx_are_refused() {
    for bytes in [&b""[..], b"not an onnx file", &[0xff; 64]] {
        assert!(matches!(
            Model::from_bytes(bytes),
            Err(Error::NotOnnx { .. })
        ));
    }
}
