//! The files of a run folder, each read and written through its type.

use std::path::{Path, PathBuf};

use regraft_data::{ImageRecord, ImageSet, SplitName};
use regraft_freeze::{Estimate, FreezePlan};
use regraft_recipe::Recipe;
use regraft_spec::files::{FileError, write_whole};
use regraft_train::{EpochReport, Evaluation, StepReport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::race::RaceRecord;
use crate::record::RunRecord;
use crate::run_file::RunFile;
use crate::run_folder::is_run;
use crate::solve::SolvedHead;
use crate::train::Summary;

/// `plan.json`: what trains when, and what each phase costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The plan.
    pub plan: FreezePlan,
    /// One entry a phase.
    pub estimates: Vec<Estimate>,
    /// The solved head, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<SolvedHead>,
    /// The candidates of the policy `auto`, once they have raced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub race: Option<RaceRecord>,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Metric {
    /// One optimisation step.
    Step(StepReport),
    /// One epoch.
    Epoch(EpochReport),
}

/// A line of `predictions.csv`: what the best network says of a held-out image, or of a training image a head that was solved
/// without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionRecord {
    /// The image, as `split.csv` has it.
    pub image: String,
    /// Validation or test; train where the head was solved without the image.
    pub split: SplitName,
    /// Its true class.
    pub label: String,
    /// The most probable class.
    pub predicted: String,
    /// The probability of that, 0 to 1.
    pub probability: f32,
    /// The probability of the true class, 0 to 1.
    pub label_probability: f32,
}

impl PredictionRecord {
    /// The predictions of an evaluation of a split.
    pub(crate) fn of(
        evaluation: &Evaluation,
        set: &ImageSet,
        split: SplitName,
        root: &Path,
    ) -> Vec<Self> {
        let class = |label: usize| set.classes.get(label).cloned().unwrap_or_default();
        evaluation
            .predictions
            .iter()
            .map(|prediction| {
                let predicted = prediction.predicted();
                let probability =
                    |label: usize| prediction.probabilities.get(label).copied().unwrap_or(0.0);
                Self {
                    image: ImageRecord::key(&set.samples[prediction.index], root),
                    split,
                    label: class(prediction.label),
                    predicted: class(predicted),
                    probability: probability(predicted),
                    label_probability: probability(prediction.label),
                }
            })
            .collect()
    }
}

/// The files of a run folder, for reading them, and within this crate for writing them.
///
/// ```no_run
/// # fn main() -> Result<(), regraft::Error> {
/// let run = regraft::RunFiles::open("runs/photos-1".as_ref())?;
/// let wrong = run.predictions()?.into_iter().filter(|p| p.predicted != p.label);
/// println!("{} held-out images are taken for something else", wrong.count());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFiles {
    root: PathBuf,
}

impl RunFiles {
    /// The files of a run.
    ///
    /// # Errors
    /// When the folder is no run.
    pub fn open(root: &Path) -> Result<Self, Error> {
        if !is_run(root) {
            return Err(Error::Run {
                path: root.to_owned(),
                reason: "it is no run; a run folder is what `regraft train` writes".to_owned(),
            });
        }
        Ok(Self::at(root))
    }

    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The path of a file, whether or not it is there.
    pub fn path(&self, file: RunFile) -> PathBuf {
        self.root.join(file.name())
    }

    /// Whether a file is there.
    pub fn has(&self, file: RunFile) -> bool {
        self.path(file).exists()
    }

    /// What the run began with.
    ///
    /// # Errors
    /// When the file cannot be read; so of all that follow.
    pub fn record(&self) -> Result<RunRecord, Error> {
        self.json(RunFile::Record)
    }

