//! What the zoo knows of a model: with the feature `zoo`.

use std::path::{Path, PathBuf};

use regraft_spec::Preprocess;
use regraft_zoo::{Cache, Entry, Manifest, Options, Progress, Weights};

use crate::error::Error;

/// What the zoo knows of a model's file; nothing of most files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known(Option<Entry>);

impl Known {
    /// What it knows of a file that lies in its cache folder.
    pub fn of_file(path: &Path) -> Self {
        Self(of_cached(path))
    }

    /// How the zoo says that images become numbers.
    pub fn preprocess(&self) -> Option<Preprocess> {
        self.0.as_ref()?.preprocess.as_ref().map(Preprocess::from)
    }

    /// What the zoo says that the outputs mean.
    pub fn labels(&self) -> Option<Vec<String>> {
        self.0.as_ref()?.labels.as_ref()?.names()
    }

    /// What a person should know before building on the weights.
    #[cfg_attr(not(feature = "recipe"), allow(dead_code))]
    pub fn warning(&self) -> Option<String> {
        let entry = self.0.as_ref()?;
        (entry.weights == Weights::Unverified).then(|| {
            format!(
                "nobody says how `{}` was trained, and its weights may be random: look at its accuracy on images it should know before building on it",
                entry.name
            )
        })
    }
}

/// The file of a model of the zoo, where it is on this machine.
pub(crate) fn locate(name: &str) -> Result<(PathBuf, Known), Error> {
    let cache = Cache::from_env()?;
    let entry = entry(&cache, name)?;
    match cache.complete(&entry) {
        Some(path) => Ok((path, Known(Some(entry)))),
        None => Err(Error::NotFetched {
            name: name.to_owned(),
        }),
    }
}

/// Brings the file of a model of the zoo to this machine, where `name` is one and its file is not here yet.
///
/// # Errors
/// When `name` is no file, run folder or name of the zoo, or none of its sources gives the file.
pub fn fetch_model(
    name: &str,
    options: &Options,
    listener: &mut dyn FnMut(&Entry, Progress<'_>),
) -> Result<(), Error> {
    if Path::new(name).exists() {
        return Ok(());
    }
    let entry = entry(&options.cache, name)?;
    if options.cache.complete(&entry).is_none() {
        regraft_zoo::fetch(&entry, options, &mut |progress| listener(&entry, progress))?;
    }
    Ok(())
}

fn entry(cache: &Cache, name: &str) -> Result<Entry, Error> {
    match cache.manifest()?.get(name) {
        Ok(entry) => Ok(entry.clone()),
        Err(regraft_zoo::Error::Unknown { name, near }) => Err(Error::NoModel { name, near }),
        Err(error) => Err(error.into()),
    }
}

/// The entry of a file that lies in the cache folder.
fn of_cached(path: &Path) -> Option<Entry> {
    let cache = Cache::from_env().ok()?;
    let root = cache.root().canonicalize().ok()?;
    let whole = path.canonicalize().ok()?;
    if !whole.starts_with(&root) {
        return None;
    }
    let manifest: Manifest = cache.manifest().ok()?;
    let digest = whole.parent()?.file_name()?.to_str()?;
    let own = |entry: &&Entry| entry.sha256.to_string() == digest;
    manifest.entries().iter().find(own).cloned()
}
