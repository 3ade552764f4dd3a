//! Everything that a run needs to go on as if it had never stopped, in one safetensors file.
//!
//! The file has named sections (progress, weights, optimizer, average), each with a checksum of its own. The last two
//! checkpoints are kept: where the newer one is damaged, its broken section is named and the older one is used.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use regraft_spec::files::{self, FileError};

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::session::{SavedSession, Values};
use crate::state_dict::StateDict;

/// The folder of a run that holds its last two checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
const WEIGHT: &str = "weight/";
const OPTIMIZER: &str = "optimizer";
const AVERAGE: &str = "average/";
/// Keys of the file's metadata.
const PROGRESS: &str = "progress";
const CHECKSUMS: &str = "checksums";

/// Progress of a run, besides its weights. Every number in it is finite: JSON has no others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Epochs done.
    pub epochs_done: usize,
    /// What was done of the next epoch before somebody asked to stop.
    #[serde(default)]
    pub begun: Begun,
    /// Best epoch so far.
    pub best: Option<Best>,
    /// Epochs since the best one.
    pub without_improvement: usize,
    /// Bytes of `metrics.csv` and `metrics.jsonl`.
    pub metrics: [u64; 2],
    /// Whether early stopping has ended the run.
    pub finished: bool,
    /// Steps that the running mean of weights has taken in, where there is one.
    #[serde(default)]
    pub averaged_steps: Option<usize>,
}

/// The epoch that `model.onnx` holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    /// Counted from 1.
    pub epoch: usize,
    /// The value it was chosen by; `None` without validation, where the last epoch counts.
    pub score: Option<f64>,
}

/// The part of an epoch that is done, with what its report will sum up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Steps done, batches of which no image could be decoded included.
    pub steps: usize,
    /// Loss of every image seen, summed up.
    pub loss_sum: f64,
    /// Images classified right.
    pub right: usize,
    /// Images seen.
    pub seen: usize,
    /// Learning rate of the last step.
    pub lr: f64,
}

/// A saved moment of a run.
pub(crate) struct Checkpoint {
    pub progress: Progress,
    pub session: SavedSession,
}

/// A tensor of a checkpoint, which becomes bytes when its turn to be written comes.
struct Saved<'a> {
    data: Data<'a>,
    len: usize,
}

enum Data<'a> {
    Values(&'a [f32]),
    Bytes(&'a [u8]),
}

impl<'a> Saved<'a> {
    fn values(values: &'a [f32]) -> Self {
        Self {
            data: Data::Values(values),
            len: values.len(),
        }
    }

    fn bytes(bytes: &'a [u8]) -> Self {
        Self {
            data: Data::Bytes(bytes),
            len: bytes.len(),
        }
    }
}

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        match self.data {
            Data::Values(_) => Dtype::F32,
            Data::Bytes(_) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        std::slice::from_ref(&self.len)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.data {
            Data::Values(values) => little_endian(values),
            Data::Bytes(bytes) => bytes.into(),
        }
    }

    fn data_len(&self) -> usize {
        match self.data {
            Data::Values(values) => size_of_val(values),
            Data::Bytes(bytes) => bytes.len(),
        }
    }
}

/// How far a run has come, by the newest checkpoint that can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Epochs done.
    pub epochs: usize,
    /// Steps done of the next epoch.
    pub steps: usize,
    /// Epochs since the best one.
    pub without_improvement: usize,
}

impl Standing {
    /// Reads it; all zeros where there is no checkpoint yet.
    ///
    /// # Errors
    /// When there are checkpoints and none can be read.
    pub fn of(run: &Path) -> Result<Self, Error> {
        let Some((checkpoint, _)) = Checkpoint::newest(run)? else {
            return Ok(Self::default());
        };
        let progress = checkpoint.progress;
        Ok(Self {
            epochs: progress.epochs_done,
            steps: progress.begun.steps,
            without_improvement: progress.without_improvement,
        })
    }

