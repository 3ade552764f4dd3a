//! Everything that a run needs to go on as if it had never stopped, in one safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files;

const WEIGHT: &str = "weight/";
const OPTIMIZER: &str = "optimizer";
const STATE: &str = "regraft";

/// Progress of a run, besides its weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Epochs done.
    pub epochs_done: usize,
    /// Best epoch so far, counted from 1, with the value it was chosen by.
    pub best: Option<(usize, f64)>,
    /// Epochs since the best one.
    pub without_improvement: usize,
    /// Bytes of `metrics.csv` and `metrics.jsonl`.
    pub metrics: [u64; 2],
    /// Whether early stopping has ended the run.
    pub finished: bool,
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

fn path(run: &Path, epochs_done: usize) -> PathBuf {
    run.join("checkpoints")
        .join(format!("epoch-{epochs_done:04}.safetensors"))
}

impl Checkpoint {
    /// Writes a checkpoint and then removes older ones.
    pub(crate) fn save(
        run: &Path,
        state: &State,
        weights: &HashMap<String, Vec<f32>>,
        optimizer: &[u8],
    ) -> Result<(), Error> {
        let target = path(run, state.epochs_done);
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
        for older in list(run) {
            if older < target {
                let _ = std::fs::remove_file(older);
            }
        }
        Ok(())
    }

    /// The newest checkpoint of a run, where it has one.
    pub(crate) fn newest(run: &Path) -> Result<Option<Self>, Error> {
        list(run).pop().map(|path| Self::load(&path)).transpose()
    }

    fn load(path: &Path) -> Result<Self, Error> {
        let fault = |reason: String| Error::Checkpoint {
            path: path.to_owned(),
            reason,
        };
        let bytes = files::read(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| fault(e.to_string()))?;
        let state = header
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(STATE))
            .ok_or_else(|| fault("it holds no training state".to_owned()))?;
        let state = serde_json::from_str(state).map_err(|e| fault(e.to_string()))?;
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

/// Complete checkpoints, oldest first.
fn list(run: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(run.join("checkpoints"))
        .map(|entries| {
            entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .collect()
        })
        .unwrap_or_default();
    found.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "safetensors")
    });
    found.sort();
    found
}
