//! The folder that keeps complete files, each in a folder named after its SHA-256.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use regraft_spec::files::cache_folder;

use crate::options::{Listener, Progress};
use crate::part::sync_folder;
use crate::{Digest, Entry, Error, Result};

/// A folder of complete files: `ROOT/SHA-256/FILE`.
///
/// Beside them may lie `FILE.part` of a download that was cut off, and the lock of one that goes on. A file put by hand into
/// `ROOT` under its own name is checked and taken in by the next [`fetch`](crate::fetch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// A cache in this folder, which is made when it is first written to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the environment says: `REGRAFT_CACHE`, else `regraft/models` in `XDG_CACHE_HOME`, in `LOCALAPPDATA` on
    /// Windows, or in `~/.cache`.
    ///
    /// # Errors
    ///
    /// [`Error::NoCacheFolder`] where none of these is set.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&|name| std::env::var_os(name))
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(root) = set("REGRAFT_CACHE") {
            return Ok(Self::new(root));
        }
        match cache_folder(variable) {
            Some(folder) => Ok(Self::new(folder.join("models"))),
            None => Err(Error::NoCacheFolder),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the file of an entry is, once it is complete.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.folder(entry).join(&entry.file)
    }

    /// Where a user may put the file of an entry by hand.
    pub fn by_hand(&self, entry: &Entry) -> PathBuf {
        self.root.join(&entry.file)
    }

    /// The file of an entry, if it is there in its full size. Its bytes are not read: that is [`Cache::verify`].
    pub fn complete(&self, entry: &Entry) -> Option<PathBuf> {
        let path = self.path(entry);
        let found = path.metadata().ok()?;
        (found.is_file() && found.len() == entry.bytes).then_some(path)
    }

    /// Reads the file of an entry and checks its SHA-256.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`], [`Error::WrongSize`] or [`Error::WrongDigest`]; [`Error::Io`] where it cannot be read.
    pub fn verify(&self, entry: &Entry) -> Result<PathBuf> {
        let path = self.path(entry);
        if !path.is_file() {
            let name = entry.name.clone();
            return Err(Error::Absent { name, path });
        }
        check(&path, entry)?;
        Ok(path)
    }

    /// Takes in the bytes of an entry that the caller has, where its file is not there yet, and says where it is.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSize`] or [`Error::WrongDigest`] where they are another file's; [`Error::Io`] where they cannot be
    /// written.
    pub fn put(&self, entry: &Entry, bytes: &[u8]) -> Result<PathBuf> {
        if let Some(path) = self.complete(entry) {
            return Ok(path);
        }
        let found = bytes.len() as u64;
        if found != entry.bytes {
            let expected = entry.bytes;
            return Err(Error::WrongSize { expected, found });
        }
        let found = Digest::of(bytes);
        if found != entry.sha256 {
            let expected = entry.sha256;
            return Err(Error::WrongDigest { expected, found });
        }
        let folder = self.folder(entry);
        std::fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
        let path = self.path(entry);
        // A name of its own until it is whole: other processes may put the same file.
        let written = tempfile::NamedTempFile::new_in(&folder).and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map_err(Error::io("writing", &path))?;
        sync_folder(&self.folder(entry));
        Ok(path)
    }

    pub(crate) fn folder(&self, entry: &Entry) -> PathBuf {
        self.root.join(entry.sha256.to_string())
    }

    /// Keeps other processes and threads from fetching the same file until the result is dropped.
    pub(crate) fn lock(&self, entry: &Entry, listener: Listener<'_>) -> Result<File> {
        let folder = self.folder(entry);
        std::fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
        let path = folder.join(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => listener(Progress::Waiting),
            Err(TryLockError::Error(error)) => return Err(Error::io("locking", &path)(error)),
        }
        file.lock().map_err(Error::io("locking", &path))?;
        Ok(file)
    }
}

/// Checks size and SHA-256 of any file against an entry.
pub(crate) fn check(path: &Path, entry: &Entry) -> Result<()> {
    let mut file = File::open(path).map_err(Error::io("opening", path))?;
    let found = file.metadata().map_err(Error::io("reading", path))?.len();
    if found != entry.bytes {
        let expected = entry.bytes;
        return Err(Error::WrongSize { expected, found });
    }
    let found = Digest::read(&mut file).map_err(Error::io("reading", path))?;
    if found != entry.sha256 {
        let expected = entry.sha256;
        return Err(Error::WrongDigest { expected, found });
    }
    Ok(())
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn root(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Cache::from_variables(&lookup).ok().map(|cache| cache.root)
    }

    #[test]
    fn the_environment_says_where() {
        let all = [
            ("REGRAFT_CACHE", "zoo"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home/a"),
        ];
        assert_eq!(root(&all), Some("zoo".into()));
        assert_eq!(root(&all[1..]), Some("/xdg/regraft/models".into()));
        assert_eq!(
            root(&all[2..]),
            Some("/home/a/.cache/regraft/models".into())
        );
        assert_eq!(root(&[]), None);
    }

    #[test]
    fn empty_and_relative_variables_count_for_nothing() {
        let all = [
            ("REGRAFT_CACHE", ""),
            ("XDG_CACHE_HOME", "xdg"),
            ("HOME", "/home/a"),
        ];
        assert_eq!(root(&all), Some("/home/a/.cache/regraft/models".into()));
    }
}
