//! Forward passes of real pretrained networks against logits from ONNX Runtime.
//!
//! The goldens were made by `tools/reference_logits.py`. Models that are not in the repository lie beside it; `cargo xtask verify`
//! runs their tests where they do.

use std::path::PathBuf;
use std::sync::Arc;

use regraft_freeze::{DataFacts, FreezeConfig, Policy, resolve};
use regraft_nn::{Activation, Network, outline};
use regraft_onnx::{Graph, ImportOptions, Model};

#[derive(serde::Deserialize)]
struct Golden {
    shape: [usize; 4],
    scale: f32,
    shift: f32,
    logits: Vec<f32>,
}

/// The input that the script makes too: a hash of the position, in `[0, 1)`, scaled and shifted.
fn input(golden: &Golden) -> Vec<f32> {
    (0..golden.shape.iter().product::<usize>() as u32)
        .map(|index| {
            let mut x = index.wrapping_mul(2_654_435_761);
            x ^= x >> 15;
            x = x.wrapping_mul(2_246_822_519);
            x ^= x >> 13;
            (x >> 8) as f32 / (1u32 << 24) as f32 * golden.scale + golden.shift
        })
        .collect()
}

fn check(stem: &str, folder: &str) {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = here.join("../..").join(folder).join(format!("{stem}.onnx"));
    let golden = std::fs::read_to_string(here.join(format!("tests/goldens/{stem}.json"))).unwrap();
    let golden: Golden = serde_json::from_str(&golden).unwrap();
    let model = Model::open(&path).unwrap();
    let options = ImportOptions {
        image_size: Some([golden.shape[2], golden.shape[3]]),
        ..ImportOptions::default()
    };
    let graph = Arc::new(Graph::import(&model, &options).unwrap());
    let outline = outline(&graph, |_| false);
    let facts = DataFacts {
        train_images: 100,
        classes: 2,
        batch_size: 1,
    };
    let largest = golden.logits.iter().fold(0f32, |m, v| m.max(v.abs()));
    // The whole network as the trainable part, as trunk below the head, and cut in the middle.
    for policy in [
        Policy::Full,
        Policy::FeatureExtractor,
        Policy::LastBlocks(3),
    ] {
        let config = FreezeConfig {
            policy: policy.clone(),
            ..FreezeConfig::default()
        };
        let plan = resolve(&outline, &facts, &config).unwrap();
        let device = regraft_backend::open("flex").unwrap();
        let network = Network::new(graph.clone(), &plan.phases[0], &[], &device).unwrap();
        let features = network.features(input(&golden), golden.shape).unwrap();
        let logits = Activation::R2(network.logits(features).unwrap())
            .into_values()
            .unwrap();
        assert_eq!(logits.len(), golden.logits.len());
        let worst = logits
            .iter()
            .zip(&golden.logits)
            .fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        println!("{stem}, {policy}: largest difference {worst:e} of {largest:e}");
        assert!(
            worst <= 1e-4 * largest,
            "{stem}, {policy}: off by {worst}, largest logit {largest}"
        );
    }
}

#[test]
fn squeezenet_agrees_with_onnx_runtime() {
    check("squeezenet1.1-imagenet", "models");
}

#[test]
#[ignore = "needs ../shared/models"]
fn efficientnet_agrees_with_onnx_runtime() {
    check("efficientnet-lite0-imagenet", "../shared/models");
}

#[test]
#[ignore = "needs ../shared/models"]
fn resnet_agrees_with_onnx_runtime() {
    check("resnet50-half-moderation", "../shared/models");
}

#[test]
#[ignore = "needs ../shared/models"]
fn vgg_agrees_with_onnx_runtime() {
    check("vgg16-brain-mri", "../shared/models");
}

#[test]
#[ignore = "needs ../shared/models"]
fn inception_agrees_with_onnx_runtime() {
    check("inception-v3-moderation", "../shared/models");
}
