//! Models by name: a manifest of one's own, fetching from this machine, and every verb on the name.

use std::path::Path;

use crate::command::Command;
use regraft_zoo::Digest;

use crate::{Place, fails, json, models, stdout, text};

impl Place {
    /// `regraft` with its own cache folder.
    fn zoo(&self, words: &[&str]) -> Command {
        let mut command = self.regraft(words);
        command.env("REGRAFT_CACHE", self.path("cache"));
        command
    }

    /// A manifest that knows the embedded network as `tiny`.
    fn with_manifest(&self) {
        let file = models().join("squeezenet1.1-imagenet.onnx");
        let bytes = std::fs::read(&file).unwrap();
        let manifest = format!(
            "[[model]]\nname = \"squeeze\"\nshort = \"tiny\"\nbytes = {}\nsha256 = \"{}\"\nsources = [\"{}\"]\nlabels = \"imagenet\"\n",
            bytes.len(),
            Digest::of(&bytes),
            text(&file.canonicalize().unwrap()),
        );
        std::fs::write(self.path("own.toml"), manifest).unwrap();
        assert_eq!(
            stdout(&mut self.zoo(&["models", "add", "own.toml"])).trim(),
            "squeeze"
        );
    }
}

#[test]
fn the_list_has_the_families_and_says_what_is_here() {
    let place = Place::new();
    place.with_manifest();
    let all = json(&mut place.zoo(&["models", "list", "--json"]));
    assert!(all.as_array().unwrap().len() > 120);
    for name in ["resnet18", "vgg16", "inception_v3", "googlenet", "tiny"] {
        let known = all
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["short"] == name);
        assert!(known, "{name}");
    }
    let vgg = stdout(&mut place.zoo(&["models", "list", "vgg"]));
    assert!(vgg.contains("vgg16") && !vgg.contains("resnet"), "{vgg}");
    let none = json(&mut place.zoo(&["models", "list", "--here", "--json"]));
    assert_eq!(none.as_array().unwrap().len(), 0);
}

#[test]
fn a_model_of_a_manifest_is_fetched_checked_and_used_by_name() {
    let place = Place::new();
    place.with_manifest();
    fails(
        &mut place.zoo(&["models", "path", "tiny"]),
        2,
        &["not on this machine", "regraft models get tiny"],
    );
    let path = stdout(&mut place.zoo(&["models", "get", "tiny", "--offline"]));
    assert_eq!(stdout(&mut place.zoo(&["models", "path", "squeeze"])), path);
    assert!(stdout(&mut place.zoo(&["models", "verify"])).contains("right"));
    let inspection = json(&mut place.zoo(&["inspect", "tiny", "--json"]));
    assert_eq!(inspection["classes"], 1000);

    let path = Path::new(path.trim());
    let mut bytes = std::fs::read(path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(path, bytes).unwrap();
    fails(
        &mut place.zoo(&["models", "verify"]),
        1,
        &["1 of 1", "regraft models get"],
    );
    stdout(&mut place.zoo(&["models", "get", "tiny"]));
    assert!(stdout(&mut place.zoo(&["models", "verify", "tiny"])).contains("right"));
}

#[test]
fn a_recipe_may_name_a_model_of_the_zoo_which_is_then_fetched() {
    let place = Place::with_images();
    place.with_manifest();
    let words = [
        "train",
        "--model",
        "tiny",
        "--data",
        "data",
        "--out",
        "run",
        "--json",
        "--set",
        "data.preprocess.size=64",
        "--set",
        "data.preprocess.crop=squash",
        "--set",
        "train.batch_size=4",
        "--set",
        "train.epochs=1",
    ];
    assert_eq!(json(&mut place.zoo(&words))["epochs"], 1);
    let recipe = String::from_utf8(place.bytes("run/recipe.toml")).unwrap();
    assert!(recipe.contains("source = \"tiny\""), "{recipe}");
}

#[test]
fn without_a_network_the_address_and_the_place_for_the_file_are_told() {
    let place = Place::new();
    fails(
        &mut place.zoo(&["models", "get", "resnet18", "--offline"]),
        1,
        &["https://", "offline", "SHA-256", "cache"],
    );
}

#[test]
fn mistyped_names_are_told_what_is_near() {
    let place = Place::new();
    for words in [
        &["models", "get", "resnet81"][..],
        &["models", "path", "resnet81"],
        &["inspect", "resnet81"],
    ] {
        fails(
            &mut place.zoo(words),
            2,
            &["resnet81", "near", "`resnet18`"],
        );
    }
    fails(&mut place.zoo(&["models", "get"]), 1, &["--family"]);
}
