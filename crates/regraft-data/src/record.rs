//! Which image went into which split, with its hash: what a later look at the same data is compared with.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dataset::{Dataset, ImageSet, Sample};
use crate::error::Error;
use crate::loader::usable_threads;

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitName {
    /// What is trained on.
    Train,
    /// What the best epoch is chosen by.
    Validation,
    /// What is only measured on.
    Test,
}

/// One image of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its path below the data's folder, with `/` between parts; `#` and its position where a file holds many.
    pub image: String,
    /// The name of its class.
    pub class: String,
    /// Where it went.
    pub split: SplitName,
    /// SHA-256 of its bytes, in hexadecimal; empty where they could not be read.
    pub sha256: String,
}

impl ImageRecord {
    /// The key of a sample: its path below `root`, and its position in its file where that holds many.
    pub fn key(sample: &Sample, root: &Path) -> String {
        let below = sample.path.strip_prefix(root).unwrap_or(&sample.path);
        let parts: Vec<_> = below
            .components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        match &sample.packed {
            Some(packed) => format!("{}#{}", parts.join("/"), packed.position),
            None => parts.join("/"),
        }
    }
}

/// Reads every image's bytes and records their hashes, by all threads; `tell` hears of images done and images in all.
///
/// The order is that of the splits (train, validation, test) and of their samples.
pub fn records(
    data: &Dataset,
    root: &Path,
    tell: &mut dyn FnMut(usize, usize),
) -> Vec<ImageRecord> {
    let splits = [
        (SplitName::Train, Some(&data.train)),
        (SplitName::Validation, data.validation.as_ref()),
        (SplitName::Test, data.test.as_ref()),
    ];
    let all: Vec<(SplitName, &ImageSet, &Sample)> = splits
        .into_iter()
        .filter_map(|(name, set)| set.map(|set| (name, set)))
        .flat_map(|(name, set)| set.samples.iter().map(move |sample| (name, set, sample)))
        .collect();
    let samples: Vec<&Sample> = all.iter().map(|(.., sample)| *sample).collect();
    let hashes = hashes(&samples, tell);
    all.into_iter()
        .zip(hashes)
        .map(|((split, set, sample), sha256)| ImageRecord {
            image: ImageRecord::key(sample, root),
            class: set.classes.get(sample.label).cloned().unwrap_or_default(),
            split,
            sha256,
        })
        .collect()
}

/// SHA-256 of each sample's bytes, in hexadecimal; empty where they cannot be read.
pub fn hashes(samples: &[&Sample], tell: &mut dyn FnMut(usize, usize)) -> Vec<String> {
    let mut hashes = vec![String::new(); samples.len()];
    let next = AtomicUsize::new(0);
    let (sender, receiver) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        for _ in 0..usable_threads(0).min(samples.len()) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(sample) = samples.get(index) else {
                        return;
                    };
                    if sender.send((index, hash(sample))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (done, (index, hash)) in receiver.iter().enumerate() {
            hashes[index] = hash;
            tell(done + 1, samples.len());
        }
    });
    hashes
}

