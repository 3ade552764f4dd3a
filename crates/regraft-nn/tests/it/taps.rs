//! Pooled features at every cut: one pass gives what pooling the activations of a pass up to each block gives, compiled and
//! node by node.

use std::path::Path;
use std::sync::Arc;

use regraft_nn::{Precision, Taps, Trunk};
use regraft_onnx::{Graph, ImportOptions, Model};
use regraft_program::{Tap, tap};
use regraft_spec::Pooling;

const IMAGES: usize = 3;

/// `[C * cells]` of one image's `[C, H, W]`.
fn pooled(map: &[f32], [height, width]: [usize; 2], pooling: Pooling) -> Vec<f32> {
    let mut features = Vec::new();
    for plane in map.chunks_exact(height * width) {
        let mean = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            let count = rows.len() * columns.len();
            let row = |y: usize| plane[y * width..][columns.clone()].iter().sum::<f32>();
            rows.map(row).sum::<f32>() / count as f32
        };
        match pooling {
            Pooling::Mean => features.push(mean(0..height, 0..width)),
            Pooling::Max => features.push(plane.iter().copied().fold(f32::MIN, f32::max)),
            Pooling::Grid(side) => {
                for cell in 0..side * side {
                    let window = |at: usize, extent: usize| {
                        at * extent / side..((at + 1) * extent).div_ceil(side)
                    };
                    features.push(mean(
                        window(cell / side, height),
                        window(cell % side, width),
                    ));
                }
            }
        }
    }
    features
}

fn check(path: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = Model::open(&root.join(path)).unwrap();
    let graph = Arc::new(Graph::import(&model, &ImportOptions::default()).unwrap());
    let device = regraft_backend::open("auto").unwrap();
    let [channels, height, width] = graph.image_shape();
    let shape = [IMAGES, channels, height, width];
    let pixels: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
        .collect();
    let poolings = [
        Pooling::Mean,
        Pooling::Max,
        Pooling::Grid(2),
        Pooling::Grid(3),
    ];
    let blocks = graph.blocks.iter().take_while(|block| !block.head);
    let asked: Vec<Tap> = blocks
        .flat_map(|block| {
            poolings.map(|pooling| Tap {
                value: block.output,
                pooling,
            })
        })
        .collect();
    let taps = Taps::new(&graph, &asked, &device).unwrap();
    assert!(taps.is_compiled(), "{path}");
    let features = taps.features(pixels.clone(), shape).unwrap();
    assert_eq!(features.len(), IMAGES * taps.width());

    let tapped = Arc::new(tap(&graph, &asked).unwrap().graph);
    let nodes = Trunk::node_by_node(&tapped, tapped.output, &device).unwrap();
    let by_nodes = nodes.forward(pixels.clone(), IMAGES).unwrap();
    let by_nodes = by_nodes.into_values().unwrap();

    for (tap, columns) in asked.iter().zip(taps.columns()) {
        let has_positions = graph.value(tap.value).shape.len() == 4;
        let Some(columns) = columns.clone() else {
            // No positions, or fewer than windows.
            assert!(tap.pooling != Pooling::Mean, "{tap:?}");
            continue;
        };
        let trunk = Trunk::up_to(&graph, tap.value, &device, Precision::F32).unwrap();
        let whole = trunk.forward(pixels.clone(), IMAGES).unwrap();
        let dims = whole.dims();
        let whole = whole.into_values().unwrap();
        for (image, map) in whole.chunks_exact(whole.len() / IMAGES).enumerate() {
            let expected = match has_positions {
                true => pooled(map, [dims[2], dims[3]], tap.pooling),
                false => map.to_vec(),
            };
            let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
            assert_eq!(columns.len(), expected.len());
            let row = |all: &[f32]| all[image * taps.width()..][columns.clone()].to_vec();
            for found in [row(&features), row(&by_nodes)] {
                let pairs = found.iter().zip(&expected);
                let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off <= 1e-4 * largest, "{path}, {tap:?}: off by {off}");
            }
        }
    }
}

#[test]
fn one_pass_gives_what_a_pass_to_each_block_gives() {
    check("crates/regraft-conformance/goldens/resnet18.kept-13.onnx");
    check("models/squeezenet1.1-imagenet.onnx");
}
