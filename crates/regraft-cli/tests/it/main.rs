//! Whole runs of the `regraft` binary, as a person types them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod command;
mod faults;
mod features_on_disk;
mod first_steps;
mod new;
mod quickstart;
mod run_folder;
mod verbs;
mod zoo;

use std::path::{Path, PathBuf};

use command::Command;

/// The repository's `models/`.
fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn squeezenet() -> String {
    text(&models().join("squeezenet1.1-imagenet.onnx"))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A folder to work in; it is gone after the test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Two classes with a few embedded images each, under `train` and `test`.
    fn with_images() -> Self {
        let place = Self::new();
        for class in ["flag", "meal"] {
            for (split, count) in [("train", 10), ("test", 4)] {
                let target = place.path("data").join(split).join(class);
                std::fs::create_dir_all(&target).unwrap();
                let source = models().join("emoji").join(split).join(class);
                let mut files: Vec<PathBuf> = std::fs::read_dir(source)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
                files.sort();
                for file in files.iter().take(count) {
                    std::fs::copy(file, target.join(file.file_name().unwrap())).unwrap();
                }
            }
        }
        place
    }

    /// `regraft` with these words, in this folder.
    fn regraft(&self, words: &[&str]) -> Command {
        let mut command = Command::regraft();
        command.current_dir(self.0.path()).args(words);
        command
    }

    /// `regraft train` on the embedded model and this place's images at 64 pixels, with more words.
    fn train(&self, words: &[&str]) -> Command {
        let mut command = self.regraft(&["train", "--model", &squeezenet(), "--data", "data"]);
        command.args(["--set", "data.preprocess.size=64"]);
        command.args(["--set", "data.preprocess.crop=squash"]);
        command.args(["--set", "train.batch_size=4", "--set", "train.epochs=2"]);
        command.args(words);
        command
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// Standard output of a command that succeeds.
fn stdout(command: &mut Command) -> String {
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

/// Standard output of a command that succeeds, as JSON.
fn json(command: &mut Command) -> serde_json::Value {
    serde_json::from_str(&stdout(command)).unwrap()
}

/// Asserts the exit code and that standard error is short, speaks of every one of `parts`, and of no defect of ours.
fn fails(command: &mut Command, code: i32, parts: &[&str]) {
    let output = command.assert().code(code).get_output().clone();
    let message = String::from_utf8(output.stderr).unwrap();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert!(!message.contains("internal error"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}
