//! The network that comes with the command: a name of the zoo whose file needs no fetching.

use anyhow::Result;
use regraft_zoo::{Cache, Manifest};

/// The name that `--model` and recipes know it by.
pub const NAME: &str = "squeezenet1.1";
/// Its file.
pub static MODEL: &[u8] = include_bytes!("../../../models/squeezenet1.1-imagenet.onnx");

/// Puts the embedded network's file into the cache folder, where `name` is its name.
pub fn unpack(cache: &Cache, manifest: &Manifest, name: &str) -> Result<()> {
    let entry = manifest.get(NAME).map_err(regraft::Error::from)?;
    if name == entry.name || name == entry.file.trim_end_matches(".onnx") {
        cache.put(entry, MODEL).map_err(regraft::Error::from)?;
    }
    Ok(())
}
