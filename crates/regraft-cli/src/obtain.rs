//! Models at hand before a verb works on them: the one that comes with the command, and those of the zoo.

use std::path::Path;

use anyhow::Result;
use regraft_zoo::{Bars, Cache, Manifest, Options};

use crate::say::Talk;

/// The embedded network: the name that `--model` and recipes know it by. Its file needs no fetching.
pub const EMBEDDED: &str = "squeezenet1.1";
/// Its file.
pub static MODEL: &[u8] = include_bytes!("../../../models/squeezenet1.1-imagenet.onnx");

/// Puts the embedded network's file into the cache folder, where `name` is its name.
pub fn unpack(cache: &Cache, manifest: &Manifest, name: &str) -> Result<()> {
    let entry = manifest.get(EMBEDDED).map_err(regraft::Error::from)?;
    if name == entry.name || name == entry.file.trim_end_matches(".onnx") {
        cache.put(entry, MODEL).map_err(regraft::Error::from)?;
    }
    Ok(())
}

/// Fetches the model that a verb works on, where it is one of the zoo's and not here yet.
pub fn obtain(name: &str, talk: Talk) -> Result<()> {
    if Path::new(name).exists() {
        return Ok(());
    }
    let options = Options::new(Cache::from_env().map_err(regraft::Error::from)?);
    let manifest = options.cache.manifest().map_err(regraft::Error::from)?;
    unpack(&options.cache, &manifest, name)?;
    let bars = Bars::new();
    regraft::fetch_model(name, &options, &mut |entry, progress| {
        if talk > Talk::Quiet {
            bars.tell(entry, progress);
        }
    })?;
    Ok(())
}
