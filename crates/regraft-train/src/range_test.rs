//! Which learning rates a training bears: a trial whose rate grows with every step (Smith 2017, section 3.3).

use std::time::Instant;

use regraft_spec::FeatureCache;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::evaluate;
use crate::feature_store::Source;
use crate::observer::{Event, Observer, StepReport};
use crate::phases::Span;
use crate::session::Session;
use crate::settings::Settings;
use crate::trainer::Trainer;

/// Fewest steps that make a curve.
const FEWEST: usize = 10;
/// Share of the running mean of the loss that stays in each step, for noticing that it explodes.
const KEPT: f64 = 0.9;
/// The test ends where that mean is so many times its least value.
const EXPLODED: f64 = 4.0;
/// A loss that falls by less than this share of itself does not fall.
const FALLS: f64 = 0.02;

/// How a range test goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RangeTest {
    /// Learning rate of the first step, above 0.
    pub from: f64,
    /// Learning rate of the last step, above `from`.
    pub to: f64,
    /// Steps, at least 10.
    pub steps: usize,
}

impl Default for RangeTest {
    fn default() -> Self {
        Self {
            from: 1e-7,
            to: 10.0,
            steps: 100,
        }
    }
}

/// A step of a range test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RangePoint {
    /// Learning rate of the step, before multipliers.
    pub lr: f64,
    /// Loss of its batch before the step, in nats.
    pub loss: f64,
    /// Mean loss of the steps around it.
    pub smoothed: f64,
}

/// What a range test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeCurve {
    /// Every step up to the last before the loss exploded.
    pub points: Vec<RangePoint>,
    /// Learning rate at which the smoothed loss falls most steeply over the logarithm of the rate. None where it does not fall.
    pub steepest: Option<f64>,
    /// A tenth of the learning rate at which the smoothed loss is least. None where it does not fall.
    pub minimum_tenth: Option<f64>,
    /// Whether the loss exploded before the last step.
    pub exploded: bool,
    /// Name of the phase that was tried, as the plan says.
    pub phase: String,
}

impl RangeTest {
    fn validate(&self) -> Result<(), Error> {
        let wrong = |setting, expected| Err(Error::Setting { setting, expected });
        if self.steps < FEWEST {
            return wrong("steps", "at least 10");
        }
        if !(self.from > 0.0 && self.to.is_finite() && self.to > self.from) {
            return wrong("to", "a number above `from`, which is above 0");
        }
        Ok(())
    }

    fn lr(&self, step: usize) -> f64 {
        let share = step as f64 / (self.steps - 1) as f64;
        self.from * (self.to / self.from).powf(share)
    }
}

impl RangeCurve {
    /// The curve of the losses at learning rates, in the order of the steps.
    fn of(losses: &[(f64, f64)], exploded: bool, phase: &str) -> Self {
        // A mean on either side, so that nothing is late.
        let reach = (losses.len() / 20).max(1);
        let smoothed = |at: usize| {
            let around = &losses[at.saturating_sub(reach)..(at + reach + 1).min(losses.len())];
            around.iter().map(|(_, loss)| loss).sum::<f64>() / around.len() as f64
        };
        let points: Vec<RangePoint> = losses
            .iter()
            .enumerate()
            .map(|(at, &(lr, loss))| RangePoint {
                lr,
                loss,
                smoothed: smoothed(at),
            })
            .collect();
        let mut least = 0;
        for (at, point) in points.iter().enumerate() {
            if point.smoothed < points[least].smoothed {
                least = at;
            }
        }
        let falls = points
            .first()
            .is_some_and(|first| points[least].smoothed < (1.0 - FALLS) * first.smoothed);
        let slope = |at: usize| {
            let (before, after) = (&points[at - 1], &points[at + 1]);
            (after.smoothed - before.smoothed) / (after.lr / before.lr).ln()
        };
        let inner = 1..least.min(points.len().saturating_sub(1));
        let steepest = inner.min_by(|a, b| slope(*a).total_cmp(&slope(*b)));
        Self {
            steepest: steepest.filter(|_| falls).map(|at| points[at].lr),
            minimum_tenth: falls.then(|| points[least].lr / 10.0),
            points,
            exploded,
            phase: phase.to_owned(),
        }
    }
}

