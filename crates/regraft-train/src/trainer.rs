//! The training loop: phases of epochs, epochs of steps, checkpoints between them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use regraft_data::{Loader, Mixed};
use regraft_freeze::Phase;
use regraft_nn::{Dropout, Network};
use regraft_onnx::Graph;
use regraft_spec::{EarlyStopping, Precision, StopMetric};

use crate::checkpoint::{Begun, Best, Checkpoint, Progress};
use crate::error::Error;
use crate::evaluate::{self, Evaluation};
use crate::feature_store::{Drawn, Source};
use crate::metrics::Metrics;
use crate::objective::Target;
use crate::observer::{EpochReport, Event, Observer, Silent, StepReport};
use crate::phases::Span;
use crate::schedule::learning_rate;
use crate::session::{SavedSession, Session, SessionOptions, Values};
use crate::settings::Settings;
use crate::state_dict::StateDict;
use crate::stop::Stop;

/// Which of a run's networks is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The best epoch by validation so far; without validation the last.
    Best,
    /// The last epoch.
    Last,
}

/// Writes a trained network: whoever trains says where to, and in which format.
pub type Keep<'a> =
    dyn Fn(Kept, &StateDict) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Everything a run is made of.
pub struct Trainer<'a> {
    /// The network with its pretrained values and its new head.
    pub graph: Arc<Graph>,
    /// What trains when; at least one phase.
    pub phases: &'a [Phase],
    /// Dropout in training.
    pub dropout: &'a [Dropout],
    /// Training images.
    pub train: Loader,
    /// Validation images, not shuffled and not augmented.
    pub validation: Option<Loader>,
    /// How to train.
    pub settings: Settings,
    /// What computes.
    pub device: Device,
    /// The run folder, which exists.
    pub run: PathBuf,
    /// Writes the best network and the last.
    pub keep: &'a Keep<'a>,
    /// Whether the network is of use as it begins: it is then the best until an epoch is better.
    pub keep_start: bool,
    /// Ends the run after the step in hand.
    pub stop: Stop,
}

impl fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("settings", &self.settings)
            .field("phases", &self.phases.len())
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

/// What a finished run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Epochs trained.
    pub epochs: usize,
    /// The epoch that was kept as the best, counted from 1.
    pub best_epoch: usize,
    /// The network after the last epoch.
    pub network: Network,
    /// Validation before any training.
    pub before: Option<Evaluation>,
}

