//! Models of the zoo into the cache folder, without building anything that computes.

use anyhow::{Result, bail};
use regraft_zoo::{Bars, Cache, Options, fetch_all};
use xshell::Shell;

/// `cargo xtask download [NAME…|--all|--family NAME]`.
pub fn run(_: &Shell) -> Result<()> {
    let cache = Cache::from_env()?;
    let manifest = cache.manifest()?;
    let (mut names, mut families, mut all) = (Vec::new(), Vec::new(), false);
    let mut words = std::env::args().skip(2);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--all" => all = true,
            "--family" => {
                let Some(family) = words.next() else {
                    bail!("--family needs a name, e.g. `--family vgg`");
                };
                families.push(family);
            }
            option if option.starts_with('-') => {
                bail!(
                    "unknown option `{option}`; usage: cargo xtask download [NAME…|--all|--family NAME]"
                )
            }
            _ => names.push(word),
        }
    }
    let entries = manifest.select(&names, &families, all)?;
    if entries.is_empty() {
        bail!("usage: cargo xtask download [NAME…|--all|--family NAME]");
    }
    let bars = Bars::new();
    let results = fetch_all(&entries, &Options::new(cache), &|entry, progress| {
        bars.tell(entry, progress);
    });
    let mut failed = 0;
    for result in results {
        match result {
            Ok(path) => println!("{}", path.display()),
            Err(error) => {
                failed += 1;
                eprintln!("error: {error}");
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {} models could not be fetched", entries.len()),
    }
}
