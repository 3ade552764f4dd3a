//! Everything that must hold before a change lands, the cheapest checks first.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::tidy;

/// What is tested: a selection in which every crate from outside has the features that a plain `cargo build` gives it, so that
/// none is compiled a second time. Crates that would add features to those stay out: the other backends, which are tested on
/// their own, and the benches.
pub const SELECTION: [&str; 7] = [
    "--workspace",
    "--exclude",
    "regraft-backend-cuda",
    "--exclude",
    "regraft-backend-ndarray",
    "--exclude",
    "benches",
];
/// What is linted and documented: all that can be compiled anywhere.
const ALL: [&str; 3] = ["--workspace", "--exclude", "regraft-backend-cuda"];
/// What is tested again with every CPU backend compiled in.
pub const ON_BACKENDS: [&str; 8] = [
    "-p",
    "regraft-backend",
    "-p",
    "regraft-ops",
    "-p",
    "regraft-nn",
    "-p",
    "regraft-conformance",
];

/// The CPU backends that a plain build leaves out.
pub const BACKEND_FEATURES: &str = "regraft-backend/ndarray,regraft-ops/ndarray";

pub fn run(shell: &Shell) -> Result<()> {
    step("formatting", || {
        Ok(cmd!(shell, "cargo fmt --all --check").run()?)
    })?;
    step("tidy", || tidy::run(shell))?;
    step("one build of the crates from outside", || {
        same_features(shell)
    })?;
    step("tests", || {
        Ok(cmd!(shell, "cargo test --release {SELECTION...}").run()?)
    })?;
    step("tests that need more than the toolchain", || more(shell))?;
    step("clippy", || {
        let warnings = ["-D", "warnings"];
        Ok(cmd!(
            shell,
            "cargo clippy --release {ALL...} --all-targets -- {warnings...}"
        )
        .run()?)
    })?;
    step("docs", || {
        let _flags = shell.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(shell, "cargo doc --release {ALL...} --no-deps").run()?)
    })?;
    step("every CPU backend", || {
        let features = ["--features", BACKEND_FEATURES];
        Ok(cmd!(shell, "cargo test --release {ON_BACKENDS...} {features...}").run()?)
    })?;
    step("a single backend, chosen by feature", || {
        Ok(cmd!(
            shell,
            "cargo check --release -p regraft-cli --no-default-features --features ndarray"
        )
        .run()?)
    })?;
    step("the facade without zoo and recipe", || {
        for features in ["flex", "flex,zoo", "flex,recipe"] {
            let chosen = ["--no-default-features", "--features", features];
            cmd!(shell, "cargo check --release -p regraft --lib {chosen...}").run()?;
        }
        Ok(())
    })?;
    step("CUDA path type-checks", || {
        // The build script of Burn's CUDA path downloads LLVM unless it believes that it builds documentation.
        let _docs = shell.push_env("DOCS_RS", "1");
        Ok(cmd!(
            shell,
            "cargo check --release -p regraft-cli --no-default-features --features cuda"
        )
        .run()?)
    })?;
    println!("verify: all passed");
    Ok(())
}

/// A test that needs something which a machine may not have.
struct Needs {
    /// The name of the test, or how the names of several begin.
    test: &'static str,
    what: &'static str,
    /// Whether it is here.
    here: fn(&Shell) -> bool,
}

const NEEDS: [Needs; 5] = [
    Needs {
        test: "real_models",
        what: "../shared/models",
        here: |shell| shell.path_exists("../shared/models"),
    },
    Needs {
        test: "packages::pip_itself",
        what: "pip and its registry",
        here: |shell| {
            answers(
                shell,
                "python3",
                &["-m", "pip", "download", "--no-deps", "six==1.17.0"],
            )
        },
    },
    Needs {
        test: "packages::npm_itself",
        what: "npm and its registry",
        here: |shell| answers(shell, "npm", &["view", "is-odd@3.0.1", "version"]),
    },
    Needs {
        test: "new::what_was_learned",
        what: "the package dataset-fashion-mnist",
        here: |shell| shell.path_exists(FASHION_MNIST),
    },
    Needs {
        test: "idx::all_of_fashion_mnist",
        what: "the package dataset-fashion-mnist",
        here: |shell| shell.path_exists(FASHION_MNIST),
    },
];

/// Where Debian's package `dataset-fashion-mnist` puts its files.
const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

/// Whether a program does this without an error, in a folder of its own.
fn answers(shell: &Shell, program: &str, arguments: &[&str]) -> bool {
    let Ok(folder) = shell.create_temp_dir() else {
        return false;
    };
    let _there = shell.push_dir(folder.path());
    cmd!(shell, "{program} {arguments...}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run()
        .is_ok()
}

/// Runs the tests that the machine has the means for, and says which it has not.
fn more(shell: &Shell) -> Result<()> {
    for Needs { test, what, here } in &NEEDS {
        if !here(shell) {
            println!("skipped, not passed: {test}: needs {what}");
            continue;
        }
        // The same selection of crates, so that nothing is compiled again.
        let ignored = ["--test", "it", "--", "--ignored", test];
        cmd!(shell, "cargo test --release {SELECTION...} {ignored...}").run()?;
    }
    Ok(())
}

fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    run().with_context(|| format!("{name} failed"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Holds the crates from outside that the tests use to those of a plain build: one with other features would be compiled a
/// second time, and all that stands on it.
fn same_features(shell: &Shell) -> Result<()> {
    let tree = |arguments: &[&str]| -> Result<BTreeSet<String>> {
        let format = "{p} [{f}]";
        let text = cmd!(
            shell,
            "cargo tree --prefix none --format {format} {arguments...}"
        )
        .quiet()
        .read()?;
        let outside = text
            .lines()
            .filter(|line| !line.contains("path+") && !line.contains("(/"));
        let lines = outside.map(|line| line.trim_end_matches(" (*)").to_owned());
        Ok(lines.collect())
    };
    let plain = tree(&["-e", "normal,build"])?;
    let tested = tree(&[&SELECTION[..], &["-e", "normal,build,dev"]].concat())?;
    let twice: Vec<&str> = plain.difference(&tested).map(String::as_str).collect();
    if twice.is_empty() {
        return Ok(());
    }
    bail!(
        "tests select other features of these crates than `cargo build` does, so they are compiled twice:\n  {}",
        twice.join("\n  ")
    )
}