    /// The recipe as it stands in the folder, edits included.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn recipe(&self) -> Result<Recipe, Error> {
        Ok(Recipe::load(&self.path(RunFile::Recipe))?)
    }

    /// Which image went where.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn split(&self) -> Result<Vec<ImageRecord>, Error> {
        Ok(regraft_data::read_records(&self.path(RunFile::Split))?)
    }

    /// The plan.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn plan(&self) -> Result<PlanRecord, Error> {
        self.json(RunFile::Plan)
    }

    /// The classes, in the order of the outputs.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn labels(&self) -> Result<Vec<String>, Error> {
        let text = self.text(RunFile::Labels)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Every step and every epoch so far.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn metrics(&self) -> Result<Vec<Metric>, Error> {
        let text = self.text(RunFile::Metrics)?;
        text.lines()
            .map(|line| serde_json::from_str(line).map_err(|e| self.unusable(RunFile::Metrics, &e)))
            .collect()
    }

    /// What the best network says of the held-out images.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn predictions(&self) -> Result<Vec<PredictionRecord>, Error> {
        let path = self.path(RunFile::Predictions);
        let bytes = regraft_spec::files::read(&path)?;
        csv::Reader::from_reader(bytes.as_slice())
            .deserialize()
            .map(|line| line.map_err(|e| self.unusable(RunFile::Predictions, &e)))
            .collect()
    }

    /// What the run came to.
    ///
    /// # Errors
    /// As [`RunFiles::record`].
    pub fn summary(&self) -> Result<Summary, Error> {
        self.json(RunFile::Summary)
    }

    pub(crate) fn save_record(&self, record: &RunRecord) -> Result<(), Error> {
        self.save_json(RunFile::Record, record)
    }

    pub(crate) fn save_recipe(&self, annotated: &str) -> Result<(), Error> {
        self.save(RunFile::Recipe, annotated.as_bytes())
    }

    pub(crate) fn save_split(&self, images: &[ImageRecord]) -> Result<(), Error> {
        self.save(RunFile::Split, &regraft_data::write_records(images)?)
    }

    pub(crate) fn save_plan(&self, table: &str, plan: &PlanRecord) -> Result<(), Error> {
        self.save(RunFile::PlanTable, table.as_bytes())?;
        self.save_json(RunFile::Plan, plan)
    }

    pub(crate) fn save_labels(&self, labels: &[String]) -> Result<(), Error> {
        let lines: String = labels.iter().map(|label| format!("{label}\n")).collect();
        self.save(RunFile::Labels, lines.as_bytes())
    }

    pub(crate) fn save_predictions(&self, predictions: &[PredictionRecord]) -> Result<(), Error> {
        let fault = |error: csv::Error| self.unusable(RunFile::Predictions, &error);
        let mut writer = csv::Writer::from_writer(Vec::new());
        for prediction in predictions {
            writer.serialize(prediction).map_err(fault)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| self.unusable(RunFile::Predictions, error.error()))?;
        self.save(RunFile::Predictions, &bytes)
    }

    pub(crate) fn save_summary(&self, summary: &Summary) -> Result<(), Error> {
        self.save_json(RunFile::Summary, summary)
    }

    fn save(&self, file: RunFile, bytes: &[u8]) -> Result<(), Error> {
        Ok(write_whole(&self.path(file), bytes)?)
    }

    fn save_json(&self, file: RunFile, value: &impl Serialize) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(value).map_err(|e| self.unusable(file, &e))?;
        self.save(file, format!("{json}\n").as_bytes())
    }

    fn text(&self, file: RunFile) -> Result<String, Error> {
        let path = self.path(file);
        Ok(std::fs::read_to_string(&path).map_err(FileError::reading(&path))?)
    }

    fn json<T: DeserializeOwned>(&self, file: RunFile) -> Result<T, Error> {
        serde_json::from_str(&self.text(file)?).map_err(|error| self.unusable(file, &error))
    }

    fn unusable(&self, file: RunFile, error: &dyn std::error::Error) -> Error {
        Error::Run {
            path: self.root.clone(),
            reason: format!(
                "its {} cannot be used: {error}; train it again",
                file.name()
            ),
        }
    }
}
