//! Each policy leaves exactly the frozen parameters' bytes unchanged and moves every one that it trains.

use std::collections::HashSet;
use std::path::Path;

use regraft::freeze::Statistics;
use regraft::onnx::{Model, Role};

use crate::{images, recipe, resnet, run, squeezenet};

/// Trains under a policy and compares every parameter in the written file with the grafted model's, bit by bit.
///
/// `trains` says of a canonical name whether the policy should train it.
fn check(model: &Path, policy: &str, batch_norm: &str, trains: impl Fn(&str) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let policy = format!("freeze.policy={policy}");
    let batch_norm = format!("freeze.batch_norm={batch_norm}");
    let recipe = recipe(model, &data, &[&policy, &batch_norm]);
    let (prepared, summary) = run(&recipe, &folder.path().join("run"));
    let written = Model::open(&folder.path().join("run/last.onnx")).unwrap();
    let planned: HashSet<&str> = prepared.plan.phases[0]
        .parameters
        .iter()
        .filter(|p| p.trained)
        .map(|p| p.name.as_str())
        .collect();
    let updated: HashSet<&str> = prepared.plan.phases[0]
        .norms
        .iter()
        .filter(|norm| norm.statistics == Statistics::Updated)
        .map(|norm| norm.name.as_str())
        .collect();
    let (mut frozen, mut moved) = (0, 0);
    for parameter in &prepared.graph.parameters {
        let Some(initializer) = &parameter.initializer else {
            continue;
        };
        let statistic = matches!(parameter.role, Role::RunningMean | Role::RunningVariance);
        let expected = if statistic {
            let (layer, _) = parameter.name.rsplit_once('.').unwrap();
            updated.contains(layer)
        } else {
            let wanted = trains(&parameter.name);
            assert_eq!(
                planned.contains(parameter.name.as_str()),
                wanted,
                "{policy}: the plan and the policy disagree on {}",
                parameter.name
            );
            wanted
        };
        let now = written.weights(initializer).unwrap();
        let same = now.len() == parameter.data.len()
            && now
                .iter()
                .zip(&parameter.data)
                .all(|(a, b)| a.to_bits() == b.to_bits());
        assert_eq!(
            !same, expected,
            "{policy}, {batch_norm}: `{}` moved: {}",
            parameter.name, !same
        );
        if same {
            frozen += 1;
        } else {
            moved += 1;
        }
    }
    assert!(moved > 0);
    assert_eq!(summary.frozen_unchanged, frozen);
}

fn in_block(name: &str, blocks: &[&str]) -> bool {
    name.starts_with("head.") || blocks.iter().any(|block| name.starts_with(block))
}

fn is_norm(name: &str) -> bool {
    name.contains(".bn") || name.contains("bn1.") || name.contains("downsample.1.")
}

#[test]
fn feature_extractor_trains_the_head_alone() {
    for model in [squeezenet(), resnet()] {
        check(&model, "feature-extractor", "auto", |name| {
            name.starts_with("head.")
        });
    }
}

#[test]
fn last_blocks_counts_from_the_head_down() {
    check(&resnet(), "{ last-blocks = 2 }", "updated", |name| {
        in_block(name, &["layer4."])
    });
    check(&resnet(), "{ last-blocks = 2 }", "affine-only", |name| {
        in_block(name, &["layer4."])
    });
    check(&resnet(), "{ last-blocks = 2 }", "frozen", |name| {
        in_block(name, &["layer4."]) && !is_norm(name)
    });
    check(&squeezenet(), "{ last-blocks = 1 }", "auto", |name| {
        in_block(name, &["features.12."])
    });
}

#[test]
fn from_and_until_name_a_depth() {
    let upper = |name: &str| in_block(name, &["layer3.", "layer4."]);
    check(&resnet(), "{ from = \"layer3\" }", "updated", upper);
    check(&resnet(), "{ until = \"layer2\" }", "affine-only", upper);
    check(
        &squeezenet(),
        "{ from = \"features.11\" }",
        "auto",
        |name| in_block(name, &["features.11.", "features.12."]),
    );
}

#[test]
fn full_trains_everything() {
    check(&resnet(), "full", "updated", |_| true);
    check(&resnet(), "full", "affine-only", |_| true);
    check(&squeezenet(), "full", "auto", |_| true);
}

#[test]
fn rules_are_globs_and_the_last_match_wins() {
    let rules = "{ rules = [{ train = \"layer4.**\" }, { freeze = \"**.bn*.*\" }, { train = \"conv1.*\" }] }";
    check(&resnet(), rules, "affine-only", |name| {
        name.starts_with("head.")
            || name.starts_with("conv1.")
            || name.starts_with("layer4.") && !name.contains(".bn")
    });
}

#[test]
fn norm_only_and_bias_only_train_what_they_say() {
    for batch_norm in ["updated", "affine-only"] {
        check(&resnet(), "norm-only", batch_norm, |name| {
            name.starts_with("head.") || is_norm(name)
        });
    }
    check(&squeezenet(), "bias-only", "auto", |name| {
        name.starts_with("head.") || name.ends_with(".bias")
    });
}

#[test]
fn layer_decay_slows_lower_layers() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let change = |policy: &str| {
        let out = folder.path().join(format!("run{}", policy.len()));
        let words = [
            &format!("freeze.policy={policy}"),
            "freeze.batch_norm=affine-only",
            "train.epochs=1",
            "train.batch_size=20",
            "train.schedule=constant",
            "train.optimizer={ name = \"sgd\", momentum = 0.0, weight_decay = 0.0 }",
        ];
        let (prepared, _) = run(&recipe(&resnet(), &data, &words), &out);
        let written = Model::open(&out.join("last.onnx")).unwrap();
        move |name: &str| -> f64 {
            let parameter = prepared
                .graph
                .parameters
                .iter()
                .find(|p| p.name == name)
                .unwrap();
            let now = written.weights(parameter.initializer.as_ref().unwrap());
            let squares = now
                .unwrap()
                .iter()
                .zip(&parameter.data)
                .map(|(a, b)| f64::from(a - b).powi(2))
                .sum::<f64>();
            squares.sqrt()
        }
    };
    let (plain, decayed) = (change("full"), change("{ full = true, layer-decay = 0.5 }"));
    // One step of plain SGD moves a weight by rate times gradient, so the ratio is the multiplier.
    for (name, multiplier) in [
        ("head.fc.weight", 1.0),
        ("layer4.1.conv2.weight", 0.5),
        ("layer4.0.conv1.weight", 0.25),
        ("layer1.0.conv1.weight", 0.5f64.powi(8)),
    ] {
        let ratio = decayed(name) / plain(name);
        assert!(
            (ratio / multiplier - 1.0).abs() < 0.02,
            "{name}: {ratio}, expected {multiplier}"
        );
    }
}
