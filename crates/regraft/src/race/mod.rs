//! The policy `auto`: candidates race for the best model that a time buys.
//!
//! The solved head comes first: it costs one pass over the images, and is a whole model. Then parts of the network are tuned
//! from it, as far as the time reaches: one candidate where that is little, several short ones and the best of them at length
//! where it is more (successive halving, Jamieson and Talwalkar 2016). All are judged on the same images, and the simplest
//! within one standard error of the best wins. Where images are few they are judged in folds, all of them, and the winner is
//! trained once more on all. Tuned networks may be averaged, with each other (Wortsman 2022, model soups) and with what they
//! were tuned from (Wortsman 2022, robust fine-tuning).

mod field;
mod judge;
mod record;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regraft_data::ImageSet;
use regraft_freeze::{FreezeConfig, Policy};
use regraft_nn::Network;
use regraft_onnx::{Graph, ImportOptions, Model, write};
use regraft_recipe::Taps;
use regraft_train::{Evaluation, Event, Observer, Silent, Stop, evaluate};

use self::field::{Field, merged};
use self::judge::{Judgement, choose};
use self::record::{CANDIDATE, record, recorded, taken};
pub use self::record::{Candidate, RaceRecord};
use crate::error::Error;
use crate::prepare::Planned;
use crate::run_file::RunFile;
use crate::run_folder::RunFolder;
use crate::solve::{self, LeftOut, SolvedHead};
use crate::train::{keeper, loader, trainer_in, write_model};

/// Epochs of everything that `auto` takes without a budget, at most.
pub(crate) const EPOCHS: usize = 10;
/// Share of the budget that is kept for choosing, writing and the evaluation at the end.
const RESERVE: f64 = 0.08;
/// Seconds that are kept besides.
const RESERVE_SECONDS: f64 = 1.5;
/// Epochs take longer than one measured step says: images are decoded, files written, caches shared.
const SLOWER: f64 = 1.05;
/// Steps that are measured.
const STEPS: usize = 5;
/// Fewest epochs that tune anything.
const FEWEST_EPOCHS: usize = 2;
/// Epochs beyond which more bring next to nothing, of many images.
const MOST_EPOCHS: usize = 30;
/// Steps that few images may take where that is more.
const MOST_STEPS: usize = 300;
/// Epochs of everything from which several candidates are tried.
const SEVERAL: f64 = 45.0;
/// Shares of a tuned network in its averages with what it was tuned from.
const SHARES: [f32; 2] = [0.5, 0.75];
/// The folder in which the winner is trained once more on all images.
const LAST: &str = "last";
/// Seconds between notes of the time that a candidate has taken so far.
const NOTED: f64 = 2.0;

/// The winner of a race.
pub(crate) struct Winner {
    /// The plan that the winner was trained by, with its network.
    pub planned: Planned,
    pub record: RaceRecord,
    /// What heads solved without them say of the training images, where the solved head won.
    pub left_out: Option<LeftOut>,
    pub epochs: usize,
}

/// What is judged: a network, or one a fold, and what they say.
struct Entry {
    /// One a fold, of those that there was time for.
    models: Vec<Model>,
    judgement: Judgement,
    candidate: Candidate,
}

