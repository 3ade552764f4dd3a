//! Holds regraft against PyTorch's goldens, the ONNX project's cases and ONNX Runtime, and writes `docs/conformance.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use xshell::{Shell, cmd};

use crate::python;
use crate::verify::{BACKEND_FEATURES, ON_BACKENDS};

/// Where the goldens lie.
const GOLDENS: &str = "crates/regraft-conformance/goldens";
/// Small networks that are fine-tuned and exported for a look from outside, besides the embedded one: every exporter, and
/// graphs of each kind.
const EXPORTED: [&str; 8] = [
    "resnet18.kept-13",
    "resnet18.folded-18",
    "resnet18.dynamo",
    "densenet.kept-16",
    "mobilenet_v2.dynamo",
    "squeezenet.kept-7",
    "inception_v3.kept-15",
    "vit.kept-17",
];
/// Where the written table goes.
const PAGE: &str = "docs/conformance.md";

#[derive(Debug, Deserialize)]
struct Case {
    suite: String,
    name: String,
    device: String,
    outcome: String,
    reason: Option<String>,
}

pub fn run(shell: &Shell) -> Result<()> {
    // The command as everybody builds it; the suites with every CPU backend, and with the tests, so that features are those of
    // `verify` and nothing is compiled a second time.
    cmd!(shell, "cargo build --release").run()?;
    let features = ["--features", BACKEND_FEATURES];
    cmd!(
        shell,
        "cargo build --release {ON_BACKENDS...} {features...} --bins --tests"
    )
    .run()?;
    let python = python::environment(shell)?;
    let folder = shell.current_dir().join("target/conformance-cases");
    if let Some(python) = &python {
        cmd!(shell, "{python} tools/conformance_cases.py {folder}").run()?;
    }
    let arguments = python.as_ref().map(|_| folder);
    let json = cmd!(shell, "target/release/regraft-conformance {arguments...}").read()?;
    let cases: Vec<Case> = serde_json::from_str(&json).context("the suites' output")?;
    let exports = match &python {
        Some(python) => exports(shell, python)?,
        None => {
            println!("skipped: the ONNX project's cases and the look at exported files");
            Vec::new()
        }
    };
    println!("{}", summary(&cases));
    let wrong: Vec<&Case> = cases.iter().filter(|c| c.outcome == "failed").collect();
    for case in &wrong {
        let reason = case.reason.as_deref().unwrap_or_default();
        println!(
            "FAILED {}/{} on {}: {reason}",
            case.suite, case.name, case.device
        );
    }
    if python.is_some() {
        std::fs::write(shell.current_dir().join(PAGE), page(&cases, &exports)).context(PAGE)?;
        println!("wrote {PAGE}");
    }
    if !wrong.is_empty() || exports.iter().any(|line| line.contains("FAIL")) {
        bail!("{} cases failed", wrong.len());
    }
    Ok(())
}

/// Fine-tunes, exports, and lets onnx.checker and ONNX Runtime judge; a line each.
fn exports(shell: &Shell, python: &Path) -> Result<Vec<String>> {
    let regraft = "target/release/regraft";
    let embedded = (
        "squeezenet1.1",
        "models/squeezenet1.1-imagenet.onnx".to_owned(),
    );
    let small = EXPORTED.map(|name| (name, format!("{GOLDENS}/{name}.onnx")));
    let mut lines = Vec::new();
    for (name, model) in std::iter::once(embedded).chain(small) {
        let out = format!("target/conformance-runs/{name}");
        let settings = ["--set", "train.epochs=1", "--set", "freeze.policy=full"];
        cmd!(
            shell,
            "{regraft} train -q --model {model} --data models/emoji --out {out} --overwrite {settings...}"
        )
        .quiet()
        .ignore_stdout()
        .run()?;
        let check = cmd!(
            shell,
            "{python} tools/check_export.py --regraft {regraft} --original {model} {out}/model.onnx {out}/last.onnx"
        );
        let output = check.quiet().ignore_status().read()?;
        for line in output.lines() {
            println!("{line}");
            lines.push(line.replace("target/conformance-runs/", ""));
        }
    }
    Ok(lines)
}

/// Counts by suite and device.
fn counts(cases: &[Case]) -> BTreeMap<(&str, &str), BTreeMap<&str, usize>> {
    let mut counts: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for case in cases {
        let row = counts.entry((&case.suite, &case.device)).or_default();
        *row.entry(&case.outcome).or_default() += 1;
    }
    counts
}

fn summary(cases: &[Case]) -> String {
    let mut text =
        String::from("| suite | device | passed | failed | unsupported |\n|---|---|---|---|---|\n");
    for ((suite, device), row) in counts(cases) {
        let of = |outcome| row.get(outcome).copied().unwrap_or(0);
        let _ = writeln!(
            text,
            "| {suite} | {device} | {} | {} | {} |",
            of("passed"),
            of("failed"),
            of("unsupported")
        );
    }
    text
}

fn page(cases: &[Case], exports: &[String]) -> String {
    let mut text = String::from(
        "# Conformance\n\nWritten by `cargo xtask conformance`.\n\n\
         - `goldens`: small networks of real topology against PyTorch: logits (1e-4), loss, the gradient of every parameter \
         (1e-3) with batch norm frozen and updated, running statistics, weights after three steps of SGD.\n\
         - `light`, `pytorch-converted`, `pytorch-operator`, `simple`: the ONNX project's backend cases, with its tolerances. \
         regraft takes networks from one image to one output; a case is rewritten to that form first.\n\n",
    );
    text.push_str(&summary(cases));
    text.push_str("\n## Exported files\n\nFine-tuned for an epoch, then judged by onnx.checker and ONNX Runtime.\n\n");
    for line in exports {
        let _ = writeln!(text, "- {}", line.trim_start_matches("ok").trim());
    }
    text.push_str("\n## Goldens\n\n");
    let goldens: BTreeSet<&str> = cases
        .iter()
        .filter(|case| case.suite == "goldens" && case.outcome == "passed")
        .map(|case| case.name.as_str())
        .collect();
    let goldens: Vec<&str> = goldens.into_iter().collect();
    let _ = writeln!(text, "{}.", goldens.join(", "));
    text.push_str("\n## Not passed\n\n| case | device | outcome | reason |\n|---|---|---|---|\n");
    let mut rows: BTreeMap<(&str, &str, &str, String), Vec<&str>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.outcome != "passed") {
        let reason = case.reason.as_deref().unwrap_or_default();
        let words: Vec<&str> = reason.split_whitespace().collect();
        let reason = words.join(" ").replace('|', "\\|");
        let row = (
            case.suite.as_str(),
            case.name.as_str(),
            case.outcome.as_str(),
            reason,
        );
        rows.entry(row).or_default().push(&case.device);
    }
    for ((suite, name, outcome, reason), devices) in rows {
        let _ = writeln!(
            text,
            "| {suite}/{name} | {} | {outcome} | {reason} |",
            devices.join(", ")
        );
    }
    text
}
