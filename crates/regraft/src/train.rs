//! Training a planned recipe into a run folder, and going on with one.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use regraft_data::{Augment, ImageSet, Loader, LoaderOptions, Sampling, SplitName, some};
use regraft_freeze::{FreezeConfig, FreezePlan, Policy};
use regraft_onnx::{Graph, ImportOptions, Input, Model, Op, Role, write};
use regraft_recipe::{HeadKind, Recipe, Taps};
use regraft_spec::files::write_whole_by;
use regraft_train::{
    Evaluation, Event, Keep, Kept, NO_VALIDATION, Observer, Pace, Prediction, Silent, Standing,
    StateDict, Stop, Trainer, evaluate,
};
use serde::{Deserialize, Serialize};

use crate::classifier::Classifier;
use crate::error::Error;
use crate::prepare::{Planned, Recorded, prepare_recorded};
use crate::race::{self, RaceRecord, Winner};
use crate::record::{self, RunRecord};
use crate::run_file::RunFile;
use crate::run_files::{PlanRecord, PredictionRecord, RunFiles};
use crate::run_folder::{self, RunFolder};
use crate::solve::{self, LeftOut, SolvedHead};

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
    /// The images of `data.shifted` with `model.onnx`, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<Score>,
    /// Parameters that were to stay frozen, every one compared with the pretrained bytes and found unchanged.
    pub frozen_unchanged: usize,
    /// Parameters that trained.
    pub trained: usize,
    /// Wall-clock time of this call.
    pub seconds: f64,
    /// The solved head, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<SolvedHead>,
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

/// Trains a planned recipe into a new run folder.
///
/// With [`RunOptions::overwrite`], the run that is replaced is kept until the new one has a model, and put back where it ends
/// without.
///
/// # Errors
/// When the folder cannot be had, or training fails or is stopped.
pub fn train(
    planned: &Planned,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let name = Path::new(&planned.recipe.data.source)
        .file_name()
        .map_or_else(
            || "run".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        );
    let folder = RunFolder::create(
        options.out.as_deref(),
        &name,
        options.overwrite,
        &planned.pretrained.path,
    )?;
    let summary = begin(planned, &folder)
        .and_then(|()| work(planned, &folder, &options.stop, Vec::new(), observer));
    let resumable = summary
        .as_ref()
        .map_or_else(Error::is_interruption, |_| true);
    folder.conclude(resumable)?;
    summary
}

/// Writes what a run folder holds before anything is trained. `plan.json` comes last: it makes the folder a run.
fn begin(planned: &Planned, folder: &RunFolder) -> Result<(), Error> {
    let files = folder.files();
    files.save_record(&RunRecord::new(planned))?;
    files.save_labels(&planned.data.train.classes)?;
    save_settings(planned, None, &files)
}

/// Writes the recipe and the plan.
fn save_settings(
    planned: &Planned,
    race: Option<&RaceRecord>,
    files: &RunFiles,
) -> Result<(), Error> {
    files.save_recipe(&regraft_recipe::annotated(&planned.asked, &planned.recipe))?;
    let plan = PlanRecord {
        plan: planned.plan.clone(),
        estimates: planned.estimates(),
        head: planned.head.clone(),
        race: race.cloned(),
    };
    files.save_plan(&planned.table(), &plan)
}

