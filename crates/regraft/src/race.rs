//! The policy `auto`: candidates race for the best model that a time buys.
//!
//! The solved head comes first: it costs one pass over the images, and is a whole model. Then parts of the network are tuned
//! from it, as far as the time reaches: one candidate where that is little, several short ones and the best of them at length
//! where it is more (successive halving, Jamieson and Talwalkar 2016). All are judged on the same validation images, and the
//! simplest within one standard error of the best wins. A tuned network may be averaged with what it was tuned from (Wortsman
//! 2022, robust fine-tuning).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use regraft_data::ImageSet;
use regraft_freeze::{FreezeConfig, Policy};
use regraft_nn::Network;
use regraft_onnx::{Graph, ImportOptions, Model, write};
use regraft_recipe::{HeadKind, Taps};
use regraft_spec::files::{read, write_whole};
use regraft_train::{Evaluation, Event, Observer, Silent, Stop, evaluate};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::prepare::Planned;
use crate::run_file::RunFile;
use crate::run_folder::RunFolder;
use crate::solve::{self, LeftOut, SolvedHead};
use crate::train::{keeper, loader, trainer_in, write_model};

/// Epochs of everything that `auto` takes without a budget, at most.
pub(crate) const EPOCHS: usize = 10;
/// Fewest validation images that a tuned network can be judged on.
const FEWEST: usize = 30;
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
/// Epochs beyond which more bring next to nothing.
const MOST_EPOCHS: usize = 30;
/// Epochs of everything from which several candidates are tried.
const SEVERAL: f64 = 45.0;
/// What was decided of a candidate, in its folder.
const CANDIDATE: &str = "candidate.json";
/// Shares of a tuned network in its averages with what it was tuned from.
const SHARES: [f32; 2] = [0.5, 0.75];

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
    /// Share of validation images classified right; none while it is not done.
    pub accuracy: Option<f64>,
    /// Its standard error.
    pub accuracy_error: Option<f64>,
    /// Mean validation loss in nats.
    pub loss: Option<f64>,
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
    /// In the order in which they ran.
    pub candidates: Vec<Candidate>,
}

/// The winner of a race.
pub(crate) struct Winner {
    /// The plan that the winner was trained by, with its network.
    pub planned: Planned,
    pub record: RaceRecord,
    /// What heads solved without them say of the training images, where the solved head won.
    pub left_out: Option<LeftOut>,
    pub epochs: usize,
}

/// What is judged: a network and what it says of each validation image.
struct Entry {
    model: Model,
    evaluation: Evaluation,
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
    let start = solve::start(
        planned,
        &planned.data.train,
        &Taps::Auto,
        &stopping,
        observer,
    )?;
    let head_alone = feature_extractor(planned);
    let mut solved = planned.started(start.grafted, Some(start.head.clone()), &head_alone)?;
    solved.recipe = solved.recipe.change(|recipe| {
        recipe.model.head.kind = HeadKind::Solved;
        recipe.model.head.taps = Taps::Named(start.head.taps.clone());
    });
    // A race that was stopped may have come to something better.
    if !folder.files().has(RunFile::Best) {
        write_model(&folder.files().path(RunFile::Best), &solved.model)?;
    }
    let mut race = Race {
        solved: &solved,
        folder,
        began,
        record: RaceRecord::default(),
        stop,
        standing: (0.0, f64::INFINITY),
        epoch_seconds: HashMap::new(),
    };
    race.record.asked = planned.recipe.train.budget.is_some();
    let Some(validation) = planned
        .data
        .validation
        .as_ref()
        .filter(|set| set.samples.len() >= FEWEST)
    else {
        observer.observe(&Event::Note(&format!(
            "fewer than {FEWEST} validation images: nothing beside the solved head could be judged"
        )));
        race.record
            .candidates
            .push(race.solved_alone(&start.head, true));
        return race.solved_on_all(planned, observer);
    };
    let evaluation = race.evaluate(&solved.graph, validation)?;
    race.standing = (evaluation.accuracy, evaluation.loss);
    let candidate = race.judged(race.solved_alone(&start.head, false), &evaluation);
    race.tell(&candidate, observer);
    let first = Entry {
        model: solved.model.clone(),
        evaluation,
        candidate,
    };
    race.record.budget = match planned.recipe.train.budget {
        Some(budget) => budget,
        None => race.elapsed() + EPOCHS as f64 * race.seconds_an_epoch(&Policy::Full)?,
    };
    if !race.record.asked {
        observer.observe(&Event::Note(&format!(
            "no budget given: at most {:.0} s, what {EPOCHS} epochs of everything take; `--budget 10m` says otherwise",
            race.record.budget
        )));
    }
    race.record.candidates.push(first.candidate.clone());
    let mut entries = vec![first];
    entries.extend(race.tune(validation, observer)?);
    let best = choose(&entries);
    if best == 0 {
        race.record.candidates[0].chosen = true;
        return race.solved_on_all(planned, observer);
    }
    let Entry {
        model, candidate, ..
    } = entries.swap_remove(best);
    let planned = race.tuned(&candidate)?;
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
    /// The network with the head that was solved from the training images alone.
    solved: &'a Planned,
    folder: &'a RunFolder,
    began: Instant,
    record: RaceRecord,
    stop: &'a Arc<AtomicBool>,
    /// Accuracy and loss of the model that the run folder holds meanwhile.
    standing: (f64, f64),
    /// What an epoch of a policy takes, by its words: measured.
    epoch_seconds: HashMap<String, f64>,
}

