//! Manifests of the user's own: where they are is noted in the cache folder.

use std::path::{Path, PathBuf};

use crate::{Cache, Entry, Error, Manifest, Result};

/// The note: one path a line.
const NOTE: &str = "manifests.txt";

impl Cache {
    /// The manifest that comes with this crate, with the user's own merged in, in the order in which they were registered.
    ///
    /// # Errors
    ///
    /// What is wrong with a registered manifest, which may have moved or changed since.
    pub fn manifest(&self) -> Result<Manifest> {
        let mut all = Manifest::builtin()?;
        for path in self.registered()? {
            all.merge(Manifest::load(&path)?);
        }
        Ok(all)
    }

    /// Makes the models of a manifest file known from now on, and says which they are. The file stays where it is.
    ///
    /// # Errors
    ///
    /// What is wrong with the manifest, which is then not registered.
    pub fn register(&self, path: &Path) -> Result<Vec<Entry>> {
        let path = path.canonicalize().map_err(Error::io("reading", path))?;
        let manifest = Manifest::load(&path)?;
        let mut known = self.registered()?;
        if !known.contains(&path) {
            known.push(path);
            self.note(&known)?;
        }
        Ok(manifest.entries().to_vec())
    }

    /// Takes a manifest off the list again, whether or not its file is still there; says whether it was on it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn forget(&self, path: &Path) -> Result<bool> {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut known = self.registered()?;
        let before = known.len();
        known.retain(|known| *known != whole);
        if known.len() < before {
            self.note(&known)?;
        }
        Ok(known.len() < before)
    }

    /// The registered manifest files.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn registered(&self) -> Result<Vec<PathBuf>> {
        let note = self.root().join(NOTE);
        match std::fs::read_to_string(&note) {
            Ok(text) => Ok(text
                .lines()
                .filter(|line| !line.is_empty())
                .map(PathBuf::from)
                .collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("reading", &note)(error)),
        }
    }

    /// Writes the note whole.
    fn note(&self, known: &[PathBuf]) -> Result<()> {
        let (root, note) = (self.root(), self.root().join(NOTE));
        let lines: Vec<String> = known
            .iter()
            .map(|path| format!("{}\n", path.display()))
            .collect();
        let part = root.join(format!("{NOTE}.part"));
        std::fs::create_dir_all(root).map_err(Error::io("creating", root))?;
        std::fs::write(&part, lines.concat()).map_err(Error::io("writing", &part))?;
        std::fs::rename(&part, &note).map_err(Error::io("writing", &note))
    }
}
