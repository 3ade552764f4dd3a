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
