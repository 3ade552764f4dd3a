//! Where a model's file is: a path, a run folder, or a name of the zoo.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::run_folder::{MODEL, replaced_model};
use crate::zoo_models::{self, Known};

/// A model's file, and what the zoo knows of it.
#[derive(Debug)]
pub(crate) struct Located {
    pub path: PathBuf,
    pub known: Known,
}

impl Located {
    /// A file that the zoo knows nothing of.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            known: Known::default(),
        }
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
            known: Known::of_file(path),
        });
    }
    let (path, known) = zoo_models::locate(name)?;
    Ok(Located { path, known })
}
