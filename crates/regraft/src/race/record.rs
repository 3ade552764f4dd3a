//! What a race writes down: its candidates in `plan.json`, and of each what the clock decided, in its folder.

use std::path::Path;
use std::time::Duration;

use regraft_spec::files::{read, write_whole};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::run_file::RunFile;
use crate::run_folder::RunFolder;

/// What was decided of a candidate, in its folder.
pub(super) const CANDIDATE: &str = "candidate.json";

/// What raced, and how it did; part of `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// In words.
    pub what: String,
    /// What trained, as a recipe writes it.
    pub policy: String,
    /// Peak learning rate; 0 where nothing trained.
    pub lr: f64,
    /// Epochs; 0 where nothing trained.
    pub epochs: usize,
    /// Share of the tuned network in an average with what it was tuned from; 1: no average.
    pub share: f32,
    /// Seconds it took.
    pub seconds: f64,
    /// Share of the images that it was judged on that were classified right; none while it is not done.
    pub accuracy: Option<f64>,
    /// Its standard error.
    pub accuracy_error: Option<f64>,
    /// Mean loss on those images in nats.
    pub loss: Option<f64>,
    /// Share of the images of `data.shifted` that were classified right, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<f64>,
    /// Whether the run's model is this one.
    pub chosen: bool,
}

/// A race as it stands: what `plan.json` has of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RaceRecord {
    /// Seconds that it may take.
    pub budget: f64,
    /// Whether the budget was asked for, and not taken for want of one.
    pub asked: bool,
    /// Parts that the training images were judged in, each by networks that trained on the others; 1: one set was held out.
    #[serde(default = "one")]
    pub folds: usize,
    /// In the order in which they ran.
    pub candidates: Vec<Candidate>,
}

fn one() -> usize {
    1
}

/// The time of the candidates that an earlier call worked on.
pub(super) fn taken(folder: &RunFolder) -> Duration {
    let race = folder.path.join(RunFile::Race.name());
    let entries = std::fs::read_dir(race).into_iter().flatten().flatten();
    let candidates = entries.filter_map(|entry| recorded(&entry.path().join(CANDIDATE)));
    Duration::from_secs_f64(candidates.map(|candidate| candidate.seconds.max(0.0)).sum())
}

pub(super) fn recorded(path: &Path) -> Option<Candidate> {
    serde_json::from_slice(&read(path).ok()?).ok()
}

pub(super) fn record(path: &Path, candidate: &Candidate) -> Result<(), Error> {
    let json = serde_json::to_vec_pretty(candidate).map_err(|error| Error::Unfit {
        reason: error.to_string(),
    })?;
    Ok(write_whole(path, &json)?)
}
