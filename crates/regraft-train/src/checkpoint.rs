//! Everything that a run needs to go on as if it had never stopped, in one safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files;

const WEIGHT: &str = "weight/";
const OPTIMIZER: &str = "optimizer";
const STATE: &str = "regraft";
/// Longest header to read, in bytes: far more than the names of any network's parameters take.
const MOST_HEADER: u64 = 100_000_000;

/// Progress of a run, besides its weights. Every number in it is finite: JSON has no others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
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
    pub state: State,
    /// Changed values by canonical name.
    pub weights: HashMap<String, Vec<f32>>,
    /// The optimiser's record, as Burn writes it.
    pub optimizer: Vec<u8>,
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
            Data::Values(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
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

/// How far a run has come, by its newest checkpoint.
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
    /// When the checkpoint cannot be read.
    pub fn of(run: &Path) -> Result<Self, Error> {
        let Some((_, path)) = list(run).pop() else {
            return Ok(Self::default());
        };
        let state = header(&path)?;
        Ok(Self {
            epochs: state.epochs_done,
            steps: state.begun.steps,
            without_improvement: state.without_improvement,
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
    run.join("checkpoints").join(name)
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

impl Checkpoint {
    /// Writes a checkpoint and then removes older ones.
    pub(crate) fn save(
        run: &Path,
        state: &State,
        weights: &HashMap<String, Vec<f32>>,
        optimizer: &[u8],
    ) -> Result<(), Error> {
        let now = (state.epochs_done, state.begun.steps);
        let target = path(run, now);
        let fault = |reason: String| Error::Checkpoint {
            path: target.clone(),
            reason,
        };
        let tensors = weights
            .iter()
            .map(|(name, values)| (format!("{WEIGHT}{name}"), Saved::values(values)));
        let optimizer = (OPTIMIZER.to_owned(), Saved::bytes(optimizer));
        let state = serde_json::to_string(state).map_err(|e| fault(e.to_string()))?;
        let metadata = HashMap::from([(STATE.to_owned(), state)]);
        let folder = run.join("checkpoints");
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io {
            action: "writing",
            path: folder.clone(),
            source,
        })?;
        files::write_whole_by(&target, |partial| {
            let tensors = tensors.chain([optimizer]);
            safetensors::serialize_to_file(tensors, Some(metadata), partial)
                .map_err(io::Error::other)
        })?;
        for (moment, older) in list(run) {
            if moment < now {
                let _ = std::fs::remove_file(older);
            }
        }
        Ok(())
    }

    /// The newest checkpoint of a run, where it has one.
    pub(crate) fn newest(run: &Path) -> Result<Option<Self>, Error> {
        list(run)
            .pop()
            .map(|(_, path)| Self::load(&path))
            .transpose()
    }

    fn load(path: &Path) -> Result<Self, Error> {
        let fault = |reason: String| Error::Checkpoint {
            path: path.to_owned(),
            reason,
        };
        let bytes = files::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| fault(e.to_string()))?;
        let metadata = header.metadata().as_ref();
        let text = metadata.and_then(|metadata| metadata.get(STATE));
        let state = state(text.map(String::as_str)).map_err(fault)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fault(e.to_string()))?;
        let mut weights = HashMap::new();
        let mut optimizer = Vec::new();
        for (name, view) in tensors.tensors() {
            match name.strip_prefix(WEIGHT) {
                Some(name) => {
                    let values = view
                        .data()
                        .as_chunks::<4>()
                        .0
                        .iter()
                        .map(|b| f32::from_le_bytes(*b))
                        .collect();
                    weights.insert(name.to_owned(), values);
                }
                None if name == OPTIMIZER => optimizer = view.data().to_vec(),
                None => {}
            }
        }
        Ok(Self {
            state,
            weights,
            optimizer,
        })
    }
}

/// The state that a checkpoint's header holds; its tensors are not read.
fn header(path: &Path) -> Result<State, Error> {
    let fault = |reason: String| Error::Checkpoint {
        path: path.to_owned(),
        reason,
    };
    // A length of eight bytes, then so many bytes of JSON (the format's specification).
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let mut json = Vec::new();
        let length = u64::from_le_bytes(length).min(MOST_HEADER);
        file.take(length).read_to_end(&mut json)?;
        Ok(json)
    };
    let json = read().map_err(|source| Error::Io {
        action: "reading",
        path: path.to_owned(),
        source,
    })?;
    let header: serde_json::Value =
        serde_json::from_slice(&json).map_err(|error| fault(error.to_string()))?;
    state(header["__metadata__"][STATE].as_str()).map_err(fault)
}

/// The state that a header holds as text.
fn state(text: Option<&str>) -> Result<State, String> {
    let text = text.ok_or("it holds no training state")?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Complete checkpoints, oldest first: by the numbers in their names, of any number of digits.
fn list(run: &Path) -> Vec<(Moment, PathBuf)> {
    let mut found: Vec<(Moment, PathBuf)> = std::fs::read_dir(run.join("checkpoints"))
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

    fn saved(run: &Path, epochs_done: usize, steps: usize) {
        let state = State {
            epochs_done,
            begun: Begun {
                steps,
                ..Begun::default()
            },
            best: Some(Best {
                epoch: 1,
                score: None,
            }),
            ..State::default()
        };
        Checkpoint::save(run, &state, &HashMap::new(), b"").unwrap();
    }

    #[test]
    fn the_newest_checkpoint_is_the_one_with_the_highest_numbers() {
        let run = tempfile::tempdir().unwrap();
        for (epochs, steps) in [(9_999, 0), (10_000, 0), (10_000, 7), (10_000, 1_000_000)] {
            saved(run.path(), epochs, steps);
            let newest = Checkpoint::newest(run.path()).unwrap().unwrap();
            assert_eq!(newest.state.epochs_done, epochs);
            assert_eq!(newest.state.begun.steps, steps);
            assert_eq!(newest.state.best.unwrap().score, None);
            assert_eq!(list(run.path()).len(), 1, "older ones are gone");
        }
        // A file that is none of ours is neither read nor removed.
        let other = run.path().join("checkpoints/notes.safetensors");
        std::fs::write(&other, b"mine").unwrap();
        saved(run.path(), 10_001, 0);
        assert!(other.exists());
        assert_eq!(list(run.path()).len(), 1);
    }
}