/// Runs the race of a planned run in its folder. The folder has a whole model from the first candidate on.
pub(crate) fn run(
    planned: &Planned,
    folder: &RunFolder,
    began: Instant,
    stop: &Arc<AtomicBool>,
    observer: &mut dyn Observer,
) -> Result<Winner, Error> {
    let stopping = Stop::new(stop.clone(), &folder.path);
    // What a race that was stopped has taken counts.
    let began = began.checked_sub(taken(folder)).unwrap_or(began);
    let field = Field::new(planned, &stopping, observer)?;
    let Some(solved) = field.solved() else {
        return Err(nothing_to_race());
    };
    // A race that was stopped may have come to something better.
    if !folder.files().has(RunFile::Best) {
        write_model(&folder.files().path(RunFile::Best), &solved.model)?;
    }
    let mut race = Race {
        solved,
        field: &field,
        folder,
        began,
        record: RaceRecord {
            asked: planned.recipe.train.budget.is_some(),
            folds: field.folds.len().max(1),
            ..RaceRecord::default()
        },
        stop,
        begun: 0,
        standing: (0.0, f64::NEG_INFINITY),
        epoch_seconds: HashMap::new(),
    };
    if field.folds.is_empty() {
        let candidate = race.solved_alone(true);
        race.record.candidates.push(candidate);
        return race.solved_wins(planned, observer);
    }
    let models: Vec<Model> = field
        .folds
        .iter()
        .map(|fold| fold.solved.model.clone())
        .collect();
    let judgement = race.judge(&models)?;
    race.standing = judgement.score();
    let candidate = race.judged(race.solved_alone(false), &judgement);
    race.tell(&candidate, observer);
    let first = Entry {
        models,
        judgement,
        candidate,
    };
    race.record.budget = match planned.recipe.train.budget {
        Some(budget) => budget,
        None => race.elapsed() + EPOCHS as f64 * race.seconds_an_epoch(&Policy::Full)?,
    };
    if !race.record.asked {
        observer.observe(&Event::Note(&format!(
            "no budget given: at most {:.0} s, what {EPOCHS} epochs of everything take{}; `--budget 10m` says otherwise",
            race.record.budget,
            match field.is_folded() {
                true => format!(" in {} folds", field.folds.len()),
                false => String::new(),
            }
        )));
    }
    if race.elapsed() > race.record.budget {
        observer.observe(&Event::Note(&format!(
            "the budget of {:.0} s was too short: one pass over the images and the solved head took {:.1} s",
            race.record.budget,
            race.elapsed()
        )));
    }
    race.record.candidates.push(first.candidate.clone());
    let mut entries = vec![first];
    entries.extend(race.tune(observer)?);
    let judgements: Vec<&Judgement> = entries.iter().map(|entry| &entry.judgement).collect();
    let best = choose(&judgements);
    if best == 0 {
        return race.solved_wins(planned, observer);
    }
    let Entry {
        mut models,
        candidate,
        ..
    } = entries.swap_remove(best);
    let model = match field.is_folded() {
        false => models.pop(),
        true => race.last(&candidate, observer)?,
    };
    let Some(model) = model else {
        observer.observe(&Event::Note(
            "no time was left to train the best candidate on all images: the solved head stays",
        ));
        return race.solved_wins(planned, observer);
    };
    let planned = race.tuned(race.solved, &candidate)?;
    write_model(&folder.files().path(RunFile::Best), &model)?;
    for other in &mut race.record.candidates {
        other.chosen = *other == candidate;
    }
    Ok(Winner {
        planned,
        epochs: candidate.epochs,
        record: race.record,
        left_out: None,
    })
}

struct Race<'a> {
    /// What the model of the run begins from.
    solved: &'a Planned,
    field: &'a Field,
    folder: &'a RunFolder,
    began: Instant,
    record: RaceRecord,
    stop: &'a Arc<AtomicBool>,
    /// Candidates that were begun.
    begun: usize,
    /// Score of the model that the run folder holds meanwhile.
    standing: (f64, f64),
    /// What an epoch of a policy takes in all folds and in the last training, by its words: measured.
    epoch_seconds: HashMap<String, f64>,
}

