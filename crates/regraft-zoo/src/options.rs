//! How files are fetched, and what is told meanwhile.

use std::time::Duration;

use crate::{Cache, Error, Source};

/// How files are fetched.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where files are kept.
    pub cache: Cache,
    /// Folders and addresses that may hold the files under their own names: tried in order, before the manifest's sources.
    pub mirrors: Vec<Source>,
    /// Use the cache, folders and local sources only.
    pub offline: bool,
    /// Tries after the first one, a source. A try that brought a mebibyte or more does not count.
    pub retries: u32,
    /// Wait before the first retry; doubles each time, up to `longest_wait`.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for more (`Retry-After`) is given up.
    pub longest_wait: Duration,
    /// How long a server may stay silent.
    pub timeout: Duration,
    /// Downloads at once in [`fetch_all`](crate::fetch_all), at least 1.
    pub parallel: usize,
    /// The Python that has pip, for `pip:` sources.
    pub python: String,
    /// The npm program, for `npm:` sources.
    pub npm: String,
}

impl Options {
    /// The usual numbers, with this cache.
    pub fn new(cache: Cache) -> Self {
        Self {
            cache,
            mirrors: Vec::new(),
            offline: false,
            retries: 4,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            timeout: Duration::from_secs(60),
            parallel: 3,
            python: if cfg!(windows) { "python" } else { "python3" }.to_owned(),
            npm: if cfg!(windows) { "npm.cmd" } else { "npm" }.to_owned(),
        }
    }
}

/// What happens during a fetch.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Another process or thread fetches the same file; its end is awaited.
    Waiting,
    /// A source is tried.
    Trying {
        /// The source, as the manifest writes it.
        source: &'a str,
    },
    /// So much of the file is there.
    Bytes {
        /// Bytes so far, those of an earlier try included.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A try failed, and the same source is tried again after a wait.
    Retrying {
        /// What went wrong.
        reason: &'a Error,
        /// How long it waits.
        wait: Duration,
    },
    /// A source gave nothing; the next one is tried.
    Failed {
        /// The source.
        source: &'a str,
        /// What went wrong.
        reason: &'a Error,
    },
}

/// Who is told.
pub(crate) type Listener<'a> = &'a mut dyn FnMut(Progress<'_>);

/// Why a source gave nothing, and what follows from it.
pub(crate) enum Trouble {
    /// Another try may work.
    Passing(Error),
    /// This source will not give the file; another may.
    Lasting(Error),
    /// Nothing will work: the cache itself cannot be written.
    Fatal(Error),
}
