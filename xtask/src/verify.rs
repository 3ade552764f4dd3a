//! Everything that must hold before a change lands, the cheapest checks first.

use std::time::Instant;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::tidy;

/// What is checked and tested: one selection of crates and features, so that nothing is compiled twice. The CUDA plugin is
/// type-checked on its own.
pub const SELECTION: [&str; 5] = [
    "--workspace",
    "--exclude",
    "regraft-backend-cuda",
    "--features",
    "regraft-backend/ndarray",
];

pub fn run(shell: &Shell) -> Result<()> {
    step("formatting", || {
        Ok(cmd!(shell, "cargo fmt --all --check").run()?)
    })?;
    step("tidy", || tidy::run(shell))?;
    step("clippy", || {
        let warnings = ["-D", "warnings"];
        Ok(cmd!(
            shell,
            "cargo clippy --release {SELECTION...} --all-targets -- {warnings...}"
        )
        .run()?)
    })?;
    step("tests", || {
        Ok(cmd!(shell, "cargo test --release {SELECTION...}").run()?)
    })?;
    step("docs", || {
        let _flags = shell.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(shell, "cargo doc --release {SELECTION...} --no-deps").run()?)
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