impl Race<'_> {
    fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// When tuning ends, whatever it has come to.
    fn end(&self) -> Instant {
        let seconds = self.record.budget * (1.0 - RESERVE / 2.0) - self.reserve();
        self.began + Duration::from_secs_f64(seconds.max(0.0))
    }

    /// Seconds left for tuning.
    fn left(&self) -> f64 {
        self.record.budget * (1.0 - RESERVE) - self.reserve() - self.elapsed()
    }

    /// Seconds kept for the end: the head may be solved once more, from all images.
    fn reserve(&self) -> f64 {
        let head = self
            .solved
            .head
            .as_ref()
            .filter(|_| !self.field.is_folded());
        RESERVE_SECONDS + head.map_or(0.0, |head| head.feature_seconds + head.solve_seconds)
    }

    /// What an epoch takes, from measured steps; then from epochs.
    fn seconds_an_epoch(&mut self, policy: &Policy) -> Result<f64, Error> {
        let words = policy.to_string();
        if let Some(seconds) = self.epoch_seconds.get(&words) {
            return Ok(*seconds);
        }
        let first = self.field.folds.first().map(|fold| &fold.solved);
        let mut planned = with_policy(first.unwrap_or(self.solved), policy, None)?;
        planned.recipe = planned.recipe.change(|recipe| recipe.train.epochs = 1);
        let path = PathBuf::new();
        let trainer = trainer_in(&planned, &path, &|_, _| Ok(()), &Arc::default(), false)?;
        let pace = trainer.pace_of(0, planned.facts.batch_size, STEPS)?;
        let once = SLOWER * (pace.seconds - pace.fixed_seconds).max(1e-3);
        let seconds = once * self.field.shares().iter().sum::<f64>();
        self.epoch_seconds.insert(words, seconds);
        Ok(seconds)
    }

    /// The plan of a candidate that is tuned from `start`.
    fn tuned(&self, start: &Planned, candidate: &Candidate) -> Result<Planned, Error> {
        let policy = self
            .policies()
            .into_iter()
            .find(|p| p.to_string() == candidate.policy);
        let policy = policy.unwrap_or(Policy::Full);
        let mut planned = with_policy(start, &policy, Some(candidate.lr))?;
        planned.recipe = planned
            .recipe
            .change(|recipe| recipe.train.epochs = candidate.epochs);
        Ok(planned)
    }

    /// How deep tuning may reach: everything, the upper half of the blocks, the upper quarter.
    fn policies(&self) -> Vec<Policy> {
        let blocks = &self.solved.outline.blocks;
        let below = blocks.iter().take_while(|block| !block.head).count();
        let mut policies = vec![Policy::Full];
        for share in [2, 4] {
            let open = below.div_ceil(share);
            if open > 0 && open < below {
                policies.push(Policy::LastBlocks(open));
            }
        }
        policies
    }

    /// Epochs that a candidate takes at most: few images may be seen more often.
    fn most_epochs(&self) -> usize {
        let images = self.solved.data.train.samples.len();
        let steps = images.div_ceil(self.solved.recipe.train.batch_size.max(1));
        MOST_EPOCHS.max(MOST_STEPS.div_ceil(steps.max(1)).min(4 * MOST_EPOCHS))
    }

    /// Tunes as the time allows.
    fn tune(&mut self, observer: &mut dyn Observer) -> Result<Vec<Entry>, Error> {
        let lr = self.solved.recipe.train.learning_rate();
        let full = self.seconds_an_epoch(&Policy::Full)?;
        let affordable = self.left() / full;
        let most = self.most_epochs();
        let policies = self.policies();
        let mut entries = Vec::new();
        if affordable >= SEVERAL {
            let mut short: Vec<(Policy, f64)> = vec![(Policy::Full, lr), (Policy::Full, lr / 3.0)];
            short.extend(policies.get(1).map(|half| (half.clone(), lr)));
            let each = 0.4 * self.left() / short.len() as f64;
            let mut best: Option<((f64, f64), Policy, f64)> = None;
            for (policy, lr) in short {
                let epochs = self.epochs_in(&policy, each)?.min(most / 3);
                if epochs < FEWEST_EPOCHS {
                    continue;
                }
                let Some(entry) = self.candidate(&policy, lr, epochs, observer)? else {
                    continue;
                };
                let score = (-entry.judgement.loss(), entry.judgement.accuracy());
                if best.as_ref().is_none_or(|(other, ..)| score > *other) {
                    best = Some((score, policy, lr));
                }
                entries.push(entry);
            }
            if let Some((_, policy, lr)) = best {
                let epochs = self.epochs_in(&policy, self.left())?.min(most);
                if epochs >= 2 * FEWEST_EPOCHS {
                    entries.extend(self.candidate(&policy, lr, epochs, observer)?);
                }
            }
        } else {
            // The deepest for which there is time.
            for policy in policies {
                let epochs = self.epochs_in(&policy, self.left())?.min(most);
                if epochs >= FEWEST_EPOCHS {
                    entries.extend(self.candidate(&policy, lr, epochs, observer)?);
                    // Where that went quicker than measured steps had said.
                    let more = self.epochs_in(&policy, self.left())?.min(most);
                    if 2 * more >= 3 * epochs {
                        entries.extend(self.candidate(&policy, lr, more, observer)?);
                    }
                    break;
                }
            }
            if entries.is_empty() {
                observer.observe(&Event::Note(&format!(
                    "no time is left for tuning: an epoch of everything takes {full:.0} s",
                )));
            }
        }
        if !self.field.is_folded() {
            entries.extend(self.soup(&entries, observer)?);
        }
        let best = entries
            .iter()
            .min_by(|a, b| a.judgement.loss().total_cmp(&b.judgement.loss()));
        if let Some(best) = best.map(|entry| (entry.models.clone(), entry.candidate.clone())) {
            for share in SHARES {
                entries.push(self.average(&best.0, &best.1, share, observer)?);
            }
        }
        Ok(entries)
    }

    fn epochs_in(&mut self, policy: &Policy, seconds: f64) -> Result<usize, Error> {
        let each = self.seconds_an_epoch(policy)?;
        Ok((seconds / each).floor().max(0.0) as usize)
    }

    /// Tunes one candidate in a folder of its own, in every fold, or takes what an earlier call left there. None where its
    /// time was up before it could be judged.
    fn candidate(
        &mut self,
        policy: &Policy,
        lr: f64,
        epochs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Entry>, Error> {
        let began = Instant::now();
        // Those that came to nothing have a folder too.
        self.begun += 1;
        let number = self.begun;
        let path = self.path(&number.to_string());
        create(&path)?;
        // What was decided by the clock stays decided.
        let decided = path.join(CANDIDATE);
        let mut candidate = match recorded(&decided) {
            Some(candidate) => candidate,
            None => {
                let candidate = Candidate {
                    what: match policy {
                        Policy::Full => "everything tuned".to_owned(),
                        policy => format!("{policy} tuned"),
                    },
                    policy: policy.to_string(),
                    lr,
                    epochs,
                    share: 1.0,
                    seconds: 0.0,
                    accuracy: None,
                    accuracy_error: None,
                    loss: None,
                    shifted: None,
                    chosen: false,
                };
                record(&decided, &candidate)?;
                candidate
            }
        };
        let before = candidate.seconds;
        let done = candidate.accuracy.is_some();
        let [folds, last] = self.field.shares();
        // The last training of the winner must have its time too.
        let kept = self.seconds_an_epoch(policy)? * last / (folds + last) * epochs as f64;
        let end = self.end().checked_sub(Duration::from_secs_f64(kept));
        let end = end.unwrap_or(self.began);
        let mut models = Vec::new();
        for fold in &self.field.folds {
            let folder = path.join(&fold.folder);
            create(&folder)?;
            let planned = self.tuned(&fold.solved, &candidate)?;
            if !done {
                let mut noted = 0.0;
                let late = self.train(&planned, &folder, end, observer, &mut || {
                    // A race that is stopped in the middle has taken this time.
                    let seconds = began.elapsed().as_secs_f64();
                    if seconds > noted + NOTED {
                        noted = seconds;
                        candidate.seconds = before + seconds;
                        record(&decided, &candidate)?;
                    }
                    Ok(())
                })?;
                // A fold that was not finished says nothing; what others say counts.
                if late && self.field.is_folded() {
                    let _ = std::fs::remove_dir_all(&folder);
                    break;
                }
            }
            let best = folder.join(RunFile::Best.name());
            if !best.is_file() {
                break;
            }
            models.push(Model::open(&best).map_err(|source| Error::model(&best, source))?);
        }
        if models.is_empty() {
            observer.observe(&Event::Note(&format!(
                "{} took longer than was measured and is left",
                candidate.what
            )));
            return Ok(None);
        }
        let judgement = self.judge(&models)?;
        candidate.seconds = before + began.elapsed().as_secs_f64();
        candidate = self.judged(candidate, &judgement);
        record(&decided, &candidate)?;
        let measured = candidate.seconds / candidate.epochs.max(1) as f64;
        self.epoch_seconds
            .insert(candidate.policy.clone(), measured * (folds + last) / folds);
        self.tell(&candidate, observer);
        self.record.candidates.push(candidate.clone());
        // Whoever stops the race has the best of it so far.
        if let [model] = &models[..]
            && !self.field.is_folded()
            && judgement.score() > self.standing
        {
            self.standing = judgement.score();
            write_model(&self.folder.files().path(RunFile::Best), model)?;
        }
        Ok(Some(Entry {
            models,
            judgement,
            candidate,
        }))
    }

    /// Trains a plan in a folder, or goes on with what is there; whether it was halted at `end`, before its first epoch perhaps,
    /// so that the folder holds no model.
    fn train(
        &self,
        planned: &Planned,
        folder: &Path,
        end: Instant,
        observer: &mut dyn Observer,
        saved: &mut dyn FnMut() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let keep = keeper(planned, folder);
        let halt = Arc::new(AtomicBool::new(false));
        let trainer = trainer_in(planned, folder, &keep, &halt, false)?;
        let asked = self.stop.clone();
        let mut late = false;
        let mut noted = Ok(());
        // Bars, but no line an epoch: the candidate's own says how it went.
        let outcome = trainer.run(&mut |event: &Event<'_>| {
            late |= Instant::now() >= end;
            halt.store(late || asked.load(Ordering::Relaxed), Ordering::Relaxed);
            match event {
                Event::Epoch(_) | Event::NoValidation => {}
                Event::Saved { .. } => noted = saved(),
                event => observer.observe(event),
            }
        });
        noted?;
        match outcome {
            Ok(outcome) => {
                drop(outcome.network);
                Ok(false)
            }
            // Its time is up: what it has come to counts, if it has come to anything.
            Err(regraft_train::Error::Interrupted { .. })
                if late && !self.stop.load(Ordering::Relaxed) =>
            {
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Trains the winner once more, on all images; none where there was no time for it.
    fn last(
        &self,
        candidate: &Candidate,
        observer: &mut dyn Observer,
    ) -> Result<Option<Model>, Error> {
        let path = self.path(LAST);
        create(&path)?;
        let planned = self.tuned(self.solved, candidate)?;
        observer.observe(&Event::Note(&format!(
            "{} is best: trained once more on all {} images",
            candidate.what,
            planned.data.train.samples.len()
        )));
        if self.train(&planned, &path, self.end(), observer, &mut || Ok(()))? {
            return Ok(None);
        }
        let best = path.join(RunFile::Best.name());
        let model = Model::open(&best).map_err(|source| Error::model(&best, source))?;
        match candidate.share < 1.0 {
            true => self
                .mixed(self.solved, &[&model], candidate.share)
                .map(Some),
            false => Ok(Some(model)),
        }
    }

    /// The average of several networks that were tuned from the same start, taken in as long as it gets better (Wortsman
    /// 2022, model soups).
    fn soup(
        &mut self,
        entries: &[Entry],
        observer: &mut dyn Observer,
    ) -> Result<Option<Entry>, Error> {
        let mut ranked: Vec<&Entry> = entries.iter().collect();
        ranked.sort_by(|a, b| a.judgement.loss().total_cmp(&b.judgement.loss()));
        let Some((first, others)) = ranked.split_first() else {
            return Ok(None);
        };
        let began = Instant::now();
        let mut parts: Vec<&Model> = first.models.iter().collect();
        let mut best: Option<(Model, Judgement)> = None;
        // What trained must be what the plan of the best says.
        for other in others
            .iter()
            .filter(|other| other.candidate.policy == first.candidate.policy)
        {
            parts.extend(&other.models);
            let model = self.mixed(self.solved, &parts, 1.0)?;
            let judgement = self.judge(std::slice::from_ref(&model))?;
            let before = best
                .as_ref()
                .map_or(&first.judgement, |(_, judgement)| judgement);
            match judgement.loss() < before.loss() {
                true => best = Some((model, judgement)),
                false => parts.truncate(parts.len() - other.models.len()),
            }
        }
        let Some((model, judgement)) = best else {
            return Ok(None);
        };
        let candidate = Candidate {
            what: format!("average of the {} best", parts.len()),
            seconds: began.elapsed().as_secs_f64(),
            ..first.candidate.clone()
        };
        Ok(Some(self.entered(
            vec![model],
            judgement,
            candidate,
            observer,
        )))
    }

    /// A tuned network averaged with what it was tuned from.
    fn average(
        &mut self,
        tuned: &[Model],
        of: &Candidate,
        share: f32,
        observer: &mut dyn Observer,
    ) -> Result<Entry, Error> {
        let began = Instant::now();
        let folds = self.field.folds.iter().zip(tuned);
        let models = folds.map(|(fold, model)| self.mixed(&fold.solved, &[model], share));
        let models = models.collect::<Result<Vec<Model>, Error>>()?;
        let judgement = self.judge(&models)?;
        let candidate = Candidate {
            what: format!("{} x {share} + {} x what it was", of.what, 1.0 - share),
            share,
            seconds: began.elapsed().as_secs_f64(),
            ..of.clone()
        };
        Ok(self.entered(models, judgement, candidate, observer))
    }

    /// Notes and tells of a candidate that took no training.
    fn entered(
        &mut self,
        models: Vec<Model>,
        judgement: Judgement,
        candidate: Candidate,
        observer: &mut dyn Observer,
    ) -> Entry {
        let candidate = self.judged(candidate, &judgement);
        self.tell(&candidate, observer);
        self.record.candidates.push(candidate.clone());
        Entry {
            models,
            judgement,
            candidate,
        }
    }

    /// `share` of the mean of `tuned` networks, the rest of what they were tuned from.
    fn mixed(&self, start: &Planned, tuned: &[&Model], share: f32) -> Result<Model, Error> {
        let ends = tuned.iter().map(|model| self.graph(model));
        let ends = ends.collect::<Result<Vec<Arc<Graph>>, Error>>()?;
        let each = share / ends.len().max(1) as f32;
        let mut values = HashMap::new();
        for (index, from) in start.graph.parameters.iter().enumerate() {
            if from.initializer.is_none() {
                continue;
            }
            let begun = from.data.to_vec();
            let mut mean = begun.clone();
            for end in &ends {
                let end = end.parameters.get(index).map(|to| to.data.to_vec());
                for ((mean, begun), end) in mean.iter_mut().zip(&begun).zip(end.iter().flatten()) {
                    *mean += each * (end - begun);
                }
            }
            if mean != begun {
                values.insert(from.name.clone(), mean);
            }
        }
        let fault = |source| Error::model(&self.solved.pretrained.path, source);
        write::with_weights(&start.model, &start.graph, &values).map_err(fault)
    }

    fn graph(&self, model: &Model) -> Result<Arc<Graph>, Error> {
        let [_, height, width] = self.solved.graph.image_shape();
        let options = ImportOptions {
            image_size: Some([height, width]),
            ..ImportOptions::default()
        };
        let graph = Graph::import(model, &options);
        Ok(Arc::new(graph.map_err(|source| {
            Error::model(&self.solved.pretrained.path, source)
        })?))
    }

    /// What networks, one a fold, say of the images that they are judged on.
    fn judge(&self, models: &[Model]) -> Result<Judgement, Error> {
        let mut judgement = Judgement::default();
        for (model, fold) in models.iter().zip(&self.field.folds) {
            let graph = self.graph(model)?;
            judgement.add(&self.evaluate(&graph, &fold.validation)?);
            if let Some(shifted) = &self.solved.shifted {
                judgement.add_shifted(&self.evaluate(&graph, shifted)?);
            }
        }
        Ok(judgement)
    }

    fn evaluate(&self, graph: &Arc<Graph>, set: &ImageSet) -> Result<Evaluation, Error> {
        let device = regraft_backend::open(&self.solved.recipe.device.name)?;
        let network = Network::inference(graph.clone(), &device)?;
        let loader = loader(self.solved, set.clone(), false)?;
        Ok(evaluate(&network, &loader, &mut Silent)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(RunFile::Race.name()).join(name)
    }

    fn solved_alone(&self, chosen: bool) -> Candidate {
        let head = self.solved.head.as_ref();
        let own = |value: &dyn Fn(&SolvedHead) -> f64| head.filter(|_| chosen).map(value);
        Candidate {
            what: "head solved".to_owned(),
            policy: Policy::FeatureExtractor.to_string(),
            lr: 0.0,
            epochs: 0,
            share: 1.0,
            seconds: head.map_or(0.0, |head| head.feature_seconds + head.solve_seconds),
            accuracy: own(&|head| head.accuracy),
            accuracy_error: own(&|head| head.accuracy_error),
            loss: own(&|head| head.loss),
            shifted: None,
            chosen,
        }
    }

    fn judged(&self, mut candidate: Candidate, judgement: &Judgement) -> Candidate {
        candidate.accuracy = Some(judgement.accuracy());
        candidate.accuracy_error = Some(judgement.accuracy_error());
        candidate.loss = Some(judgement.loss());
        candidate.shifted = judgement.shifted();
        candidate.chosen = false;
        candidate
    }

    fn tell(&self, candidate: &Candidate, observer: &mut dyn Observer) {
        let (Some(accuracy), Some(error), Some(loss)) =
            (candidate.accuracy, candidate.accuracy_error, candidate.loss)
        else {
            return;
        };
        let how = match candidate.epochs {
            0 => String::new(),
            epochs => format!(", {epochs} epochs at {:.1e}", candidate.lr),
        };
        let shifted = candidate.shifted;
        let shifted = shifted.map_or_else(String::new, |share| format!(", shifted {share:.3}"));
        observer.observe(&Event::Note(&format!(
            "{}{how}: accuracy {accuracy:.3} ± {error:.3}{shifted}, loss {loss:.3}, {:.1} s; {:.0} s so far",
            candidate.what,
            candidate.seconds,
            self.elapsed()
        )));
    }

    /// The solved head won: it is solved from all images, those of the validation too where they were drawn.
    fn solved_wins(
        mut self,
        planned: &Planned,
        observer: &mut dyn Observer,
    ) -> Result<Winner, Error> {
        if let Some(first) = self.record.candidates.first_mut() {
            first.chosen = true;
        }
        let (planned, left_out) = match &self.field.whole {
            Some((whole, left_out)) => (whole.clone(), left_out.clone()),
            None => {
                let stop = Stop::new(self.stop.clone(), &self.folder.path);
                let whole = merged(planned);
                // With more images other taps may serve better; of many, the choice was made on a sample of them anyway.
                let head = self.solved.head.as_ref();
                let many = whole.data.train.samples.len() > solve::AT_EVERY_TAP;
                let taps = head
                    .filter(|_| many)
                    .map(|head| Taps::Named(head.taps.clone()));
                let taps = taps.unwrap_or_default();
                let start = solve::start(&whole, &whole.data.train, &taps, &stop, observer)?;
                let planned = field::from_head(&whole, start.grafted, start.head)?;
                (planned, start.left_out)
            }
        };
        write_model(&self.folder.files().path(RunFile::Best), &planned.model)?;
        Ok(Winner {
            planned,
            record: self.record,
            left_out: Some(left_out),
            epochs: 0,
        })
    }
}

/// The plan of a network with its solved head, tuned under a policy.
fn with_policy(start: &Planned, policy: &Policy, lr: Option<f64>) -> Result<Planned, Error> {
    let freeze = FreezeConfig {
        policy: policy.clone(),
        ..start.recipe.freeze.clone()
    };
    let mut planned = start.started(start.grafted.clone(), start.head.clone(), &freeze)?;
    planned.recipe = planned.recipe.change(|recipe| {
        recipe.freeze.policy = policy.clone();
        if let Some(lr) = lr {
            recipe.train.lr = Some(lr);
        }
        // Nothing is held out inside a fold.
        if start.data.validation.is_none() {
            recipe.train.early_stopping = None;
        }
    });
    Ok(planned)
}

fn feature_extractor(planned: &Planned) -> FreezeConfig {
    FreezeConfig {
        policy: Policy::FeatureExtractor,
        ..planned.recipe.freeze.clone()
    }
}

fn create(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder)
        .map_err(|source| crate::run_folder::io("writing", folder, source))
}

fn nothing_to_race() -> Error {
    Error::Unfit {
        reason: "no images are left to judge candidates on".to_owned(),
    }
}
