//! `regraft models`: the zoo on the command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use regraft_zoo::{Bars, Cache, Entry, Error, Manifest, Options, Source, Weights, fetch_all};

use crate::obtain::unpack;
use crate::say::Talk;
use crate::{output, say};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft models list vgg
  regraft models get resnet18
  regraft models path resnet18";

/// The verbs of the zoo.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models that are known.
    List {
        /// Names, families or architectures; without them, all.
        names: Vec<String>,
        /// Only those that are on this machine.
        #[arg(long)]
        here: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch models into the cache folder.
    Get {
        /// Their names.
        names: Vec<String>,
        /// A whole family, e.g. `vgg`.
        #[arg(long, value_name = "NAME")]
        family: Vec<String>,
        /// All that are known: tens of gigabytes.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        fetching: Fetching,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read fetched models again and check their SHA-256.
    Verify {
        /// Their names; without them, all that are on this machine.
        names: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print where a fetched model's file is.
    Path {
        /// Its name.
        name: String,
    },
    /// Make the models of a manifest of your own known; the file stays where it is.
    Add {
        /// The manifest, a TOML file.
        manifest: PathBuf,
        /// Take it off the list again.
        #[arg(long)]
        forget: bool,
    },
}

/// How files are fetched.
#[derive(Debug, Args)]
pub struct Fetching {
    /// An address or folder that may hold the files under their own names, tried before the manifest's sources; may be
    /// given several times, in order.
    #[arg(long, value_name = "URL|DIR")]
    pub mirror: Vec<String>,
    /// Use what is on this machine only.
    #[arg(long)]
    pub offline: bool,
    /// Downloads at once.
    #[arg(long, default_value_t = 3)]
    pub parallel: usize,
}

pub fn run(verb: Models, talk: Talk) -> Result<()> {
    let cache = Cache::from_env().map_err(regraft::Error::from)?;
    if let Models::Add { manifest, forget } = &verb {
        return add(&cache, manifest, *forget);
    }
    let manifest = cache.manifest().map_err(regraft::Error::from)?;
    match verb {
        Models::List { names, here, json } => list(&cache, &manifest, &names, here, json),
        Models::Get {
            names,
            family,
            all,
            fetching,
            json,
        } => {
            let entries = wanted(&manifest, &names, &family, all)?;
            for entry in &entries {
                unpack(&cache, &manifest, &entry.name)?;
            }
            get(&entries, &options(cache, &fetching)?, talk, json)
        }
        Models::Verify { names, json } => verify(&cache, &manifest, &names, json),
        Models::Path { name } => {
            let entry = known(&manifest, &name)?;
            unpack(&cache, &manifest, &entry.name)?;
            match cache.complete(entry) {
                Some(path) => output::line(format_args!("{}", path.display())),
                None => Err(regraft::Error::NotFetched { name }.into()),
            }
        }
        Models::Add { .. } => Ok(()),
    }
}

fn options(cache: Cache, fetching: &Fetching) -> Result<Options> {
    let here = std::env::current_dir()?;
    let mirrors = fetching
        .mirror
        .iter()
        .map(|text| match Source::parse(text, &here) {
            Ok(source @ (Source::Http(_) | Source::Local(_))) => Ok(source),
            Ok(_) => bail!("--mirror {text}: expected an address or a folder"),
            Err(reason) => bail!("--mirror: {reason}"),
        })
        .collect::<Result<_>>()?;
    Ok(Options {
        mirrors,
        offline: fetching.offline,
        parallel: fetching.parallel.max(1),
        ..Options::new(cache)
    })
}

fn known<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a Entry> {
    Ok(manifest.get(name).map_err(regraft::Error::from)?)
}

fn wanted<'a>(
    manifest: &'a Manifest,
    names: &[String],
    families: &[String],
    all: bool,
) -> Result<Vec<&'a Entry>> {
    let entries = manifest
        .select(names, families, all)
        .map_err(regraft::Error::from)?;
    if entries.is_empty() {
        bail!(
            "name the models to fetch, or give --family or --all; `regraft models list` shows them"
        );
    }
    Ok(entries)
}

