//! Files that appear whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} `{}`", path.display())]
pub struct FileError {
    /// What was being done: `reading` or `writing`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: the system's error while reading `path`.
    pub fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        Self::of("reading", path)
    }

    /// For `map_err`: the system's error while writing `path`.
    pub fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        Self::of("writing", path)
    }

    fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

/// Writes a file under a temporary name beside it, syncs it, and gives it its name.
///
/// # Errors
/// When the folder cannot be written to; what was there before is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_whole_by(path, |partial| std::fs::write(partial, bytes))
}

/// The same for contents that are never in memory as a whole: `write` makes the file at the path that it is given.
///
/// # Errors
/// As [`write_whole`], and when `write` fails.
pub fn write_whole_by(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = write(&partial)
        .and_then(|()| OpenOptions::new().write(true).open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, path));
    if let Err(source) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(FileError::writing(path)(source));
    }
    // The name is only safe once the folder is on disk too; not every system lets a folder be opened.
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Reads a whole file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(FileError::reading(path))
}

/// The folder of this user for what can be had again: `regraft` in `XDG_CACHE_HOME`, in `LOCALAPPDATA` on Windows, or in
/// `~/.cache`; none where the environment says none of these.
///
/// `variable` reads the environment.
pub fn cache_folder(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The XDG specification says to ignore relative paths.
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("LOCALAPPDATA").filter(|_| cfg!(windows)))
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("regraft"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        write_whole(&path, b"old").unwrap();
        let error = write_whole_by(&path, |partial| {
            std::fs::write(partial, b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(error.unwrap_err().path, path);
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