/// Goes on with a run from its last checkpoint; the result is what the uninterrupted run would have given.
///
/// # Errors
/// When the folder is no run, another process works in it, its data or settings are not those that it began with, or training
/// fails or is stopped.
pub fn resume(
    run: &Path,
    options: &ResumeOptions,
    observer: &mut dyn Observer,
) -> Result<Resumption, Error> {
    let folder = RunFolder::open(run)?;
    let files = folder.files();
    let record = files.record()?;
    let settings = record::settings(run, &record, &options.overrides, options.accept_changes)?;
    let standing = Standing::of(run)?;
    if let Some(summary) = finished(&files, run, &standing, &settings.resolved) {
        return Ok(Resumption {
            summary,
            trained: false,
        });
    }
    // A run that was cut off before it knew its images begins again.
    let before = match files.has(RunFile::Split) {
        true => Some(files.split()?),
        false => None,
    };
    let recorded = before.as_deref().map(|images| Recorded { images });
    let mut planned = prepare_recorded(&settings.resolved, recorded)?;
    planned.grafted.asked = settings.asked;
    let asked = &mut planned.grafted.asked;
    asked.model.source.clone_from(&planned.recipe.model.source);
    asked.data.source.clone_from(&planned.recipe.data.source);
    let changed = |reason: String| Error::Changed {
        path: run.to_owned(),
        reason,
    };
    if planned.pretrained.sha256 != record.model_sha256 {
        return Err(changed(format!(
            "the model `{}` is another than the one it began with; put that back, or start a new run",
            planned.pretrained.path.display()
        )));
    }
    let classes = files.labels().unwrap_or_default();
    let now = &planned.data.train.classes;
    if before.is_some() && classes != *now {
        return Err(changed(format!(
            "its classes were {}, and are {} now; its head knows the old ones only: put the folders back, or start a new run",
            some(&classes),
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
            regraft_data::records(&planned.data, &planned.data_root, &mut |done, total| {
                observer.observe(&Event::Reading { done, total });
            });
        if let Some(changes) = record::check_images(run, before, &images, options.accept_changes)? {
            notes.push(format!("images: {changes}"));
            files.save_split(&images)?;
        }
    }
    if !settings.changes.is_empty() {
        let record = RunRecord {
            asked: planned.asked.to_toml(),
            resolved: planned.recipe.to_toml(),
            ..record
        };
        files.save_record(&record)?;
        save_settings(&planned, None, &files)?;
    }
    notes.push(format!(
        "going on {}",
        standing.in_words(planned.recipe.train.epochs)
    ));
    for note in &notes {
        observer.observe(&Event::Note(note));
    }
    let summary = work(&planned, &folder, &options.stop, notes, observer);
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
fn finished(files: &RunFiles, run: &Path, standing: &Standing, recipe: &Recipe) -> Option<Summary> {
    if recipe.only_solves() || recipe.freeze.policy == Policy::Auto {
        return solved_before(files, run);
    }
    let patience = recipe
        .train
        .early_stopping
        .map(|stopping| stopping.patience);
    if !standing.finished(recipe.train.epochs, patience) || !files.has(RunFile::Last) {
        return None;
    }
    let mut summary = files.summary().ok()?;
    summary.run = run.to_owned();
    Some(summary)
}

/// The summary of a run whose head was solved.
fn solved_before(files: &RunFiles, run: &Path) -> Option<Summary> {
    let mut summary = files.summary().ok().filter(|_| files.has(RunFile::Best))?;
    summary.run = run.to_owned();
    Some(summary)
}

/// Solves the head of a run that asks for it, or takes the one that was solved before the run was stopped.
fn solve_head(
    planned: &Planned,
    folder: &RunFolder,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<(Planned, LeftOut), Error> {
    let files = folder.files();
    let path = files.path(RunFile::Start);
    if path.exists() {
        let fault = |source| Error::model(&path, source);
        let model = Model::open(&path).map_err(fault)?;
        let grafted = planned.grafted.with_model(model)?;
        let head = files.plan().ok().and_then(|plan| plan.head);
        return Ok((
            planned.started(grafted, head, &planned.recipe.freeze)?,
            Vec::new(),
        ));
    }
    let (started, left_out) = solved(planned, stop, observer)?;
    save_settings(&started, None, &files)?;
    files.save_record(&RunRecord::new(&started))?;
    if !started.recipe.only_solves() {
        write_model(&path, &started.model)?;
    }
    Ok((started, left_out))
}

/// The plan with its head solved.
pub(crate) fn solved(
    planned: &Planned,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<(Planned, LeftOut), Error> {
    let asked = match planned.recipe.head_kind() {
        HeadKind::Solved => planned.recipe.model.head.taps.clone(),
        // A linear head that only begins solved takes the network's own features.
        _ => Taps::Last(0),
    };
    let start = solve::start(planned, &planned.data.train, &asked, stop, observer)?;
    observer.observe(&Event::Note(&start.head.in_words()));
    let started = planned.started(start.grafted, Some(start.head), &planned.recipe.freeze)?;
    Ok((started, start.left_out))
}

fn work(
    planned: &Planned,
    folder: &RunFolder,
    stop: &Arc<AtomicBool>,
    notes: Vec<String>,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let start = Instant::now();
    let files = folder.files();
    if !files.has(RunFile::Split) {
        let images =
            regraft_data::records(&planned.data, &planned.data_root, &mut |done, total| {
                observer.observe(&Event::Reading { done, total });
            });
        files.save_split(&images)?;
    }
    let stopping = Stop::new(stop.clone(), &folder.path);
    if planned.recipe.freeze.policy == Policy::Auto {
        let winner = race::run(planned, folder, start, stop, observer)?;
        return conclude_race(winner, planned, folder, notes, start);
    }
    let (started, left_out) = match planned.recipe.solves() {
        true => {
            let (started, left_out) = solve_head(planned, folder, &stopping, observer)?;
            (Some(started), left_out)
        }
        false => (None, Vec::new()),
    };
    let planned = started.as_ref().unwrap_or(planned);
    if planned.recipe.only_solves() {
        return conclude_solved(planned, folder, &left_out, notes, start);
    }
    let keep = keeper(planned, &folder.path);
    let trainer = trainer(planned, &folder.path, &keep, stop)?;
    let mut without_validation = false;
    let mut told = Vec::new();
    let outcome = trainer.run(&mut |event: &Event<'_>| {
        without_validation |= *event == Event::NoValidation;
        if let Event::Note(note) = event {
            told.push((*note).to_owned());
        }
        observer.observe(event);
    })?;
    // What is evaluated is read from the written file: two networks at once would be the most memory of the run.
    drop(outcome.network);
    let frozen_unchanged = prove_frozen(planned, &folder.path)?;
    let (predictions, [validation, test, shifted]) = held_out_scores(planned, &folder.path)?;
    if planned.data.validation.is_some() || planned.data.test.is_some() {
        files.save_predictions(&predictions)?;
    }
    let mut warnings = planned.warnings.clone();
    warnings.extend(notes);
    warnings.extend(told);
    if without_validation {
        warnings.push(NO_VALIDATION.to_owned());
    }
    let summary = Summary {
        run: folder.path.clone(),
        epochs: outcome.epochs,
        best_epoch: outcome.best_epoch,
        validation_before: outcome.before.as_ref().map(Score::from),
        validation,
        test,
        shifted,
        frozen_unchanged,
        trained: planned.plan.trained().len(),
        seconds: start.elapsed().as_secs_f64(),
        head: planned.head.clone(),
        warnings,
    };
    files.save_summary(&summary)?;
    Ok(summary)
}

/// Ends a run whose candidates have raced: the winner's model is there.
fn conclude_race(
    winner: Winner,
    asked: &Planned,
    folder: &RunFolder,
    notes: Vec<String>,
    start: Instant,
) -> Result<Summary, Error> {
    let files = folder.files();
    let Winner {
        planned,
        record,
        left_out,
        epochs,
    } = winner;
    let reason = asked.plan.reason.clone();
    let planned = Planned {
        plan: FreezePlan {
            policy: format!("auto, which came to {}", planned.plan.policy),
            reason,
            ..planned.plan
        },
        ..planned
    };
    save_settings(&planned, Some(&record), &files)?;
    let mut summary = match left_out {
        Some(left_out) => conclude_solved(&planned, folder, &left_out, notes, start)?,
        None => {
            let best = files.path(RunFile::Best);
            let model = Model::open(&best).map_err(|source| Error::model(&best, source))?;
            write_model(&files.path(RunFile::Last), &model)?;
            let frozen_unchanged = prove_frozen(&planned, &folder.path)?;
            let (predictions, [validation, test, shifted]) =
                held_out_scores(&planned, &folder.path)?;
            files.save_predictions(&predictions)?;
            let mut warnings = planned.warnings.clone();
            warnings.extend(notes);
            Summary {
                run: folder.path.clone(),
                epochs,
                best_epoch: epochs,
                validation_before: None,
                validation,
                test,
                shifted,
                frozen_unchanged,
                trained: planned.plan.trained().len(),
                seconds: 0.0,
                head: planned.head.clone(),
                warnings,
            }
        }
    };
    let race = files.path(RunFile::Race);
    if race.is_dir() {
        std::fs::remove_dir_all(&race)
            .map_err(|source| run_folder::io("removing", &race, source))?;
    }
    summary.seconds = start.elapsed().as_secs_f64();
    files.save_summary(&summary)?;
    Ok(summary)
}

/// What the written model says of the images that were held out.
fn held_out_scores(
    planned: &Planned,
    run: &Path,
) -> Result<(Vec<PredictionRecord>, [Option<Score>; 3]), Error> {
    let mut predictions = Vec::new();
    let mut scores = [None; 3];
    let sets = [
        (&planned.data.validation, Some(SplitName::Validation)),
        (&planned.data.test, Some(SplitName::Test)),
        (&planned.shifted, None),
    ];
    if sets.iter().all(|(set, _)| set.is_none()) {
        return Ok((predictions, scores));
    }
    let best = Classifier::open(&run.to_string_lossy(), &planned.recipe.device.name)?;
    for (score, (set, split)) in scores.iter_mut().zip(sets) {
        let Some(set) = set else {
            continue;
        };
        let loader = loader(planned, set.clone(), false)?;
        let evaluation = evaluate(best.network(), &loader, &mut Silent)?;
        if let Some(split) = split {
            let root = &planned.data_root;
            predictions.extend(PredictionRecord::of(&evaluation, set, split, root));
        }
        *score = (!evaluation.predictions.is_empty()).then(|| Score::from(&evaluation));
    }
    Ok((predictions, scores))
}

/// Ends a run whose solved head is all there is.
fn conclude_solved(
    planned: &Planned,
    folder: &RunFolder,
    left_out: &[(usize, Vec<f32>)],
    notes: Vec<String>,
    start: Instant,
) -> Result<Summary, Error> {
    let files = folder.files();
    write_model(&files.path(RunFile::Best), &planned.model)?;
    write_model(&files.path(RunFile::Last), &planned.model)?;
    let frozen_unchanged = prove_frozen(planned, &folder.path)?;
    let train = &planned.data.train;
    let judged = Evaluation::of(left_out.iter().map(|(index, probabilities)| Prediction {
        index: *index,
        label: train.samples[*index].label,
        probabilities: probabilities.clone(),
    }));
    let root = &planned.data_root;
    let mut predictions = PredictionRecord::of(&judged, train, SplitName::Train, root);
    let (held_out, [validation, test, shifted]) = held_out_scores(planned, &folder.path)?;
    predictions.extend(held_out);
    // Where nothing was held out for it, what was left out judges it.
    let validation = validation.or(Some(Score::from(&judged)));
    files.save_predictions(&predictions)?;
    let mut warnings = planned.warnings.clone();
    warnings.extend(notes);
    let summary = Summary {
        run: folder.path.clone(),
        epochs: 0,
        best_epoch: 0,
        validation_before: None,
        validation,
        test,
        shifted,
        frozen_unchanged,
        trained: planned.plan.trained().len(),
        seconds: start.elapsed().as_secs_f64(),
        head: planned.head.clone(),
        warnings,
    };
    files.save_summary(&summary)?;
    Ok(summary)
}

/// Writes a model, whole or not at all.
pub(crate) fn write_model(path: &Path, model: &Model) -> Result<(), Error> {
    Ok(write_whole_by(path, |partial| {
        let mut file = std::fs::File::create(partial)?;
        model.write_to(&mut file).map_err(std::io::Error::other)
    })?)
}

/// Writes the networks of a run into its folder, as ONNX.
pub(crate) fn keeper<'a>(
    planned: &'a Planned,
    run: &'a Path,
) -> impl Fn(Kept, &StateDict) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a {
    move |kept, state| {
        let name = match kept {
            Kept::Best => RunFile::Best.name(),
            Kept::Last => RunFile::Last.name(),
        };
        let model = write::with_weights(&planned.model, &planned.graph, state.values())?;
        Ok(write_model(&run.join(name), &model)?)
    }
}

fn trainer<'a>(
    planned: &'a Planned,
    run: &Path,
    keep: &'a Keep<'a>,
    stop: &Arc<AtomicBool>,
) -> Result<Trainer<'a>, Error> {
    trainer_in(planned, run, keep, stop, planned.recipe.solves())
}

/// A trainer that works in a folder. With `keep_start` the network as it begins may be the best.
pub(crate) fn trainer_in<'a>(
    planned: &'a Planned,
    run: &Path,
    keep: &'a Keep<'a>,
    stop: &Arc<AtomicBool>,
    keep_start: bool,
) -> Result<Trainer<'a>, Error> {
    Ok(Trainer {
        graph: planned.graph.clone(),
        phases: &planned.plan.phases,
        dropout: &planned.dropout,
        train: loader(planned, planned.data.train.clone(), true)?,
        validation: match &planned.data.validation {
            Some(set) => Some(loader(planned, set.clone(), false)?),
            None => None,
        },
        settings: planned.settings()?,
        device: regraft_backend::open(&planned.recipe.device.name)?,
        run: run.to_owned(),
        keep,
        keep_start,
        stop: Stop::new(stop.clone(), run),
    })
}