fn get(entries: &[&Entry], options: &Options, talk: Talk, json: bool) -> Result<()> {
    let bars = Bars::new();
    let results = fetch_all(entries, options, &|entry, progress| {
        if talk > Talk::Quiet {
            bars.tell(entry, progress);
        }
    });
    if json {
        let rows: Vec<_> = entries
            .iter()
            .zip(&results)
            .map(|(entry, result)| match result {
                Ok(path) => serde_json::json!({"name": entry.name, "path": path}),
                Err(error) => serde_json::json!({"name": entry.name, "error": error.to_string()}),
            })
            .collect();
        output::json(&rows)?;
    }
    let mut failures = Vec::new();
    for (entry, result) in entries.iter().zip(results) {
        match result {
            Ok(path) if !json => {
                output::line(format_args!("{}", path.display()))?;
                if entry.weights == Weights::Unverified && talk > Talk::Quiet {
                    say::line(format_args!(
                        "warning: nobody says how `{}` was trained; its weights may be random",
                        entry.name
                    ));
                }
            }
            Ok(_) => {}
            Err(error) => failures.push(error),
        }
    }
    match failures.len() {
        0 => Ok(()),
        1 => Err(regraft::Error::from(failures.remove(0)).into()),
        count => {
            let all: Vec<String> = failures.iter().map(ToString::to_string).collect();
            bail!(
                "{count} of {} models could not be fetched:\n{}",
                entries.len(),
                all.join("\n")
            )
        }
    }
}

fn list(
    cache: &Cache,
    manifest: &Manifest,
    names: &[String],
    here: bool,
    json: bool,
) -> Result<()> {
    let mut entries: Vec<&Entry> = Vec::new();
    for name in names {
        match manifest.get(name) {
            Ok(entry) => entries.push(entry),
            Err(_) => entries.extend(manifest.family(name).map_err(regraft::Error::from)?),
        }
    }
    if names.is_empty() {
        entries = manifest.entries().iter().collect();
    }
    entries.retain(|entry| !here || cache.complete(entry).is_some());
    if json {
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                serde_json::json!({
                    "name": entry.name,
                    "short": entry.short,
                    "family": entry.family,
                    "architecture": entry.architecture,
                    "opset": entry.opset,
                    "bytes": entry.bytes,
                    "sha256": entry.sha256.to_string(),
                    "license": entry.license,
                    "top1": entry.top1,
                    "head": entry.head,
                    "verified_weights": entry.weights == Weights::Trained,
                    "sources": entry.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "path": cache.complete(entry),
                })
            })
            .collect();
        return output::json(&rows);
    }
    output::line(format_args!(
        "{:36} {:18} {:>8} {:>6}  {:14} here",
        "name", "short name", "MB", "top-1", "licence"
    ))?;
    let mut unverified = false;
    for entry in &entries {
        let mark = match entry.weights {
            Weights::Trained => " ",
            Weights::Unverified => "?",
        };
        unverified |= entry.weights == Weights::Unverified;
        let top1 = entry
            .top1
            .map_or(String::new(), |top1| format!("{top1:.1}"));
        let row = format!(
            "{:35}{mark} {:18} {:>8.1} {:>6}  {:14} {}",
            entry.name,
            entry.short.as_deref().unwrap_or(""),
            entry.bytes as f64 / 1e6,
            top1,
            entry.license.as_deref().unwrap_or("unknown"),
            if cache.complete(entry).is_some() {
                "yes"
            } else {
                ""
            },
        );
        output::line(format_args!("{}", row.trim_end()))?;
    }
    if unverified {
        output::line(format_args!(
            "\n? nobody says how these were trained; their weights may be random"
        ))?;
    }
    Ok(())
}

fn verify(cache: &Cache, manifest: &Manifest, names: &[String], json: bool) -> Result<()> {
    let entries: Vec<&Entry> = match names.is_empty() {
        false => names
            .iter()
            .map(|name| known(manifest, name))
            .collect::<Result<_>>()?,
        // A file of another size is there, and wrong.
        true => manifest
            .entries()
            .iter()
            .filter(|entry| cache.path(entry).exists())
            .collect(),
    };
    let mut wrong = 0;
    let mut rows = Vec::new();
    for entry in &entries {
        let found: Result<_, Error> = cache.verify(entry);
        wrong += usize::from(found.is_err());
        let verdict = match &found {
            Ok(_) => "right".to_owned(),
            Err(error) => error.to_string(),
        };
        if json {
            rows.push(
                serde_json::json!({"name": entry.name, "right": found.is_ok(), "verdict": verdict}),
            );
        } else {
            output::line(format_args!("{:36} {verdict}", entry.name))?;
        }
    }
    if json {
        output::json(&rows)?;
    }
    match wrong {
        0 => Ok(()),
        _ => bail!(
            "{wrong} of {} models are not as they should be; `regraft models get NAME` fetches them again",
            entries.len()
        ),
    }
}

fn add(cache: &Cache, path: &Path, forget: bool) -> Result<()> {
    if forget {
        return match cache.forget(path).map_err(regraft::Error::from)? {
            true => Ok(()),
            false => bail!("`{}` is not on the list of manifests", path.display()),
        };
    }
    for entry in cache.register(path).map_err(regraft::Error::from)? {
        output::line(format_args!("{}", entry.name))?;
    }
    Ok(())
}
