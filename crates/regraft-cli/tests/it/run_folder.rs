//! What a run folder guarantees: the same bytes from the same recipe, and nothing lost to a kill.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Place, fails, json, squeezenet, stdout};

/// Trains most of the network, so that every kind of state is in play.
const DEEP: [&str; 4] = [
    "--set",
    "freeze.policy={ last-blocks = 2 }",
    "--set",
    "train.lr=0.001",
];

#[test]
fn the_same_recipe_gives_the_same_bytes_and_so_does_the_resolved_one() {
    let place = Place::with_images();
    for out in ["a", "b"] {
        place
            .train(&[&DEEP[..], &["--out", out]].concat())
            .assert()
            .success();
    }
    assert!(place.bytes("a/last.onnx") == place.bytes("b/last.onnx"));
    assert!(place.bytes("a/model.onnx") == place.bytes("b/model.onnx"));
    place
        .regraft(&["train", "a/recipe.toml", "--out", "d"])
        .assert()
        .success();
    assert!(place.bytes("a/last.onnx") == place.bytes("d/last.onnx"));
    // Another seed is another run.
    place
        .train(&[&DEEP[..], &["--out", "e", "--set", "train.seed=7"]].concat())
        .assert()
        .success();
    assert!(place.bytes("a/last.onnx") != place.bytes("e/last.onnx"));
}