impl Trainer<'_> {
    /// Trains the longest phase with a growing learning rate until the loss explodes or the steps are done. The network that
    /// it trains is thrown away, and nothing is written.
    ///
    /// # Errors
    /// When images cannot be read, a label is none of the network's, or the network cannot run.
    pub fn range_test(
        &self,
        test: &RangeTest,
        observer: &mut dyn Observer,
    ) -> Result<RangeCurve, Error> {
        test.validate()?;
        self.settings.validate()?;
        evaluate::check_labels(self.train.set(), self.graph.classes())?;
        let spans = Span::of(self.phases, self.settings.epochs);
        let longest = spans.iter().max_by_key(|span| span.epochs);
        let phase = &self.phases[longest.ok_or(Error::NoPhase)?.phase];
        let mut options = self.session_options();
        options.settings = Settings {
            ema: 0.0,
            swa: 0.0,
            ..options.settings
        };
        let mut session = Session::new(options, phase)?;
        let drawn = test.steps * self.train.options().batch_size;
        // Features of images that come once are not worth keeping.
        let mode = match drawn > self.train.set().samples.len() {
            true => self.settings.training_cache(),
            false => FeatureCache::Off,
        };
        let loader = self.train.clone();
        let folder = self.settings.feature_folder.as_ref();
        let source = Source::new(
            session.network(),
            loader,
            mode,
            folder,
            &self.stop,
            observer,
        )?;
        observer.observe(&Event::EpochStarted {
            epoch: 1,
            epochs: 1,
            steps: test.steps,
        });
        let mut losses = Vec::new();
        let (mut mean, mut least) = (0.0, f64::INFINITY);
        let mut exploded = false;
        'epochs: for epoch in 0.. {
            let before = losses.len();
            for (index, batch) in source.epoch(epoch, 0).enumerate() {
                let step = losses.len();
                if step == test.steps {
                    break 'epochs;
                }
                self.stop.check()?;
                let mut batch = batch?;
                let images = batch.labels().len();
                if images == 0 {
                    continue;
                }
                let lr = test.lr(step);
                let began = Instant::now();
                let targets = self.targets(&mut batch, epoch, index);
                let gradients = session.gradients(batch, &targets, self.noise(step))?;
                let loss = gradients.loss;
                mean = KEPT * mean + (1.0 - KEPT) * loss;
                // The mean begins at zero, and is set right for that.
                let smoothed = mean / (1.0 - KEPT.powf(step as f64 + 1.0));
                least = smoothed.min(least);
                exploded = !loss.is_finite() || step >= FEWEST && smoothed > EXPLODED * least;
                if exploded {
                    break 'epochs;
                }
                session.learner_mut().apply(gradients, lr);
                losses.push((lr, loss));
                let seconds = began.elapsed().as_secs_f64();
                observer.observe(&Event::Step(&StepReport {
                    epoch: 1,
                    step: step + 1,
                    loss,
                    lr,
                    step_seconds: seconds,
                    images_per_second: images as f64 / seconds.max(1e-9),
                }));
            }
            if losses.len() == before {
                return Err(Error::NoImages);
            }
        }
        Ok(RangeCurve::of(&losses, exploded, &phase.name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_grow_by_the_same_factor_from_the_first_to_the_last() {
        let test = RangeTest::default();
        assert_eq!(test.lr(0), 1e-7);
        assert!((test.lr(99) - 10.0).abs() < 1e-9);
        let factor = test.lr(1) / test.lr(0);
        assert!((factor - 1e8f64.powf(1.0 / 99.0)).abs() < 1e-9);
        for wrong in [
            RangeTest { steps: 9, ..test },
            RangeTest { from: 0.0, ..test },
            RangeTest { to: 1e-8, ..test },
        ] {
            assert!(wrong.validate().is_err());
        }
    }

    /// A loss that falls along a half cosine over the logarithm of the rate and then rises.
    #[test]
    fn the_steepest_place_and_a_tenth_of_the_least_are_found() {
        let test = RangeTest::default();
        let losses: Vec<(f64, f64)> = (0..100)
            .map(|step| {
                let lr = test.lr(step);
                let place = (lr.log10() + 5.0) / 4.0;
                let loss = match place {
                    p if p < 0.0 => 2.0,
                    p if p < 1.0 => 1.0 + (std::f64::consts::PI * p).cos(),
                    p => 8.0 * (p - 1.0),
                };
                (lr, loss)
            })
            .collect();
        let curve = RangeCurve::of(&losses, false, "all");
        // Half-way between 1e-5 and 1e-1; least at 1e-1.
        let [steepest, tenth] = [curve.steepest, curve.minimum_tenth].map(Option::unwrap);
        assert!((steepest.log10() + 3.0).abs() < 0.2, "{steepest}");
        assert!((tenth.log10() + 2.0).abs() < 0.4, "{tenth}");
        assert_eq!(curve.points.len(), 100);
    }

    #[test]
    fn a_loss_that_never_falls_suggests_nothing() {
        let losses: Vec<(f64, f64)> = (0..50).map(|step| (10f64.powi(step - 40), 2.0)).collect();
        let curve = RangeCurve::of(&losses, false, "all");
        assert_eq!((curve.steepest, curve.minimum_tenth), (None, None));
        assert_eq!(RangeCurve::of(&[], true, "all").points, []);
    }
}
