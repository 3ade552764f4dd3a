//! A head that takes pooled features from several blocks: the network keeps its blocks, any cut gives the same logits, and the
//! head comes off again whole.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use regraft_freeze::{DataFacts, FreezeConfig, Policy, resolve};
use regraft_nn::{Network, Taps, outline};
use regraft_onnx::{Graph, HeadKind, HeadSpec, HeadTap, ImportOptions, Model, head, write};
use regraft_program::Tap;
use regraft_spec::Pooling;

const CLASSES: usize = 3;

fn graph_of(model: &Model) -> Arc<Graph> {
    Arc::new(Graph::import(model, &ImportOptions::default()).unwrap())
}

fn spec(taps: Vec<HeadTap>) -> HeadSpec {
    HeadSpec {
        kind: HeadKind::Linear,
        at: None,
        labels: (0..CLASSES).map(|class| class.to_string()).collect(),
        seed: 7,
        taps,
    }
}

/// Values that look random, between -0.1 and 0.1.
fn noise(count: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919) % 2003) as f32 / 10_015.0 - 0.1;
    (0..count).map(value).collect()
}

fn check(path: &str, chosen: &[(usize, Pooling)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = Model::open(&root.join(path)).unwrap();
    let headless = head::cut(&model, &graph_of(&model), None).unwrap();
    let bare = graph_of(&headless);
    let value = |block: usize| bare.blocks[block].output;
    let taps: Vec<HeadTap> = chosen
        .iter()
        .map(|&(block, pooling)| HeadTap {
            block: bare.blocks[block].name.clone(),
            value: bare.value(value(block)).name.clone(),
            pooling,
        })
        .collect();
    let grafted = head::graft(&headless, &bare, &spec(taps)).unwrap();
    let graph = graph_of(&grafted);
    let plain = graph_of(&head::graft(&headless, &bare, &spec(Vec::new())).unwrap());
    let highest = chosen.iter().map(|(block, _)| *block).max().unwrap();
    let names = |graph: &Graph| -> Vec<String> {
        let blocks = graph.blocks.iter().take_while(|block| !block.head);
        blocks.map(|block| block.name.clone()).collect()
    };
    assert_eq!(names(&graph), names(&plain)[..=highest], "{path}");

    // The new weights have to matter.
    let width: usize = graph.parameters.last().unwrap().shape.iter().product();
    let fc = graph.parameters.iter().find(|p| p.name == "head.fc.weight");
    let fc = fc.unwrap();
    let weights = noise(fc.data.len());
    assert!(width > 0);
    let values = HashMap::from([("head.fc.weight".to_owned(), weights.clone())]);
    let written = write::with_weights(&grafted, &graph, &values).unwrap();
    let graph = graph_of(&written);

    let device = regraft_backend::open("auto").unwrap();
    let [channels, height, width] = graph.image_shape();
    let shape = [2, channels, height, width];
    let pixels: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
        .collect();
    // By hand: the taps' features times the weights.
    let asked: Vec<Tap> = chosen
        .iter()
        .map(|&(block, pooling)| Tap {
            value: value(block),
            pooling,
        })
        .collect();
    let features = Taps::new(&bare, &asked, &device).unwrap();
    let features = features.features(pixels.clone(), shape).unwrap();
    let length = features.len() / 2;
    assert_eq!(weights.len(), CLASSES * length);
    let expected: Vec<f32> = features
        .chunks_exact(length)
        .flat_map(|row| {
            let logit = |column: &[f32]| row.iter().zip(column).map(|(a, b)| a * b).sum();
            weights
                .chunks_exact(length)
                .map(logit)
                .collect::<Vec<f32>>()
        })
        .collect();
    let outline = outline(&graph, |name| name.starts_with("head."));
    let facts = DataFacts {
        train_images: 100,
        classes: CLASSES,
        batch_size: 16,
    };
    let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    for open in [0, 1, highest / 2, highest + 1] {
        let config = FreezeConfig {
            policy: Policy::LastBlocks(open),
            ..FreezeConfig::default()
        };
        let plan = resolve(&outline, &facts, &config).unwrap();
        let network = Network::new(graph.clone(), &plan.phases[0], &[], &device).unwrap();
        let features = network.features_of_pixels(pixels.clone(), shape).unwrap();
        // As a store of features would hand them back.
        let stored = features.clone().into_values().unwrap();
        let stored = network.cached_features(stored, 2).unwrap();
        for features in [features, stored] {
            let logits = network.logits(features).unwrap().into_data();
            let logits = logits.try_into_vec::<f32>().unwrap();
            let pairs = logits.iter().zip(&expected);
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 1e-4 * largest, "{path}, {open} open: off by {off}");
        }
    }

    let again = head::cut(&written, &graph, None).unwrap();
    let left = graph_of(&again);
    assert_eq!(
        left.value(left.output).name,
        bare.value(value(highest)).name
    );
    assert!(!left.parameters.iter().any(|p| p.name.starts_with("head.")));
    assert!(!left.nodes.iter().any(|node| node.name.starts_with("head/")));
}

#[test]
fn taps_pass_every_cut_and_come_off_with_the_head() {
    let squeezenet = "models/squeezenet1.1-imagenet.onnx";
    let last = 8;
    check(squeezenet, &[(2, Pooling::Mean), (last, Pooling::Mean)]);
    check(
        squeezenet,
        &[
            (0, Pooling::Max),
            (3, Pooling::Grid(2)),
            (5, Pooling::Mean),
            (5, Pooling::Grid(3)),
        ],
    );
    let resnet = "crates/regraft-conformance/goldens/resnet18.kept-13.onnx";
    check(resnet, &[(1, Pooling::Mean), (4, Pooling::Grid(2))]);
}
