//! What people get wrong, and what they are told: one clear message, exit code 1 or 2, no panic.

use std::path::Path;

use crate::{Place, fails, squeezenet};

fn train<'a>(model: &'a str, data: &'a str) -> [&'a str; 5] {
    ["train", "--model", model, "--data", data]
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::with_images();
    fails(
        &mut place.regraft(&train("nowhere.onnx", "data")),
        2,
        &["nowhere.onnx"],
    );
    fails(
        &mut place.regraft(&train(&squeezenet(), "nowhere")),
        2,
        &["nowhere", "no such folder"],
    );
    fails(
        &mut place.regraft(&["train", "nowhere.toml"]),
        2,
        &["nowhere.toml"],
    );
    fails(
        &mut place.regraft(&["predict", &squeezenet(), "nowhere.png"]),
        1,
        &["nowhere.png"],
    );
    fails(
        &mut place.regraft(&["resume", "nowhere"]),
        1,
        &["no run folder"],
    );
    fails(
        &mut place.regraft(&["run", &squeezenet(), "--input", "nowhere.npy"]),
        1,
        &["nowhere.npy"],
    );
}

#[test]
fn a_file_that_is_no_onnx_is_refused() {
    let place = Place::with_images();
    let whole = std::fs::read(squeezenet()).unwrap();
    let cut = &whole[..whole.len() / 2];
    for (name, bytes) in [
        ("text.onnx", &b"hello"[..]),
        ("empty.onnx", b""),
        ("cut.onnx", cut),
        ("noise.onnx", &[0xa5; 4096]),
    ] {
        std::fs::write(place.path(name), bytes).unwrap();
        fails(
            &mut place.regraft(&["inspect", name]),
            1,
            &[name, "not an ONNX model"],
        );
        fails(&mut place.regraft(&train(name, "data")), 1, &[name]);
    }
}

#[test]
fn an_unsupported_operator_names_every_such_node() {
    let place = Place::with_images();
    // The protobuf holds an operator as its length and its text: another operator of four letters fits in its place.
    let mut bytes = std::fs::read(squeezenet()).unwrap();
    let relus: Vec<usize> = bytes
        .windows(5)
        .enumerate()
        .filter(|(_, window)| *window == b"\x04Relu")
        .map(|(position, _)| position)
        .take(2)
        .collect();
    for position in relus {
        bytes[position + 1..position + 5].copy_from_slice(b"Zelu");
    }
    std::fs::write(place.path("odd.onnx"), bytes).unwrap();
    fails(
        &mut place.regraft(&train("odd.onnx", "data")),
        1,
        &["odd.onnx", "2 nodes cannot be imported", "(Zelu)"],
    );
    assert!(
        !place.path("runs").exists(),
        "refused before anything is trained"
    );
}

#[test]
fn a_corrupt_image_stops_the_run_or_is_skipped() {
    let place = Place::with_images();
    std::fs::write(place.path("data/train/flag/broken.png"), b"no image").unwrap();
    std::fs::write(place.path("data/train/flag/empty.jpg"), b"").unwrap();
    fails(
        &mut place.train(&["--out", "a"]),
        1,
        &["data/train/flag/broken.png", "data.on_bad_image = \"skip\""],
    );
    let output = place
        .train(&["--out", "b", "--set", "data.on_bad_image=skip"])
        .assert()
        .success()
        .get_output()
        .clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("left out") && said.contains("broken.png") && said.contains("empty.jpg"),
        "{said}"
    );
    fails(
        &mut place.regraft(&["predict", &squeezenet(), "data/train/flag/broken.png"]),
        1,
        &["broken.png"],
    );
}

#[test]
fn folders_that_cannot_be_learnt_from_are_refused() {
    let place = Place::with_images();
    std::fs::create_dir(place.path("data/train/nothing")).unwrap();
    fails(
        &mut place.train(&[]),
        1,
        &["class `nothing`", "has no images"],
    );
    std::fs::remove_dir(place.path("data/train/nothing")).unwrap();

    copy_class(
        &place.path("data/train/flag"),
        &place.path("data/test/stranger"),
    );
    fails(&mut place.train(&[]), 1, &["class `stranger`"]);
    std::fs::remove_dir_all(place.path("data/test/stranger")).unwrap();

    std::fs::remove_dir_all(place.path("data/train/meal")).unwrap();
    fails(&mut place.train(&[]), 1, &["it has one class, `flag`"]);
    fails(
        &mut place.regraft(&train(&squeezenet(), "data/train/flag")),
        1,
        &["images but no class folders"],
    );
}

fn copy_class(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_wrong_key_is_pointed_at() {
    let place = Place::with_images();
    std::fs::write(
        place.path("recipe.toml"),
        format!(
            "[model]\nsource = {:?}\n[data]\nsource = \"data\"\n[train]\nepoch = 3\n",
            squeezenet()
        ),
    )
    .unwrap();
    fails(
        &mut place.regraft(&["train", "recipe.toml"]),
        2,
        &["recipe.toml:6:1", "`train.epoch`", "`train.epochs`"],
    );
    fails(
        &mut place.train(&["--set", "train.lrr=1"]),
        2,
        &["train.lrr", "lr"],
    );
    fails(
        &mut place.train(&["--set", "train.cutout=0.2"]),
        2,
        &["train.cutout", "unknown key"],
    );
    fails(
        &mut place.train(&["--set", "freeze.policy=lottery"]),
        2,
        &["freeze.policy", "lottery"],
    );
    fails(
        &mut place.train(&["--set", "freeze.policy={ from = \"feature.3\" }"]),
        2,
        &["`feature.3`", "features.3"],
    );
    fails(
        &mut place.train(&["--set", "freeze.policy=norm-only"]),
        2,
        &["no normalisation layers"],
    );
    fails(
        &mut place.train(&["--device", "tpu"]),
        2,
        &["`tpu`", "flex"],
    );
    fails(
        &mut place.regraft(&["train"]),
        2,
        &["data.source", "--data"],
    );
    fails(&mut place.regraft(&["dance"]), 2, &["dance"]);
}

#[test]
fn a_loss_that_leaves_the_numbers_stops_the_run() {
    let place = Place::with_images();
    fails(
        &mut place.train(&[
            "--out",
            "run",
            "--set",
            "train.lr=1e30",
            "--set",
            "train.schedule=constant",
            "--set",
            "freeze.policy=full",
        ]),
        1,
        &["the loss became", "step", "learning rate", "train.lr"],
    );
}
