//! The training loop: phases of epochs, epochs of steps, a checkpoint after every epoch.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Bytes, Device};
use regraft_data::Loader;
use regraft_freeze::Phase;
use regraft_nn::{Activation, Dropout, Network, Precision};
use regraft_onnx::{Graph, Model, write};
use regraft_recipe::{EarlyStopping, FeatureCache, StopMetric, TrainSection, TrunkPrecision};

use crate::cache::{Drawn, Source};
use crate::checkpoint::{Begun, Best, Checkpoint, State};
use crate::error::Error;
use crate::evaluate::{self, Evaluation};
use crate::event::{EpochReport, Event, StepReport};
use crate::files;
use crate::loss;
use crate::metrics::Metrics;
use crate::optimizer::{self, Finite};
use crate::schedule::learning_rate;

/// Everything a run is made of.
pub struct Trainer<'a> {
    /// The grafted model, as it will be written.
    pub model: &'a Model,
    /// Its graph.
    pub graph: Arc<Graph>,
    /// What trains.
    pub phase: &'a Phase,
    /// Dropout in training.
    pub dropout: &'a [Dropout],
    /// Training images.
    pub train: Loader,
    /// Validation images, not shuffled and not augmented.
    pub validation: Option<Loader>,
    /// The recipe's `[train]` section.
    pub config: &'a TrainSection,
    /// What computes.
    pub device: Device,
    /// The run folder, which exists.
    pub run: PathBuf,
    /// Set by whoever wants the run to stop after the step in hand.
    pub stop: Arc<AtomicBool>,
}

/// Somebody's wish to stop, and the run that it is about.
pub(crate) struct Stop<'a> {
    flag: &'a AtomicBool,
    run: &'a Path,
}

impl Stop<'_> {
    /// Ends the run, resumable, where somebody asked for it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.flag.load(Ordering::Relaxed) {
            return Err(Error::Interrupted {
                run: self.run.to_owned(),
            });
        }
        Ok(())
    }
}

/// What a finished run came to.
pub struct Outcome {
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch that `model.onnx` holds, counted from 1.
    pub best_epoch: usize,
    /// The network after the last epoch.
    pub network: Network,
    /// Validation before any training.
    pub before: Option<Evaluation>,
}

/// A run under way.
struct Progress {
    network: Network,
    optimizer: ModuleOptimizer,
    /// Whether the optimiser's state was finite when it was last written out.
    finite: Finite,
    state: State,
    metrics: Metrics,
    /// Epochs and steps of the next one in the newest checkpoint.
    saved: Option<(usize, usize)>,
    told_of_no_validation: bool,
}

/// One epoch's training, summed up.
struct Trained {
    loss: f64,
    accuracy: f64,
    lr: f64,
    images_per_second: f64,
}