/// How long the run will take on the recipe's device, from one measured step; nothing is trained or written.
///
/// # Errors
/// When there is no such device, or the network cannot be run.
pub fn pace(planned: &Planned) -> Result<Pace, Error> {
    let images = |set: &Option<ImageSet>| set.as_ref().map_or(0, |set| set.samples.len());
    let test = images(&planned.data.test);
    let recipe = &planned.recipe;
    let path = Path::new("");
    if recipe.freeze.policy == Policy::Auto {
        // Without a budget it takes what so many epochs of everything do.
        let everything = FreezeConfig {
            policy: Policy::Full,
            ..recipe.freeze.clone()
        };
        let full = Planned {
            plan: planned.decide(&everything)?,
            recipe: recipe
                .clone()
                .change(|recipe| recipe.train.epochs = race::EPOCHS),
            ..planned.clone()
        };
        let mut pace =
            trainer_in(&full, path, &|_, _| Ok(()), &Arc::default(), false)?.pace(test)?;
        pace.seconds = recipe.train.budget.unwrap_or(pace.seconds);
        return Ok(pace);
    }
    let mut pace = trainer(planned, path, &|_, _| Ok(()), &Arc::default())?.pace(test)?;
    if recipe.only_solves() {
        let once = planned.data.train.samples.len() + images(&planned.data.validation) + test;
        pace.seconds = pace.trunk_seconds * once as f64 + pace.fixed_seconds;
    }
    Ok(pace)
}

