//! Training a prepared recipe into a run folder, and going on with one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use regraft_data::{Augment, ImageSet, Loader, LoaderOptions, some};
use regraft_freeze::Statistics;
use regraft_onnx::{Graph, ImportOptions, Input, Model, Op, Role};
use regraft_recipe::Recipe;
use regraft_train::{
    Evaluation, Event, NO_VALIDATION, Pace, Standing, Trainer, evaluate, files::write_whole,
};
use serde::{Deserialize, Serialize};

use crate::classifier::Classifier;
use crate::error::Error;
use crate::prepare::{Prepared, Recorded, prepare_recorded};
use crate::record::{self, RunRecord};
use crate::run_folder::RunFolder;

/// Where a run goes, and how it is stopped.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The run folder; `None`: the next free `runs/<name>-N`.
    pub out: Option<PathBuf>,
    /// Whether an existing run in `out` may be replaced.
    pub overwrite: bool,
    /// Set it to stop after the step in hand.
    pub stop: Arc<AtomicBool>,
}

/// Accuracy and loss on a split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of images classified right.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Images.
    pub images: usize,
}

/// What a run came to; also `summary.json` in its folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The run folder.
    pub run: PathBuf,
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch that `model.onnx` holds, counted from 1.
    pub best_epoch: usize,
    /// Validation with the new head untrained; `None` after a resume.
    pub validation_before: Option<Score>,
    /// Validation of `model.onnx`.
    pub validation: Option<Score>,
    /// The data's own test split with `model.onnx`, where it has one.
    pub test: Option<Score>,
    /// Parameters that were to stay frozen, every one compared with the pretrained bytes and found unchanged.
    pub frozen_unchanged: usize,
    /// Parameters that trained.
    pub trained: usize,
    /// Wall-clock time of this call.
    pub seconds: f64,
    /// Warnings to show the user.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl From<&Evaluation> for Score {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            accuracy: evaluation.accuracy,
            loss: evaluation.loss,
            images: evaluation.predictions.len(),
        }
    }
}

/// How a run is gone on with.
#[derive(Debug, Clone, Default)]
pub struct ResumeOptions {
    /// New values for settings that may change in a run, as `key=value`.
    pub overrides: Vec<String>,
    /// Whether to go on where images were added, removed or changed, or recipe.toml was edited.
    pub accept_changes: bool,
    /// Set it to stop after the step in hand.
    pub stop: Arc<AtomicBool>,
}

/// What going on with a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Resumption {
    /// The run as it stands now.
    #[serde(flatten)]
    pub summary: Summary,
    /// Whether anything was left to train; otherwise nothing was changed.
    pub trained: bool,
}

