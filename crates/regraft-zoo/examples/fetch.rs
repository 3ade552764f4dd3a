//! Fetches models by name, or lists them: `cargo run --example fetch -- [--list FAMILY] [NAME…]`.

use std::process::ExitCode;

use regraft_zoo::{Cache, Error, Manifest, Options, Progress, fetch};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let manifest = Manifest::builtin()?;
    let options = Options::new(Cache::from_env()?);
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, family] = &words[..]
        && flag == "--list"
    {
        for entry in manifest.family(family)? {
            let short = entry.short.as_deref().unwrap_or("");
            println!("{:32} {short:18} {:>11} bytes", entry.name, entry.bytes);
        }
        return Ok(());
    }
    for name in &words {
        let path = fetch(
            manifest.get(name)?,
            &options,
            &mut |progress| match progress {
                Progress::Trying { source } => eprintln!("{source}"),
                Progress::Bytes { done, total } => eprint!("\r{done} of {total} bytes"),
                Progress::Retrying { reason, wait } => eprintln!("\n{reason}; again in {wait:?}"),
                Progress::Failed { reason, .. } => eprintln!("\n{reason}"),
                _ => eprintln!("another process fetches it; waiting"),
            },
        )?;
        eprintln!();
        println!("{}", path.display());
    }
    Ok(())
}