/// A run under way.
struct Run {
    session: Session,
    progress: Progress,
    metrics: Metrics,
    /// Epochs and steps of the next one in the newest checkpoint.
    saved: Option<(usize, usize)>,
    told_of_no_validation: bool,
    train: Source,
    validation: Option<Source>,
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
    /// Writes `metrics.csv`, `metrics.jsonl` and `checkpoints/`, and has the best network and the last written. Whoever sets
    /// `stop` gets a checkpoint of the step in hand.
    ///
    /// # Errors
    /// When images cannot be read, a label is none of the network's, a number of training is no longer finite, files cannot
    /// be written, or somebody asked to stop.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        self.check()?;
        let spans = Span::of(self.phases, self.settings.epochs);
        let newest = Checkpoint::newest(&self.run)?;
        let saved = newest.as_ref().map(|(checkpoint, _)| {
            let progress = &checkpoint.progress;
            (progress.epochs_done, progress.begun.steps)
        });
        let (mut progress, session) = match newest {
            None => (Progress::default(), SavedSession::default()),
            Some((checkpoint, damaged)) => {
                for damage in &damaged {
                    observer.observe(&Event::Note(&format!("{damage}; the one before is used")));
                }
                (checkpoint.progress, checkpoint.session)
            }
        };
        // More patience than the run had may be what it goes on with.
        let patience = self.settings.early_stopping.map(|early| early.patience);
        progress.finished = patience.is_some_and(|most| progress.without_improvement >= most);
        let span = Span::at(&spans, progress.epochs_done);
        let metrics = Metrics::open(&self.run, saved.map(|_| progress.metrics))?;
        let session = Session::resume(self.session_options(), &self.phases[span.phase], session)?;
        let modes = [self.settings.training_cache(), self.settings.feature_cache];
        let source = |loader: &Loader, mode, observer: &mut dyn Observer| {
            Source::new(
                session.network(),
                loader.clone(),
                mode,
                self.settings.feature_folder.as_ref(),
                &self.stop,
                observer,
            )
        };
        let train = source(&self.train, modes[0], observer)?;
        let validation = match &self.validation {
            Some(loader) => Some(source(loader, modes[1], observer)?),
            None => None,
        };
        let before = match (&validation, saved) {
            (Some(source), None) => {
                let network = session.network();
                let before = evaluate::on_source(network, source, Some(&self.stop), &mut Silent)?;
                (!before.predictions.is_empty()).then_some(before)
            }
            _ => None,
        };
        if let (Some(before), true) = (&before, self.keep_start) {
            self.write(Kept::Best, &StateDict::default())?;
            let score = Some(self.score(before));
            progress.best = Some(Best { epoch: 0, score });
        }
        let mut run = Run {
            session,
            progress,
            metrics,
            saved,
            told_of_no_validation: false,
            train,
            validation,
        };
        let mut phase = span.phase;
        while run.progress.epochs_done < self.settings.epochs && !run.progress.finished {
            self.stop_here(&mut run, observer)?;
            let span = Span::at(&spans, run.progress.epochs_done);
            if span.phase != phase {
                phase = span.phase;
                run = self.enter(run, span, observer)?;
            }
            if self.phases.len() > 1 && run.progress.epochs_done == span.first {
                observer.observe(&Event::Phase {
                    phase: phase + 1,
                    phases: self.phases.len(),
                    name: &self.phases[phase].name,
                    epoch: span.first + 1,
                });
            }
            self.epoch(&mut run, span, observer)?;
        }
        let rounded = self.settings.trunk_precision == Precision::Bf16;
        if rounded && run.session.network().has_trunk() {
            self.tell_of_rounding(&mut run, &self.phases[phase], observer)?;
        }
        let values = run.session.values()?;
        self.write(Kept::Last, &values.written())?;
        let Run {
            session, progress, ..
        } = run;
        let best_epoch = progress
            .best
            .map_or(progress.epochs_done, |best| best.epoch);
        Ok(Outcome {
            epochs: progress.epochs_done,
            best_epoch,
            network: session.into_network(),
            before,
        })
    }

    /// Goes on to the phase of `span`.
    fn enter(&self, run: Run, span: Span, observer: &mut dyn Observer) -> Result<Run, Error> {
        let not_finite = self.optimizer_diverged(&run);
        let session = match run.session.enter(&self.phases[span.phase]) {
            Err(Error::OptimizerNotFinite) => return Err(not_finite),
            session => session?,
        };
        let mut run = Run { session, ..run };
        let network = run.session.network();
        let mode = self.settings.training_cache();
        let folder = self.settings.feature_folder.as_ref();
        run.train
            .enter(network, mode, folder, &self.stop, observer)?;
        if let Some(validation) = &mut run.validation {
            let mode = self.settings.feature_cache;
            validation.enter(network, mode, folder, &self.stop, observer)?;
        }
        // The last phase is judged by itself.
        run.progress.without_improvement = 0;
        Ok(run)
    }

    pub(crate) fn session_options(&self) -> SessionOptions {
        SessionOptions {
            graph: self.graph.clone(),
            dropout: self.dropout.to_vec(),
            settings: self.settings.clone(),
            device: self.device.clone(),
        }
    }

    fn write(&self, kept: Kept, state: &StateDict) -> Result<(), Error> {
        (self.keep)(kept, state).map_err(Error::Write)
    }

    /// Refuses what would go wrong on the way: labels that the network has no output for, stopping by nothing.
    fn check(&self) -> Result<(), Error> {
        self.settings.validate()?;
        if self.phases.is_empty() {
            return Err(Error::NoPhase);
        }
        let classes = self.graph.classes();
        let weights = self.settings.class_weights.len();
        if weights > 0 && weights != classes {
            return Err(Error::Setting {
                setting: "class_weights",
                expected: "one weight for each output of the network",
            });
        }
        evaluate::check_labels(self.train.set(), classes)?;
        match &self.validation {
            Some(validation) => evaluate::check_labels(validation.set(), classes),
            None if self.settings.early_stopping.is_some() => Err(Error::NothingToStopBy),
            None => Ok(()),
        }
    }

    fn epoch(&self, run: &mut Run, span: Span, observer: &mut dyn Observer) -> Result<(), Error> {
        let start = Instant::now();
        let epoch = run.progress.epochs_done + 1;
        observer.observe(&Event::EpochStarted {
            epoch,
            epochs: self.settings.epochs,
            steps: run.train.loader().batches_per_epoch(),
        });
        let trained = self.train_epoch(run, epoch, span, observer)?;
        let evaluation = match &run.validation {
            Some(_) => self.validate(run, epoch, observer)?,
            None => None,
        };
        let values = run.session.values()?;
        if let Some((name, value)) = values.state.not_finite() {
            let what = format!("a value of `{name}`");
            return Err(self.diverged(run, what, value.into(), epoch));
        }
        let progress = &mut run.progress;
        let score = evaluation.as_ref().map(|evaluation| self.score(evaluation));
        let better = match (score, progress.best.and_then(|best| best.score)) {
            (Some(score), Some(best)) => score > best,
            _ => true,
        };
        if better {
            self.write(Kept::Best, &values.written())?;
            progress.best = Some(Best { epoch, score });
            progress.without_improvement = 0;
        } else {
            progress.without_improvement += 1;
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
        run.metrics.epoch(&report)?;
        observer.observe(&Event::Epoch(&report));
        progress.epochs_done = epoch;
        progress.begun = Begun::default();
        progress.metrics = run.metrics.lengths()?;
        if let Some(EarlyStopping { patience, .. }) = self.settings.early_stopping
            && progress.without_improvement >= patience
            && span.is_last
        {
            progress.finished = true;
            observer.observe(&Event::StoppedEarly { epoch });
        }
        let last = progress.finished || epoch == self.settings.epochs;
        if last || epoch.is_multiple_of(self.settings.checkpoint_every.max(1)) {
            self.checkpoint(run, &values)?;
        }
        Ok(())
    }

    /// The epoch's validation; `None` where not one of its images could be decoded.
    fn validate(
        &self,
        run: &mut Run,
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Evaluation>, Error> {
        let Run {
            session,
            validation: Some(source),
            ..
        } = run
        else {
            return Ok(None);
        };
        let stop = Some(&self.stop);
        let evaluated = session
            .learner_mut()
            .as_written(|network| evaluate::on_source(network, source, stop, observer));
        let evaluation = match evaluated {
            // The epoch's training is done, and a checkpoint says so: what is left of it is this.
            Err(Error::Interrupted { .. }) => {
                self.stop_here(run, observer)?;
                return Ok(None);
            }
            evaluation => evaluation?,
        };
        if evaluation.predictions.is_empty() {
            if self.settings.early_stopping.is_some() {
                return Err(Error::NothingToStopBy);
            }
            if !run.told_of_no_validation {
                observer.observe(&Event::NoValidation);
                run.told_of_no_validation = true;
            }
            return Ok(None);
        }
        if !evaluation.loss.is_finite() {
            let what = "the validation loss".to_owned();
            return Err(self.diverged(run, what, evaluation.loss, epoch));
        }
        Ok(Some(evaluation))
    }

    fn diverged(&self, run: &Run, what: String, value: f64, epoch: usize) -> Error {
        Error::Diverged {
            what,
            value,
            epoch,
            step: run.progress.begun.steps,
            lr: run.progress.begun.lr,
            checkpoint: run.saved.map(|(epochs, _)| epochs),
        }
    }

    /// An optimiser's state that is not finite is divergence.
    fn optimizer_diverged(&self, run: &Run) -> Error {
        let what = "the optimizer's running mean of a gradient".to_owned();
        let progress = &run.progress;
        let epoch = progress.epochs_done + usize::from(progress.begun.steps > 0);
        self.diverged(run, what, f64::NAN, epoch)
    }

    /// Where somebody asked to stop, writes a checkpoint of this very step and ends the run.
    fn stop_here(&self, run: &mut Run, observer: &mut dyn Observer) -> Result<(), Error> {
        let Err(interrupted) = self.stop.check() else {
            return Ok(());
        };
        let (epoch, step) = (run.progress.epochs_done, run.progress.begun.steps);
        if run.saved != Some((epoch, step)) && (epoch, step) != (0, 0) {
            let values = run.session.values()?;
            if let Some((name, value)) = values.state.not_finite() {
                let what = format!("a value of `{name}`");
                return Err(self.diverged(run, what, value.into(), epoch + 1));
            }
            run.progress.metrics = run.metrics.lengths()?;
            self.checkpoint(run, &values)?;
            observer.observe(&Event::Saved { epoch, step });
        }
        Err(interrupted)
    }

    /// What the best epoch is chosen by; larger is better. Equal accuracies are told apart by their loss.
    fn score(&self, evaluation: &Evaluation) -> f64 {
        match self.settings.early_stopping.map(|early| early.metric) {
            Some(StopMetric::Loss) => -evaluation.loss,
            _ => evaluation.accuracy - 1e-9 * evaluation.loss,
        }
    }

    fn train_epoch(
        &self,
        run: &mut Run,
        epoch: usize,
        span: Span,
        observer: &mut dyn Observer,
    ) -> Result<Trained, Error> {
        let start = Instant::now();
        let source = run.train.clone();
        let per_epoch = source.loader().batches_per_epoch();
        let first = run.progress.begun.steps;
        let seen_before = run.progress.begun.seen;
        for (index, drawn) in source.epoch(epoch - 1, first).enumerate() {
            self.stop_here(run, observer)?;
            let mut drawn = drawn?;
            for skipped in drawn.skipped() {
                observer.observe(&Event::Skipped(skipped));
            }
            let index = first + index;
            run.progress.begun.steps = index + 1;
            if drawn.labels().is_empty() {
                continue;
            }
            let step = (epoch - 1) * per_epoch + index;
            let lr = learning_rate(
                &self.settings.schedule,
                self.settings.lr,
                step - span.first * per_epoch,
                per_epoch * span.epochs,
                per_epoch,
            );
            let averages = self
                .settings
                .averages(step, per_epoch * self.settings.epochs);
            run.session.learner_mut().set_averaging(averages);
            let count = drawn.labels().len();
            let step_start = Instant::now();
            let targets = self.targets(&mut drawn, epoch - 1, index);
            let (loss, right) = self.step(run, drawn, &targets, lr, step)?;
            let seconds = step_start.elapsed().as_secs_f64();
            run.progress.begun.lr = lr;
            if !loss.is_finite() {
                return Err(self.diverged(run, "the loss".to_owned(), loss, epoch));
            }
            let report = StepReport {
                epoch,
                step: index + 1,
                loss,
                lr,
                step_seconds: seconds,
                images_per_second: count as f64 / seconds.max(1e-9),
            };
            run.metrics.step(&report)?;
            observer.observe(&Event::Step(&report));
            let begun = &mut run.progress.begun;
            begun.loss_sum += loss * count as f64;
            begun.right += right;
            begun.seen += count;
        }
        let begun = run.progress.begun;
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

    /// What is true of each image of a batch, whose images are mixed first where that is asked for.
    pub(crate) fn targets(&self, drawn: &mut Drawn, epoch: usize, batch: usize) -> Vec<Target> {
        let mixed = match drawn {
            Drawn::Images(images) => {
                let Settings { mix, seed, .. } = self.settings;
                mix.apply(images, seed, epoch, batch)
            }
            Drawn::Features { .. } => None,
        };
        let labels = drawn.labels().iter().copied();
        match mixed {
            None => labels.map(Target::Class).collect(),
            Some(Mixed { share, partners }) => {
                let classes = self.graph.classes();
                let mixed = |(label, partner)| Target::mixed(label, share, partner, classes);
                labels.zip(partners).map(mixed).collect()
            }
        }
    }

    /// What decides the dropout masks of a step, counted from 0 over the whole run.
    pub(crate) fn noise(&self, step: usize) -> u64 {
        self.settings.seed.rotate_left(17) ^ (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// One optimisation step, counted from 0 over the whole run: the batch's mean loss, and how many images were right
    /// before it. Where the loss is not finite, nothing changes.
    fn step(
        &self,
        run: &mut Run,
        drawn: Drawn,
        targets: &[Target],
        lr: f64,
        step: usize,
    ) -> Result<(f64, usize), Error> {
        let gradients = run.session.gradients(drawn, targets, self.noise(step))?;
        let (loss, right) = (gradients.loss, gradients.right);
        if loss.is_finite() {
            run.session.learner_mut().apply(gradients, lr);
        }
        Ok((loss, right))
    }

    /// What rounding in the trunk changed, against the trunk as the written file has it.
    fn tell_of_rounding(
        &self,
        run: &mut Run,
        phase: &Phase,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let exact = run.session.exact(phase)?;
        let Some(batch) = self.train.in_order().next() else {
            return Ok(());
        };
        let batch = batch?;
        let features = |network: &Network| {
            let features = network.features_of_pixels(batch.pixels.clone(), batch.shape)?;
            features.into_values()
        };
        let network = run.session.network();
        let (rounded, full) = (features(network)?, features(&exact)?);
        let squares = |values: &mut dyn Iterator<Item = f32>| -> f64 {
            values.map(|v| f64::from(v) * f64::from(v)).sum()
        };
        let off = squares(&mut rounded.iter().zip(&full).map(|(a, b)| a - b));
        let difference = (off / squares(&mut full.iter().copied()).max(1e-30)).sqrt();
        let accuracy = match (&run.validation, &self.validation) {
            (Some(source), Some(loader)) => {
                let images = Source::images(loader.clone());
                Some([
                    evaluate::on_source(network, source, None, &mut Silent)?.accuracy,
                    evaluate::on_source(&exact, &images, None, &mut Silent)?.accuracy,
                ])
            }
            _ => None,
        };
        observer.observe(&Event::Rounded {
            difference,
            accuracy,
        });
        Ok(())
    }

    /// Writes a checkpoint of finite numbers.
    fn checkpoint(&self, run: &mut Run, values: &Values) -> Result<(), Error> {
        let record = match run.session.optimizer_record() {
            Err(Error::OptimizerNotFinite) => return Err(self.optimizer_diverged(run)),
            record => record?,
        };
        Checkpoint::save(&self.run, &run.progress, values, &record)?;
        run.saved = Some((run.progress.epochs_done, run.progress.begun.steps));
        Ok(())
    }
}