fn hash(sample: &Sample) -> String {
    let digest = match &sample.packed {
        Some(packed) => packed.images.bytes(packed.position).map(Sha256::digest),
        None => hash_file(&sample.path).ok(),
    };
    digest.map_or_else(String::new, |digest| {
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

fn hash_file(path: &Path) -> std::io::Result<sha2::digest::Output<Sha256>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The records as CSV with a header line.
///
/// # Errors
/// When a value cannot be written, which no record that was read or made here holds.
pub fn write_records(records: &[ImageRecord]) -> Result<Vec<u8>, Error> {
    let fault = |reason: String| Error::Record {
        path: "split.csv".into(),
        reason,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer
            .serialize(record)
            .map_err(|error| fault(error.to_string()))?;
    }
    writer
        .into_inner()
        .map_err(|error| fault(error.to_string()))
}

/// Reads what [`write_records`] wrote.
///
/// # Errors
/// When the file is missing or is no such list.
pub fn read_records(path: &Path) -> Result<Vec<ImageRecord>, Error> {
    let fault = |error: csv::Error| Error::Record {
        path: path.to_owned(),
        reason: format!("it is no list of images and splits: {error}"),
    };
    let file = File::open(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    csv::Reader::from_reader(file)
        .deserialize()
        .map(|record| record.map_err(fault))
        .collect()
}

/// How a data set differs from its record; every list holds keys of images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Images that the record lacks.
    pub added: Vec<String>,
    /// Images that are gone.
    pub removed: Vec<String>,
    /// Images whose bytes are others now.
    pub changed: Vec<String>,
    /// Images that belong to another class now.
    pub relabelled: Vec<String>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `3 images added (a/1.png, a/2.png, b/7.png); …`
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Images to name of each kind.
        const SHOWN: usize = 3;
        let kinds = [
            (&self.added, "added"),
            (&self.removed, "removed"),
            (&self.changed, "changed"),
            (&self.relabelled, "in another class"),
        ];
        let parts: Vec<String> = kinds
            .into_iter()
            .filter(|(images, _)| !images.is_empty())
            .map(|(images, what)| {
                let shown = images[..images.len().min(SHOWN)].join(", ");
                let more = if images.len() > SHOWN { ", …" } else { "" };
                let plural = if images.len() == 1 { "" } else { "s" };
                format!("{} image{plural} {what} ({shown}{more})", images.len())
            })
            .collect();
        f.write_str(&parts.join("; "))
    }
}

/// What differs between two records of one data set; the splits are not compared.
pub fn changes(before: &[ImageRecord], after: &[ImageRecord]) -> Changes {
    let known: HashMap<&str, &ImageRecord> = before
        .iter()
        .map(|record| (record.image.as_str(), record))
        .collect();
    let mut changes = Changes::default();
    for record in after {
        let image = record.image.clone();
        match known.get(record.image.as_str()) {
            None => changes.added.push(image),
            Some(old) if old.class != record.class => changes.relabelled.push(image),
            Some(old) if old.sha256 != record.sha256 => changes.changed.push(image),
            Some(_) => {}
        }
    }
    let present: HashSet<&str> = after.iter().map(|record| record.image.as_str()).collect();
    changes.removed = before
        .iter()
        .filter(|record| !present.contains(record.image.as_str()))
        .map(|record| record.image.clone())
        .collect();
    changes
}

/// Sorts a data set's images into the splits that a record says, whatever splits they are in. Images that the record
/// does not know train, or are left out.
pub fn with_recorded_splits(
    data: Dataset,
    root: &Path,
    record: &[ImageRecord],
    unknown: Unknown,
) -> Dataset {
    let known: HashMap<&str, SplitName> = record
        .iter()
        .map(|record| (record.image.as_str(), record.split))
        .collect();
    let Dataset {
        train,
        validation,
        test,
        warnings,
        validation_is_drawn: _,
    } = data;
    let drawn = validation.is_none();
    let classes = train.classes.clone();
    let (mut trained, mut validated, mut tested) = (Vec::new(), Vec::new(), Vec::new());
    for set in [Some(train), validation, test].into_iter().flatten() {
        for sample in set.samples {
            match known.get(ImageRecord::key(&sample, root).as_str()) {
                Some(SplitName::Train) => trained.push(sample),
                Some(SplitName::Validation) => validated.push(sample),
                Some(SplitName::Test) => tested.push(sample),
                None if unknown == Unknown::Train => trained.push(sample),
                None => {}
            }
        }
    }
    let set = |samples: Vec<Sample>| {
        (!samples.is_empty()).then(|| ImageSet {
            classes: classes.clone(),
            samples,
        })
    };
    Dataset {
        validation_is_drawn: drawn,
        validation: set(validated),
        test: set(tested),
        train: ImageSet {
            classes: classes.clone(),
            samples: trained,
        },
        warnings,
    }
}

/// What becomes of an image that a record does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It trains.
    Train,
    /// It is left out.
    LeftOut,
}