impl Trainer<'_> {
    /// Trains from the newest checkpoint in the run folder, or from the start where there is none.
    ///
    /// Writes `metrics.csv`, `metrics.jsonl`, `checkpoints/`, `model.onnx` (the best epoch by validation, the last without)
    /// and `last.onnx`. Whoever sets `stop` gets a checkpoint of the step in hand.
    ///
    /// # Errors
    /// When images cannot be read, a label is none of the network's, a number of training is no longer finite, files cannot
    /// be written, or somebody asked to stop.
    pub fn run(&self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, Error> {
        self.check()?;
        let mut network = self.network(self.config.trunk_precision)?;
        let (mut optimizer, finite) = optimizer::build(&self.config.optimizer, self.phase);
        let mut state = State::default();
        let checkpoint = Checkpoint::newest(&self.run)?;
        let mut saved = None;
        if let Some(checkpoint) = checkpoint {
            network.restore(&checkpoint.weights)?;
            if !checkpoint.optimizer.is_empty() {
                optimizer = optimizer
                    .from_bytes(Bytes::from_bytes_vec(checkpoint.optimizer))
                    .map_err(|error| Error::Checkpoint {
                        path: self.run.join("checkpoints"),
                        reason: format!("optimizer state: {error}"),
                    })?;
            }
            state = checkpoint.state;
            // More patience than the run had may be what it goes on with.
            let patience = self.config.early_stopping.map(|stopping| stopping.patience);
            state.finished = patience.is_some_and(|most| state.without_improvement >= most);
            saved = Some((state.epochs_done, state.begun.steps));
        }
        let metrics = Metrics::open(&self.run, saved.map(|_| state.metrics))?;
        let train = Source::new(
            &network,
            self.train.clone(),
            self.config.feature_cache,
            &self.stop(),
            tell,
        )?;
        let validation = match &self.validation {
            Some(loader) => Some(Source::new(
                &network,
                loader.clone(),
                self.config.feature_cache,
                &self.stop(),
                tell,
            )?),
            None => None,
        };
        let mut silent = |_: Event<'_>| {};
        let before = match (&validation, saved) {
            (Some(source), None) => {
                let stop = self.stop();
                let before = evaluate::on_source(&network, source, Some(&stop), &mut silent)?;
                (!before.predictions.is_empty()).then_some(before)
            }
            _ => None,
        };
        let mut progress = Progress {
            network,
            optimizer,
            finite,
            state,
            metrics,
            saved,
            told_of_no_validation: false,
        };
        while progress.state.epochs_done < self.config.epochs && !progress.state.finished {
            self.stop_here(&mut progress, tell)?;
            self.epoch(&mut progress, &train, validation.as_ref(), tell)?;
        }
        let Progress { network, state, .. } = progress;
        if self.config.trunk_precision == TrunkPrecision::Bf16 && network.has_trunk() {
            self.tell_of_rounding(&network, validation.as_ref(), tell)?;
        }
        self.export(&network.changed()?, "last.onnx")?;
        let best_epoch = state.best.map_or(state.epochs_done, |best| best.epoch);
        Ok(Outcome {
            epochs: state.epochs_done,
            best_epoch,
            network,
            before,
        })
    }

    /// Refuses what would go wrong on the way: labels that the network has no output for, stopping by nothing.
    fn check(&self) -> Result<(), Error> {
        let classes = self.graph.classes();
        evaluate::check_labels(self.train.set(), classes)?;
        match &self.validation {
            Some(validation) => evaluate::check_labels(validation.set(), classes),
            None if self.config.early_stopping.is_some() => Err(Error::NothingToStopBy),
            None => Ok(()),
        }
    }

    fn epoch(
        &self,
        progress: &mut Progress,
        train: &Source,
        validation: Option<&Source>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let start = Instant::now();
        let epoch = progress.state.epochs_done + 1;
        let steps = train.loader().batches_per_epoch();
        tell(Event::EpochStarted {
            epoch,
            epochs: self.config.epochs,
            steps,
        });
        let trained = self.train_epoch(progress, epoch, train, tell)?;
        let evaluation = match validation {
            Some(source) => self.validate(progress, source, epoch, tell)?,
            None => None,
        };
        let changed = progress.network.changed()?;
        if let Some((what, value)) = not_finite(&changed) {
            return Err(self.diverged(progress, what, value, epoch));
        }
        let state = &mut progress.state;
        let score = evaluation.as_ref().map(|evaluation| self.score(evaluation));
        let better = match (score, state.best.and_then(|best| best.score)) {
            (Some(score), Some(best)) => score > best,
            _ => true,
        };
        if better {
            self.export(&changed, "model.onnx")?;
            state.best = Some(Best { epoch, score });
            state.without_improvement = 0;
        } else {
            state.without_improvement += 1;
        }
        let report = EpochReport {
            epoch,
            train_loss: trained.loss,
            train_accuracy: trained.accuracy,
            validation_loss: evaluation.as_ref().map(|e| e.loss),
            validation_accuracy: evaluation.as_ref().map(|e| e.accuracy),
            lr: trained.lr,
            seconds: start.elapsed().as_secs_f64(),
            images_per_second: trained.images_per_second,
            best: better,
        };
        progress.metrics.epoch(&report)?;
        tell(Event::Epoch(&report));
        state.epochs_done = epoch;
        state.begun = Begun::default();
        state.metrics = progress.metrics.lengths()?;
        if let Some(EarlyStopping { patience, .. }) = self.config.early_stopping
            && state.without_improvement >= patience
        {
            state.finished = true;
            tell(Event::StoppedEarly { epoch });
        }
        let last = state.finished || epoch == self.config.epochs;
        if last || epoch.is_multiple_of(self.config.checkpoint_every.max(1)) {
            self.checkpoint(progress, &changed)?;
        }
        Ok(())
    }

    /// The epoch's validation; `None` where not one of its images could be decoded.
    fn validate(
        &self,
        progress: &mut Progress,
        source: &Source,
        epoch: usize,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Option<Evaluation>, Error> {
        let stop = self.stop();
        let evaluation = match evaluate::on_source(&progress.network, source, Some(&stop), tell) {
            // The epoch's training is done, and a checkpoint says so: what is left of it is this.
            Err(Error::Interrupted { .. }) => {
                self.stop_here(progress, tell)?;
                return Ok(None);
            }
            evaluation => evaluation?,
        };
        if evaluation.predictions.is_empty() {
            if self.config.early_stopping.is_some() {
                return Err(Error::NothingToStopBy);
            }
            if !progress.told_of_no_validation {
                tell(Event::NoValidation);
                progress.told_of_no_validation = true;
            }
            return Ok(None);
        }
        if !evaluation.loss.is_finite() {
            let what = "the validation loss".to_owned();
            return Err(self.diverged(progress, what, evaluation.loss, epoch));
        }
        Ok(Some(evaluation))
    }

    fn diverged(&self, progress: &Progress, what: String, value: f64, epoch: usize) -> Error {
        Error::Diverged {
            what,
            value,
            epoch,
            step: progress.state.begun.steps,
            lr: progress.state.begun.lr,
            checkpoint: progress.saved.map(|(epochs, _)| epochs),
        }
    }

    /// Where somebody asked to stop, writes a checkpoint of this very step and ends the run.
    fn stop_here(
        &self,
        progress: &mut Progress,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let Err(interrupted) = self.stop().check() else {
            return Ok(());
        };
        let (epoch, step) = (progress.state.epochs_done, progress.state.begun.steps);
        if progress.saved != Some((epoch, step)) && (epoch, step) != (0, 0) {
            let changed = progress.network.changed()?;
            if let Some((what, value)) = not_finite(&changed) {
                return Err(self.diverged(progress, what, value, epoch + 1));
            }
            progress.state.metrics = progress.metrics.lengths()?;
            self.checkpoint(progress, &changed)?;
            tell(Event::Saved { epoch, step });
        }
        Err(interrupted)
    }

    /// What the best epoch is chosen by; larger is better. Equal accuracies are told apart by their loss.
    fn score(&self, evaluation: &Evaluation) -> f64 {
        match self.config.early_stopping.map(|stopping| stopping.metric) {
            Some(StopMetric::Loss) => -evaluation.loss,
            _ => evaluation.accuracy - 1e-9 * evaluation.loss,
        }
    }

    fn train_epoch(
        &self,
        progress: &mut Progress,
        epoch: usize,
        source: &Source,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Trained, Error> {
        let start = Instant::now();
        let per_epoch = source.loader().batches_per_epoch();
        let first = progress.state.begun.steps;
        let seen_before = progress.state.begun.seen;
        for (index, drawn) in source.epoch(epoch - 1, first).enumerate() {
            self.stop_here(progress, tell)?;
            let drawn = drawn?;
            for skipped in drawn.skipped() {
                tell(Event::Skipped(skipped));
            }
            let index = first + index;
            progress.state.begun.steps = index + 1;
            if drawn.labels().is_empty() {
                continue;
            }
            let global = (epoch - 1) * per_epoch + index;
            let lr = learning_rate(
                &self.config.schedule,
                self.config.learning_rate(),
                global,
                per_epoch * self.config.epochs,
                per_epoch,
            );
            let count = drawn.labels().len();
            let step_start = Instant::now();
            let (loss, hits) = self.step(progress, drawn, lr, global)?;
            let seconds = step_start.elapsed().as_secs_f64();
            progress.state.begun.lr = lr;
            if !loss.is_finite() {
                return Err(self.diverged(progress, "the loss".to_owned(), loss, epoch));
            }
            let report = StepReport {
                epoch,
                step: index + 1,
                loss,
                lr,
                step_seconds: seconds,
                images_per_second: count as f64 / seconds.max(1e-9),
            };
            progress.metrics.step(&report)?;
            tell(Event::Step(&report));
            let begun = &mut progress.state.begun;
            begun.loss_sum += loss * count as f64;
            begun.right += hits;
            begun.seen += count;
        }
        let begun = progress.state.begun;
        if begun.seen == 0 {
            return Err(Error::NoImages);
        }
        let here = (begun.seen - seen_before) as f64;
        Ok(Trained {
            loss: begun.loss_sum / begun.seen as f64,
            accuracy: begun.right as f64 / begun.seen as f64,
            lr: begun.lr,
            images_per_second: here / start.elapsed().as_secs_f64().max(1e-9),
        })
    }

    /// One optimisation step: the batch's mean loss, and how many images were right before it.
    fn step(
        &self,
        progress: &mut Progress,
        drawn: Drawn,
        lr: f64,
        global: usize,
    ) -> Result<(f64, usize), Error> {
        let Progress {
            network, optimizer, ..
        } = progress;
        let labels = drawn.labels().to_vec();
        let features = drawn.features(network)?;
        let noise =
            self.config.seed.rotate_left(17) ^ (global as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let logits = network.train_logits(features, noise)?;
        let classes = logits.dims()[1];
        let loss = loss::cross_entropy(
            logits.clone(),
            &labels,
            self.config.label_smoothing,
            &self.device,
        );
        let values = Activation::R2(logits.without_autodiff()).into_values()?;
        let hits = values
            .chunks_exact(classes)
            .zip(&labels)
            .filter(|(row, label)| loss::argmax(row) == **label)
            .count();
        let value = Activation::R1(loss.clone().without_autodiff()).into_values()?;
        let value = f64::from(value.first().copied().unwrap_or(f32::NAN));
        if !value.is_finite() {
            return Ok((value, hits));
        }
        let grads = loss.backward();
        let weights = network.weights();
        let grads = optimizer::clip(
            GradientsParams::from_grads(grads, weights),
            weights,
            self.config.grad_clip,
        );
        network.update(|weights| optimizer.step(lr, weights, grads));
        Ok((value, hits))
    }

    pub(crate) fn network(&self, precision: TrunkPrecision) -> Result<Network, Error> {
        let precision = match precision {
            TrunkPrecision::F32 => Precision::F32,
            TrunkPrecision::Bf16 => Precision::Bf16,
        };
        let graph = self.graph.clone();
        Ok(Network::in_precision(
            graph,
            self.phase,
            self.dropout,
            &self.device,
            precision,
        )?)
    }

    /// What rounding in the trunk changed, against the trunk as the written file has it.
    fn tell_of_rounding(
        &self,
        network: &Network,
        validation: Option<&Source>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let mut exact = self.network(TrunkPrecision::F32)?;
        exact.restore(&network.changed()?)?;
        let Some(batch) = self.train.in_order().next() else {
            return Ok(());
        };
        let batch = batch?;
        let features = |network: &Network| {
            let features = network.features(batch.pixels.clone(), batch.shape)?;
            features.into_values()
        };
        let (rounded, full) = (features(network)?, features(&exact)?);
        let squares = |values: &mut dyn Iterator<Item = f32>| -> f64 {
            values.map(|v| f64::from(v) * f64::from(v)).sum()
        };
        let off = squares(&mut rounded.iter().zip(&full).map(|(a, b)| a - b));
        let difference = (off / squares(&mut full.iter().copied()).max(1e-30)).sqrt();
        let mut silent = |_: Event<'_>| {};
        let accuracy = match (validation, &self.validation) {
            (Some(source), Some(loader)) => {
                let loader = loader.clone();
                let images =
                    Source::new(&exact, loader, FeatureCache::Off, &self.stop(), &mut silent)?;
                Some([
                    evaluate::on_source(network, source, None, &mut silent)?.accuracy,
                    evaluate::on_source(&exact, &images, None, &mut silent)?.accuracy,
                ])
            }
            _ => None,
        };
        tell(Event::Rounded {
            difference,
            accuracy,
        });
        Ok(())
    }

    fn stop(&self) -> Stop<'_> {
        Stop {
            flag: &self.stop,
            run: &self.run,
        }
    }

    /// Writes the network with these values as a file of the run.
    fn export(&self, changed: &HashMap<String, Vec<f32>>, name: &str) -> Result<(), Error> {
        let model = write::with_weights(self.model, &self.graph, changed)?;
        files::write_whole_by(&self.run.join(name), |partial| {
            model
                .write_to(&mut File::create(partial)?)
                .map_err(io::Error::other)
        })
    }

    /// Writes a checkpoint of finite numbers.
    fn checkpoint(
        &self,
        progress: &mut Progress,
        changed: &HashMap<String, Vec<f32>>,
    ) -> Result<(), Error> {
        let record = progress
            .optimizer
            .into_bytes()
            .map_err(|error| Error::Checkpoint {
                path: self.run.join("checkpoints"),
                reason: format!("optimizer state: {error}"),
            })?;
        let state = &progress.state;
        if !progress.finite.take() {
            let what = "the optimizer's running mean of a gradient".to_owned();
            let epoch = state.epochs_done + usize::from(state.begun.steps > 0);
            return Err(self.diverged(progress, what, f64::NAN, epoch));
        }
        Checkpoint::save(&self.run, state, changed, &record)?;
        progress.saved = Some((state.epochs_done, state.begun.steps));
        Ok(())
    }
}

/// The first parameter, by name, with a value that is not finite.
fn not_finite(changed: &HashMap<String, Vec<f32>>) -> Option<(String, f64)> {
    let bad = |values: &Vec<f32>| values.iter().copied().find(|value| !value.is_finite());
    changed
        .iter()
        .filter_map(|(name, values)| bad(values).map(|value| (name, value)))
        .min_by_key(|(name, _)| *name)
        .map(|(name, value)| (format!("a value of `{name}`"), f64::from(value)))
}