impl Race<'_> {
    fn elapsed(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// When tuning ends, whatever it has come to.
    fn end(&self) -> Instant {
        let seconds = self.record.budget * (1.0 - RESERVE / 2.0) - RESERVE_SECONDS;
        self.began + Duration::from_secs_f64(seconds.max(0.0))
    }

    /// Seconds left for tuning.
    fn left(&self) -> f64 {
        self.record.budget * (1.0 - RESERVE) - RESERVE_SECONDS - self.elapsed()
    }

    /// What an epoch takes, from one measured step; then from epochs.
    fn seconds_an_epoch(&mut self, policy: &Policy) -> Result<f64, Error> {
        let words = policy.to_string();
        if let Some(seconds) = self.epoch_seconds.get(&words) {
            return Ok(*seconds);
        }
        let mut planned = self.with_policy(policy, None)?;
        planned.recipe = planned.recipe.change(|recipe| recipe.train.epochs = 1);
        let path = PathBuf::new();
        let trainer = trainer_in(&planned, &path, &|_, _| Ok(()), &Arc::default(), false)?;
        let pace = trainer.pace_of(0, planned.facts.batch_size, STEPS)?;
        let seconds = SLOWER * (pace.seconds - pace.fixed_seconds).max(1e-3);
        self.epoch_seconds.insert(words, seconds);
        Ok(seconds)
    }

    fn with_policy(&self, policy: &Policy, lr: Option<f64>) -> Result<Planned, Error> {
        let freeze = FreezeConfig {
            policy: policy.clone(),
            ..self.solved.recipe.freeze.clone()
        };
        let mut planned = self.solved.started(
            self.solved.grafted.clone(),
            self.solved.head.clone(),
            &freeze,
        )?;
        planned.recipe = planned.recipe.change(|recipe| {
            recipe.freeze.policy = policy.clone();
            if let Some(lr) = lr {
                recipe.train.lr = Some(lr);
            }
        });
        Ok(planned)
    }

    /// The plan of a candidate that was tuned.
    fn tuned(&self, candidate: &Candidate) -> Result<Planned, Error> {
        let policy = self
            .policies()
            .into_iter()
            .find(|p| p.to_string() == candidate.policy);
        let mut planned = self.with_policy(&policy.unwrap_or(Policy::Full), Some(candidate.lr))?;
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

    /// Tunes as the time allows.
    fn tune(
        &mut self,
        validation: &ImageSet,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Entry>, Error> {
        let lr = self.solved.recipe.train.learning_rate();
        let full = self.seconds_an_epoch(&Policy::Full)?;
        let affordable = self.left() / full;
        let policies = self.policies();
        let mut entries = Vec::new();
        if affordable >= SEVERAL {
            let mut short: Vec<(Policy, f64)> = vec![(Policy::Full, lr), (Policy::Full, lr / 3.0)];
            short.extend(policies.get(1).map(|half| (half.clone(), lr)));
            let each = 0.4 * self.left() / short.len() as f64;
            let mut best: Option<(f64, Policy, f64)> = None;
            for (policy, lr) in short {
                let epochs = self.epochs_in(&policy, each)?.min(MOST_EPOCHS / 3);
                if epochs < FEWEST_EPOCHS {
                    continue;
                }
                let entry = self.candidate(&policy, lr, epochs, validation, observer)?;
                if best
                    .as_ref()
                    .is_none_or(|(loss, ..)| entry.evaluation.loss < *loss)
                {
                    best = Some((entry.evaluation.loss, policy, lr));
                }
                entries.push(entry);
            }
            if let Some((_, policy, lr)) = best {
                let epochs = self.epochs_in(&policy, self.left())?.min(MOST_EPOCHS);
                if epochs >= 2 * FEWEST_EPOCHS {
                    entries.push(self.candidate(&policy, lr, epochs, validation, observer)?);
                }
            }
        } else {
            // The deepest for which there is time.
            for policy in policies {
                let epochs = self.epochs_in(&policy, self.left())?.min(MOST_EPOCHS);
                if epochs >= FEWEST_EPOCHS {
                    entries.push(self.candidate(&policy, lr, epochs, validation, observer)?);
                    // Where that went quicker than one step had said.
                    let more = self.epochs_in(&policy, self.left())?.min(MOST_EPOCHS);
                    if 2 * more >= 3 * epochs {
                        entries.push(self.candidate(&policy, lr, more, validation, observer)?);
                    }
                    break;
                }
            }
            if entries.is_empty() {
                observer.observe(&Event::Note(
                    "no time is left for tuning: an epoch of everything takes longer",
                ));
            }
        }
        let best = entries
            .iter()
            .min_by(|a, b| a.evaluation.loss.total_cmp(&b.evaluation.loss))
            .map(|entry| (entry.model.clone(), entry.candidate.clone()));
        if let Some((model, candidate)) = best {
            for share in SHARES {
                entries.push(self.average(&model, &candidate, share, validation, observer)?);
            }
        }
        Ok(entries)
    }

    fn epochs_in(&mut self, policy: &Policy, seconds: f64) -> Result<usize, Error> {
        let each = self.seconds_an_epoch(policy)?;
        Ok((seconds / each).floor().max(0.0) as usize)
    }

    /// Tunes one candidate in a folder of its own, or takes what an earlier call left there.
    fn candidate(
        &mut self,
        policy: &Policy,
        lr: f64,
        epochs: usize,
        validation: &ImageSet,
        observer: &mut dyn Observer,
    ) -> Result<Entry, Error> {
        let began = Instant::now();
        let number = self.record.candidates.len();
        let path = self
            .folder
            .path
            .join(RunFile::Race.name())
            .join(number.to_string());
        std::fs::create_dir_all(&path)
            .map_err(|source| crate::run_folder::io("writing", &path, source))?;
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
                    chosen: false,
                };
                record(&decided, &candidate)?;
                candidate
            }
        };
        let planned = self.tuned(&candidate)?;
        let best = path.join(RunFile::Best.name());
        if candidate.accuracy.is_none() {
            let keep = keeper(&planned, &path);
            let halt = Arc::new(AtomicBool::new(false));
            let trainer = trainer_in(&planned, &path, &keep, &halt, false)?;
            let (end, asked) = (self.end(), self.stop.clone());
            let mut late = false;
            // Bars, but no line an epoch: the candidate's own says how it went.
            let outcome = trainer.run(&mut |event: &Event<'_>| {
                late |= Instant::now() >= end;
                halt.store(late || asked.load(Ordering::Relaxed), Ordering::Relaxed);
                let of_candidate = matches!(event, Event::Epoch(_) | Event::Saved { .. });
                if !of_candidate {
                    observer.observe(event);
                }
            });
            match outcome {
                Ok(outcome) => drop(outcome.network),
                // Its time is up: what it has come to counts.
                Err(regraft_train::Error::Interrupted { .. })
                    if late && !self.stop.load(Ordering::Relaxed) && best.is_file() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let model = Model::open(&best).map_err(|source| Error::model(&best, source))?;
        let graph = self.graph(&model)?;
        let evaluation = self.evaluate(&graph, validation)?;
        let seconds = began.elapsed().as_secs_f64();
        candidate.seconds += seconds;
        candidate = self.judged(candidate, &evaluation);
        record(&decided, &candidate)?;
        let measured = candidate.seconds / candidate.epochs.max(1) as f64;
        self.epoch_seconds
            .insert(candidate.policy.clone(), measured);
        self.tell(&candidate, observer);
        self.record.candidates.push(candidate.clone());
        // Whoever stops the race has the best of it so far.
        if (evaluation.accuracy, -evaluation.loss) > (self.standing.0, -self.standing.1) {
            self.standing = (evaluation.accuracy, evaluation.loss);
            write_model(&self.folder.files().path(RunFile::Best), &model)?;
        }
        Ok(Entry {
            model,
            evaluation,
            candidate,
        })
    }

    /// A tuned network averaged with what it was tuned from.
    fn average(
        &mut self,
        tuned: &Model,
        of: &Candidate,
        share: f32,
        validation: &ImageSet,
        observer: &mut dyn Observer,
    ) -> Result<Entry, Error> {
        let began = Instant::now();
        let start = &self.solved.graph;
        let ends = self.graph(tuned)?;
        let mut values = HashMap::new();
        for (from, to) in start.parameters.iter().zip(&ends.parameters) {
            if from.initializer.is_none() {
                continue;
            }
            let (a, b) = (from.data.to_vec(), to.data.to_vec());
            if a != b {
                let mixed = a.iter().zip(&b).map(|(a, b)| a + share * (b - a)).collect();
                values.insert(from.name.clone(), mixed);
            }
        }
        let fault = |source| Error::model(&self.solved.pretrained.path, source);
        let model = write::with_weights(&self.solved.model, start, &values).map_err(fault)?;
        let graph = self.graph(&model)?;
        let evaluation = self.evaluate(&graph, validation)?;
        let candidate = Candidate {
            what: format!("{} x {share} + {} x what it was", of.what, 1.0 - share),
            share,
            seconds: began.elapsed().as_secs_f64(),
            chosen: false,
            ..of.clone()
        };
        let candidate = self.judged(candidate, &evaluation);
        self.tell(&candidate, observer);
        self.record.candidates.push(candidate.clone());
        Ok(Entry {
            model,
            evaluation,
            candidate,
        })
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

    fn evaluate(&self, graph: &Arc<Graph>, set: &ImageSet) -> Result<Evaluation, Error> {
        let device = regraft_backend::open(&self.solved.recipe.device.name)?;
        let network = Network::inference(graph.clone(), &device)?;
        let loader = loader(self.solved, set.clone(), false)?;
        Ok(evaluate(&network, &loader, &mut Silent)?)
    }

    fn solved_alone(&self, head: &SolvedHead, chosen: bool) -> Candidate {
        Candidate {
            what: "head solved".to_owned(),
            policy: Policy::FeatureExtractor.to_string(),
            lr: 0.0,
            epochs: 0,
            share: 1.0,
            seconds: head.feature_seconds + head.solve_seconds,
            accuracy: chosen.then_some(head.accuracy),
            accuracy_error: chosen.then_some(head.accuracy_error),
            loss: chosen.then_some(head.loss),
            chosen,
        }
    }

    fn judged(&self, mut candidate: Candidate, evaluation: &Evaluation) -> Candidate {
        let count = evaluation.predictions.len() as f64;
        let share = (evaluation.accuracy * count + 2.0) / (count + 4.0);
        candidate.accuracy = Some(evaluation.accuracy);
        candidate.accuracy_error = Some((share * (1.0 - share) / (count + 4.0)).sqrt());
        candidate.loss = Some(evaluation.loss);
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
        observer.observe(&Event::Note(&format!(
            "{}{how}: accuracy {accuracy:.3} ± {error:.3}, loss {loss:.3}, {:.1} s; {:.0} s so far",
            candidate.what,
            candidate.seconds,
            self.elapsed()
        )));
    }

    /// The solved head won: it is solved again from all images, those of the validation too where they were drawn.
    fn solved_on_all(
        self,
        planned: &Planned,
        observer: &mut dyn Observer,
    ) -> Result<Winner, Error> {
        let stop = Stop::new(self.stop.clone(), &self.folder.path);
        let mut whole = planned.clone();
        if whole.data.validation_is_drawn
            && let Some(validation) = whole.grafted.data.validation.take()
        {
            whole.grafted.data.train.samples.extend(validation.samples);
        }
        let taps = self
            .solved
            .head
            .as_ref()
            .map(|head| Taps::Named(head.taps.clone()));
        let start = solve::start(
            &whole,
            &whole.data.train,
            &taps.unwrap_or_default(),
            &stop,
            observer,
        )?;
        let planned = whole.started(start.grafted, Some(start.head), &feature_extractor(&whole))?;
        write_model(&self.folder.files().path(RunFile::Best), &planned.model)?;
        Ok(Winner {
            planned,
            record: self.record,
            left_out: Some(start.left_out),
            epochs: 0,
        })
    }
}

/// The simplest entry within one standard error of the best: of two the first is the simpler.
fn choose(entries: &[Entry]) -> usize {
    let losses = |entry: &Entry| -> Vec<f64> {
        let own = |p: &regraft_train::Prediction| p.probabilities.get(p.label).copied();
        let predictions = entry.evaluation.predictions.iter();
        predictions
            .map(|p| -f64::from(own(p).unwrap_or(0.0)).max(1e-6).ln())
            .collect()
    };
    let right = |entry: &Entry| -> Vec<f64> {
        let predictions = entry.evaluation.predictions.iter();
        predictions
            .map(|p| f64::from(u8::from(p.predicted() == p.label)))
            .collect()
    };
    let mut best = 0;
    for (index, entry) in entries.iter().enumerate() {
        if entry.evaluation.accuracy > entries[best].evaluation.accuracy
            || entry.evaluation.accuracy == entries[best].evaluation.accuracy
                && losses(entry).iter().sum::<f64>() < losses(&entries[best]).iter().sum()
        {
            best = index;
        }
    }
    // The solved head is simpler than anything tuned; among tuned ones the best is.
    let difference: Vec<f64> = right(&entries[best])
        .iter()
        .zip(right(&entries[0]))
        .map(|(a, b)| a - b)
        .collect();
    let count = difference.len().max(1) as f64;
    let mean = difference.iter().sum::<f64>() / count;
    let variance = difference.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count;
    match mean > (variance / count).sqrt() {
        true => best,
        false => 0,
    }
}

fn feature_extractor(planned: &Planned) -> FreezeConfig {
    FreezeConfig {
        policy: Policy::FeatureExtractor,
        ..planned.recipe.freeze.clone()
    }
}

/// The time of the candidates that an earlier call finished.
fn taken(folder: &RunFolder) -> Duration {
    let race = folder.path.join(RunFile::Race.name());
    let entries = std::fs::read_dir(race).into_iter().flatten().flatten();
    let candidates = entries.filter_map(|entry| recorded(&entry.path().join(CANDIDATE)));
    Duration::from_secs_f64(candidates.map(|candidate| candidate.seconds.max(0.0)).sum())
}

fn recorded(path: &Path) -> Option<Candidate> {
    serde_json::from_slice(&read(path).ok()?).ok()
}

fn record(path: &Path, candidate: &Candidate) -> Result<(), Error> {
    let json = serde_json::to_vec_pretty(candidate).map_err(|error| Error::Unfit {
        reason: error.to_string(),
    })?;
    Ok(write_whole(path, &json)?)
}
