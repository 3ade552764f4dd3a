//! Files that are already on this machine: local sources and mirrors, and what was put into the cache by hand.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cache::{self, Cache};
use crate::options::{Listener, Trouble};
use crate::part::{Copied, Part, sync_folder};
use crate::{Entry, Error, Result};

/// Copies a file, or the file of that name in a folder. Nothing is touched before its bytes were found right.
pub(crate) fn copy(
    path: &Path,
    part: &mut Part<'_>,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    let path = in_folder(path, part.entry());
    cache::check(&path, part.entry()).map_err(Trouble::Lasting)?;
    let mut file =
        File::open(&path).map_err(|error| Trouble::Lasting(Error::io("opening", &path)(error)))?;
    part.restart().map_err(Trouble::Fatal)?;
    match part.copy(&mut file, listener).map_err(Trouble::Fatal)? {
        Copied::All => Ok(()),
        Copied::Short => Err(Trouble::Lasting(Error::WrongSize {
            expected: part.entry().bytes,
            found: part.done(),
        })),
        Copied::Broken(error) => Err(Trouble::Lasting(Error::io("reading", &path)(error))),
    }
}

/// The file itself, where a folder was named.
pub(crate) fn in_folder(path: &Path, entry: &Entry) -> PathBuf {
    if path.is_dir() {
        return path.join(&entry.file);
    }
    path.to_owned()
}

/// Takes in a file that was put into the cache by hand, if there is one.
pub(crate) fn adopt(cache: &Cache, entry: &Entry) -> Option<Result<PathBuf>> {
    let found = cache.by_hand(entry);
    if !found.is_file() {
        return None;
    }
    let target = cache.path(entry);
    let moved = cache::check(&found, entry).and_then(|()| {
        std::fs::rename(&found, &target).map_err(Error::io("moving", &found))?;
        sync_folder(&cache.folder(entry));
        Ok(target)
    });
    Some(moved)
}
