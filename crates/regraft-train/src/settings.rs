//! What a training is asked to do: plain data that a recipe fills in, and that anybody else may.

use regraft_data::Mix;
use regraft_spec::{EarlyStopping, FeatureCache, Optimizer, Precision, Schedule, ScheduleKind};

use crate::averager::Averaging;
use crate::error::Error;
use crate::feature_folder::FeatureFolder;

/// The settings of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Passes over the training images, all phases together; at least 1.
    pub epochs: usize,
    /// The rule that turns gradients into steps.
    pub optimizer: Optimizer,
    /// Peak learning rate, above 0.
    pub lr: f64,
    /// The learning rate over time; every phase runs through it once.
    pub schedule: Schedule,
    /// Share of the target spread over all classes, 0 to below 1.
    pub label_smoothing: f64,
    /// How the images of a batch are mixed with each other.
    pub mix: Mix,
    /// Weight of each class in the loss, above 0; empty: all the same.
    pub class_weights: Vec<f64>,
    /// Largest norm of all gradients together, at least 0. 0: no limit.
    pub grad_clip: f64,
    /// Parts that a batch is cut into, at least 1: their gradients are summed before a step is taken, so that memory is
    /// that of one part. Batch norm that updates its statistics normalises each part by itself.
    pub micro_batches: usize,
    /// Share of the running mean of weights (EMA, Polyak and Juditsky 1992) that stays in each step, 0 to below 1. 0: none.
    /// Where there is one, it is what is evaluated and written.
    pub ema: f64,
    /// Share of the steps, counted from the last, whose weights are averaged equally (SWA, Izmailov 2018), 0 to below 1. 0:
    /// none. Like the running mean it is what is evaluated and written, once it has begun; there is one of the two at most.
    pub swa: f64,
    /// Pull of trained weights towards the values that the run began with (L2-SP, Li 2018), at least 0: the share of the
    /// difference that a step at learning rate 1 takes back.
    pub l2_sp: f64,
    /// When to stop before the last epoch. Only the last phase can end early.
    pub early_stopping: Option<EarlyStopping>,
    /// Start of every random number.
    pub seed: u64,
    /// Where the features under a frozen trunk are kept between epochs.
    pub feature_cache: FeatureCache,
    /// Where [`FeatureCache::Disk`] keeps them.
    pub feature_folder: Option<FeatureFolder>,
    /// In what the frozen trunk multiplies.
    pub trunk_precision: Precision,
    /// Epochs between checkpoints, at least 1.
    pub checkpoint_every: usize,
}

impl Default for Settings {
    fn default() -> Self {
        let optimizer = Optimizer::adamw();
        Self {
            epochs: 10,
            lr: optimizer.default_lr(),
            optimizer,
            schedule: Schedule::new(ScheduleKind::OneCycle),
            label_smoothing: 0.0,
            mix: Mix::default(),
            class_weights: Vec::new(),
            grad_clip: 0.0,
            micro_batches: 1,
            ema: 0.0,
            swa: 0.0,
            l2_sp: 0.0,
            early_stopping: None,
            seed: 42,
            feature_cache: FeatureCache::default(),
            feature_folder: None,
            trunk_precision: Precision::default(),
            checkpoint_every: 1,
        }
    }
}

impl Settings {
    /// Where the features of training images are kept: nowhere where each batch mixes its images anew.
    pub(crate) fn training_cache(&self) -> FeatureCache {
        match self.mix.is_on() {
            true => FeatureCache::Off,
            false => self.feature_cache,
        }
    }

    /// How weights are averaged, where they are.
    pub(crate) fn averaging(&self) -> Option<Averaging> {
        match (self.ema, self.swa) {
            (0.0, 0.0) => None,
            (0.0, _) => Some(Averaging::Equal),
            (decay, _) => Some(Averaging::Exponential { decay }),
        }
    }

    /// Whether step `step` (from 0) of `total` is taken into the mean of weights.
    pub(crate) fn averages(&self, step: usize, total: usize) -> bool {
        let last = (self.swa * total as f64).ceil() as usize;
        self.swa == 0.0 || step + last >= total
    }

    /// Checks that every value is in the range its field states.
    ///
    /// # Errors
    /// With the field that is not.
    pub fn validate(&self) -> Result<(), Error> {
        let below_one = |value: f64| (0.0..1.0).contains(&value);
        let wrong = |setting, expected| Err(Error::Setting { setting, expected });
        if self.epochs == 0 {
            return wrong("epochs", "at least 1");
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return wrong("lr", "a number above 0");
        }
        if !below_one(self.label_smoothing) {
            return wrong("label_smoothing", "a number from 0 to below 1");
        }
        for (setting, alpha) in [("mixup", self.mix.mixup), ("cutmix", self.mix.cutmix)] {
            if !(alpha.is_finite() && alpha >= 0.0) {
                return wrong(setting, "a number of at least 0");
            }
        }
        if !(self.class_weights.iter()).all(|weight| weight.is_finite() && *weight > 0.0) {
            return wrong("class_weights", "numbers above 0");
        }
        if !below_one(self.ema) {
            return wrong("ema", "a number from 0 to below 1");
        }
        if !below_one(self.swa) {
            return wrong("swa", "a number from 0 to below 1");
        }
        if self.ema > 0.0 && self.swa > 0.0 {
            return wrong("swa", "0 where there is a running mean (`ema`)");
        }
        if !(self.l2_sp.is_finite() && self.l2_sp >= 0.0) {
            return wrong("l2_sp", "a number of at least 0");
        }
        if !(self.grad_clip.is_finite() && self.grad_clip >= 0.0) {
            return wrong("grad_clip", "a number of at least 0");
        }
        if self.feature_cache == FeatureCache::Disk && self.feature_folder.is_none() {
            return wrong("feature_folder", "a folder to keep features in");
        }
        if self.micro_batches == 0 {
            return wrong("micro_batches", "at least 1");
        }
        Ok(())
    }
}
