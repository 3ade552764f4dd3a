//! A Python environment below `target/` for checks from outside: onnx and ONNX Runtime, nothing that a run needs.

use std::path::PathBuf;

use anyhow::Result;
use xshell::{Shell, cmd};

/// What the checks were written for.
const PACKAGES: [&str; 3] = ["numpy==2.4.6", "onnx==1.23.2", "onnxruntime==1.32.0"];

/// The environment's interpreter, made when it is not there yet; `None`, with a line that says why, where Python or its
/// packages cannot be had.
pub fn environment(shell: &Shell) -> Result<Option<PathBuf>> {
    let folder = shell.current_dir().join("target/conformance-venv");
    let python = folder.join("bin/python");
    let ready = |python: &PathBuf| {
        cmd!(shell, "{python} -c 'import numpy, onnx, onnxruntime'")
            .quiet()
            .ignore_stderr()
            .run()
            .is_ok()
    };
    if python.exists() && ready(&python) {
        return Ok(Some(python));
    }
    let made = cmd!(shell, "python3 -m venv {folder}").run().is_ok()
        && cmd!(shell, "{python} -m pip install --quiet {PACKAGES...}")
            .run()
            .is_ok();
    if made && ready(&python) {
        return Ok(Some(python));
    }
    println!(
        "skipped: no Python with a venv and packages {} could be had",
        PACKAGES.join(", ")
    );
    Ok(None)
}
