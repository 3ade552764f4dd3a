//! Files that appear whole or not at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::error::Error;

/// Writes a file under a temporary name beside it, syncs it, and gives it its name.
///
/// # Errors
/// When the folder cannot be written to; what was there before is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole_by(path, |partial| std::fs::write(partial, bytes))
}

/// The same for contents that are never in memory as a whole: `write` makes the file at the path that it is given.
///
/// # Errors
/// As [`write_whole`], and when `write` fails.
pub fn write_whole_by(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = write(&partial)
        .and_then(|()| OpenOptions::new().write(true).open(&partial)?.sync_all())
        .and_then(|()| std::fs::rename(&partial, path));
    if let Err(source) = written {
        let _ = std::fs::remove_file(&partial);
        return Err(Error::Io {
            action: "writing",
            path: path.to_owned(),
            source,
        });
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
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Io {
        action: "reading",
        path: path.to_owned(),
        source,
    })
}