    /// Whether a run of so many epochs, stopped early after `patience` of them without improvement, is over.
    pub fn finished(&self, epochs: usize, patience: Option<usize>) -> bool {
        self.epochs >= epochs || patience.is_some_and(|most| self.without_improvement >= most)
    }

    /// `after epoch 3 of 10`, and how far into the next.
    pub fn in_words(&self, epochs: usize) -> String {
        match (self.epochs, self.steps) {
            (0, 0) => "from the start: there is no checkpoint yet".to_owned(),
            (done, 0) => format!("after epoch {done} of {epochs}"),
            (done, steps) => format!("after step {steps} of epoch {} of {epochs}", done + 1),
        }
    }
}

/// Where in a run a checkpoint was written: epochs done, and steps of the next one. Ordered as the run goes.
type Moment = (usize, usize);

fn path(run: &Path, (epochs, steps): Moment) -> PathBuf {
    let name = match steps {
        0 => format!("epoch-{epochs:04}.safetensors"),
        steps => format!("epoch-{epochs:04}-step-{steps:06}.safetensors"),
    };
    run.join(CHECKPOINTS).join(name)
}

/// The moment that a checkpoint's name says.
fn moment(path: &Path) -> Option<Moment> {
    let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?;
    let numbers = name.strip_prefix("epoch-")?;
    match numbers.split_once("-step-") {
        Some((epochs, steps)) => Some((epochs.parse().ok()?, steps.parse().ok()?)),
        None => Some((numbers.parse().ok()?, 0)),
    }
}

/// The sections of a checkpoint, in the order of their checksums.
const SECTIONS: [&str; 4] = ["progress", "weights", "optimizer", "average"];

/// The section that a tensor belongs to.
fn section(tensor: &str) -> &'static str {
    match tensor {
        OPTIMIZER => "optimizer",
        name if name.starts_with(AVERAGE) => "average",
        _ => "weights",
    }
}

/// A CRC-32 of each section: of names, lengths and bytes of its tensors in the order of their names.
struct Checksums(BTreeMap<&'static str, crc32fast::Hasher>);

impl Checksums {
    fn new(progress: &str) -> Self {
        let mut sums = BTreeMap::from(SECTIONS.map(|name| (name, crc32fast::Hasher::new())));
        if let Some(sum) = sums.get_mut("progress") {
            sum.update(progress.as_bytes());
        }
        Self(sums)
    }

    fn add(&mut self, tensor: &str, bytes: &[u8]) {
        if let Some(sum) = self.0.get_mut(section(tensor)) {
            sum.update(tensor.as_bytes());
            sum.update(&(bytes.len() as u64).to_le_bytes());
            sum.update(bytes);
        }
    }

    fn finish(self) -> BTreeMap<String, String> {
        let hex = |sum: crc32fast::Hasher| format!("{:08x}", sum.finalize());
        let sums = self.0.into_iter();
        sums.map(|(name, sum)| (name.to_owned(), hex(sum)))
            .collect()
    }
}

/// A checkpoint that cannot be used, and why; told to the user where an older one takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason } = self;
        write!(f, "checkpoint `{}`: {reason}", path.display())
    }
}

