//! What is written is what was trained: export, import, the same logits.

use std::collections::HashSet;
use std::sync::Arc;

use regraft::nn::{Activation, Network};
use regraft::onnx::{Graph, ImportOptions, Model, metadata, write};
use regraft::{Classifier, Silent, prepare};

use crate::{images, recipe, resnet, run, squeezenet};

#[test]
fn the_exported_file_gives_the_trained_networks_logits() {
    for (model, batch_norm) in [
        (squeezenet(), "auto"),
        (resnet(), "updated"),
        (resnet(), "affine-only"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let data = images(folder.path());
        let words = [
            "freeze.policy={ last-blocks = 2 }",
            &format!("freeze.batch_norm={batch_norm}"),
        ];
        let recipe = recipe(&model, &data, &words);
        let prepared = prepare(&recipe).unwrap();
        let device = regraft::backend::open("auto").unwrap();
        let trainer = regraft::training::Trainer {
            graph: prepared.graph.clone(),
            phases: &prepared.plan.phases,
            dropout: &[],
            train: regraft::data::Loader::new(
                prepared.data.train.clone(),
                regraft::data::LoaderOptions {
                    preprocess: prepared.preprocess.clone(),
                    ..Default::default()
                },
            )
            .unwrap(),
            validation: None,
            settings: prepared.settings().unwrap(),
            device: device.clone(),
            run: folder.path().to_owned(),
            keep: &|_, state| {
                let model = write::with_weights(&prepared.model, &prepared.graph, state.values())?;
                let mut file = std::fs::File::create(folder.path().join("last.onnx"))?;
                Ok(model.write_to(&mut file)?)
            },
            keep_start: false,
            stop: Default::default(),
        };
        let trained = trainer.run(&mut Silent).unwrap().network;

        let exported = Model::open(&folder.path().join("last.onnx")).unwrap();
        let graph = Graph::import(&exported, &ImportOptions::default()).unwrap();
        let [c, h, w] = graph.image_shape();
        let shape = [3, c, h, w];
        let pixels: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|i| ((i * 37 % 101) as f32 / 101.0 - 0.5) * 4.0)
            .collect();
        let logits = |network: &Network| {
            let features = network.features(pixels.clone(), shape).unwrap();
            Activation::R2(network.logits(features).unwrap())
                .into_values()
                .unwrap()
        };
        let served = Network::inference(Arc::new(graph), &device).unwrap();
        let (a, b) = (logits(&trained), logits(&served));
        let largest = a.iter().fold(0f32, |m, v| m.max(v.abs()));
        for (x, y) in a.iter().zip(&b) {
            assert!(
                (x - y).abs() <= 1e-4 * largest,
                "{}: {x} and {y}",
                model.display()
            );
        }
    }
}

#[test]
fn everything_kept_keeps_its_name_and_the_file_says_how_to_use_it() {
    for model in [squeezenet(), resnet()] {
        let folder = tempfile::tempdir().unwrap();
        let data = images(folder.path());
        let original = Model::open(&model).unwrap();
        let (prepared, summary) = run(&recipe(&model, &data, &[]), &folder.path().join("run"));
        let written = Model::open(&summary.run.join("model.onnx")).unwrap();
        for (old, new) in [
            (
                original.node_names().collect::<HashSet<_>>(),
                written.node_names().collect::<HashSet<_>>(),
            ),
            (
                original.initializer_names().collect(),
                written.initializer_names().collect(),
            ),
        ] {
            let added: Vec<&&str> = new.difference(&old).collect();
            assert!(
                added.iter().all(|name| name.starts_with("head")),
                "{added:?}"
            );
            let gone: Vec<&&str> = old.difference(&new).collect();
            assert!(
                gone.len() * 4 < old.len(),
                "only the old head goes: {gone:?}"
            );
        }
        let labels = metadata::labels(&written).unwrap();
        assert_eq!(labels, prepared.data.train.classes);
        let classifier = Classifier::open(summary.run.to_str().unwrap(), "auto").unwrap();
        assert_eq!(classifier.preprocess, prepared.preprocess);
    }
}
