//! `regraft models`: the zoo on the command line.

use std::path::Path;

use anyhow::{Result, bail};
use regraft_zoo::{Bars, Cache, Entry, Error, Manifest, Options, Source, Weights, fetch_all};

use crate::arguments::{Fetching, Models};
use crate::verbs::Talk;
use crate::{embedded, print, say};

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
                embedded::unpack(&cache, &manifest, &entry.name)?;
            }
            get(&entries, &options(cache, &fetching)?, talk, json)
        }
        Models::Verify { names, json } => verify(&cache, &manifest, &names, json),
        Models::Path { name } => {
            let entry = known(&manifest, &name)?;
            embedded::unpack(&cache, &manifest, &entry.name)?;
            match cache.complete(entry) {
                Some(path) => print::line(format_args!("{}", path.display())),
                None => Err(regraft::Error::NotFetched { name }.into()),
            }
        }
        Models::Add { .. } => Ok(()),
    }
}

/// Fetches the model that a verb works on, where it is one of the zoo's and not here yet.
pub fn obtain(name: &str, talk: Talk) -> Result<()> {
    if Path::new(name).exists() {
        return Ok(());
    }
    let options = Options::new(Cache::from_env().map_err(regraft::Error::from)?);
    let manifest = options.cache.manifest().map_err(regraft::Error::from)?;
    embedded::unpack(&options.cache, &manifest, name)?;
    let bars = Bars::new();
    regraft::fetch_model(name, &options, &mut |entry, progress| {
        if talk > Talk::Quiet {
            bars.tell(entry, progress);
        }
    })?;
    Ok(())
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
        print::json(&rows)?;
    }
    let mut failures = Vec::new();
    for (entry, result) in entries.iter().zip(results) {
        match result {
            Ok(path) if !json => {
                print::line(format_args!("{}", path.display()))?;
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
        return print::json(&rows);
    }
    print::line(format_args!(
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
        print::line(format_args!("{}", row.trim_end()))?;
    }
    if unverified {
        print::line(format_args!(
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
            print::line(format_args!("{:36} {verdict}", entry.name))?;
        }
    }
    if json {
        print::json(&rows)?;
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
        print::line(format_args!("{}", entry.name))?;
    }
    Ok(())
}
