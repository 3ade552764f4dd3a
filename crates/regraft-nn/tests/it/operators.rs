//! Operators that are imported as several steps, against ONNX Runtime: compiled, and node by node on tensors.

use std::path::Path;
use std::sync::Arc;

use regraft_nn::{Precision, Trunk};
use regraft_onnx::{Graph, ImportOptions, Model};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f32> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_f64().unwrap() as f32).collect()
}

fn extents(value: &Value) -> Vec<usize> {
    let list = value.as_array().unwrap().iter();
    list.map(|v| v.as_u64().unwrap() as usize).collect()
}

/// `[N, C, H, W]` to `[N, H, W, C]`.
fn pixels_last(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let &[n, c, h, w] = shape else { unreachable!() };
    let mut turned = Vec::with_capacity(values.len());
    for image in 0..n {
        for place in 0..h * w {
            turned.extend((0..c).map(|channel| values[(image * c + channel) * h * w + place]));
        }
    }
    turned
}

/// `tests/operators.py` writes the files and the right values.
#[test]
fn operators_in_steps_give_what_onnx_runtime_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operators");
    let values: Value =
        serde_json::from_slice(&std::fs::read(folder.join("values.json")).unwrap()).unwrap();
    let shape = extents(&values["input"]["shape"]);
    let pixels = pixels_last(&numbers(&values["input"]["values"]), &shape);
    let device = regraft_backend::open("auto").unwrap();
    let cases = values["outputs"].as_object().unwrap();
    assert!(cases.len() > 30);
    for (name, right) in cases {
        let model = Model::open(&folder.join(format!("{name}.onnx"))).unwrap();
        let graph = Graph::import(&model, &ImportOptions::default());
        let graph = Arc::new(graph.unwrap_or_else(|error| panic!("{name}: {error}")));
        let expected = numbers(&right["values"]);
        let compiled = Trunk::up_to(&graph, graph.output, &device, Precision::F32).unwrap();
        let on_tensors = Trunk::node_by_node(&graph, graph.output, &device).unwrap();
        for (how, trunk) in [("compiled", compiled), ("on tensors", on_tensors)] {
            let found = trunk.forward(pixels.clone(), shape[0]);
            let found = found.unwrap_or_else(|error| panic!("{name}, {how}: {error}"));
            let found = found.into_values().unwrap();
            assert_eq!(found.len(), expected.len(), "{name}, {how}");
            for (a, b) in found.iter().zip(&expected) {
                assert!(
                    (a - b).abs() <= 1e-5 * b.abs().max(1.0),
                    "{name}, {how}: {a}, {b}"
                );
            }
        }
    }
}
