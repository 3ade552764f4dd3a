//! Prints the blocks, parameters and head of an ONNX network: `cargo run --example outline -- model.onnx`.

use regraft_onnx::{Graph, ImportOptions, Input, Model};

fn main() -> Result<(), regraft_onnx::Error> {
    for path in std::env::args().skip(1) {
        let model = Model::open(path.as_ref())?;
        let graph = Graph::import(&model, &ImportOptions::default())?;
        println!(
            "{path}: opset {}, image {:?}, {} classes",
            model.opset(),
            graph.image_shape(),
            graph.classes()
        );
        for block in &graph.blocks {
            let nodes = &graph.nodes[block.nodes.clone()];
            let macs: u64 = nodes.iter().map(|node| node.macs).sum();
            println!(
                "  {:40} {:?} {:4} nodes {:8.2} M MACs{}",
                block.name,
                graph.value(block.output).dims(1),
                nodes.len(),
                macs as f64 / 1e6,
                if block.head { "  head" } else { "" }
            );
            if std::env::var("NAMES").is_ok() {
                for input in nodes.iter().flat_map(|node| &node.inputs) {
                    if let Input::Parameter(id) = input {
                        let p = graph.parameter(*id);
                        println!(
                            "      {:50} {:?} {:?} ({:?})",
                            p.name, p.shape, p.role, p.initializer
                        );
                    }
                }
            }
        }
        println!("  head: {:?}", graph.head);
    }
    Ok(())
}
