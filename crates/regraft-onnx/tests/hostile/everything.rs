//! Everything the crate offers, on the bytes of one file.

use std::collections::HashMap;

use regraft_onnx::{Error, Graph, HeadKind, HeadSpec, ImportOptions, Model, head, metadata, write};

/// Reads, inspects, resizes, imports, grafts three heads on, trains a little, writes.
///
/// # Errors
/// When the file cannot be read, imported or written.
pub fn use_fully(bytes: &[u8]) -> Result<(), Error> {
    let model = Model::from_bytes(bytes)?;
    let _ = (model.opset(), model.producer(), model.path());
    let _ = (metadata::labels(&model), metadata::preprocessing(&model));
    let _ = model.node_names().count();
    for name in model.initializer_names().take(4) {
        let _ = model.weights(name);
    }
    let _ = model.to_bytes()?;
    let _ = model.for_image_size([96, 80]).map(|sized| sized.to_bytes());
    let graph = Graph::import(&model, &ImportOptions::default())?;
    inspect(&graph);
    let at = graph
        .nodes
        .get(graph.nodes.len() / 2)
        .map(|n| n.name.clone());
    for (at, kind) in [
        (None, HeadKind::Linear),
        (at, HeadKind::Mlp { hidden: 8 }),
        (None, HeadKind::Keep),
    ] {
        let labels = ["cat", "dog", "cow"].map(str::to_owned).to_vec();
        let spec = HeadSpec {
            kind,
            at,
            labels,
            seed: 1,
            taps: Vec::new(),
        };
        if let Ok(grafted) = head::replace(&model, &graph, &spec) {
            let again = Model::from_bytes(&grafted.to_bytes()?)?;
            inspect(&Graph::import(&again, &ImportOptions::default())?);
        }
    }
    let trained: HashMap<String, Vec<f32>> = graph
        .parameters
        .iter()
        .filter(|p| p.role.trainable())
        .take(3)
        .map(|p| (p.name.clone(), vec![0.5; p.data.len()]))
        .collect();
    write::with_weights(&model, &graph, &trained)?.to_bytes()?;
    Ok(())
}

fn inspect(graph: &Graph) {
    let _ = (
        graph.image_shape(),
        graph.classes(),
        graph.trainable_values(),
    );
    for node in 0..graph.nodes.len() {
        let _ = graph.block_of(node);
    }
    for block in &graph.blocks {
        let nodes = &graph.nodes[block.nodes.clone()];
        let _ = nodes.iter().fold(0u64, |sum, n| sum.saturating_add(n.macs));
        let _ = graph.value(block.output).values_per_image();
    }
}
