//! The training loop: phases of epochs, epochs of steps, a checkpoint after every epoch.

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
use crate::checkpoint::{Checkpoint, State};
use crate::error::Error;
use crate::evaluate::{self, Evaluation};
use crate::event::{EpochReport, Event, StepReport};
use crate::files;
use crate::loss;
use crate::metrics::Metrics;
use crate::optimizer;
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
    /// and `last.onnx`.
    ///
    /// # Errors
    /// When images cannot be read, the loss leaves the numbers, files cannot be written, or somebody asked to stop.
    pub fn run(&self, tell: &mut dyn FnMut(Event<'_>)) -> Result<Outcome, Error> {
        let mut network = self.network(self.config.trunk_precision)?;
        let mut optimizer = optimizer::build(&self.config.optimizer, self.phase);
        let mut state = State::default();
        let checkpoint = Checkpoint::newest(&self.run)?;
        let lengths = checkpoint
            .as_ref()
            .map(|checkpoint| checkpoint.state.metrics);
        if let Some(checkpoint) = checkpoint {
            network.restore(&checkpoint.weights)?;
            optimizer = optimizer
                .from_bytes(Bytes::from_bytes_vec(checkpoint.optimizer))
                .map_err(|error| Error::Checkpoint {
                    path: self.run.join("checkpoints"),
                    reason: format!("optimizer state: {error:?}"),
                })?;
            state = checkpoint.state;
        }
        let mut metrics = Metrics::open(&self.run, lengths)?;
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
        let before = match (&validation, state.epochs_done) {
            (Some(source), 0) => Some(evaluate::on_source(&network, source, &mut silent)?),
            _ => None,
        };
        while state.epochs_done < self.config.epochs && !state.finished {
            self.epoch(
                &mut network,
                &mut optimizer,
                &mut state,
                &train,
                validation.as_ref(),
                &mut metrics,
                tell,
            )?;
        }
        if self.config.trunk_precision == TrunkPrecision::Bf16 && network.has_trunk() {
            self.tell_of_rounding(&network, validation.as_ref(), tell)?;
        }
        self.export(&network, "last.onnx")?;
        let best_epoch = state.best.map_or(state.epochs_done, |(epoch, _)| epoch);
        Ok(Outcome {
            epochs: state.epochs_done,
            best_epoch,
            network,
            before,
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn epoch(
        &self,
        network: &mut Network,
        optimizer: &mut ModuleOptimizer,
        state: &mut State,
        train: &Source,
        validation: Option<&Source>,
        metrics: &mut Metrics,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let start = Instant::now();
        let epoch = state.epochs_done + 1;
        let steps = train.loader().batches_per_epoch();
        tell(Event::EpochStarted {
            epoch,
            epochs: self.config.epochs,
            steps,
        });
        let trained = self.train_epoch(network, optimizer, epoch, train, metrics, tell)?;
        let evaluation = validation
            .map(|source| evaluate::on_source(network, source, tell))
            .transpose()?;
        let score = evaluation.as_ref().map(|evaluation| self.score(evaluation));
        let best = match (score, state.best) {
            (Some(score), Some((_, best))) => score > best,
            _ => true,
        };
        if best {
            self.export(network, "model.onnx")?;
            state.best = Some((epoch, score.unwrap_or(f64::NEG_INFINITY)));
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
            best,
        };
        metrics.epoch(&report)?;
        tell(Event::Epoch(&report));
        state.epochs_done = epoch;
        state.metrics = metrics.lengths()?;
        if let Some(EarlyStopping { patience, .. }) = self.config.early_stopping
            && validation.is_some()
            && state.without_improvement >= patience
        {
            state.finished = true;
            tell(Event::StoppedEarly { epoch });
        }
        let last = state.finished || epoch == self.config.epochs;
        if last || epoch.is_multiple_of(self.config.checkpoint_every.max(1)) {
            self.checkpoint(network, optimizer, state)?;
        }
        Ok(())
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
        network: &mut Network,
        optimizer: &mut ModuleOptimizer,
        epoch: usize,
        source: &Source,
        metrics: &mut Metrics,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Trained, Error> {
        let start = Instant::now();
        let per_epoch = source.loader().batches_per_epoch();
        let (mut loss_sum, mut right, mut seen, mut last_lr) = (0.0, 0usize, 0usize, 0.0);
        for (index, drawn) in source.epoch(epoch - 1).enumerate() {
            self.stop().check()?;
            let drawn = drawn?;
            for skipped in drawn.skipped() {
                tell(Event::Skipped(skipped));
            }
            if drawn.labels().is_empty() {
                continue;
            }
            let global = (epoch - 1) * per_epoch + index;
            let lr = learning_rate(
                &self.config.schedule,
                self.config.lr,
                global,
                per_epoch * self.config.epochs,
                per_epoch,
            );
            let count = drawn.labels().len();
            let step_start = Instant::now();
            let (loss, hits) = self.step(network, optimizer, drawn, lr, global)?;
            let seconds = step_start.elapsed().as_secs_f64();
            if !loss.is_finite() {
                return Err(Error::Diverged {
                    loss,
                    epoch,
                    step: index + 1,
                    lr,
                });
            }
            let report = StepReport {
                epoch,
                step: index + 1,
                loss,
                lr,
                step_seconds: seconds,
                images_per_second: count as f64 / seconds.max(1e-9),
            };
            metrics.step(&report)?;
            tell(Event::Step(&report));
            loss_sum += loss * count as f64;
            right += hits;
            seen += count;
            last_lr = lr;
        }
        if seen == 0 {
            return Err(Error::NoImages);
        }
        Ok(Trained {
            loss: loss_sum / seen as f64,
            accuracy: right as f64 / seen as f64,
            lr: last_lr,
            images_per_second: seen as f64 / start.elapsed().as_secs_f64().max(1e-9),
        })
    }

    /// One optimisation step: the batch's mean loss, and how many images were right before it.
    fn step(
        &self,
        network: &mut Network,
        optimizer: &mut ModuleOptimizer,
        drawn: Drawn,
        lr: f64,
        global: usize,
    ) -> Result<(f64, usize), Error> {
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
                    evaluate::on_source(network, source, &mut silent)?.accuracy,
                    evaluate::on_source(&exact, &images, &mut silent)?.accuracy,
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

    /// Writes the network as a file of the run.
    fn export(&self, network: &Network, name: &str) -> Result<(), Error> {
        let model = write::with_weights(self.model, &self.graph, &network.changed()?)?;
        files::write_whole_by(&self.run.join(name), |partial| {
            model
                .write_to(&mut File::create(partial)?)
                .map_err(io::Error::other)
        })
    }

    fn checkpoint(
        &self,
        network: &Network,
        optimizer: &ModuleOptimizer,
        state: &State,
    ) -> Result<(), Error> {
        let record = optimizer.into_bytes().map_err(|error| Error::Checkpoint {
            path: self.run.join("checkpoints"),
            reason: format!("optimizer state: {error:?}"),
        })?;
        Checkpoint::save(&self.run, state, &network.changed()?, &record)
    }
}
