//! What models there are: a TOML file of entries, each with its size, checksum and sources.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::{Digest, Error, Preprocess, Result, Source};
use regraft_spec::similar::nearest;

/// The highest `format` this crate reads.
const FORMAT: u32 = 1;
/// The longest file name, in bytes, that every file system takes with `.part` behind it.
const LONGEST_NAME: usize = 200;
/// The manifest of this project.
const BUILTIN: &str = include_str!("../../../models/zoo.toml");
/// The classes of ILSVRC 2012, one a line.
const IMAGENET: &str = include_str!("../../../models/imagenet-labels.txt");

/// Models by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
}

/// One model.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Unique name.
    pub name: String,
    /// Unique short name: the preferred entry of an architecture has the architecture's name.
    pub short: Option<String>,
    /// Kin, such as `resnet`.
    pub family: Option<String>,
    /// What network it is, such as `resnet18`.
    pub architecture: Option<String>,
    /// ONNX opset.
    pub opset: Option<u32>,
    /// Plain file name.
    pub file: String,
    /// Size in bytes, at least 1.
    pub bytes: u64,
    /// Checksum of the file.
    pub sha256: Digest,
    /// Where to get it, best first.
    pub sources: Vec<Source>,
    /// Shape of one input image, in the model's own order: `[3, 224, 224]`, or `[224, 224, 3]` for NHWC.
    pub input: Option<[u32; 3]>,
    /// How an image becomes an input.
    pub preprocess: Option<Preprocess>,
    /// What the outputs mean.
    pub labels: Option<Labels>,
    /// SPDX expression of the weights' licence.
    pub license: Option<String>,
    /// Published top-1 accuracy of this very file on its labels' validation set, in percent.
    pub top1: Option<f32>,
    /// The layer that is the head, where known.
    pub head: Option<String>,
    /// Whether the weights are known to be trained.
    pub weights: Weights,
}

/// What a model's outputs mean.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// A known set, such as `imagenet`: the 1000 classes of ILSVRC 2012 in their usual order.
    Set(String),
    /// The names themselves.
    Names(Vec<String>),
}

/// Whether a model's weights are known to be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Their source says what they were trained on.
    #[default]
    Trained,
    /// Their source does not say; they may be random.
    Unverified,
}

impl Labels {
    /// The names, one a class; `None` for a set that is not known.
    pub fn names(&self) -> Option<Vec<String>> {
        match self {
            Labels::Names(names) => Some(names.clone()),
            Labels::Set(set) if set == "imagenet" => {
                Some(IMAGENET.lines().map(str::to_owned).collect())
            }
            Labels::Set(_) => None,
        }
    }
}

impl Manifest {
    /// The manifest that comes with this crate.
    ///
    /// # Errors
    ///
    /// None that a user could cause.
    pub fn builtin() -> Result<Self> {
        Self::read_text(BUILTIN, "built in", Path::new(""))
    }

    /// Reads a manifest; paths in it start at the current folder.
    ///
    /// # Errors
    ///
    /// [`Error::Manifest`] with line and column, or [`Error::Entry`] with the model's name.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read_text(text, "given as text", Path::new(""))
    }

    /// Reads a manifest file; paths in it start at its folder.
    ///
    /// # Errors
    ///
    /// As [`Manifest::parse`], and [`Error::Io`].
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("reading", path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::read_text(&text, &path.display().to_string(), folder)
    }

    fn read_text(text: &str, origin: &str, base: &Path) -> Result<Self> {
        let raw: RawManifest = toml::from_str(text).map_err(|error| Error::Manifest {
            origin: origin.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        if raw.format > FORMAT {
            return Err(Error::Manifest {
                origin: origin.to_owned(),
                message: format!(
                    "`format = {}` is newer than this program, which reads {FORMAT}",
                    raw.format
                ),
            });
        }
        let mut manifest = Self::default();
        for model in raw.models {
            let name = model.name.clone();
            let fault = |reason| Error::Entry {
                origin: origin.to_owned(),
                name: name.clone(),
                reason,
            };
            let entry = model.check(&raw.presets, base).map_err(fault)?;
            let taken = entry.names().find(|name| manifest.named(name).is_some());
            if let Some(taken) = taken {
                return Err(fault(format!(
                    "the name `{taken}` is taken by an earlier model"
                )));
            }
            manifest.entries.push(entry);
        }
        Ok(manifest)
    }

    /// Takes in another manifest, whose names win: an entry of the same name is replaced, a short name moves.
    pub fn merge(&mut self, other: Self) {
        for entry in other.entries {
            self.entries
                .retain(|old| old.name != entry.name && entry.short.as_ref() != Some(&old.name));
            for old in &mut self.entries {
                if old
                    .short
                    .as_ref()
                    .is_some_and(|short| entry.names().any(|name| name == short))
                {
                    old.short = None;
                }
            }
            self.entries.push(entry);
        }
    }

    /// All models, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The model with this name or short name.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] with the nearest names.
    pub fn get(&self, name: &str) -> Result<&Entry> {
        self.named(name).ok_or_else(|| self.unknown(name))
    }

    /// Entries by name, those of whole families, or all, each once.
    ///
    /// # Errors
    /// As [`Self::get`] and [`Self::family`].
    pub fn select(&self, names: &[String], families: &[String], all: bool) -> Result<Vec<&Entry>> {
        let mut entries: Vec<&Entry> = if all {
            self.entries.iter().collect()
        } else {
            vec![]
        };
        for name in names {
            entries.push(self.get(name)?);
        }
        for family in families {
            entries.extend(self.family(family)?);
        }
        let mut seen = std::collections::HashSet::new();
        entries.retain(|entry| seen.insert(&entry.name));
        Ok(entries)
    }

    /// All models of a family or an architecture, those with a short name first.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] with the nearest names.
    pub fn family(&self, name: &str) -> Result<Vec<&Entry>> {
        let of_kin = |entry: &&Entry| {
            [&entry.family, &entry.architecture]
                .into_iter()
                .flatten()
                .any(|kin| kin == name)
        };
        let mut found: Vec<&Entry> = self.entries.iter().filter(of_kin).collect();
        if found.is_empty() {
            return Err(self.unknown(name));
        }
        found.sort_by_key(|entry| entry.short.is_none());
        Ok(found)
    }

    fn named(&self, name: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.names().any(|own| own == name))
    }

    fn unknown(&self, name: &str) -> Error {
        let kin = |entry: &'_ Entry| {
            entry
                .names()
                .chain(entry.family.as_deref())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let names: Vec<String> = self.entries.iter().flat_map(kin).collect();
        Error::Unknown {
            name: name.to_owned(),
            near: nearest(name, names.iter().map(String::as_str)),
        }
    }
}