pub(crate) fn loader(planned: &Planned, set: ImageSet, training: bool) -> Result<Loader, Error> {
    let recipe = &planned.recipe;
    Ok(Loader::new(
        set,
        LoaderOptions {
            preprocess: planned.preprocess.clone(),
            augment: if training {
                recipe.data.augment
            } else {
                Augment::None
            },
            batch_size: recipe.train.batch_size,
            seed: recipe.train.seed,
            shuffle: training && recipe.train.shuffle,
            sampling: match training {
                true => recipe.train.sampling,
                false => Sampling::Shuffle,
            },
            threads: recipe.device.threads,
            prefetch: 2,
            on_bad_image: recipe.data.on_bad_image,
        },
    )?)
}

/// Compares every parameter that was to stay with the grafted model's bytes, in both written files.
fn prove_frozen(planned: &Planned, run: &Path) -> Result<usize, Error> {
    let trained = planned.plan.trained();
    let graph = &planned.graph;
    let updates = planned.plan.updates();
    let updated: HashSet<&str> = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::BatchNorm(_)))
        .zip(updates)
        .filter(|(_, updates)| *updates)
        .flat_map(|(node, _)| &node.inputs)
        .filter_map(|input| match input {
            Input::Parameter(id) => Some(graph.parameter(*id).name.as_str()),
            Input::Value(_) => None,
        })
        .collect();
    let [_, height, width] = graph.image_shape();
    let mut compared = 0;
    for file in [RunFile::Best, RunFile::Last].map(RunFile::name) {
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
