//! Everything that a run needs to go on as if it had never stopped, in one safetensors file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
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

fn path(run: &Path, epochs_done: usize) -> PathBuf {
    run.join("checkpoints")
        .join(format!("epoch-{epochs_done:04}.safetensors"))
}

impl Checkpoint {
    /// Writes the checkpoint and then removes older ones.
    pub(crate) fn save(&self, run: &Path) -> Result<(), Error> {
        let target = path(run, self.state.epochs_done);
        let fault = |reason: String| Error::Checkpoint {
            path: target.clone(),
            reason,
        };
        let bytes: Vec<(String, usize, Vec<u8>)> = self
            .weights
            .iter()
            .map(|(name, values)| {
                let bytes = values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                (format!("{WEIGHT}{name}"), values.len(), bytes)
            })
            .collect();
        let mut views = Vec::with_capacity(bytes.len() + 1);
        for (name, length, bytes) in &bytes {
            let view = TensorView::new(Dtype::F32, vec![*length], bytes)
                .map_err(|e| fault(e.to_string()))?;
            views.push((name.clone(), view));
        }
        let optimizer = TensorView::new(Dtype::U8, vec![self.optimizer.len()], &self.optimizer)
            .map_err(|e| fault(e.to_string()))?;
        views.push((OPTIMIZER.to_owned(), optimizer));
        let state = serde_json::to_string(&self.state).map_err(|e| fault(e.to_string()))?;
        let metadata = HashMap::from([(STATE.to_owned(), state)]);
        let file =
            safetensors::serialize(views, Some(metadata)).map_err(|e| fault(e.to_string()))?;
        let folder = run.join("checkpoints");
        std::fs::create_dir_all(&folder).map_err(|source| Error::Io {
            action: "writing",
            path: folder.clone(),
            source,
        })?;
        files::write_whole(&target, &file)?;
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
