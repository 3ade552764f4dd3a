//! Every other verb, with what a program reads from it.

use crate::{Place, fails, json, models, squeezenet, stdout, text};

#[test]
fn inspect_shows_blocks_and_head() {
    let place = Place::new();
    let model = json(&mut place.regraft(&["inspect", &squeezenet(), "--json"]));
    assert_eq!(model["classes"], 1000);
    assert_eq!(model["features"], 512);
    assert_eq!(model["parameters"], 1_235_496);
    let names: Vec<&str> = model["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.last(), Some(&"classifier.1"));
    let said = stdout(&mut place.regraft(&["inspect", &squeezenet()]));
    assert!(said.contains("classifier.1 (head)"), "{said}");
}

#[test]
fn a_network_of_strips_is_trained_asked_and_described_as_such() {
    let place = Place::with_images();
    let words = [
        "train",
        &squeezenet(),
        "data",
        "--size",
        "48x96",
        "--out",
        "run",
    ];
    stdout(&mut place.regraft(&words));
    let described = json(&mut place.regraft(&["inspect", "run", "--json"]));
    assert_eq!(described["image"], serde_json::json!([3, 48, 96]));
    let recipe = std::fs::read_to_string(place.path("run/recipe.toml")).unwrap();
    assert!(recipe.contains("size = [48, 96]"), "{recipe}");
    let image = text(&models().join("emoji/test/flag"));
    let told = json(&mut place.regraft(&["predict", "run", &image, "--json"]));
    assert!(!told.as_array().unwrap().is_empty());
    stdout(&mut place.regraft(&["eval", "run"]));
}

#[test]
fn plan_shows_what_would_train_and_what_it_would_cost() {
    let place = Place::with_images();
    let words = ["plan", "--model", &squeezenet(), "--data", "data"];
    let said = stdout(place.regraft(&words).args([
        "--set",
        "freeze.policy={ last-blocks = 1, layer-decay = 0.5 }",
    ]));
    for part in ["features.12", "x0.5", "cut", "memory about", "time about"] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    let plan = json(place.regraft(&words).arg("--json"));
    assert_eq!(plan["plan"]["policy"], "feature-extractor");
    assert!(plan["time"]["seconds"].as_f64().unwrap() > 0.0);
    assert!(!place.path("runs").exists(), "a plan trains nothing");
}

#[test]
fn find_lr_prints_a_curve_and_two_rates_and_writes_nothing_but_the_picture() {
    let place = Place::with_images();
    let mut words = vec!["find-lr", "data", "--size", "64", "--batch-size", "4"];
    words.extend(["--policy", "full", "--steps", "30"]);
    let said = stdout(&mut place.regraft(&words));
    for part in [
        "learning rate",
        "most steeply",
        "a tenth",
        "the recipe has 1.0e-3",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    let found = json(place.regraft(&words).args(["--json", "--svg", "rates.svg"]));
    let points = found["points"].as_array().unwrap();
    assert!(points.len() > 10 && points.len() <= 30);
    assert_eq!(points[0]["lr"], 1e-7);
    let steepest = found["steepest"].as_f64().unwrap();
    assert!(steepest > 1e-7 && steepest < 10.0);
    let picture = std::fs::read_to_string(place.path("rates.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("steepest"));
    assert!(!place.path("runs").exists());

    fails(
        place.regraft(&words).args(["--lr", "0.1"]),
        2,
        &["--lr is what find-lr looks for"],
    );
    fails(
        &mut place.regraft(&["find-lr", "data", "--policy", "auto"]),
        2,
        &["chooses learning rates itself"],
    );
}

#[test]
fn a_trained_run_serves() {
    let place = Place::with_images();
    let summary = json(&mut place.train(&["--out", "run", "--json"]));
    assert_eq!(summary["epochs"], 2);
    assert_eq!(summary["test"]["images"], 8);

    let report = json(&mut place.regraft(&["eval", "run", "--data", "data", "--json"]));
    assert_eq!(report["accuracy"], summary["test"]["accuracy"]);
    assert_eq!(report["classes"][0]["label"], "flag");
    let confusion: u64 = report["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|cell| cell.as_u64().unwrap())
        .sum();
    assert_eq!(confusion, 8);

    let top = json(&mut place.regraft(&[
        "predict",
        "run/model.onnx",
        "data/test/flag",
        "data/test/meal/*.png",
        "--json",
        "-k",
        "2",
    ]));
    let top = top.as_array().unwrap();
    assert_eq!(top.len(), 8);
    for image in top {
        let shares: f64 = image["top"]
            .as_array()
            .unwrap()
            .iter()
            .map(|label| label["probability"].as_f64().unwrap())
            .sum();
        assert!((shares - 1.0).abs() < 1e-5);
    }
    let said = stdout(&mut place.regraft(&["eval", "run", "--data", "data"]));
    assert!(
        said.contains("precision") && said.contains("confusion"),
        "{said}"
    );
    // A run is a model like any other: reuse it.
    let again = ["train", "--model", "run", "--data", "data", "--out", "next"];
    place
        .regraft(&again)
        .args(["--set", "train.epochs=1", "--set", "model.head=keep"])
        .assert()
        .success();
}

#[test]
fn every_shape_of_head_trains() {
    let place = Place::with_images();
    for (out, head) in [
        (
            "mlp",
            "model.head={ kind = \"mlp\", hidden = 8, dropout = 0.5 }",
        ),
        ("at", "model.head={ at = \"Concat_61\" }"),
        ("dropout", "model.dropout=0.3"),
    ] {
        place
            .train(&["--out", out, "--set", head])
            .assert()
            .success();
        json(&mut place.regraft(&["eval", out, "--data", "data", "--json"]));
    }
}

#[test]
fn a_tensor_runs_through_the_network_and_comes_back_as_npy() {
    let place = Place::new();
    let values: Vec<f32> = (0..2 * 3 * 64 * 64)
        .map(|i| (i % 17) as f32 / 17.0)
        .collect();
    std::fs::write(place.path("x.npy"), npy("(2, 3, 64, 64)", &values)).unwrap();
    let words = ["run", &squeezenet(), "--input", "x.npy"];
    let run = json(
        place
            .regraft(&words)
            .args(["--output", "y.npy", "--repeat", "2", "--json"]),
    );
    assert_eq!(run["shape"], serde_json::json!([2, 1000]));
    assert_eq!(run["seconds"].as_array().unwrap().len(), 2);
    // Headers and values as NumPy writes them: 64 bytes and more, then the numbers.
    let written = place.bytes("y.npy");
    assert!(written.starts_with(b"\x93NUMPY\x01\x00"));
    let header = 10 + usize::from(u16::from_le_bytes([written[8], written[9]]));
    assert_eq!(header % 64, 0);
    let text = std::str::from_utf8(&written[10..header]).unwrap();
    assert!(text.contains("'shape': (2,1000,)"), "{text}");
    let values = written[header..].as_chunks::<4>().0;
    assert_eq!(values.len(), 2000);
    assert!(values.iter().all(|b| f32::from_le_bytes(*b).is_finite()));
    // The same on every other backend in this build.
    let devices = json(&mut place.regraft(&["devices", "--json"]));
    for backend in devices.as_array().unwrap() {
        let name = backend["backend"].as_str().unwrap();
        if backend["devices"].as_array().unwrap().is_empty() {
            continue;
        }
        place
            .regraft(&words)
            .args(["--output", "z.npy", "--device", name])
            .assert()
            .success();
        let other = place.bytes("z.npy");
        let pairs = other[header..].as_chunks::<4>().0.iter().zip(values);
        let pairs: Vec<(f32, f32)> = pairs
            .map(|(a, b)| (f32::from_le_bytes(*a), f32::from_le_bytes(*b)))
            .collect();
        let largest = pairs.iter().fold(0f32, |m, (_, v)| m.max(v.abs()));
        assert!(
            pairs.iter().all(|(a, b)| (a - b).abs() <= 1e-4 * largest),
            "{name}"
        );
    }
}

/// An array of 32-bit floats as `numpy.save` writes it.
fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(118u16.to_le_bytes());
    bytes.extend(format!("{header:<117}\n").as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[test]
fn devices_tells_what_is_built_and_how_to_get_the_rest() {
    let place = Place::new();
    let said = stdout(&mut place.regraft(&["devices"]));
    for part in ["flex", "ndarray", "cuda"] {
        assert!(said.contains(part), "{said}");
    }
    let list = json(&mut place.regraft(&["devices", "--json"]));
    assert_eq!(list[0]["backend"], "flex");
    assert_eq!(list[0]["built"], true);
    #[cfg(not(feature = "cuda"))]
    fails(
        &mut place.regraft(&["run", &squeezenet(), "--input", "x.npy", "--device", "cuda"]),
        2,
        &["rebuild with `--features cuda`"],
    );
}

#[test]
fn predict_names_what_imagenet_knows() {
    let place = Place::new();
    let image = models().join("emoji/test/animal");
    let top = json(&mut place.regraft(&["predict", &squeezenet(), &text(&image), "--json"]));
    assert!(!top[0]["top"][0]["label"].as_str().unwrap().is_empty());
}

#[test]
fn help_says_what_regraft_is_and_shows_examples_of_every_verb() {
    let place = Place::new();
    let help = stdout(&mut place.regraft(&["--help"]));
    for words in [
        "already trained",
        "Examples:",
        "regraft train photos/",
        "Exit codes",
    ] {
        assert!(help.contains(words), "{help}");
    }
    for verb in [
        "quickstart",
        "inspect",
        "plan",
        "train",
        "find-lr",
        "resume",
        "eval",
        "predict",
        "run",
        "devices",
        "new",
        "models",
        "recipe",
    ] {
        let help = stdout(&mut place.regraft(&[verb, "--help"]));
        assert!(help.contains(&format!("regraft {verb}")), "{help}");
        assert!(help.contains("Examples:"), "{help}");
    }
}

#[test]
fn inspect_lists_what_was_fused_and_why_something_was_not() {
    let place = Place::new();
    stdout(&mut place.regraft(&["new", "resnet18", "--size", "32", "--width", "0.25"]));
    let passes = stdout(&mut place.regraft(&["inspect", "resnet18.onnx", "--passes"]));
    for words in [
        "fold-batch-norm      `/bn1/BatchNormalization` is computed with `/conv1/Conv`",
        "residual-sum",
        "norm-in-reader",
        "stays by itself: ",
    ] {
        assert!(passes.contains(words), "{passes}");
    }
    let report = json(&mut place.regraft(&["inspect", "resnet18.onnx", "--passes", "--json"]));
    let folded = report["passes"]["inference"].as_array().unwrap();
    let folded = folded
        .iter()
        .filter(|note| note["pass"] == "fold-batch-norm" && note["into"].is_string());
    assert_eq!(folded.count(), 20, "every batch norm of a ResNet-18");
}
