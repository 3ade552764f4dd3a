//! Settings of training: what a recipe writes and the trainer reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An optimizer and its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last step kept in the next, 0 to below 1. Default 0.9.
        momentum: f64,
        /// Pull of the weights towards zero, at least 0, added to the gradient. Default 1e-4.
        weight_decay: f64,
        /// Whether the gradient is taken where momentum leads (Nesterov 1983). Default false.
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    Adamw {
        /// Decay of the running mean of gradients and of squared gradients, each 0 to below 1. Default 0.9, 0.999.
        betas: (f64, f64),
        /// Added to the denominator, above 0. Default 1e-8.
        epsilon: f64,
        /// Share of the learning rate by which the weights shrink each step, at least 0. Default 0.01.
        weight_decay: f64,
    },
    /// The sign of a mean of gradients (Chen 2023): every weight moves by the learning rate.
    Lion {
        /// What is left of the mean of gradients where the direction is taken, and where it is kept, each 0 to below 1. Default
        /// 0.9, 0.99.
        betas: (f64, f64),
        /// Share of the learning rate by which the weights shrink each step, at least 0. Default 0.1.
        weight_decay: f64,
    },
    /// Adam whose steps are in proportion to each parameter's norm, for large batches (You 2020).
    Lamb {
        /// Decay of the running mean of gradients and of squared gradients, each 0 to below 1. Default 0.9, 0.999.
        betas: (f64, f64),
        /// Added to the denominator, above 0. Default 1e-6.
        epsilon: f64,
        /// Pull of the weights towards zero, at least 0, added to the direction. Default 0.01.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// The learning rate where a recipe gives none: 0.01 for SGD, 0.001 for AdamW, 0.0001 for Lion, 0.005 for LAMB.
    pub const fn default_lr(&self) -> f64 {
        match self {
            Self::Sgd { .. } => 0.01,
            Self::Adamw { .. } => 0.001,
            Self::Lion { .. } => 0.0001,
            Self::Lamb { .. } => 0.005,
        }
    }

    /// SGD with its defaults.
    pub const fn sgd() -> Self {
        Self::Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
        }
    }

    /// Lion with its defaults.
    pub const fn lion() -> Self {
        Self::Lion {
            betas: (0.9, 0.99),
            weight_decay: 0.1,
        }
    }

    /// LAMB with its defaults.
    pub const fn lamb() -> Self {
        Self::Lamb {
            betas: (0.9, 0.999),
            epsilon: 1e-6,
            weight_decay: 0.01,
        }
    }

    /// AdamW with its defaults.
    pub const fn adamw() -> Self {
        Self::Adamw {
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: 0.01,
        }
    }
}

/// The learning rate over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// What follows the warm-up.
    pub kind: ScheduleKind,
    /// Epochs over which the learning rate rises to its peak, 0 to below `epochs`; fractions count. None: what
    /// [`Schedule::warmup`] says. Default none.
    pub warmup_epochs: Option<f64>,
}

impl Schedule {
    /// The schedule with its default warm-up.
    pub const fn new(kind: ScheduleKind) -> Self {
        Self {
            kind,
            warmup_epochs: None,
        }
    }

    /// Epochs of warm-up in a training of `epochs`: as many as are given, else 3/10 of all for one-cycle and 0 for the
    /// other kinds.
    pub fn warmup(&self, epochs: usize) -> f64 {
        let by_kind = match self.kind {
            ScheduleKind::OneCycle => epochs as f64 * 3.0 / 10.0,
            _ => 0.0,
        };
        self.warmup_epochs.unwrap_or(by_kind)
    }
}

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScheduleKind {
    /// Stays at its peak.
    Constant,
    /// Falls to zero along half a cosine.
    Cosine,
    /// Rises and falls along half cosines (Smith 2018).
    OneCycle,
    /// Is multiplied by a factor every so many epochs.
    Step {
        /// Epochs between two drops, 1 to 1,000,000. Default 3.
        every: usize,
        /// What is left at each drop, above 0, below 1. Default 0.1.
        factor: f64,
    },
    /// Falls to zero along half a cosine again and again, from the peak each time (SGDR, Loshchilov & Hutter 2017).
    CosineRestarts {
        /// Epochs of the first fall, 1 to 1,000,000. Default 5.
        first: usize,
        /// How many times as long each fall is as the one before, 1 to 1,000,000. Default 1.
        grow: usize,
    },
}

