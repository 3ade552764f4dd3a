//! The ways in: what a person types first, and where it leads.

use crate::{Place, fails, json, models, squeezenet, stdout, text};

/// Words that keep a training short.
const SHORT: [&str; 4] = ["--size", "64", "--epochs", "1"];

/// The zoo's files go into this place's own folder.
fn train(place: &Place, words: &[&str]) -> crate::command::Command {
    let mut command = place.regraft(&["train"]);
    command.args(words).args(SHORT);
    command.env("REGRAFT_CACHE", place.path("cache"));
    command
}

#[test]
fn a_folder_of_images_is_enough() {
    let place = Place::with_images();
    let output = train(&place, &["data/", "--out", "run"]).output().unwrap();
    let (said, told) = (
        String::from_utf8(output.stderr).unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    );
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("embedded SqueezeNet 1.1") && said.contains("regraft models list"),
        "{said}"
    );
    // It ends with what comes next.
    for part in ["regraft predict run ", "regraft eval run"] {
        assert!(told.contains(part), "{told}");
    }
    // `--data` alone is the same.
    train(&place, &["--data", "data", "--out", "same"])
        .assert()
        .success();
    assert!(place.bytes("run/last.onnx") == place.bytes("same/last.onnx"));
}

#[test]
fn model_and_images_may_stand_without_flags() {
    let place = Place::with_images();
    std::fs::copy(squeezenet(), place.path("net.onnx")).unwrap();
    train(&place, &["net.onnx", "data", "--out", "a"])
        .assert()
        .success();
    train(&place, &["data", "--model", "net.onnx", "--out", "b"])
        .assert()
        .success();
    // A run is a model like any other.
    train(&place, &["a", "data", "--out", "c"])
        .assert()
        .success();
    // The embedded network has a name, needs no network, and is the file in the repository.
    train(&place, &["squeezenet1.1", "data", "--out", "d"])
        .assert()
        .success();
    assert!(place.bytes("a/last.onnx") == place.bytes("b/last.onnx"));
    assert!(place.bytes("a/last.onnx") == place.bytes("d/last.onnx"));
    fails(
        &mut train(&place, &["data", "data"]),
        2,
        &["`data` and `data`", "regraft train model.onnx photos/"],
    );
    fails(
        &mut train(&place, &["net.onnx"]),
        2,
        &["data.source", "--data"],
    );
}

#[test]
fn the_embedded_network_serves_every_verb_by_its_name() {
    let place = Place::with_images();
    let command = |words: &[&str]| {
        let mut command = place.regraft(words);
        command.env("REGRAFT_CACHE", place.path("cache"));
        command
    };
    let inspection = json(&mut command(&["inspect", "squeezenet1.1", "--json"]));
    assert_eq!(inspection["classes"], 1000);
    stdout(&mut command(&[
        "predict",
        "squeezenet1.1",
        "data/test/flag",
    ]));
    let path = stdout(&mut command(&[
        "models",
        "get",
        "squeezenet1.1",
        "--offline",
    ]));
    assert!(std::fs::read(path.trim()).unwrap() == std::fs::read(squeezenet()).unwrap());
}

#[test]
fn common_settings_have_flags() {
    let place = Place::with_images();
    let words = [
        "data",
        "--lr",
        "0.002",
        "--batch-size",
        "3",
        "--policy",
        "last-blocks=1",
        "--classes",
        "meal,flag",
        "--out",
        "run",
    ];
    train(&place, &words).assert().success();
    let recipe = String::from_utf8(place.bytes("run/recipe.toml")).unwrap();
    for line in [
        "lr = 0.002",
        "batch_size = 3",
        "policy = { last-blocks = 1 }",
        "classes = [\"meal\", \"flag\"]",
        "epochs = 1",
        "preprocess = { size = 64 }",
    ] {
        assert!(
            recipe.lines().any(|found| found == line),
            "`{line}` is not in {recipe}"
        );
    }
    for policy in ["from=features.11", "full"] {
        train(&place, &["data", "--policy", policy, "--out", policy])
            .assert()
            .success();
    }
}

#[test]
fn a_mistyped_policy_is_told_in_the_words_that_were_typed() {
    let place = Place::with_images();
    fails(
        &mut train(&place, &["data", "--policy", "last-block"]),
        2,
        &["error: --policy last-block:", "{ last-blocks = 2 }"],
    );
}

