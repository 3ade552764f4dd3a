//! Build chores: `cargo xtask verify` is the one test command, `cargo xtask conformance` asks others, `cargo xtask download` fetches models.

mod conformance;
mod download;
mod python;
mod tidy;
mod verify;

use anyhow::{Result, bail};
use xshell::Shell;

/// A command: its name, one line about it, and what it does.
type Command = (&'static str, &'static str, fn(&Shell) -> Result<()>);

/// Every command.
const COMMANDS: &[Command] = &[
    (
        "verify",
        "everything that must hold before a change lands",
        verify::run,
    ),
    (
        "conformance",
        "PyTorch's goldens, the ONNX project's cases, exported files in ONNX Runtime; writes docs/conformance.md",
        conformance::run,
    ),
    (
        "download",
        "[NAME…|--all|--family NAME]: models of the zoo into the cache folder",
        download::run,
    ),
];

fn main() -> Result<()> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let shell = Shell::new()?;
    shell.change_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    match COMMANDS.iter().find(|(name, ..)| *name == wanted) {
        Some((.., run)) => run(&shell),
        None => {
            let list: Vec<String> = COMMANDS
                .iter()
                .map(|(name, about, _)| format!("  {name}: {about}"))
                .collect();
            bail!("usage: cargo xtask COMMAND\n{}", list.join("\n"))
        }
    }
}
