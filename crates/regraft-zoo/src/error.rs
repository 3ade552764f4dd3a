//! What can go wrong between a model's name and its file.

use std::path::{Path, PathBuf};

use crate::Digest;

/// What is wrong, and what would work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The manifest is no TOML of the known form.
    #[error("manifest {}: {message}", .origin)]
    Manifest {
        /// The file, or what stands for it.
        origin: String,
        /// What the parser says, with line and column.
        message: String,
    },
    /// An entry of the manifest cannot be used.
    #[error("manifest {origin}: model `{name}`: {reason}")]
    Entry {
        /// The file, or what stands for it.
        origin: String,
        /// The entry.
        name: String,
        /// What is wrong with it, and what would work.
        reason: String,
    },
    /// A name that no manifest has.
    #[error("no model or family is named `{name}`; {}", suggest(.near))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// No folder for the cache can be derived from the environment.
    #[error(
        "no cache folder: neither `REGRAFT_CACHE` nor a home folder is set; set `REGRAFT_CACHE` to a folder"
    )]
    NoCacheFolder,
    /// The file is not in the cache.
    #[error("`{name}` is not in the cache: {} does not exist; fetch it first", .path.display())]
    Absent {
        /// The entry.
        name: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("{action} {}: {reason}", .path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        reason: std::io::Error,
    },
    /// Every source of a model failed.
    #[error("could not fetch `{name}`:{}\n{}", list(.failures), by_hand(.path, *.bytes, .sha256))]
    Unavailable {
        /// The entry.
        name: String,
        /// What each source said, in order.
        failures: Vec<Failure>,
        /// Where the file may be put by hand.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
        /// Its checksum.
        sha256: Digest,
    },
    /// A source that needs the network, or a program that does, was asked for while offline.
    #[error("needs the network, and this is offline")]
    Offline,
    /// The server cannot be reached, or the connection broke as often as is tried.
    #[error("no connection: {reason}")]
    Network {
        /// What the system says.
        reason: String,
    },
    /// The server answered with something else than the file.
    #[error("the server answers {status}{}", retry_note(*.retry_after))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Seconds that the server asks to wait.
        retry_after: Option<u64>,
    },
    /// The server's answer contradicts the request or itself.
    #[error("the server's answer makes no sense: {reason}")]
    Protocol {
        /// In which way.
        reason: String,
    },
    /// A file or answer of another size than promised.
    #[error("{found} bytes, where the manifest promises {expected}")]
    WrongSize {
        /// What the manifest says.
        expected: u64,
        /// What was found or announced.
        found: u64,
    },
    /// The right size, but other bytes.
    #[error("SHA-256 is {found}, where the manifest promises {expected}")]
    WrongDigest {
        /// What the manifest says.
        expected: Digest,
        /// What was found.
        found: Digest,
    },
    /// A program that a source needs does not run here.
    #[error("`{program}` does not run: {reason}; install it, or take the file from another source")]
    NoProgram {
        /// The program.
        program: String,
        /// What the system says.
        reason: String,
    },
    /// A program that a source needs failed.
    #[error("`{command}` failed: {reason}")]
    Program {
        /// As it was called.
        command: String,
        /// The end of what it printed.
        reason: String,
    },
    /// A package cannot be read, or lacks the file.
    #[error("package {package}: {reason}")]
    Package {
        /// The package file.
        package: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why one source of a model gave nothing.
#[derive(Debug)]
pub struct Failure {
    /// The source, as the manifest writes it.
    pub source: String,
    /// What went wrong.
    pub reason: Box<Error>,
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io {
            action,
            path,
            reason,
        }
    }
}

fn list(failures: &[Failure]) -> String {
    if failures.is_empty() {
        return " the manifest names no source".to_owned();
    }
    let lines = failures
        .iter()
        .map(|failure| format!("\n  {}: {}", failure.source, failure.reason));
    lines.collect()
}

fn by_hand(path: &Path, bytes: u64, sha256: &Digest) -> String {
    format!(
        "the file may also be put by hand at {} ({bytes} bytes, SHA-256 {sha256}); it is checked before it is used",
        path.display()
    )
}

fn retry_note(seconds: Option<u64>) -> String {
    match seconds {
        Some(seconds) => format!(" and asks to wait {seconds} s"),
        None => String::new(),
    }
}

fn suggest(near: &[String]) -> String {
    if near.is_empty() {
        return "the manifest is empty".to_owned();
    }
    let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("near: {}", names.join(", "))
}