#[test]
fn a_recipes_paths_are_relative_to_its_file() {
    let place = Place::with_images();
    std::fs::create_dir(place.path("recipes")).unwrap();
    std::fs::copy(squeezenet(), place.path("recipes/net.onnx")).unwrap();
    let recipe = "[model]\nsource = \"net.onnx\"\n[data]\nsource = \"../data\"\n";
    std::fs::write(place.path("recipes/mine.toml"), recipe).unwrap();
    train(&place, &["recipes/mine.toml", "--out", "a"])
        .assert()
        .success();
    // What is typed is relative to where it is typed.
    train(
        &place,
        &["recipes/mine.toml", "--data", "data", "--out", "b"],
    )
    .assert()
    .success();
    assert!(place.bytes("a/last.onnx") == place.bytes("b/last.onnx"));
}

#[test]
fn a_recipe_can_be_begun_and_its_keys_be_listed() {
    let place = Place::with_images();
    let said = stdout(&mut place.regraft(&["recipe", "init"]));
    assert!(said.contains("recipe.toml"), "{said}");
    fails(
        &mut place.regraft(&["recipe", "init"]),
        2,
        &["`recipe.toml` is there already"],
    );
    let text = String::from_utf8(place.bytes("recipe.toml")).unwrap();
    let keys = json(&mut place.regraft(&["recipe", "keys", "--json"]));
    let keys = keys.as_array().unwrap();
    assert!(keys.len() > 30);
    for key in keys {
        for part in ["key", "takes", "default", "about"] {
            assert!(!key[part].as_str().unwrap().is_empty(), "{key}");
        }
    }
    for key in ["train.epochs", "freeze.policy", "data.preprocess.size"] {
        assert!(keys.iter().any(|found| found["key"] == key), "{key}");
        let name = key.rsplit('.').next().unwrap();
        assert!(text.contains(name), "{text}");
    }
    train(
        &place,
        &["recipe.toml", "--model", &squeezenet(), "--data", "data"],
    )
    .assert()
    .success();
}

#[test]
fn inspect_lists_the_names_that_freeze_rules_match() {
    let place = Place::new();
    let inspection = json(&mut place.regraft(&["inspect", &squeezenet(), "--json"]));
    assert!(inspection["head"].is_string(), "{}", inspection["head"]);
    let list = inspection["parameter_list"].as_array().unwrap();
    let first = &list[0];
    assert_eq!(first["name"], "features.0.weight");
    assert_eq!(first["kind"], "weight");
    assert_eq!(first["shape"], serde_json::json!([64, 3, 3, 3]));
    assert_eq!(first["block"], "features.0");
    let values: u64 = list
        .iter()
        .map(|p| {
            let shape = p["shape"].as_array().unwrap();
            shape.iter().map(|n| n.as_u64().unwrap()).product::<u64>()
        })
        .sum();
    assert_eq!(inspection["parameters"], values);
    let said = stdout(&mut place.regraft(&["inspect", &squeezenet(), "--parameters"]));
    assert!(said.contains("features.0.weight"), "{said}");
    // Every one of them is a rule that works.
    for name in [
        list[0]["name"].as_str().unwrap(),
        list[9]["name"].as_str().unwrap(),
    ] {
        let place = Place::with_images();
        let rules = format!("freeze.policy={{ rules = [{{ train = \"{name}\" }}] }}");
        let words = [
            "plan",
            "--model",
            &squeezenet(),
            "--data",
            "data",
            "--set",
            &rules,
        ];
        stdout(&mut place.regraft(&words));
    }
}

