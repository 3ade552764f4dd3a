//! The facade from outside: recipes trained for real, and what they leave in the files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod classes;
mod find_lr;
mod policies;
mod real_models;
mod round_trip;
mod run_folder;
mod solved;

use std::path::{Path, PathBuf};

use regraft::{Planned, Recipe, RunOptions, Silent, Summary, prepare, train};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The embedded SqueezeNet: no batch norm, a convolution as classifier.
fn squeezenet() -> PathBuf {
    root().join("models/squeezenet1.1-imagenet.onnx")
}

/// A small ResNet-18 with batch norm kept, of random weights.
fn resnet() -> PathBuf {
    root().join("crates/regraft-conformance/goldens/resnet18.kept-13.onnx")
}

/// Five classes with four images each, and nothing else.
fn images(folder: &Path) -> PathBuf {
    let target = folder.join("images");
    for class in ["animal", "flag", "meal", "person", "vehicle"] {
        let source = root().join("models/emoji/train").join(class);
        let mut files: Vec<PathBuf> = std::fs::read_dir(source)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        std::fs::create_dir_all(target.join(class)).unwrap();
        for file in files.iter().take(4) {
            let name = file.file_name().unwrap();
            std::fs::copy(file, target.join(class).join(name)).unwrap();
        }
    }
    target
}

/// A recipe for one short epoch at 64 pixels, with overrides.
fn recipe(model: &Path, data: &Path, overrides: &[&str]) -> Recipe {
    let mut all = vec![
        format!("model.source={}", model.display()),
        format!("data.source={}", data.display()),
        "data.preprocess.size=64".to_owned(),
        "data.preprocess.crop=squash".to_owned(),
        "data.validation=0".to_owned(),
        "train.epochs=1".to_owned(),
        "train.batch_size=10".to_owned(),
    ];
    all.extend(overrides.iter().map(|&text| text.to_owned()));
    regraft::recipe::read(None, &all).unwrap()
}

fn run(recipe: &Recipe, out: &Path) -> (Planned, Summary) {
    let prepared = prepare(recipe).unwrap();
    let options = RunOptions {
        out: Some(out.to_owned()),
        ..RunOptions::default()
    };
    let summary = train(&prepared, &options, &mut Silent).unwrap();
    (prepared, summary)
}
