//! What most tests need: a file of known bytes, an entry for it, and a cache in a temporary folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use regraft_zoo::{Cache, Digest, Entry, Error, Manifest, Options, Result, fetch};
use tempfile::TempDir;

use crate::server::Server;

/// The bytes that are right: longer than any buffer, no two blocks alike.
pub fn content() -> Vec<u8> {
    (0..300_000u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// An entry for `content`.
pub fn entry(content: &[u8], sources: &[&str]) -> Entry {
    let text = format!(
        "[[model]]\nname = \"net\"\nbytes = {}\nsha256 = \"{}\"\nsources = {sources:?}\n",
        content.len(),
        Digest::of(content)
    );
    Manifest::parse(&text).unwrap().get("net").unwrap().clone()
}

/// A cache that goes with the test.
pub struct Scene {
    pub folder: TempDir,
    pub options: Options,
}

impl Scene {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(Cache::new(folder.path().join("cache")));
        options.first_wait = Duration::from_millis(1);
        options.longest_wait = Duration::from_secs(2);
        options.timeout = Duration::from_secs(5);
        Self { folder, options }
    }

    pub fn fetch(&self, entry: &Entry) -> Result<PathBuf> {
        fetch(entry, &self.options, &mut |_| {})
    }

    /// Fetches from one server, and says what came and what the server saw.
    pub fn from(&self, server: &Server) -> Result<PathBuf> {
        self.fetch(&entry(&content(), &[&server.address("net.onnx")]))
    }

    pub fn part(&self, entry: &Entry) -> PathBuf {
        let mut path = self.options.cache.path(entry).into_os_string();
        path.push(".part");
        path.into()
    }

    /// Leaves the part of an earlier try.
    pub fn leave_part(&self, entry: &Entry, bytes: &[u8]) {
        let path = self.part(entry);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// The one reason why the one source failed.
pub fn reason(result: Result<PathBuf>) -> Error {
    match result {
        Err(Error::Unavailable { mut failures, .. }) if failures.len() == 1 => {
            *failures.remove(0).reason
        }
        other => panic!("expected one failed source, found {other:?}"),
    }
}

/// The file is there, whole and right, and nothing else with it.
pub fn assert_right(path: &Path, content: &[u8]) {
    assert!(std::fs::read(path).unwrap() == content, "other bytes");
    let beside = path.parent().unwrap().read_dir().unwrap();
    let mut names: Vec<String> = beside
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".lock", "net.onnx"]);
}
