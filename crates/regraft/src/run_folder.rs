//! A run's folder: made once, locked while it is worked in.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A run folder that this process alone works in.
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// Held until the folder is dropped.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder `out`, or the next free `runs/<name>-N`.
    ///
    /// # Errors
    /// When `out` exists, is not empty and `overwrite` is off; when it cannot be made; when another run works in it.
    pub fn create(out: Option<&Path>, name: &str, overwrite: bool) -> Result<Self, Error> {
        let path = match out {
            Some(path) => {
                let occupied =
                    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
                if occupied && !overwrite {
                    return Err(Error::Run {
                        path: path.to_owned(),
                        reason: "it is not empty; choose another `--out`, go on with `regraft resume`, or pass `--overwrite`"
                            .to_owned(),
                    });
                }
                std::fs::create_dir_all(path).map_err(|source| io("writing", path, source))?;
                path.to_owned()
            }
            None => next_free(name)?,
        };
        let folder = Self::lock(path)?;
        if overwrite {
            folder.clear()?;
        }
        Ok(folder)
    }

    /// Takes an existing run folder to go on in.
    ///
    /// # Errors
    /// When it is no run folder, or another run works in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.join("recipe.toml").is_file() {
            return Err(Error::Run {
                path: path.to_owned(),
                reason: "it holds no recipe.toml, so it is no run folder".to_owned(),
            });
        }
        Self::lock(path.to_owned())
    }

    fn lock(path: PathBuf) -> Result<Self, Error> {
        let name = path.join("run.lock");
        let file = File::create(&name).map_err(|source| io("writing", &name, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Run {
                path,
                reason: "another run is working in it; wait for it, or choose another `--out`"
                    .to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(io("locking", &name, source)),
        }
    }

    /// Removes what an earlier run left, and nothing else.
    fn clear(&self) -> Result<(), Error> {
        const OURS: [&str; 10] = [
            "recipe.toml",
            "plan.txt",
            "plan.json",
            "metrics.csv",
            "metrics.jsonl",
            "model.onnx",
            "last.onnx",
            "labels.txt",
            "summary.json",
            "train.log",
        ];
        for name in OURS {
            let path = self.path.join(name);
            if path.exists() {
                std::fs::remove_file(&path).map_err(|source| io("removing", &path, source))?;
            }
        }
        let checkpoints = self.path.join("checkpoints");
        if checkpoints.exists() {
            std::fs::remove_dir_all(&checkpoints)
                .map_err(|source| io("removing", &checkpoints, source))?;
        }
        Ok(())
    }
}

/// Makes `runs/<name>-N` with the smallest N that is free; two processes never get the same.
fn next_free(name: &str) -> Result<PathBuf, Error> {
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).map_err(|source| io("writing", runs, source))?;
    for number in 1.. {
        let path = runs.join(format!("{name}-{number}"));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(io("writing", &path, source)),
        }
    }
    Err(Error::Run {
        path: runs.to_owned(),
        reason: "no number is free".to_owned(),
    })
}

pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