impl ScheduleKind {
    /// [`ScheduleKind::Step`] with its defaults.
    pub const fn step() -> Self {
        Self::Step {
            every: 3,
            factor: 0.1,
        }
    }

    /// [`ScheduleKind::CosineRestarts`] with its defaults: twice in ten epochs.
    pub const fn cosine_restarts() -> Self {
        Self::CosineRestarts { first: 5, grow: 1 }
    }
}

/// How much each class counts in the loss.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeights {
    /// All the same.
    #[default]
    Equal,
    /// In inverse proportion to its training images: all classes count the same together (King and Zeng 2001).
    Balanced,
    /// By name, each above 0. A class that is not named has the weight 1.
    Named(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// A weight for each of `classes`, which have so many training `images` each. Empty where all weigh the same.
    ///
    /// Balanced weights have the mean 1 over the images. A class without images has the weight 1.
    ///
    /// # Errors
    /// With the first name that is none of the classes.
    pub fn of(&self, classes: &[String], images: &[usize]) -> Result<Vec<f64>, &str> {
        match self {
            Self::Equal => Ok(Vec::new()),
            Self::Balanced => {
                let total: usize = images.iter().sum();
                let present = images.iter().filter(|&&count| count > 0).count();
                let weight = |&count: &usize| match count {
                    0 => 1.0,
                    count => total as f64 / (present * count) as f64,
                };
                Ok(images.iter().map(weight).collect())
            }
            Self::Named(weights) => {
                if let Some(unknown) = weights.keys().find(|name| !classes.contains(name)) {
                    return Err(unknown);
                }
                let weight = |name| weights.get(name).copied().unwrap_or(1.0);
                Ok(classes.iter().map(weight).collect())
            }
        }
    }
}

/// When to stop before the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyStopping {
    /// Epochs without a better validation result after which training stops, 1 to 1,000,000. Default 5.
    pub patience: usize,
    /// The validation result that is watched. Default accuracy.
    pub metric: StopMetric,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self {
            patience: 5,
            metric: StopMetric::Accuracy,
        }
    }
}

/// The validation result that early stopping watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMetric {
    /// Share of images classified rightly; more is better.
    Accuracy,
    /// Mean loss; less is better.
    Loss,
}

/// Where the features under a frozen trunk are kept between epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FeatureCache {
    /// Wherever caching gives the same result and there is room.
    #[default]
    Auto,
    /// Nowhere: every epoch computes them again.
    Off,
    /// In memory.
    Memory,
    /// In memory, and in files of the machine's cache folder for the next run.
    Disk,
}

/// In what a frozen trunk multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The file's own numbers.
    #[default]
    F32,
    /// Rounded to bf16, summed up in f32: faster on processors with AVX-512 BF16, refused on others.
    Bf16,
}

/// What batch norm's running statistics do in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistics {
    /// Used as they are.
    Frozen,
    /// The batch's own are used, and the running ones updated.
    Updated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_make_every_class_count_the_same_together() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let weights = ClassWeights::Balanced.of(&classes, &[6, 2, 0]);
        assert_eq!(weights, Ok(vec![8.0 / 12.0, 2.0, 1.0]));
        assert_eq!(ClassWeights::Equal.of(&classes, &[6, 2, 0]), Ok(vec![]));
    }

    #[test]
    fn named_weights_are_for_classes_that_there_are() {
        let classes = ["a", "b"].map(str::to_owned);
        let named = |name: &str| ClassWeights::Named([(name.to_owned(), 4.0)].into());
        assert_eq!(named("b").of(&classes, &[1, 1]), Ok(vec![1.0, 4.0]));
        assert_eq!(named("z").of(&classes, &[1, 1]), Err("z"));
    }
}