impl Entry {
    /// Name and short name.
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.short.as_deref())
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    #[serde(default = "first_format")]
    format: u32,
    #[serde(default, rename = "preprocess")]
    presets: BTreeMap<String, Preprocess>,
    #[serde(default, rename = "model")]
    models: Vec<RawEntry>,
}

fn first_format() -> u32 {
    1
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: String,
    short: Option<String>,
    family: Option<String>,
    architecture: Option<String>,
    opset: Option<u32>,
    file: Option<String>,
    bytes: u64,
    sha256: String,
    sources: Vec<String>,
    input: Option<[u32; 3]>,
    preprocess: Option<RawPreprocess>,
    labels: Option<Labels>,
    license: Option<String>,
    top1: Option<f32>,
    head: Option<String>,
    #[serde(default)]
    weights: Weights,
}

/// The name of a preset, or the table itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawPreprocess {
    Preset(String),
    Table(Preprocess),
}

impl RawEntry {
    fn check(self, presets: &BTreeMap<String, Preprocess>, base: &Path) -> Result<Entry, String> {
        for name in [Some(&self.name), self.short.as_ref()]
            .into_iter()
            .flatten()
        {
            if name.trim().is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err(format!(
                    "the name `{}` is empty or holds spaces",
                    name.escape_debug()
                ));
            }
        }
        if self.short.as_ref() == Some(&self.name) {
            return Err("`short` repeats `name`; leave it out".to_owned());
        }
        let file = self.file.unwrap_or_else(|| format!("{}.onnx", self.name));
        plain(&file)?;
        if self.bytes == 0 {
            return Err("`bytes = 0`: expected the size of the file, at least 1".to_owned());
        }
        let sources = self
            .sources
            .iter()
            .map(|source| Source::parse(source, base));
        let preprocess = match self.preprocess {
            None => None,
            Some(RawPreprocess::Table(table)) => Some(table),
            Some(RawPreprocess::Preset(name)) => Some(preset(&name, presets)?),
        };
        if let Some(fault) = preprocess.as_ref().and_then(Preprocess::fault) {
            return Err(fault);
        }
        if let (Some(input), Some(preprocess)) = (self.input, &preprocess)
            && input
                .iter()
                .filter(|side| **side == preprocess.size)
                .count()
                < 2
        {
            return Err(format!(
                "`input = {input:?}` is not the `size` of its preprocessing, {}",
                preprocess.size
            ));
        }
        if self.top1.is_some_and(|top1| !(0.0..=100.0).contains(&top1)) {
            return Err("`top1` is a percentage, 0 to 100".to_owned());
        }
        Ok(Entry {
            sha256: self.sha256.parse()?,
            sources: sources.collect::<Result<_, _>>()?,
            name: self.name,
            short: self.short,
            family: self.family,
            architecture: self.architecture,
            opset: self.opset,
            file,
            bytes: self.bytes,
            input: self.input,
            preprocess,
            labels: self.labels,
            license: self.license,
            top1: self.top1,
            head: self.head,
            weights: self.weights,
        })
    }
}

fn preset(name: &str, presets: &BTreeMap<String, Preprocess>) -> Result<Preprocess, String> {
    presets.get(name).cloned().ok_or_else(|| {
        let near = nearest(name, presets.keys().map(String::as_str)).join("`, `");
        match near.is_empty() {
            true => format!("`preprocess = \"{name}\"`: the manifest has no `[preprocess.{name}]`"),
            false => format!("`preprocess = \"{name}\"`: no such preprocessing; near: `{near}`"),
        }
    })
}

/// A name that stays in its folder on every system, and is none that the cache uses itself.
fn plain(file: &str) -> Result<(), String> {
    let clean = |c: char| !c.is_control() && !r#"/\:*?"<>|"#.contains(c);
    let stem = file
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let device = ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
        || (stem.len() == 4 && (stem.starts_with("COM") || stem.starts_with("LPT")));
    let reserved = file.starts_with('.')
        || file.ends_with(['.', ' '])
        || file.ends_with(".part")
        || file == "package";
    if file.is_empty()
        || file.len() > LONGEST_NAME
        || !file.chars().all(clean)
        || device
        || reserved
    {
        return Err(format!(
            "`file = \"{}\"`: expected a plain file name",
            file.escape_debug()
        ));
    }
    Ok(())
}