/// Trains a prepared recipe into a new run folder.
///
/// With [`RunOptions::overwrite`], the run that is replaced is kept until the new one has a model, and put back where it ends
/// without.
///
/// # Errors
/// When the folder cannot be had, or training fails or is stopped.
pub fn train(
    prepared: &Prepared,
    options: &RunOptions,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, Error> {
    let name = Path::new(&prepared.recipe.data.source)
        .file_name()
        .map_or_else(
            || "run".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
    let folder = RunFolder::create(
        options.out.as_deref(),
        &name,
        options.overwrite,
        &prepared.model_path,
    )?;
    let summary = begin(prepared, &folder)
        .and_then(|()| work(prepared, &folder, &options.stop, Vec::new(), tell));
    let resumable = summary
        .as_ref()
        .map_or_else(Error::is_interruption, |_| true);
    folder.conclude(resumable)?;
    summary
}

/// Writes what a run folder holds before anything is trained. `plan.json` comes last: it makes the folder a run.
fn begin(prepared: &Prepared, folder: &RunFolder) -> Result<(), Error> {
    let run = &folder.path;
    RunRecord::new(prepared).save(run)?;
    let labels: String = prepared
        .data
        .train
        .classes
        .iter()
        .map(|class| format!("{class}\n"))
        .collect();
    write_whole(&run.join("labels.txt"), labels.as_bytes())?;
    write_settings(prepared, run)
}

/// Writes the recipe and the plan.
fn write_settings(prepared: &Prepared, run: &Path) -> Result<(), Error> {
    let recipe = regraft_recipe::annotated(&prepared.asked, &prepared.recipe);
    write_whole(&run.join("recipe.toml"), recipe.as_bytes())?;
    write_whole(&run.join("plan.txt"), prepared.table().as_bytes())?;
    let json = serde_json::json!({ "plan": prepared.plan, "estimates": prepared.estimates() });
    write_whole(&run.join("plan.json"), format!("{json:#}\n").as_bytes())?;
    Ok(())
}

/// Goes on with a run from its last checkpoint; the result is what the uninterrupted run would have given.
///
/// # Errors
/// When the folder is no run, another process works in it, its data or settings are not those that it began with, or training
/// fails or is stopped.
pub fn resume(
    run: &Path,
    options: &ResumeOptions,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Resumption, Error> {
    let folder = RunFolder::open(run)?;
    let record = RunRecord::load(run)?;
    let settings = record::settings(run, &record, &options.overrides, options.accept_changes)?;
    let standing = Standing::of(run)?;
    if let Some(summary) = finished(run, &standing, &settings.resolved) {
        return Ok(Resumption {
            summary,
            trained: false,
        });
    }
    let split = run.join(record::SPLIT);
    // A run that was cut off before it knew its images begins again.
    let before = match split.is_file() {
        true => Some(regraft_data::read_records(&split)?),
        false => None,
    };
    let recorded = before.as_deref().map(|images| Recorded { images });
    let mut prepared = prepare_recorded(&settings.resolved, recorded, &mut |_, _| {})?;
    prepared.asked = settings.asked;
    let sources = (&prepared.recipe.model.source, &prepared.recipe.data.source);
    prepared.asked.model.source.clone_from(sources.0);
    prepared.asked.data.source.clone_from(sources.1);
    let changed = |reason: String| Error::Changed {
        path: run.to_owned(),
        reason,
    };
    if prepared.model_sha256 != record.model_sha256 {
        return Err(changed(format!(
            "the model `{}` is another than the one it began with; put that back, or start a new run",
            prepared.model_path.display()
        )));
    }
    let classes = std::fs::read_to_string(run.join("labels.txt")).unwrap_or_default();
    let now = &prepared.data.train.classes;
    if before.is_some() && !classes.lines().eq(now.iter().map(String::as_str)) {
        return Err(changed(format!(
            "its classes were {}, and are {} now; its head knows the old ones only: put the folders back, or start a new run",
            some(&classes.lines().map(str::to_owned).collect::<Vec<_>>()),
            some(now)
        )));
    }
    let mut notes: Vec<String> = settings
        .changes
        .iter()
        .map(|change| format!("`{}`: {} → {}", change.key, change.before, change.after))
        .collect();
    if let Some(before) = &before {
        let images =
            regraft_data::records(&prepared.data, &prepared.data_root, &mut |done, total| {
                tell(Event::Reading { done, total });
            });
        if let Some(changes) = record::check_images(run, before, &images, options.accept_changes)? {
            notes.push(format!("images: {changes}"));
            write_whole(&split, &regraft_data::write_records(&images)?)?;
        }
    }
    if !settings.changes.is_empty() {
        let record = RunRecord {
            asked: prepared.asked.to_toml(),
            resolved: prepared.recipe.to_toml(),
            ..record
        };
        record.save(run)?;
        write_settings(&prepared, run)?;
    }
    notes.push(format!(
        "going on {}",
        standing.in_words(prepared.recipe.train.epochs)
    ));
    for note in &notes {
        tell(Event::Note(note));
    }
    let summary = work(&prepared, &folder, &options.stop, notes, tell);
    let resumable = summary
        .as_ref()
        .map_or_else(Error::is_interruption, |_| true);
    folder.conclude(resumable)?;
    Ok(Resumption {
        summary: summary?,
        trained: true,
    })
}

/// The summary of a run that has nothing left to do.
fn finished(run: &Path, standing: &Standing, recipe: &Recipe) -> Option<Summary> {
    let patience = recipe
        .train
        .early_stopping
        .map(|stopping| stopping.patience);
    if !standing.finished(recipe.train.epochs, patience) || !run.join("last.onnx").is_file() {
        return None;
    }
    let text = std::fs::read_to_string(run.join("summary.json")).ok()?;
    let mut summary: Summary = serde_json::from_str(&text).ok()?;
    summary.run = run.to_owned();
    Some(summary)
}

fn work(
    prepared: &Prepared,
    folder: &RunFolder,
    stop: &Arc<AtomicBool>,
    notes: Vec<String>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, Error> {
    let start = Instant::now();
    let recipe = &prepared.recipe;
    let split = folder.path.join(record::SPLIT);
    if !split.is_file() {
        let images =
            regraft_data::records(&prepared.data, &prepared.data_root, &mut |done, total| {
                tell(Event::Reading { done, total });
            });
        write_whole(&split, &regraft_data::write_records(&images)?)?;
    }
    let trainer = trainer(prepared, &folder.path, stop)?;
    let mut without_validation = false;
    let outcome = trainer.run(&mut |event| {
        without_validation |= event == Event::NoValidation;
        tell(event);
    })?;
    // What is evaluated is read from the written file: two networks at once would be the most memory of the run.
    drop(outcome.network);
    let frozen_unchanged = prove_frozen(prepared, &folder.path)?;
    let scored = prepared.data.validation.is_some() || prepared.data.test.is_some();
    let best = scored
        .then(|| Classifier::open(&folder.path.to_string_lossy(), &recipe.device.name))
        .transpose()?;
    let score = |set: &Option<ImageSet>| -> Result<Option<Score>, Error> {
        match set.as_ref().zip(best.as_ref()) {
            Some((set, best)) => {
                let loader = loader(prepared, set.clone(), false)?;
                let evaluation = evaluate(best.network(), &loader, &mut |_, _| {})?;
                Ok((!evaluation.predictions.is_empty()).then(|| Score::from(&evaluation)))
            }
            None => Ok(None),
        }
    };
    let mut warnings = prepared.warnings.clone();
    warnings.extend(notes);
    if without_validation {
        warnings.push(NO_VALIDATION.to_owned());
    }
    let summary = Summary {
        run: folder.path.clone(),
        epochs: outcome.epochs,
        best_epoch: outcome.best_epoch,
        validation_before: outcome.before.as_ref().map(Score::from),
        validation: score(&prepared.data.validation)?,
        test: score(&prepared.data.test)?,
        frozen_unchanged,
        trained: prepared.plan.phases[0]
            .parameters
            .iter()
            .filter(|p| p.trained)
            .count(),
        seconds: start.elapsed().as_secs_f64(),
        warnings,
    };
    let json = serde_json::to_string_pretty(&summary).map_err(|e| Error::Unfit {
        reason: e.to_string(),
    })?;
    write_whole(
        &folder.path.join("summary.json"),
        format!("{json}\n").as_bytes(),
    )?;
    Ok(summary)
}

fn trainer<'a>(
    prepared: &'a Prepared,
    run: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<Trainer<'a>, Error> {
    Ok(Trainer {
        model: &prepared.model,
        graph: prepared.graph.clone(),
        phase: &prepared.plan.phases[0],
        dropout: &prepared.dropout,
        train: loader(prepared, prepared.data.train.clone(), true)?,
        validation: match &prepared.data.validation {
            Some(set) => Some(loader(prepared, set.clone(), false)?),
            None => None,
        },
        config: &prepared.recipe.train,
        device: regraft_backend::open(&prepared.recipe.device.name)?,
        run: run.to_owned(),
        stop: stop.clone(),
    })
}

/// How long the run will take on the recipe's device, from one measured step; nothing is trained or written.
///
/// # Errors
/// When there is no such device, or the network cannot be run.
pub fn pace(prepared: &Prepared) -> Result<Pace, Error> {
    let test = prepared.data.test.as_ref();
    let test = test.map_or(0, |set| set.samples.len());
    let trainer = trainer(prepared, Path::new(""), &Arc::default())?;
    Ok(trainer.pace(test)?)
}

fn loader(prepared: &Prepared, set: ImageSet, training: bool) -> Result<Loader, Error> {
    let recipe = &prepared.recipe;
    Ok(Loader::new(
        set,
        LoaderOptions {
            preprocess: prepared.preprocess.clone(),
            augment: if training {
                recipe.data.augment
            } else {
                Augment::None
            },
            batch_size: recipe.train.batch_size,
            seed: recipe.train.seed,
            shuffle: training && recipe.train.shuffle,
            threads: recipe.device.threads,
            prefetch: 2,
            on_bad_image: recipe.data.on_bad_image,
        },
    )?)
}

/// Compares every parameter that was to stay with the grafted model's bytes, in both written files.
fn prove_frozen(prepared: &Prepared, run: &Path) -> Result<usize, Error> {
    let phase = &prepared.plan.phases[0];
    let trained: HashSet<&str> = phase
        .parameters
        .iter()
        .filter(|p| p.trained)
        .map(|p| p.name.as_str())
        .collect();
    let graph = &prepared.graph;
    let updated: HashSet<&str> = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::BatchNorm(_)))
        .zip(&phase.norms)
        .filter(|(_, norm)| norm.statistics == Statistics::Updated)
        .flat_map(|(node, _)| &node.inputs)
        .filter_map(|input| match input {
            Input::Parameter(id) => Some(graph.parameter(*id).name.as_str()),
            Input::Value(_) => None,
        })
        .collect();
    let [_, height, width] = graph.image_shape();
    let mut compared = 0;
    for file in ["model.onnx", "last.onnx"] {
        let path = run.join(file);
        let fault = |source| Error::Model {
            path: path.clone(),
            source,
        };
        let written = Model::open(&path).map_err(fault)?;
        let options = ImportOptions {
            image_size: Some([height, width]),
            ..ImportOptions::default()
        };
        let written = Graph::import(&written, &options).map_err(fault)?;
        let defect = |reason: String| Error::Run {
            path: run.to_owned(),
            reason: format!("{reason} in {file}; this is a defect"),
        };
        if written.parameters.len() != graph.parameters.len() {
            return Err(defect(format!(
                "{} parameters became {}",
                graph.parameters.len(),
                written.parameters.len()
            )));
        }
        compared = 0;
        for (parameter, now) in graph.parameters.iter().zip(&written.parameters) {
            if parameter.initializer.is_none() {
                continue;
            }
            let statistic = matches!(parameter.role, Role::RunningMean | Role::RunningVariance);
            if trained.contains(parameter.name.as_str())
                || statistic && updated.contains(parameter.name.as_str())
            {
                continue;
            }
            let same = now.data.len() == parameter.data.len()
                && now
                    .data
                    .to_vec()
                    .iter()
                    .zip(&parameter.data.to_vec())
                    .all(|(a, b)| a.to_bits() == b.to_bits());
            if !same {
                return Err(defect(format!(
                    "frozen parameter `{}` changed",
                    parameter.name
                )));
            }
            compared += 1;
        }
    }
    Ok(compared)
}
