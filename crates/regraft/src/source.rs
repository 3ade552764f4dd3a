//! Where a model's file is: a path, or a run folder.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The ONNX file that `name` means: itself, or a run folder's best model.
///
/// # Errors
/// When there is neither.
pub fn model_file(name: &str) -> Result<PathBuf, Error> {
    let path = Path::new(name);
    if path.is_dir() {
        let best = path.join("model.onnx");
        if best.is_file() {
            return Ok(best);
        }
        return Err(Error::Run {
            path: path.to_owned(),
            reason: "it holds no model.onnx yet; train it first, or give an ONNX file".to_owned(),
        });
    }
    if path.is_file() {
        return Ok(path.to_owned());
    }
    Err(Error::NoModel {
        name: name.to_owned(),
    })
}
