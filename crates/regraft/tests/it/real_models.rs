//! ResNet, VGG, Inception and EfficientNet with real weights: each imports, gets a new head, trains at two depths, and
//! exports. `cargo xtask verify` runs them where the models lie beside the repository.

use regraft::onnx::{Graph, ImportOptions, Model};

use crate::{images, recipe, root, run};

fn check(stem: &str) {
    let model = root().join("../shared/models").join(format!("{stem}.onnx"));
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    for policy in ["feature-extractor", "{ last-blocks = 1 }"] {
        let words = [
            &format!("freeze.policy={policy}"),
            "data.preprocess.size=96",
            "data.preprocess.resize=96",
        ];
        let out = folder.path().join(policy);
        let (prepared, summary) = run(&recipe(&model, &data, &words), &out);
        assert!(summary.trained >= 2 && summary.frozen_unchanged > 0);
        if policy != "feature-extractor" {
            let phase = &prepared.plan.phases[0];
            let below = phase.parameters.iter().filter(|p| p.trained);
            let below = below.filter(|p| !p.name.starts_with("head")).count();
            assert!((1..phase.parameters.len() / 3).contains(&below), "{below}");
        }
        let written = Model::open(&out.join("model.onnx")).unwrap();
        let graph = Graph::import(&written, &ImportOptions::default()).unwrap();
        assert_eq!(graph.classes(), 5);
    }
}

#[test]
#[ignore = "needs ../shared/models"]
fn efficientnet_fine_tunes() {
    check("efficientnet-lite0-imagenet");
}

#[test]
#[ignore = "needs ../shared/models"]
fn resnet_fine_tunes() {
    check("resnet50-half-moderation");
}

#[test]
#[ignore = "needs ../shared/models"]
fn vgg_fine_tunes() {
    check("vgg16-brain-mri");
}

#[test]
#[ignore = "needs ../shared/models"]
fn inception_fine_tunes() {
    check("inception-v3-moderation");
}
