//! Where a model's file is: a path, a run folder, or a name of the zoo.

use std::path::{Path, PathBuf};

use regraft_data::Preprocess;
use regraft_zoo::{Cache, Entry, Manifest, Options, Progress, Weights};

use crate::error::Error;
use crate::run_folder::{MODEL, replaced_model};

/// A model's file, and what the zoo knows of it.
pub(crate) struct Located {
    pub path: PathBuf,
    entry: Option<Entry>,
}

impl Located {
    /// A file that the zoo knows nothing of.
    pub fn at(path: PathBuf) -> Self {
        Self { path, entry: None }
    }

    /// How the zoo says that images become numbers.
    pub fn preprocess(&self) -> Result<Option<Preprocess>, Error> {
        let Some(known) = self
            .entry
            .as_ref()
            .and_then(|entry| entry.preprocess.as_ref())
        else {
            return Ok(None);
        };
        // Both sides write the same keys.
        serde_json::to_value(known)
            .and_then(serde_json::from_value)
            .map(Some)
            .map_err(|error| Error::Unfit {
                reason: format!("the zoo's preprocessing cannot be used: {error}"),
            })
    }

    /// What the zoo says that the outputs mean.
    pub fn labels(&self) -> Option<Vec<String>> {
        self.entry.as_ref()?.labels.as_ref()?.names()
    }

    /// What a person should know before building on the weights.
    pub fn warning(&self) -> Option<String> {
        let entry = self.entry.as_ref()?;
        (entry.weights == Weights::Unverified).then(|| {
            format!(
                "nobody says how `{}` was trained, and its weights may be random: look at its accuracy on images it should know before building on it",
                entry.name
            )
        })
    }
}

/// The ONNX file that `name` means: itself, a run folder's best model, or that of a model of the zoo that was fetched.
///
/// # Errors
/// When there is none of these.
pub fn model_file(name: &str) -> Result<PathBuf, Error> {
    locate(name).map(|located| located.path)
}

pub(crate) fn locate(name: &str) -> Result<Located, Error> {
    let path = Path::new(name);
    if path.is_dir() {
        let best = path.join(MODEL);
        if best.is_file() {
            return Ok(Located::at(best));
        }
        let reason = match replaced_model(path) {
            Some(earlier) => format!(
                "it holds no model.onnx yet; that of the run which it replaces is `{}`",
                earlier.display()
            ),
            None => "it holds no model.onnx yet; train it first, or give an ONNX file".to_owned(),
        };
        return Err(Error::Run {
            path: path.to_owned(),
            reason,
        });
    }
    if path.is_file() {
        return Ok(Located {
            path: path.to_owned(),
            entry: of_cached(path),
        });
    }
    let cache = Cache::from_env()?;
    let entry = entry(&cache, name)?;
    match cache.complete(&entry) {
        Some(path) => Ok(Located {
            path,
            entry: Some(entry),
        }),
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