#[test]
fn the_files_of_a_run_are_read_through_their_types() {
    let place = Place::with_images();
    place
        .train(&[&DEEP[..], &["--out", "run", "--set", "data.validation=0.4"]].concat())
        .assert()
        .success();
    let files = regraft::RunFiles::open(&place.path("run")).unwrap();
    let (summary, plan) = (files.summary().unwrap(), files.plan().unwrap());
    let labels = files.labels().unwrap();
    let predictions = files.predictions().unwrap();
    let scores = [
        (
            regraft::data::SplitName::Validation,
            summary.validation.unwrap(),
        ),
        (regraft::data::SplitName::Test, summary.test.unwrap()),
    ];
    for (split, score) in scores {
        let held_out = || predictions.iter().filter(|p| p.split == split);
        assert_eq!(held_out().count(), score.images);
        let right = held_out().filter(|p| p.predicted == p.label);
        let accuracy = right.count() as f64 / score.images as f64;
        assert!((accuracy - score.accuracy).abs() < 1e-12);
    }
    let split = files.split().unwrap();
    for prediction in &predictions {
        let image = split.iter().find(|image| image.image == prediction.image);
        assert_eq!(image.unwrap().split, prediction.split);
        assert!(labels.contains(&prediction.predicted));
        assert!(prediction.probability >= prediction.label_probability);
    }
    assert_eq!(plan.plan.trained().len(), summary.trained);
    let epochs = files.metrics().unwrap();
    let epochs = epochs
        .iter()
        .filter(|metric| matches!(metric, regraft::Metric::Epoch(_)));
    assert_eq!(epochs.count(), summary.epochs);
    assert!(files.record().unwrap().resolved().is_ok() && files.recipe().is_ok());
    // Whatever the folder holds is a file that is declared.
    for entry in std::fs::read_dir(place.path("run")).unwrap() {
        let name = entry.unwrap().file_name();
        let declared = regraft::RunFile::ALL.iter().any(|file| name == file.name());
        assert!(declared || name == "run.lock", "{name:?}");
    }
    assert!(regraft::RunFiles::open(&place.path("data")).is_err());
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let place = Place::with_images();
    let more = ["--set", "train.epochs=2"];
    let schedule = ["--set", "train.schedule=constant"];
    for out in ["cut", "whole"] {
        let words = [&DEEP[..], &more, &schedule, &["--out", out]].concat();
        place.train(&words).assert().success();
    }
    stdout(&mut place.regraft(&["resume", "whole", "--epochs", "3"]));
    let newest = place.path("cut/checkpoints/epoch-0002.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let resumed = place
        .regraft(&["resume", "cut", "--epochs", "3"])
        .assert()
        .success();
    let said = String::from_utf8(resumed.get_output().stderr.clone()).unwrap();
    let told = |text: &str| text.contains("epoch-0002") && text.contains("of its section `");
    assert!(told(&said), "{said}");
    let summary = std::fs::read_to_string(place.path("cut/summary.json")).unwrap();
    assert!(told(&summary), "{summary}");
    assert!(place.bytes("cut/last.onnx") == place.bytes("whole/last.onnx"));
}

#[test]
fn averaged_weights_and_parts_of_a_batch_are_settings_of_a_run_that_resumes_exactly() {
    let place = Place::with_images();
    let settings = [
        "--set",
        "train.ema=0.9",
        "--set",
        "train.micro_batches=2",
        "--set",
        "train.schedule=constant",
    ];
    let words = |out, epochs| [&DEEP[..], &settings, &["--out", out, "--set", epochs]].concat();
    place
        .train(&words("whole", "train.epochs=3"))
        .assert()
        .success();
    place
        .train(&words("cut", "train.epochs=2"))
        .assert()
        .success();
    stdout(&mut place.regraft(&["resume", "cut", "--epochs", "3"]));
    assert!(place.bytes("cut/last.onnx") == place.bytes("whole/last.onnx"));
    place
        .train(
            &[
                &words("plain", "train.epochs=3")[..],
                &["--set", "train.ema=0"],
            ]
            .concat(),
        )
        .assert()
        .success();
    assert!(place.bytes("plain/last.onnx") != place.bytes("whole/last.onnx"));
}

#[test]
fn a_killed_run_resumes_to_the_bytes_of_the_uninterrupted_one() {
    let place = Place::with_images();
    let words = |out: &'static str| {
        [
            &DEEP[..],
            &[
                "--out",
                out,
                "--set",
                "train.epochs=6",
                "--set",
                "data.augment=light",
                "--set",
                "train.optimizer=adamw",
            ],
        ]
        .concat()
    };
    place.train(&words("whole")).assert().success();

    let mut child = Command::new(env!("CARGO_BIN_EXE_regraft"))
        .current_dir(place.path(""))
        .args(["train", "--model", &squeezenet(), "--data", "data"])
        .args(["--set", "data.preprocess.size=64"])
        .args(["--set", "data.preprocess.crop=squash"])
        .args(["--set", "train.batch_size=4"])
        .args(words("cut"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoints = place.path("cut/checkpoints");
    let give_up = Instant::now() + Duration::from_secs(120);
    let saved = || {
        std::fs::read_dir(&checkpoints).is_ok_and(|mut entries| {
            entries.any(|e| {
                e.unwrap()
                    .path()
                    .extension()
                    .is_some_and(|x| x == "safetensors")
            })
        })
    };
    while !saved() {
        assert!(Instant::now() < give_up, "no checkpoint appeared");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        !place.path("cut/last.onnx").exists(),
        "the run was killed before its end"
    );

    let resumed = json(&mut place.regraft(&["resume", "cut", "--json"]));
    assert_eq!(resumed["epochs"], 6);
    for file in ["last.onnx", "model.onnx"] {
        assert!(
            place.bytes(&format!("cut/{file}")) == place.bytes(&format!("whole/{file}")),
            "{file}"
        );
    }
    let epochs = |run: &str| {
        String::from_utf8(place.bytes(&format!("{run}/metrics.csv")))
            .unwrap()
            .lines()
            .map(|line| line.split(',').take(5).collect::<Vec<_>>().join(","))
            .collect::<Vec<_>>()
    };
    assert_eq!(epochs("cut"), epochs("whole"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on_and_exits_with_3() {
    let place = Place::with_images();
    let mut child = Command::new(env!("CARGO_BIN_EXE_regraft"))
        .current_dir(place.path(""))
        .args(["train", "--model", &squeezenet(), "--data", "data"])
        .args(["--set", "data.preprocess.size=64"])
        .args(["--set", "train.epochs=5000", "--out", "long"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let give_up = Instant::now() + Duration::from_secs(120);
    while !place.path("long/model.onnx").exists() {
        assert!(Instant::now() < give_up, "no epoch ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    // A second run in the same folder is refused while this one works there.
    fails(
        &mut place.regraft(&["resume", "long"]),
        1,
        &["another run is working in it"],
    );
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("regraft resume long"), "{said}");
}

#[test]
fn an_occupied_folder_is_refused_unless_it_may_be_replaced() {
    let place = Place::with_images();
    place.train(&["--out", "run"]).assert().success();
    fails(
        &mut place.train(&["--out", "run"]),
        1,
        &["run folder `run`", "--overwrite"],
    );
    let told = stdout(&mut place.train(&["--out", "run", "--overwrite"]));
    assert!(told.contains("run/model.onnx"), "{told}");
    // Without --out, every run has its own folder.
    place.train(&[]).assert().success();
    place.train(&[]).assert().success();
    assert!(place.path("runs/data-1/model.onnx").exists());
    assert!(place.path("runs/data-2/model.onnx").exists());
}

/// Says what rounding changed where the processor has bf16, and what it takes where it has not.
#[test]
fn a_trunk_in_bf16_says_what_it_costs() {
    let place = Place::with_images();
    let words = ["--out", "run", "--set", "train.trunk_precision=bf16"];
    let output = place.train(&words).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        assert!(said.contains("AVX-512 BF16"), "{said}");
        assert!(said.contains("f32"), "{said}");
        return;
    }
    let behind = said.split("features differ by ").nth(1);
    let percent = behind.and_then(|rest| rest.split(' ').next());
    let percent: f64 = percent.unwrap_or(&said).parse().unwrap();
    // bf16 has eight digits: rounding is there, and small.
    assert!(percent > 0.0 && percent < 3.0, "{percent}");
    assert!(said.contains("validation accuracy"), "{said}");
    assert!(said.contains("in f32"), "{said}");
}
