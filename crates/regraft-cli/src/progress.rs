//! Progress on the terminal: a bar for what is under way, a line for each epoch.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use regraft::{Event, Observer, training};

use crate::say::{self, Talk};

/// About as many epoch lines as a run prints.
const LINES: usize = 20;

/// Turns events into bars and lines on standard error.
pub struct Progress {
    talk: Talk,
    bar: Option<ProgressBar>,
    epochs: usize,
    features: bool,
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event<'_>) {
        self.show(event);
    }
}

impl Progress {
    pub fn new(talk: Talk) -> Self {
        Self {
            talk,
            bar: None,
            epochs: 0,
            features: false,
        }
    }

    fn start(&mut self, length: usize, what: &str, template: &str) {
        self.finish();
        if self.talk == Talk::Quiet {
            return;
        }
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(length as u64).with_style(style.progress_chars("━╸ "));
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        self.bar = Some(bar);
    }

    fn images(&mut self, done: usize, total: usize) {
        if self.bar.is_none() {
            self.start(
                total,
                "images",
                "{prefix:>10} {bar:30} {pos}/{len}  {per_sec}  {eta} left",
            );
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            // Only the pass before training is worth a bar.
            Event::Features { done, total } if self.epochs == 0 => {
                if !self.features {
                    self.start(
                        *total,
                        "features",
                        "{prefix:>10} {bar:30} {pos}/{len} images  {per_sec}  {eta} left",
                    );
                }
                self.features = done < total;
                if let Some(bar) = &self.bar {
                    bar.set_position(*done as u64);
                }
            }
            Event::Features { .. } => {}
            // The bar of an epoch stays while its validation runs.
            Event::Evaluating { done, total } if self.epochs == 0 => self.images(*done, *total),
            Event::Evaluating { .. } => {}
            Event::Phase {
                phase,
                phases,
                name,
                ..
            } => self.line(&format!("phase {phase} of {phases}: {name}")),
            Event::Reading { done, total } => {
                self.images(*done, *total);
                if done == total {
                    self.finish();
                }
            }
            Event::Note(text) => self.line(text),
            Event::NoValidation => self.line(&format!("warning: {}", training::NO_VALIDATION)),
            Event::Saved { epoch, step } => {
                self.finish();
                self.line(&match step {
                    0 => format!("saved after epoch {epoch}"),
                    step => format!("saved after step {step} of epoch {}", epoch + 1),
                });
            }
            Event::Rounded {
                difference,
                accuracy,
            } => {
                let accuracy = accuracy.map_or(String::new(), |[rounded, full]| {
                    format!("; validation accuracy {rounded:.3}, in f32 {full:.3}")
                });
                self.line(&format!(
                    "trunk in bf16: features differ by {:.2} % from those in f32{accuracy}",
                    100.0 * difference
                ));
            }
            Event::EpochStarted {
                epoch,
                epochs,
                steps,
            } => {
                self.epochs = *epochs;
                let prefix = format!("{epoch}/{epochs}");
                self.start(
                    *steps,
                    &prefix,
                    "{prefix:>10} {bar:30} {pos}/{len} steps  {msg}  {eta} left",
                );
            }
            Event::Step(step) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(step.step as u64);
                    bar.set_message(format!(
                        "loss {:.3}  {:.0} images/s",
                        step.loss, step.images_per_second
                    ));
                }
                if self.talk == Talk::Verbose {
                    self.line(&format!(
                        "epoch {} step {}  loss {:.4}  lr {:.2e}  {:.1} images/s",
                        step.epoch, step.step, step.loss, step.lr, step.images_per_second
                    ));
                }
            }
            Event::Epoch(epoch) => {
                self.finish();
                let validation = match (epoch.validation_loss, epoch.validation_accuracy) {
                    (Some(loss), Some(accuracy)) => {
                        format!("  validation loss {loss:.3} accuracy {accuracy:.3}")
                    }
                    _ => String::new(),
                };
                // Long runs get a line every few epochs; all of them are in the run folder.
                let every = self.epochs.div_ceil(LINES).max(1);
                let shown = self.talk == Talk::Verbose
                    || epoch.epoch.is_multiple_of(every)
                    || epoch.epoch == self.epochs;
                if !shown {
                    return;
                }
                self.line(&format!(
                    "epoch {:>3}/{}  loss {:.3} accuracy {:.3}{validation}  {:.0} images/s  {:.1} s{}",
                    epoch.epoch,
                    self.epochs,
                    epoch.train_loss,
                    epoch.train_accuracy,
                    epoch.images_per_second,
                    epoch.seconds,
                    if epoch.best && epoch.validation_accuracy.is_some() {
                        "  best"
                    } else {
                        ""
                    }
                ));
            }
            Event::Skipped(skipped) => {
                self.line(&format!(
                    "left out: {}: {}",
                    skipped.path.display(),
                    skipped.reason
                ));
            }
            Event::StoppedEarly { epoch } => {
                self.line(&format!("no improvement: stopped after epoch {epoch}"))
            }
            _ => {}
        }
    }

    fn line(&self, text: &str) {
        match (&self.bar, self.talk) {
            (_, Talk::Quiet) => {}
            (Some(bar), _) => bar.suspend(|| say::line(text)),
            (None, _) => say::line(text),
        }
    }

    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
