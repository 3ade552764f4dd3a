//! What people forget and a compiler does not see: layering, backend names, traces of the machine a file was written on.

use std::path::Path;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

/// Crates that know nothing of each other, whoever needs them.
const APART: [&str; 6] = [
    "regraft-onnx",
    "regraft-freeze",
    "regraft-data",
    "regraft-kernels",
    "regraft-probe",
    "regraft-zoo",
];
/// What a crate does without, however it is reached.
const WITHOUT: [(&str, &[&str]); 6] = [
    ("regraft-spec", &["burn", "image"]),
    ("regraft-recipe", &["burn", "image", "regraft-onnx"]),
    ("regraft-freeze", &["burn", "image", "regraft-onnx"]),
    ("regraft-program", &["burn", "image"]),
    ("regraft-trunk", &["burn", "image"]),
    ("regraft-train", &["regraft-recipe", "regraft-zoo"]),
];
/// Crates whose modules lie in layers, first to last: each uses itself and those before it.
const LAYERED: [(&str, &[&str]); 2] = [
    (
        "regraft-onnx",
        &[
            "error", "proto", "file", "ir", "import", "analysis", "read", "surgery",
        ],
    ),
    (
        "regraft-data",
        &[
            "error",
            "random",
            "npy",
            "decode",
            "packed",
            "planes",
            "preprocess",
            "augment",
            "dataset",
            "source",
            "split",
            "select",
            "open",
            "loader",
            "mix",
            "record",
        ],
    ),
];
/// Names that belong to the plugin crates and the table that lists them.
const BACKENDS: [&str; 4] = ["flex", "ndarray", "cuda", "wgpu"];
/// Where a backend may be named: its plugin crate, the table of them, and the extension of their operations.
const PLUGINS: [&str; 2] = ["crates/regraft-backend", "crates/regraft-ops"];

pub fn run(shell: &Shell) -> Result<()> {
    let mut faults = Vec::new();
    layers(shell, &mut faults)?;
    for file in cmd!(shell, "git ls-files").quiet().read()?.lines() {
        let Ok(text) = std::fs::read_to_string(shell.current_dir().join(file)) else {
            continue;
        };
        traces(file, &text, &mut faults);
        if is_source(file) {
            panicking_prints(file, &text, &mut faults);
            backend_names(file, &text, &mut faults);
            later_layers(file, &text, &mut faults);
            opening(file, &text, &mut faults);
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}", faults.join("\n"))
}

/// Code of a crate, tests apart.
fn is_source(file: &str) -> bool {
    let rust = Path::new(file).extension().is_some_and(|end| end == "rs");
    rust && file.contains("/src/")
}

fn layers(shell: &Shell, faults: &mut Vec<String>) -> Result<()> {
    let apart = APART.map(|name| {
        let others = APART.iter().copied().filter(move |other| *other != name);
        (name, others.collect::<Vec<_>>())
    });
    let without = WITHOUT.map(|(name, others)| (name, others.to_vec()));
    for (name, others) in apart.into_iter().chain(without) {
        let format = "{p}";
        let tree = cmd!(
            shell,
            "cargo tree -p {name} -e normal --prefix none --format {format}"
        )
        .quiet()
        .read()?;
        for other in others {
            if tree
                .lines()
                .any(|line| line.starts_with(&format!("{other} ")))
            {
                faults.push(format!(
                    "{name} depends on {other}, which it is to do without"
                ));
            }
        }
    }
    Ok(())
}

/// A layer that names a later one, or something by the name that the whole crate gives it outward.
fn later_layers(file: &str, text: &str, faults: &mut Vec<String>) {
    let inside = LAYERED.iter().find_map(|(name, layers)| {
        let path = file.strip_prefix(&format!("crates/{name}/src/"))?;
        Some((path, *layers))
    });
    let Some((path, layers)) = inside.filter(|(path, _)| *path != "lib.rs") else {
        return;
    };
    let own = path.split(['/', '.']).next().unwrap_or_default();
    let Some(place) = layers.iter().position(|layer| *layer == own) else {
        faults.push(format!("{file}: lies in none of its crate's layers"));
        return;
    };
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for used in line.split("crate::").skip(1) {
            let mut words = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let layer = words.next().unwrap_or_default();
            if !layers[..=place].contains(&layer) {
                faults.push(format!(
                    "{file}:{}: layer `{own}` uses `crate::{layer}`, which is no layer before it",
                    number + 1
                ));
            }
        }
    }
}

fn backend_names(file: &str, text: &str, faults: &mut Vec<String>) {
    if PLUGINS.iter().any(|plugin| file.starts_with(plugin)) || file.starts_with("xtask/") {
        return;
    }
    let code = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim_start();
        !line.starts_with("//")
    });
    for (number, line) in code {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        if let Some(name) = words.find(|word| BACKENDS.contains(word)) {
            faults.push(format!(
                "{file}:{}: names the backend `{name}` outside its plugin",
                number + 1
            ));
        }
    }
}

/// `eprintln!` and `println!` panic where nobody is listening, and take a training with them.
fn panicking_prints(file: &str, text: &str, faults: &mut Vec<String>) {
    // Programs that only developers run.
    if file.starts_with("xtask/") || file.starts_with("crates/regraft-conformance/") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        let prints = ["println!(", "eprintln!(", "print!(", "eprint!("];
        if prints.iter().any(|print| code.starts_with(print)) {
            faults.push(format!(
                "{file}:{}: prints with a macro that panics; use `writeln!` and ignore its error",
                number + 1
            ));
        }
    }
}

/// Files open with a sentence on what they are for.
fn opening(file: &str, text: &str, faults: &mut Vec<String>) {
    if !text.starts_with("//! ") {
        faults.push(format!("{file}: does not open with a `//!` sentence"));
    }
}

/// Paths of the machine, which mean nothing elsewhere.
fn traces(file: &str, text: &str, faults: &mut Vec<String>) {
    let home = ["/", "root", "/"].concat();
    let work = ["/", "work", "/"].concat();
    for (number, line) in text.lines().enumerate() {
        if line.contains(&home) || line.contains(&work) {
            faults.push(format!(
                "{file}:{}: holds a path of one machine",
                number + 1
            ));
        }
    }
}
