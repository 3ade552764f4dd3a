//! Pooled features at every cut: one pass gives what a pass up to each block gives, compiled and node by node.

use std::path::Path;
use std::sync::Arc;

use regraft_nn::{Cuts, Precision, Trunk};
use regraft_onnx::{Graph, ImportOptions, Model, ValueId};
use regraft_program::tap;

fn check(path: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = Model::open(&root.join(path)).unwrap();
    let graph = Arc::new(Graph::import(&model, &ImportOptions::default()).unwrap());
    let device = regraft_backend::open("auto").unwrap();
    let [channels, height, width] = graph.image_shape();
    let shape = [3, channels, height, width];
    let pixels: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
        .collect();
    let cuts = Cuts::new(&graph, &device).unwrap();
    assert!(cuts.is_compiled(), "{path}");
    let features = cuts.features(pixels.clone(), shape).unwrap();
    let below = graph.blocks.iter().take_while(|block| !block.head).count();
    assert_eq!(features.len(), below);

    let values: Vec<ValueId> = graph.blocks[..below].iter().map(|b| b.output).collect();
    let tapped = tap(&graph, &values).unwrap();
    let tapped_graph = Arc::new(tapped.graph);
    let nodes = Trunk::node_by_node(&tapped_graph, tapped_graph.output, &device).unwrap();
    let together = nodes
        .forward(pixels.clone(), 3)
        .unwrap()
        .into_values()
        .unwrap();
    let all = together.len() / 3;

    for ((block, found), columns) in features.iter().zip(&tapped.columns) {
        let value = graph.blocks[*block].output;
        let trunk = Trunk::up_to(&graph, value, &device, Precision::F32).unwrap();
        let whole = trunk.forward(pixels.clone(), 3).unwrap();
        let dims = whole.dims();
        let positions: usize = dims[2..].iter().product();
        let whole = whole.into_values().unwrap();
        let means: Vec<f32> = whole
            .chunks_exact(positions.max(1))
            .map(|plane| plane.iter().sum::<f32>() / positions.max(1) as f32)
            .collect();
        let columns = columns.clone().unwrap();
        let by_nodes: Vec<f32> = together
            .chunks_exact(all)
            .flat_map(|row| row[columns.clone()].iter().copied())
            .collect();
        let largest = means.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert_eq!(found.len(), means.len());
        for (index, mean) in means.iter().enumerate() {
            for other in [found[index], by_nodes[index]] {
                assert!(
                    (other - mean).abs() <= 1e-4 * largest,
                    "{path}, block {block}, {index}: {other} and {mean}"
                );
            }
        }
    }
}

#[test]
fn one_pass_gives_what_a_pass_to_each_block_gives() {
    check("crates/regraft-conformance/goldens/resnet18.kept-13.onnx");
    check("models/squeezenet1.1-imagenet.onnx");
}
