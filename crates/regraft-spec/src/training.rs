//! Settings of training: what a recipe writes and the trainer reads.

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
}

impl Optimizer {
    /// The learning rate where a recipe gives none: 0.01 for SGD, 0.001 for AdamW.
    pub const fn default_lr(&self) -> f64 {
        match self {
            Self::Sgd { .. } => 0.01,
            Self::Adamw { .. } => 0.001,
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
            ScheduleKind::Constant | ScheduleKind::Cosine => 0.0,
        };
        self.warmup_epochs.unwrap_or(by_kind)
    }
}

/// What the learning rate does after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleKind {
    /// Stays at its peak.
    Constant,
    /// Falls to zero along half a cosine.
    Cosine,
    /// Rises and falls along half cosines (Smith 2018).
    OneCycle,
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