impl Checkpoint {
    /// Writes a checkpoint and then removes all but it and the one before.
    pub(crate) fn save(
        run: &Path,
        progress: &Progress,
        values: &Values,
        optimizer: &[u8],
    ) -> Result<(), Error> {
        let now = (progress.epochs_done, progress.begun.steps);
        let target = path(run, now);
        let fault = |reason: String| Error::Checkpoint {
            path: target.clone(),
            reason,
        };
        let mut tensors: BTreeMap<String, Saved<'_>> = BTreeMap::new();
        for (name, values) in values.state.values() {
            tensors.insert(format!("{WEIGHT}{name}"), Saved::values(values));
        }
        let average = values.average.as_ref();
        for (name, values) in average.into_iter().flat_map(|(_, mean)| mean.values()) {
            tensors.insert(format!("{AVERAGE}{name}"), Saved::values(values));
        }
        tensors.insert(OPTIMIZER.to_owned(), Saved::bytes(optimizer));
        let mut progress = progress.clone();
        progress.averaged_steps = average.map(|(steps, _)| *steps);
        let progress = serde_json::to_string(&progress).map_err(|e| fault(e.to_string()))?;
        let mut sums = Checksums::new(&progress);
        for (name, tensor) in &tensors {
            sums.add(name, &tensor.data());
        }
        let sums = serde_json::to_string(&sums.finish()).map_err(|e| fault(e.to_string()))?;
        let metadata = HashMap::from([
            (PROGRESS.to_owned(), progress),
            (CHECKSUMS.to_owned(), sums),
        ]);
        let folder = run.join(CHECKPOINTS);
        std::fs::create_dir_all(&folder).map_err(FileError::writing(&folder))?;
        files::write_whole_by(&target, |partial| {
            safetensors::serialize_to_file(tensors, Some(metadata), partial)
                .map_err(io::Error::other)
        })?;
        let mut older: Vec<_> = list(run)
            .into_iter()
            .filter(|(moment, _)| *moment < now)
            .collect();
        older.pop();
        for (_, path) in older {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// The newest checkpoint of a run that can be read, where it has any, and what is wrong with newer ones.
    ///
    /// # Errors
    /// When there are checkpoints and none can be read.
    pub(crate) fn newest(run: &Path) -> Result<Option<(Self, Vec<Damage>)>, Error> {
        let mut damaged = Vec::new();
        for (_, path) in list(run).into_iter().rev() {
            match Self::load(&path) {
                Ok(checkpoint) => return Ok(Some((checkpoint, damaged))),
                Err(reason) => damaged.push(Damage { path, reason }),
            }
        }
        match damaged.into_iter().next() {
            None => Ok(None),
            Some(Damage { path, reason }) => Err(Error::Checkpoint { path, reason }),
        }
    }

    fn load(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let unreadable = |error: safetensors::SafeTensorError| {
            format!("it is damaged: its header does not fit its contents ({error})")
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(unreadable)?;
        let metadata = header.metadata().as_ref();
        let text = |key| metadata.and_then(|metadata| metadata.get(key));
        let (Some(progress), Some(sums)) = (text(PROGRESS), text(CHECKSUMS)) else {
            return Err("it holds no training state of this version".to_owned());
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
        let mut tensors = tensors.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let mut found = Checksums::new(progress);
        for (name, view) in &tensors {
            found.add(name, view.data());
        }
        let expected: BTreeMap<String, String> =
            serde_json::from_str(sums).map_err(|error| error.to_string())?;
        let found = found.finish();
        if let Some(name) = SECTIONS
            .iter()
            .find(|name| found.get(**name) != expected.get(**name))
        {
            return Err(format!(
                "it is damaged: the checksum of its section `{name}` does not fit"
            ));
        }
        let progress: Progress =
            serde_json::from_str(progress).map_err(|error| error.to_string())?;
        let mut session = SavedSession::default();
        let mut mean = StateDict::new();
        for (name, view) in tensors {
            if name == OPTIMIZER {
                session.optimizer = view.data().to_vec();
            } else if let Some(name) = name.strip_prefix(WEIGHT) {
                session.values.state.insert(name, floats(view.data()));
            } else if let Some(name) = name.strip_prefix(AVERAGE) {
                mean.insert(name, floats(view.data()));
            }
        }
        session.values.average = progress.averaged_steps.map(|steps| (steps, mean));
        Ok(Self { progress, session })
    }
}

/// The file's bytes of values: where the machine has the same order, those that are there.
fn little_endian(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return bytemuck::cast_slice(values).into();
    }
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    bytes.collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let chunks = bytes.as_chunks::<4>().0.iter();
    chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Complete checkpoints, oldest first: by the numbers in their names, of any number of digits.
fn list(run: &Path) -> Vec<(Moment, PathBuf)> {
    let mut found: Vec<(Moment, PathBuf)> = std::fs::read_dir(run.join(CHECKPOINTS))
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter_map(|path| moment(&path).map(|moment| (moment, path)))
                .collect()
        })
        .unwrap_or_default();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn values() -> Values {
        let mut state = StateDict::new();
        state.insert("head.weight", vec![1.0, 2.0, 3.0]);
        state.insert("head.bias", vec![4.0]);
        let mut mean = StateDict::new();
        mean.insert("head.weight", vec![0.5; 3]);
        Values {
            state,
            average: Some((7, mean)),
        }
    }

    fn saved(run: &Path, epochs_done: usize, steps: usize) {
        let progress = Progress {
            epochs_done,
            begun: Begun {
                steps,
                ..Begun::default()
            },
            best: Some(Best {
                epoch: 1,
                score: None,
            }),
            ..Progress::default()
        };
        Checkpoint::save(run, &progress, &values(), b"momentum").unwrap();
    }

    #[test]
    fn the_newest_checkpoint_is_the_one_with_the_highest_numbers() {
        let run = tempfile::tempdir().unwrap();
        for (epochs, steps) in [(9_999, 0), (10_000, 0), (10_000, 7), (10_000, 1_000_000)] {
            saved(run.path(), epochs, steps);
            let (newest, damaged) = Checkpoint::newest(run.path()).unwrap().unwrap();
            assert_eq!(newest.progress.epochs_done, epochs);
            assert_eq!(newest.progress.begun.steps, steps);
            assert_eq!(newest.progress.best.unwrap().score, None);
            assert_eq!(newest.session.values, values());
            assert_eq!(newest.session.optimizer, b"momentum");
            assert!(damaged.is_empty());
            assert!(list(run.path()).len() <= 2, "older ones are gone");
        }
        // A file that is none of ours is neither read nor removed.
        let other = run.path().join("checkpoints/notes.safetensors");
        std::fs::write(&other, b"mine").unwrap();
        saved(run.path(), 10_001, 0);
        assert!(other.exists());
        assert_eq!(list(run.path()).len(), 2);
    }

    #[test]
    fn a_damaged_checkpoint_is_named_with_its_section_and_the_one_before_is_used() {
        let run = tempfile::tempdir().unwrap();
        saved(run.path(), 1, 0);
        saved(run.path(), 2, 0);
        let newest = path(run.path(), (2, 0));
        let whole = std::fs::read(&newest).unwrap();
        let place = |bytes: &[u8]| whole.windows(bytes.len()).position(|w| w == bytes).unwrap();
        let sections = [
            (place(b"momentum"), "optimizer"),
            (place(&4.0f32.to_le_bytes()), "weights"),
            (place(&[0.5f32.to_le_bytes(); 2].concat()), "average"),
            (place(b"epochs_done"), "progress"),
        ];
        for (position, section) in sections {
            let mut broken = whole.clone();
            broken[position] ^= 1;
            std::fs::write(&newest, &broken).unwrap();
            let (used, damaged) = Checkpoint::newest(run.path()).unwrap().unwrap();
            assert_eq!(used.progress.epochs_done, 1);
            let message = damaged[0].to_string();
            assert!(message.contains(&format!("`{section}`")), "{message}");
            assert!(message.contains("epoch-0002"), "{message}");
        }
        // Every single byte counts, and a file that was cut off is damaged too.
        for position in 0..whole.len() {
            let mut broken = whole.clone();
            broken[position] ^= 0x40;
            std::fs::write(&newest, &broken).unwrap();
            let (used, damaged) = Checkpoint::newest(run.path()).unwrap().unwrap();
            let same = used.progress.epochs_done == 2;
            assert!(
                damaged.len() == 1 && !same,
                "byte {position} of {}",
                whole.len()
            );
        }
        for length in [0, 7, 60, whole.len() - 1] {
            std::fs::write(&newest, &whole[..length]).unwrap();
            let (used, _) = Checkpoint::newest(run.path()).unwrap().unwrap();
            assert_eq!(used.progress.epochs_done, 1);
        }
        std::fs::write(path(run.path(), (1, 0)), b"gone").unwrap();
        assert!(Checkpoint::newest(run.path()).is_err());
    }
}
