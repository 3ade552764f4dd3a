//! A run's folder: made once, locked while it is worked in, never cleared before something better is there.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::run_file::RunFile;
#[cfg(feature = "recipe")]
use crate::run_files::RunFiles;

/// Where the earlier run lies until the one that replaces it has a model.
const REPLACED: &str = "replaced";
/// The same while its files are being moved there or back: whoever finds it moves them back.
const MOVING: &str = "replaced.partial";
/// The best model of a run.
pub(crate) const MODEL: &str = RunFile::Best.name();

/// A run folder that this process alone works in.
#[derive(Debug)]
pub struct RunFolder {
    /// The folder.
    pub path: PathBuf,
    /// Held until the folder is dropped.
    _lock: File,
}

impl RunFolder {
    /// Its files.
    #[cfg(feature = "recipe")]
    pub fn files(&self) -> RunFiles {
        RunFiles::at(&self.path)
    }

    /// Makes the folder `out`, or the next free `runs/<name>-N`.
    ///
    /// With `overwrite`, a run in `out` is moved aside within it, until [`conclude`](Self::conclude).
    ///
    /// # Errors
    /// When `out` is not empty and `overwrite` is off, or what it holds is no run; when it holds `model`, the file to start
    /// from; when it cannot be made; when another run works in it.
    pub fn create(
        out: Option<&Path>,
        name: &str,
        overwrite: bool,
        model: &Path,
    ) -> Result<Self, Error> {
        let Some(path) = out else {
            return Self::lock(next_free(name)?);
        };
        let refused = |reason: &str| {
            Err(Error::Run {
                path: path.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let mut entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(path).map_err(|source| io("writing", path, source))?;
                return Self::lock(path.to_owned());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return refused("it is a file; choose another `--out`");
            }
            Err(source) => return Err(io("reading", path, source)),
        };
        let occupied = entries.next().is_some();
        if !occupied {
            return Self::lock(path.to_owned());
        }
        if !is_run(path) {
            return refused("it holds files that are no run; choose another `--out`");
        }
        if !overwrite {
            return refused(
                "it holds a run; choose another `--out`, go on with `regraft resume`, or pass `--overwrite`",
            );
        }
        if lies_in(model, path) {
            return refused(
                "the model to start from lies in the run that would be replaced; choose another `--out`",
            );
        }
        let folder = Self::lock(path.to_owned())?;
        folder.move_aside()?;
        Ok(folder)
    }

    /// Takes an existing run folder to go on in.
    ///
    /// # Errors
    /// When it is no run folder, or another run works in it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !is_run(path) {
            return Err(Error::Run {
                path: path.to_owned(),
                reason: match path.is_dir() {
                    true => "it holds no recipe.toml and plan.json, so it is no run folder",
                    false => "there is no such folder, so it is no run folder",
                }
                .to_owned(),
            });
        }
        Self::lock(path.to_owned())
    }

    fn lock(path: PathBuf) -> Result<Self, Error> {
        let name = path.join("run.lock");
        let file = File::create(&name).map_err(|source| io("writing", &name, source))?;
        match file.try_lock() {
            Ok(()) => {
                let folder = Self { path, _lock: file };
                folder.recover()?;
                Ok(folder)
            }
            Err(TryLockError::WouldBlock) => Err(Error::Run {
                path,
                reason: "another run is working in it; wait for it, or choose another `--out`"
                    .to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(io("locking", &name, source)),
        }
    }

    /// Moves the run in this folder aside. Where an earlier run already lies there, the one in the folder never had a model
    /// and goes.
    fn move_aside(&self) -> Result<(), Error> {
        let aside = self.path.join(REPLACED);
        if aside.is_dir() {
            if !self.path.join(MODEL).exists() {
                return remove_ours(&self.path);
            }
            self.settle()?;
        }
        let moving = self.path.join(MOVING);
        std::fs::create_dir_all(&moving).map_err(|source| io("writing", &moving, source))?;
        move_ours(&self.path, &moving)?;
        std::fs::rename(&moving, &aside).map_err(|source| io("moving", &moving, source))
    }

    /// Undoes a move that was cut off half-way.
    fn recover(&self) -> Result<(), Error> {
        let moving = self.path.join(MOVING);
        if moving.is_dir() {
            move_ours(&moving, &self.path)?;
            let _ = std::fs::remove_dir(&moving);
        }
        Ok(())
    }

    /// Ends the replacement of an earlier run: that goes once its successor has a model, and comes back where the successor
    /// ended without one and is not `resumable`.
    ///
    /// # Errors
    /// When a file cannot be removed or moved.
    pub fn conclude(&self, resumable: bool) -> Result<(), Error> {
        let aside = self.path.join(REPLACED);
        if !aside.is_dir() {
            return Ok(());
        }
        if self.path.join(MODEL).exists() {
            return self.settle();
        }
        if resumable {
            return Ok(());
        }
        remove_ours(&self.path)?;
        let moving = self.path.join(MOVING);
        std::fs::rename(&aside, &moving).map_err(|source| io("moving", &aside, source))?;
        self.recover()
    }

    /// Removes the run that was moved aside.
    fn settle(&self) -> Result<(), Error> {
        let aside = self.path.join(REPLACED);
        remove_ours(&aside)?;
        // Whatever somebody else put there stays.
        let _ = std::fs::remove_dir(&aside);
        Ok(())
    }
}

/// Whether a folder holds a run: the files that every run begins by writing, here or on their way.
pub(crate) fn is_run(path: &Path) -> bool {
    let holds = |folder: &Path| {
        let written = [RunFile::Recipe, RunFile::Plan].map(RunFile::name);
        written.iter().all(|name| folder.join(name).is_file())
    };
    let mut moved = [MOVING, REPLACED].iter().map(|name| path.join(name));
    path.join("run.lock").is_file() && (holds(path) || moved.any(|folder| folder.is_dir()))
}

/// Where the model of a run that is being replaced lies, while its successor has none.
pub(crate) fn replaced_model(run: &Path) -> Option<PathBuf> {
    [REPLACED, MOVING]
        .map(|name| run.join(name).join(MODEL))
        .into_iter()
        .find(|path| path.is_file())
}

fn lies_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

fn move_ours(from: &Path, to: &Path) -> Result<(), Error> {
    for name in RunFile::ALL.map(RunFile::name) {
        let path = from.join(name);
        if path.exists() {
            std::fs::rename(&path, to.join(name)).map_err(|source| io("moving", &path, source))?;
        }
    }
    Ok(())
}

fn remove_ours(folder: &Path) -> Result<(), Error> {
    for name in RunFile::ALL.map(RunFile::name) {
        let path = folder.join(name);
        let removed = match path.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false if path.exists() => std::fs::remove_file(&path),
            false => Ok(()),
        };
        removed.map_err(|source| io("removing", &path, source))?;
    }
    Ok(())
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
