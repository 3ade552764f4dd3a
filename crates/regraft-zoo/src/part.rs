//! A file in the making: never more bytes than promised, and its name only once they are the right ones.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::digest::{CHUNK, Hasher};
use crate::options::{Listener, Progress};
use crate::{Entry, Error, Result};

/// `FILE.part` beside where `FILE` will be. The caller holds the cache's lock.
pub(crate) struct Part<'a> {
    entry: &'a Entry,
    path: PathBuf,
    target: PathBuf,
    file: File,
    hasher: Hasher,
    done: u64,
}

/// How a copy ended.
pub(crate) enum Copied {
    /// The file has all its bytes.
    All,
    /// The reader ended early.
    Short,
    /// The reader failed.
    Broken(io::Error),
}

impl<'a> Part<'a> {
    /// Goes on from what an earlier try left, or starts anew.
    pub fn open(cache: &Cache, entry: &'a Entry) -> Result<Self> {
        let target = cache.path(entry);
        let path = cache.folder(entry).join(format!("{}.part", entry.file));
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let mut part = Self {
            entry,
            path,
            target,
            file,
            hasher: Hasher::default(),
            done: 0,
        };
        part.take_up()?;
        Ok(part)
    }

    fn take_up(&mut self) -> Result<()> {
        let length = self
            .file
            .metadata()
            .map_err(Error::io("reading", &self.path))?
            .len();
        if length > self.entry.bytes {
            return self.restart();
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = self
                .file
                .read(&mut buffer)
                .map_err(Error::io("reading", &self.path))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.done += count as u64;
        }
    }

    /// Forgets all bytes.
    pub fn restart(&mut self) -> Result<()> {
        self.hasher = Hasher::default();
        self.done = 0;
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(Error::io("emptying", &self.path))?;
        Ok(())
    }

    /// Bytes so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Bytes to come.
    pub fn missing(&self) -> u64 {
        self.entry.bytes - self.done
    }

    /// What it is to become.
    pub fn entry(&self) -> &'a Entry {
        self.entry
    }

    /// The folder that is this fetch's own while the lock is held.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// Appends what the reader gives, at most the missing bytes.
    ///
    /// # Errors
    ///
    /// Only where the part cannot be written.
    pub fn copy(&mut self, reader: &mut dyn Read, listener: Listener<'_>) -> Result<Copied> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let total = self.entry.bytes;
            listener(Progress::Bytes {
                done: self.done,
                total,
            });
            let wanted = self.missing().min(CHUNK as u64) as usize;
            if wanted == 0 {
                return Ok(Copied::All);
            }
            let count = match reader.read(&mut buffer[..wanted]) {
                Ok(0) => return Ok(Copied::Short),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Copied::Broken(error)),
            };
            self.file
                .write_all(&buffer[..count])
                .map_err(Error::io("writing", &self.path))?;
            self.hasher.update(&buffer[..count]);
            self.done += count as u64;
        }
    }

    /// Checks the bytes; only if they are right does the file get its name. Wrong ones are forgotten.
    pub fn finish(&mut self) -> Result<PathBuf> {
        let Entry { bytes, sha256, .. } = *self.entry;
        if self.done != bytes {
            return Err(Error::WrongSize {
                expected: bytes,
                found: self.done,
            });
        }
        let found = self.hasher.clone().finish();
        if found != sha256 {
            self.restart()?;
            return Err(Error::WrongDigest {
                expected: sha256,
                found,
            });
        }
        self.file
            .sync_all()
            .map_err(Error::io("syncing", &self.path))?;
        std::fs::rename(&self.path, &self.target).map_err(Error::io("naming", &self.target))?;
        sync_folder(self.folder());
        Ok(self.target.clone())
    }
}

/// Makes a rename last through a power cut, where the system knows how.
pub(crate) fn sync_folder(folder: &Path) {
    if cfg!(unix) {
        // The file is complete either way; at worst it is fetched again.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}
