//! Runs every suite on every device compiled in: `regraft-conformance [FOLDER OF CASES]`, one JSON array on standard output.

use std::path::PathBuf;

use anyhow::Result;
use regraft_conformance::{cases, goldens};

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let mut found = Vec::new();
    for device in regraft_backend::built() {
        if let Err(missing) = regraft_backend::open(device) {
            eprintln!("{device}: skipped, {missing}");
            continue;
        }
        eprintln!("{device}: goldens");
        found.extend(goldens::run(&goldens::folder(), device)?);
        if let Some(folder) = &folder {
            eprintln!("{device}: cases");
            found.extend(cases::run(folder, device)?);
        }
    }
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}
