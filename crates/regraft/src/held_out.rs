//! A classifier and the run that it comes from: the images that were held out, and those that it was trained on.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use regraft_data::{ImageRecord, ImageSet, OnBadImage, Sample, SplitName};
use regraft_train::{Evaluation, Observer, Prediction};

use crate::classifier::{Classifier, Report, report};
use crate::error::Error;
use crate::prepare::{Recorded, open_data};
use crate::run_file::RunFile;
use crate::run_files::RunFiles;

impl Classifier {
    /// Evaluates on the images that the model's run held out of training: its test split where it has one, else its
    /// validation split.
    ///
    /// # Errors
    /// When the model lies in no run folder, the run held nothing out, its images are gone or others now, or one cannot be
    /// decoded.
    pub fn evaluate_held_out(
        &self,
        batch_size: usize,
        on_bad_image: OnBadImage,
        observer: &mut dyn Observer,
    ) -> Result<Report, Error> {
        self.check_named()?;
        let Some(run) = &self.run else {
            return Err(Error::Unfit {
                reason: format!(
                    "model `{}` lies in no run folder, so it has no held-out images; give some with `--data`",
                    self.path.display()
                ),
            });
        };
        let files = RunFiles::at(run);
        let recipe = files.record()?.resolved()?;
        let images = files.split()?;
        let root = PathBuf::from(&recipe.data.source);
        let data = open_data(&recipe, Some(Recorded { images: &images }))?;
        let (set, name) = match (data.test, data.validation) {
            (Some(test), _) => (test, "test"),
            (None, Some(validation)) => (validation, "validation"),
            (None, None) => {
                if let Some(report) = self.left_out(&files) {
                    return Ok(report);
                }
                return Err(Error::Run {
                    path: run.clone(),
                    reason: "it held no images out of training; give some with `--data`".to_owned(),
                });
            }
        };
        let mut set = set;
        set.relabel(&self.labels)
            .map_err(|strangers| regraft_data::Error::UnknownClass {
                class: strangers.into_iter().next().unwrap_or_default(),
                path: root.clone(),
                known: self.labels.clone(),
            })?;
        let samples: Vec<&Sample> = set.samples.iter().collect();
        let hashes = regraft_data::hashes(&samples, &mut |_, _| {});
        let known: HashMap<&str, &str> = images
            .iter()
            .map(|image| (image.image.as_str(), image.sha256.as_str()))
            .collect();
        let other = set.samples.iter().zip(&hashes).filter(|(sample, hash)| {
            known.get(ImageRecord::key(sample, &root).as_str()) != Some(&hash.as_str())
        });
        let other = other.count();
        let warnings = (other > 0).then(|| {
            format!("{other} of the held-out images are not what they were when the run began")
        });
        let what = format!("held-out images: the {name} split of {}", root.display());
        let warnings = warnings.into_iter().collect();
        self.report_on(set, what, warnings, batch_size, on_bad_image, observer)
    }

    /// What heads that were solved without them said of a run's training images.
    fn left_out(&self, files: &RunFiles) -> Option<Report> {
        let predictions = files.predictions().ok()?;
        let place = |label: &str| self.labels.iter().position(|own| own == label);
        let others = self.labels.len().saturating_sub(2).max(1) as f32;
        let predictions: Vec<Prediction> = predictions
            .iter()
            .filter(|record| record.split == SplitName::Train)
            .enumerate()
            .filter_map(|(index, record)| {
                let (label, predicted) = (place(&record.label)?, place(&record.predicted)?);
                // Two of the probabilities are on record; the others share what is left, below the largest.
                let known = match label == predicted {
                    true => record.probability,
                    false => record.probability + record.label_probability,
                };
                let rest = ((1.0 - known).max(0.0) / others).min(0.999 * record.probability);
                let mut probabilities = vec![rest; self.labels.len()];
                probabilities[label] = record.label_probability;
                probabilities[predicted] = record.probability;
                Some(Prediction {
                    index,
                    label,
                    probabilities,
                })
            })
            .collect();
        if predictions.is_empty() {
            return None;
        }
        Some(Report {
            data: "the training images, each as a head that was solved without it has it"
                .to_owned(),
            top_5: None,
            ..report(&self.labels, &Evaluation::of(predictions))
        })
    }

    /// A warning where images are some that the model's run was trained on, by their bytes.
    pub(crate) fn trained_on(&self, set: &ImageSet) -> Result<Option<String>, Error> {
        let Some(run) = &self.run else {
            return Ok(None);
        };
        let files = RunFiles::at(run);
        if !files.has(RunFile::Split) {
            return Ok(None);
        }
        let trained: HashSet<String> = files
            .split()?
            .into_iter()
            .filter(|image| image.split == SplitName::Train && !image.sha256.is_empty())
            .map(|image| image.sha256)
            .collect();
        let samples: Vec<&Sample> = set.samples.iter().collect();
        let seen = regraft_data::hashes(&samples, &mut |_, _| {})
            .iter()
            .filter(|hash| trained.contains(*hash))
            .count();
        Ok((seen > 0).then(|| {
            format!(
                "the model was trained on {seen} of these {} images; how it does on them says little of how it does on new ones",
                set.samples.len()
            )
        }))
    }
}