#[test]
fn a_run_is_evaluated_on_what_it_held_out_and_says_what_it_has_seen() {
    let place = Place::with_images();
    train(&place, &["data/train", "--out", "run"])
        .assert()
        .success();
    let held_out = json(&mut place.regraft(&["eval", "run", "--json"]));
    let summary: serde_json::Value =
        serde_json::from_slice(&place.bytes("run/summary.json")).unwrap();
    assert_eq!(held_out["images"], 4);
    assert_eq!(held_out["accuracy"], summary["validation"]["accuracy"]);
    assert_eq!(held_out["warnings"], serde_json::json!([]));
    assert!(held_out["data"].as_str().unwrap().contains("validation"));

    let seen = json(&mut place.regraft(&["eval", "run", "--data", "data/train", "--json"]));
    let warning = seen["warnings"][0].as_str().unwrap();
    assert!(warning.contains("trained on 16 of these 20"), "{warning}");
    let new = json(&mut place.regraft(&["eval", "run", "--data", "data/test", "--json"]));
    assert_eq!(new["warnings"], serde_json::json!([]));

    // With a test split, that is what counts.
    train(&place, &["data", "--out", "tested"])
        .assert()
        .success();
    let tested = json(&mut place.regraft(&["eval", "tested", "--json"]));
    assert_eq!(tested["images"], 8);
    fails(
        &mut place.regraft(&["eval", &squeezenet()]),
        1,
        &["no run folder", "--data"],
    );
}

#[test]
fn warnings_are_in_the_json_too() {
    let place = Place::with_images();
    std::fs::write(place.path("data/train/flag/notes.txt"), b"mine").unwrap();
    let words = ["--model", &squeezenet(), "--data", "data"];
    let mut plan = place.regraft(&["plan", "--json"]);
    let plan = json(plan.args(words));
    let mut run = place.regraft(&["train", "--json", "--out", "run"]);
    let run = json(run.args(words).args(SHORT));
    for result in [plan, run] {
        let warnings = result["warnings"].to_string();
        assert!(warnings.contains("no image files"), "{warnings}");
    }
}

#[test]
fn every_error_of_a_recipe_exits_with_2_and_is_short() {
    let place = Place::with_images();
    let long = "x".repeat(11_000);
    let all_long = format!("train.lr={long}");
    for setting in [
        "train.lr=fast",
        "train.epochs=-1",
        "train.mixup=-0.2",
        "train.swa=1",
        "train.class_weights=equal",
        "train.class_weights={ nobody = 2 }",
        "train.sampling={ flag = 2 }",
        "data.augment=strong",
        "data.augment=3",
        "data.sampler=balanced",
        "data.classes=[\"cat\", \"dog\"]",
        "data.source=nowhere",
        "data.preprocess.channels=grey",
        "data.preprocess={ size = 64, resize = 32 }",
        "data.preprocess.mean=[0.5]",
        "freeze.policy=lottery",
        "freeze.policy=last-block",
        "freeze.policy={ last-block = 2 }",
        "freeze.policy={ last-blocks = 99 }",
        "freeze.policy={ rules = [{ train = \"layer9.**\" }] }",
        "freeze.policy=3",
        "freeze.batch_norm=off",
        "model.head={ at = \"nowhere\" }",
        "model.head=3",
        "device.name=tpu",
        "train.schedule=stairs",
        "train.schedule={ name = \"step\", first = 2 }",
        "train.feature_cache=tape",
        "train.early_stopping=3",
        all_long.as_str(),
    ] {
        let output = place.train(&["--set", setting]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let brief: String = setting.chars().take(60).collect();
        assert_eq!(output.status.code(), Some(2), "{brief}: {said}");
        assert!(said.chars().count() < 600, "{brief}: {said}");
        for leak in ["struct ", "enum ", "variant", "untagged", "internal error"] {
            assert!(!said.contains(leak), "{brief}: {said}");
        }
    }
}

#[test]
fn a_cause_is_told_once() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.npy")).unwrap();
    for words in [
        &["run", &squeezenet(), "--input", "nowhere.npy"][..],
        &["train", "nowhere.toml"],
        &["predict", &squeezenet(), "nowhere.png"],
        &["models", "add", "nowhere.toml"],
    ] {
        let output = place.regraft(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.matches("No such file").count() <= 1, "{said}");
        assert!(said.matches("nowhere").count() <= 2, "{said}");
    }
}

/// A thousand classes are not listed in full.
#[test]
fn a_message_does_not_grow_with_the_model() {
    let place = Place::new();
    let data = text(&models().join("emoji/test"));
    let output = place
        .regraft(&["eval", &squeezenet(), "--data", &data])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("class `animal`") && said.contains("more"),
        "{said}"
    );
    assert!(said.chars().count() < 800, "{said}");
}
