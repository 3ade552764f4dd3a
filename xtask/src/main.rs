//! Build chores: `cargo xtask verify` is the one test command.

mod verify;

use anyhow::{Result, bail};
use xshell::Shell;

/// Every command, by name.
const COMMANDS: &[(&str, &str, fn(&Shell) -> Result<()>)] = &[(
    "verify",
    "everything that must hold before a change lands",
    verify::run,
)];

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
