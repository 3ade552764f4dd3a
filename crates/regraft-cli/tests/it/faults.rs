//! What once went wrong in training: resuming, empty validation, numbers that are not finite, folders that were cleared.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Place, fails, json, models, squeezenet, stdout, text};

/// Trains two blocks on images that change from epoch to epoch, so that an epoch takes a while.
const SLOW: [&str; 6] = [
    "--policy",
    "last-blocks=2",
    "--lr",
    "0.001",
    "--set",
    "data.augment=light",
];

impl Place {
    /// A training in the background, told nothing and telling nobody.
    fn start(&self, words: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regraft"));
        command.current_dir(self.path(""));
        command.args(["train", "--model", &squeezenet(), "--data", "data"]);
        command.args(["--size", "64", "--batch-size", "4"]);
        command.args(["--set", "data.preprocess.crop=squash"]);
        command.args(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Waits until a file of that ending is in the folder.
    fn wait_for(&self, folder: &str, ending: &str) {
        let folder = self.path(folder);
        let give_up = Instant::now() + Duration::from_secs(120);
        loop {
            let found = std::fs::read_dir(&folder).is_ok_and(|mut entries| {
                entries.any(|e| e.is_ok_and(|e| text(&e.path()).ends_with(ending)))
            });
            if found {
                return;
            }
            assert!(
                Instant::now() < give_up,
                "no {ending} in {}",
                folder.display()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// Every file of a folder with its bytes, the lock apart.
    fn contents(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("run.lock") {
                    found.push((text(&path), std::fs::read(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([name, &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_run_without_validation_resumes_to_the_same_bytes() {
    let place = Place::with_images();
    let words = |out| {
        let rest = ["--out", out, "--epochs", "6", "--set", "data.validation=0"];
        [&SLOW[..], &rest].concat()
    };
    assert!(place.start(&words("whole")).wait().unwrap().success());
    let mut child = place.start(&words("cut"));
    place.wait_for("cut/checkpoints", ".safetensors");
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = json(&mut place.regraft(&["resume", "cut", "--json"]));
    assert_eq!(resumed["epochs"], 6);
    assert_eq!(resumed["best_epoch"], 6);
    for file in ["last.onnx", "model.onnx"] {
        let [cut, whole] = ["cut", "whole"].map(|run| place.bytes(&format!("{run}/{file}")));
        assert!(cut == whole, "{file}");
    }
}

#[test]
fn a_quickstart_that_was_cut_off_resumes() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_regraft"))
        .current_dir(place.path(""))
        .args(["quickstart", "-q"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    place.wait_for("runs/emoji-1", "plan.json");
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = json(&mut place.regraft(&["resume", "runs/emoji-1", "--json"]));
    assert_eq!(resumed["head"]["images"], 296);
    assert!(place.path("runs/emoji-1/model.onnx").exists());
}

/// With checkpoints far apart, Ctrl-C in the middle of an epoch loses no step.
#[cfg(unix)]
#[test]
fn an_interrupted_run_loses_nothing_however_rare_its_checkpoints() {
    let place = Place::with_images();
    for (number, signal_name) in ["-INT", "-TERM"].into_iter().enumerate() {
        let words = |out| {
            let rest = [
                "--out",
                out,
                "--epochs",
                "60",
                "--set",
                "train.checkpoint_every=1000",
            ];
            [&SLOW[..], &rest].concat()
        };
        let (whole, cut) = (format!("whole{number}"), format!("cut{number}"));
        assert!(place.start(&words(&whole)).wait().unwrap().success());
        let mut child = place.start(&words(&cut));
        place.wait_for(&cut, "model.onnx");
        signal(&child, signal_name);
        assert_eq!(child.wait().unwrap().code(), Some(3));
        place.wait_for(&format!("{cut}/checkpoints"), ".safetensors");
        let resumed = json(&mut place.regraft(&["resume", &cut, "--json"]));
        assert_eq!(resumed["epochs"], 60);
        for file in ["last.onnx", "model.onnx"] {
            let [cut, whole] = [&cut, &whole].map(|run| place.bytes(&format!("{run}/{file}")));
            assert!(cut == whole, "{file}");
        }
        // Times apart, the metrics are those of the uninterrupted run too.
        let [cut, whole] = [&cut, &whole].map(|run| {
            let lines = place.read(&format!("{run}/metrics.csv"));
            let line = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
            lines.lines().map(line).collect::<Vec<_>>()
        });
        assert_eq!(cut, whole);
    }
}

#[cfg(unix)]
#[test]
fn a_terminal_that_closes_does_not_stop_training() {
    let place = Place::with_images();
    let words = [&SLOW[..], &["--out", "run", "--epochs", "5"]].concat();
    let mut child = place.start(&words);
    place.wait_for("run", "model.onnx");
    signal(&child, "-HUP");
    assert!(child.wait().unwrap().success());
    assert!(place.path("run/last.onnx").exists());
}

/// Standard error whose reader is gone, and one on a full device.
#[cfg(unix)]
#[test]
fn nobody_listening_does_not_stop_training() {
    let place = Place::with_images();
    let train = |out: &str, stderr: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regraft"));
        command.current_dir(place.path(""));
        command.args(["train", "--model", &squeezenet(), "--data", "data", "-v"]);
        command.args(["--size", "64", "--epochs", "2", "--out", out]);
        command.stdout(Stdio::null()).stderr(stderr);
        command.spawn().unwrap()
    };
    let mut child = train("pipe", Stdio::piped());
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    let full = std::fs::File::options().write(true).open("/dev/full");
    if let Ok(full) = full {
        assert!(train("full", full.into()).wait().unwrap().success());
    }
    assert!(place.path("pipe/last.onnx").exists());
}

#[test]
fn a_validation_without_images_is_none() {
    let place = Place::with_images();
    // One image a class: nothing can be held out.
    let output = place
        .train(&["--out", "one", "--set", "data.per_class=1", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said.contains("there is no validation"), "{said}");
    assert_eq!(
        summary["best_epoch"], summary["epochs"],
        "the last epoch is kept"
    );
    assert_eq!(summary["validation"], serde_json::Value::Null);
    let warnings = summary["warnings"].to_string();
    assert!(warnings.contains("there is no validation"), "{warnings}");
    let [model, last] = ["one/model.onnx", "one/last.onnx"].map(|file| place.bytes(file));
    assert!(model == last);

    // Validation images that cannot be decoded, and are to be skipped.
    for class in ["flag", "meal"] {
        place.write(&format!("data/val/{class}/broken.png"), b"no image");
    }
    let skip = ["--set", "data.on_bad_image=skip"];
    let summary = json(&mut place.train(&[&["--out", "skipped", "--json"][..], &skip].concat()));
    assert_eq!(summary["best_epoch"], summary["epochs"]);
    assert_eq!(summary["validation"], serde_json::Value::Null);
    let warnings = summary["warnings"].to_string();
    assert!(
        warnings.contains("none of the validation images"),
        "{warnings}"
    );
}

#[test]
fn early_stopping_without_validation_is_refused() {
    let place = Place::with_images();
    let stopping = "train.early_stopping={ patience = 1 }";
    for words in [
        ["--set", "data.validation=0"],
        ["--set", "data.per_class=1"],
    ] {
        fails(
            place.train(&words).args(["--set", stopping]),
            2,
            &["train.early_stopping", "validation"],
        );
    }
}

#[test]
fn numbers_that_are_not_finite_never_reach_a_file() {
    let place = Place::with_images();
    // One step an epoch: its loss is finite, and what it makes of the weights is not.
    let words = [
        "--out",
        "run",
        "--policy",
        "full",
        "--batch-size",
        "64",
        "--epochs",
        "3",
        "--set",
        "train.schedule=constant",
        "--set",
        "train.optimizer={ name = \"sgd\", momentum = 0.0 }",
        "--lr",
        "1e38",
    ];
    for validation in ["data.validation=0.2", "data.validation=0"] {
        let out = format!("run-{}", &validation[16..]);
        let mut words = words;
        words[1] = &out;
        let mut command = place.regraft(&["train", "--model", &squeezenet(), "--data", "data"]);
        command.args(["--size", "64", "--set", validation]);
        fails(
            command.args(words),
            1,
            &["became", "epoch 1", "no checkpoint was written yet"],
        );
        assert!(!place.path(&out).join("model.onnx").exists());
        assert!(!place.path(&out).join("checkpoints").exists());
    }
}

#[test]
fn a_model_of_damaged_weights_predicts_nothing() {
    use regraft::onnx::{Graph, ImportOptions, Model, write};
    let place = Place::with_images();
    let model = Model::open(Path::new(&squeezenet())).unwrap();
    let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
    let parameter = &graph.parameters[0];
    let values = vec![f32::NAN; parameter.data.len()];
    let damaged = [(parameter.name.clone(), values)].into_iter().collect();
    let damaged = write::with_weights(&model, &graph, &damaged).unwrap();
    place.write("damaged.onnx", &damaged.to_bytes().unwrap());
    fails(
        &mut place.regraft(&["predict", "damaged.onnx", "data/test/flag"]),
        1,
        &["damaged.onnx", "no finite number"],
    );
}

/// A model whose classes are in another order than folders are.
#[test]
fn a_kept_head_is_matched_by_name() {
    let place = Place::with_images();
    let first = ["--out", "first", "--classes", "meal,flag", "--epochs", "20"];
    place.train(&first).assert().success();
    assert_eq!(place.read("first/labels.txt"), "meal\nflag\n");
    let accuracy = |run: &str| {
        json(&mut place.regraft(&["eval", run, "--data", "data", "--json"]))["accuracy"]
            .as_f64()
            .unwrap()
    };
    assert!(accuracy("first") > 0.8);
    let words = ["train", "--model", "first", "--data", "data"];
    let kept = ["--set", "model.head=keep", "--lr", "1e-9", "--epochs", "1"];
    place
        .regraft(&words)
        .args(kept)
        .args(["--out", "kept"])
        .assert()
        .success();
    assert_eq!(place.read("kept/labels.txt"), "meal\nflag\n");
    assert_eq!(accuracy("kept"), accuracy("first"));

    std::fs::rename(
        place.path("data/train/flag"),
        place.path("data/train/flags"),
    )
    .unwrap();
    std::fs::rename(place.path("data/test/flag"), place.path("data/test/flags")).unwrap();
    fails(
        place.regraft(&words).args(kept),
        2,
        &["model.head", "(meal, flag)", "flags"],
    );
}

#[test]
fn only_a_run_is_overwritten_and_only_by_a_run_with_a_model() {
    let place = Place::with_images();
    place.write("photos/holiday.txt", b"mine");
    fails(
        &mut place.train(&["--out", "photos", "--overwrite"]),
        1,
        &["photos", "no run"],
    );
    // A folder that looks like a run to whoever only glances at it.
    place.write("mine/model.onnx", &std::fs::read(squeezenet()).unwrap());
    place.write("mine/recipe.toml", b"# mine");
    fails(
        &mut place.train(&["--out", "mine", "--overwrite"]),
        1,
        &["mine", "no run"],
    );
    assert_eq!(place.read("mine/recipe.toml"), "# mine");

    place.train(&["--out", "run"]).assert().success();
    place.write("run/notes.txt", b"mine");
    let before = place.contents("run");
    // The model to start from lies in it.
    let own = ["train", "--model", "run", "--data", "data", "--out", "run"];
    fails(
        place.regraft(&own).arg("--overwrite"),
        1,
        &["lies in the run that would be replaced"],
    );
    // A run overwritten by its own recipe, which diverges before it has a model.
    let diverging = [
        "train",
        "run/recipe.toml",
        "--out",
        "run",
        "--overwrite",
        "--lr",
        "1e38",
        "--policy",
        "full",
        "--set",
        "train.schedule=constant",
    ];
    fails(&mut place.regraft(&diverging), 1, &["became"]);
    assert!(
        place.contents("run") == before,
        "the earlier run is as it was"
    );
    // One that has a model takes its place, and leaves alone what is not its own.
    place
        .regraft(&["train", "run/recipe.toml", "--out", "run", "--overwrite"])
        .args(["--epochs", "1"])
        .assert()
        .success();
    assert_eq!(place.read("run/notes.txt"), "mine");
    assert!(!place.path("run/replaced").exists());
    let summary: serde_json::Value = serde_json::from_str(&place.read("run/summary.json")).unwrap();
    assert_eq!(summary["epochs"], 1);
}

/// A run that is killed while it replaces another, before it has a model, leaves the other where it can be found.
#[test]
fn a_replacement_that_is_killed_loses_nothing() {
    let place = Place::with_images();
    place.train(&["--out", "run"]).assert().success();
    let model = place.bytes("run/model.onnx");
    let words = [
        &SLOW[..],
        &["--out", "run", "--overwrite", "--epochs", "5000"],
    ]
    .concat();
    let mut child = place.start(&words);
    place.wait_for("run", "replaced");
    child.kill().unwrap();
    child.wait().unwrap();
    if place.path("run/model.onnx").exists() {
        return; // It was quick enough to have one.
    }
    assert!(place.bytes("run/replaced/model.onnx") == model);
    fails(
        &mut place.regraft(&["predict", "run", "data/test/flag"]),
        1,
        &["run/replaced/model.onnx"],
    );
    place
        .train(&["--out", "run", "--overwrite"])
        .assert()
        .success();
    assert!(place.path("run/model.onnx").exists());
    assert!(!place.path("run/replaced").exists());
}

#[test]
fn what_changed_since_a_run_began_is_named_and_refused() {
    let place = Place::with_images();
    place
        .train(&["--out", "run", "--epochs", "2"])
        .assert()
        .success();
    let more = ["resume", "run", "--epochs", "4"];
    let split = place.read("run/split.csv");
    assert_eq!(split.lines().count(), 1 + 28, "{split}");
    assert!(
        split.starts_with("image,class,split,sha256\ntrain/flag/"),
        "{split}"
    );

    // A new image.
    let some = std::fs::read_dir(models().join("emoji/train/vehicle")).unwrap();
    let image = some.map(|e| e.unwrap().path()).next().unwrap();
    place.write("data/train/flag/new.png", &std::fs::read(&image).unwrap());
    fails(
        &mut place.regraft(&more),
        1,
        &["1 image added", "train/flag/new.png", "--accept-changes"],
    );
    std::fs::remove_file(place.path("data/train/flag/new.png")).unwrap();

    // Other bytes under the same name; then an image that is gone.
    let flags = std::fs::read_dir(place.path("data/train/flag")).unwrap();
    let victim = flags.map(|e| e.unwrap().path()).next().unwrap();
    let bytes = std::fs::read(&victim).unwrap();
    std::fs::write(&victim, std::fs::read(&image).unwrap()).unwrap();
    let name = text(Path::new(victim.file_name().unwrap()));
    fails(&mut place.regraft(&more), 1, &["1 image changed", &name]);
    std::fs::remove_file(&victim).unwrap();
    fails(&mut place.regraft(&more), 1, &["1 image removed", &name]);

    // Accepted, every image that is known stays where it was.
    let resumed = json(place.regraft(&more).args(["--accept-changes", "--json"]));
    assert_eq!(resumed["epochs"], 4);
    let warnings = resumed["warnings"].to_string();
    assert!(warnings.contains("1 image removed"), "{warnings}");
    let now = place.read("run/split.csv");
    assert_eq!(now.lines().count(), 28);
    assert!(now.lines().all(|line| split.contains(line)), "{now}");
    std::fs::write(&victim, bytes).unwrap();

    // Classes that the head does not know are never accepted.
    std::fs::rename(
        place.path("data/train/flag"),
        place.path("data/train/zebra"),
    )
    .unwrap();
    std::fs::rename(place.path("data/test/flag"), place.path("data/test/zebra")).unwrap();
    fails(
        place
            .regraft(&["resume", "run", "--epochs", "6"])
            .arg("--accept-changes"),
        1,
        &["its classes were flag, meal", "meal, zebra"],
    );
}

#[test]
fn settings_that_decided_what_is_trained_do_not_change() {
    let place = Place::with_images();
    place.write("net.onnx", &std::fs::read(squeezenet()).unwrap());
    let mut train = place.regraft(&["train", "--model", "net.onnx", "--data", "data"]);
    train.args(["--size", "64", "--epochs", "2", "--out", "run"]);
    train.assert().success();
    let resume = ["resume", "run", "--set"];
    fails(
        place.regraft(&resume).arg("train.lr=0.5"),
        1,
        &["`train.lr`", "cannot change", "train.epochs"],
    );
    fails(
        place.regraft(&resume).arg("train.lrr=0.5"),
        2,
        &["train.lrr"],
    );
    // An edit of recipe.toml is named; of what may change it can be accepted.
    let recipe = place.read("run/recipe.toml");
    let edited = recipe.replace("epochs = 2", "epochs = 3");
    assert!(edited != recipe, "{recipe}");
    place.write("run/recipe.toml", edited.as_bytes());
    fails(
        &mut place.regraft(&["resume", "run"]),
        1,
        &["recipe.toml was edited", "`train.epochs` 2 → 3"],
    );
    let resumed = json(&mut place.regraft(&["resume", "run", "--accept-changes", "--json"]));
    assert_eq!(resumed["epochs"], 3);
    // Another model under the same name.
    let mut bytes = place.bytes("net.onnx");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    place.write("net.onnx", &bytes);
    fails(
        &mut place.regraft(&["resume", "run", "--epochs", "4"]),
        1,
        &["net.onnx", "another than the one it began with"],
    );
}

#[test]
fn a_finished_run_says_so_and_changes_nothing_until_it_is_given_more() {
    let place = Place::with_images();
    place
        .train(&["--out", "run", "--epochs", "2"])
        .assert()
        .success();
    let before = place.contents("run");
    let said = stdout(&mut place.regraft(&["resume", "run"]));
    assert!(
        said.contains("finished") && said.contains("--epochs"),
        "{said}"
    );
    assert_eq!(
        json(&mut place.regraft(&["resume", "run", "--json"]))["trained"],
        false
    );
    assert!(place.contents("run") == before);
    let output = place
        .regraft(&["resume", "run", "--set", "train.epochs=4", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["`train.epochs`: 2 → 4", "going on after epoch 2 of 4"] {
        assert!(said.contains(part), "{said}");
    }
    let resumed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&resumed["epochs"], &resumed["trained"]),
        (&4.into(), &true.into())
    );
    assert_eq!(place.read("run/metrics.csv").lines().count(), 5);
}

/// Images and model may move; what they are is told by their bytes.
#[test]
fn a_run_goes_on_where_its_images_and_its_model_moved() {
    let place = Place::with_images();
    place.write("net.onnx", &std::fs::read(squeezenet()).unwrap());
    let train = |out: &str, epochs: &str| {
        let mut train = place.regraft(&["train", "--model", "net.onnx", "--data", "data"]);
        train.args(["--size", "64", "--set", "train.schedule=constant"]);
        train.args(["--epochs", epochs, "--out", out]);
        train.assert().success();
    };
    train("whole", "4");
    train("moved", "2");
    std::fs::rename(place.path("data"), place.path("photos")).unwrap();
    std::fs::rename(place.path("net.onnx"), place.path("other.onnx")).unwrap();
    fails(
        &mut place.regraft(&["resume", "moved", "--epochs", "4"]),
        2,
        &["net.onnx"],
    );
    place
        .regraft(&["resume", "moved", "--epochs", "4"])
        .args(["--set", "data.source=photos"])
        .args(["--set", "model.source=other.onnx"])
        .assert()
        .success();
    assert!(place.bytes("moved/last.onnx") == place.bytes("whole/last.onnx"));
    // The run knows where they are now.
    stdout(&mut place.regraft(&["resume", "moved"]));
    stdout(&mut place.regraft(&["eval", "moved"]));
}

/// Patience may be given, and taken back, to a run that stopped early.
#[test]
fn more_patience_lets_a_run_that_stopped_early_go_on() {
    let place = Place::with_images();
    let words = [
        "--out",
        "run",
        "--epochs",
        "40",
        "--lr",
        "1e-12",
        "--set",
        "train.early_stopping={ patience = 2, metric = \"accuracy\" }",
        "--set",
        "train.schedule=constant",
    ];
    let stopped = json(place.train(&words).arg("--json"))["epochs"]
        .as_u64()
        .unwrap();
    assert!(stopped < 40, "{stopped}");
    let patience = "train.early_stopping={ patience = 4 }";
    let resumed = json(&mut place.regraft(&["resume", "run", "--set", patience, "--json"]));
    assert!(resumed["epochs"].as_u64().unwrap() > stopped, "{resumed}");
}

/// What a run wrote down can be trained again with other settings: derived values are not in the way.
#[test]
fn a_runs_own_recipe_trains_with_other_settings() {
    let place = Place::with_images();
    let words = ["--out", "run", "--epochs", "8"];
    place.train(&words).assert().success();
    let recipe = place.read("run/recipe.toml");
    for derived in ["\nlr =", "warmup_epochs = 2.4 }\n\n", "\nbatch_norm ="] {
        assert!(!recipe.contains(derived), "{recipe}");
    }
    let again = |words: &[&str]| {
        let mut command = place.regraft(&["train", "run/recipe.toml", "--json"]);
        json(command.args(words))
    };
    assert_eq!(
        again(&["--set", "train.epochs=2", "--out", "b"])["epochs"],
        2
    );
    again(&["--size", "32", "--epochs", "1", "--out", "c"]);
    again(&[
        "--set",
        "train.optimizer=sgd",
        "--epochs",
        "1",
        "--out",
        "d",
    ]);
    assert!(place.read("d/recipe.toml").contains("# lr = 0.01"));
}

#[test]
fn absurd_numbers_are_refused_and_large_ones_cost_nothing() {
    let place = Place::with_images();
    for huge in ["4611686018427387904", "9223372036854775807", "100000"] {
        let setting = format!("train.batch_size={huge}");
        fails(
            &mut place.train(&["--set", &setting]),
            2,
            &["train.batch_size", "65536"],
        );
    }
    for words in [
        &["eval", "run", "--batch-size", "0"][..],
        &["eval", "run", "--batch-size", "4611686018427387904"],
        &["predict", "run", "x.png", "-k", "0"],
        &["train", "--batch-size", "0", "data"],
        &["train", "--epochs", "0", "data"],
    ] {
        fails(&mut place.regraft(words), 2, &["invalid value"]);
    }
    // As many threads as nobody has, and a batch that no data fills.
    let start = Instant::now();
    place.train(&["--out", "plain"]).assert().success();
    let plain = start.elapsed();
    let start = Instant::now();
    let many = ["--set", "device.threads=1000", "--batch-size", "65536"];
    place
        .regraft(&["train", "--model", &squeezenet(), "--data", "data"])
        .args(["--size", "64", "--epochs", "2", "--out", "many"])
        .args(many)
        .assert()
        .success();
    assert!(start.elapsed() < 20 * plain + Duration::from_secs(10));
}

/// Ctrl-C in a race leaves the best model so far; going on finishes the race.
#[cfg(unix)]
#[test]
fn a_race_that_is_interrupted_has_a_model_and_goes_on() {
    let place = Place::new();
    let emoji = text(&models().join("emoji"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_regraft"))
        .current_dir(place.path(""))
        .args(["train", "--model", &squeezenet(), "--data", &emoji, "-q"])
        .args(["--size", "64", "--set", "data.preprocess.crop=squash"])
        .args(["--set", "data.per_class=12"])
        .args(["--budget", "25s", "--out", "run"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    place.wait_for("run/race/1", "candidate.json");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let image = text(&models().join("emoji/test/flag"));
    place
        .regraft(&["predict", "run", &image])
        .assert()
        .success();
    let resumed = json(&mut place.regraft(&["resume", "run", "--json", "-q"]));
    assert!(
        resumed["validation"]["accuracy"].as_f64().unwrap() > 0.5,
        "{resumed}"
    );
    assert!(!place.path("run/race").exists());
    let plan: serde_json::Value = serde_json::from_str(&place.read("run/plan.json")).unwrap();
    assert_eq!(plan["race"]["budget"], 25.0);
    assert!(
        plan["race"]["candidates"].as_array().unwrap().len() > 1,
        "{plan}"
    );
}
