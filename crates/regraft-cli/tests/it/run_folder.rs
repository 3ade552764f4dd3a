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
