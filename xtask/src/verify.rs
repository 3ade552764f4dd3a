//! Everything that must hold before a change lands, the cheapest checks first.

use std::time::Instant;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// Crates that are checked and tested; the CUDA plugin is type-checked on its own.
const WITHOUT_CUDA: [&str; 3] = ["--workspace", "--exclude", "regraft-backend-cuda"];

pub fn run(shell: &Shell) -> Result<()> {
    step("formatting", || {
        Ok(cmd!(shell, "cargo fmt --all --check").run()?)
    })?;
    step("clippy", || {
        let warnings = ["-D", "warnings"];
        Ok(cmd!(shell, "cargo clippy --release {WITHOUT_CUDA...} --all-targets --features regraft-backend/ndarray -- {warnings...}").run()?)
    })?;
    step("tests", || {
        Ok(cmd!(
            shell,
            "cargo test --release {WITHOUT_CUDA...} --features regraft-backend/ndarray"
        )
        .run()?)
    })?;
    step("docs", || {
        let _flags = shell.push_env("RUSTDOCFLAGS", "-D warnings");
        Ok(cmd!(shell, "cargo doc --release {WITHOUT_CUDA...} --no-deps").run()?)
    })?;
    step("CUDA path type-checks", || {
        // The build script of Burn's CUDA path downloads LLVM unless it believes that it builds documentation.
        let _docs = shell.push_env("DOCS_RS", "1");
        Ok(cmd!(
            shell,
            "cargo check --release -p regraft-backend --features cuda"
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
