//! The words that a recipe uses for a choice.

use regraft_freeze::BatchNorm;
use regraft_spec::{
    Augment, Channels, Crop, FeatureCache, Interpolation, OnBadImage, Optimizer, Precision,
    Sampling, ScheduleKind, StopMetric,
};

use crate::recipe::{HeadKind, Start};

/// A choice that a recipe writes as one word.
pub(crate) trait Named: Sized + 'static {
    /// Every choice; those with numbers hold their defaults.
    const ALL: &'static [Self];

    /// The word.
    fn name(&self) -> &'static str;

    /// The words of all choices.
    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(Self::name).collect()
    }
}

impl Named for HeadKind {
    const ALL: &'static [Self] = &[
        Self::Auto,
        Self::Solved,
        Self::Linear,
        Self::Mlp {
            hidden: 512,
            dropout: 0.0,
        },
        Self::Keep,
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Solved => "solved",
            Self::Linear => "linear",
            Self::Mlp { .. } => "mlp",
            Self::Keep => "keep",
        }
    }
}

impl Named for Start {
    const ALL: &'static [Self] = &[Self::Random, Self::Solved];

    fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Solved => "solved",
        }
    }
}

impl Named for Optimizer {
    const ALL: &'static [Self] = &[Self::sgd(), Self::adamw(), Self::lion(), Self::lamb()];

    fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Adamw { .. } => "adamw",
            Self::Lion { .. } => "lion",
            Self::Lamb { .. } => "lamb",
        }
    }
}

impl Named for ScheduleKind {
    const ALL: &'static [Self] = &[
        Self::Constant,
        Self::Cosine,
        Self::OneCycle,
        Self::step(),
        Self::cosine_restarts(),
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::OneCycle => "one-cycle",
            Self::Step { .. } => "step",
            Self::CosineRestarts { .. } => "cosine-restarts",
        }
    }
}

impl Named for StopMetric {
    const ALL: &'static [Self] = &[Self::Accuracy, Self::Loss];

    fn name(&self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        }
    }
}

impl Named for FeatureCache {
    const ALL: &'static [Self] = &[Self::Auto, Self::Off, Self::Memory, Self::Disk];

    fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

impl Named for Precision {
    const ALL: &'static [Self] = &[Self::F32, Self::Bf16];

    fn name(&self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

impl Named for Augment {
    const ALL: &'static [Self] = &[Self::None, Self::Light, Self::Standard];

    fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Light => "light",
            Self::Standard => "standard",
        }
    }
}

impl Named for BatchNorm {
    const ALL: &'static [Self] = &[Self::Auto, Self::Frozen, Self::Updated, Self::AffineOnly];

    fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Frozen => "frozen",
            Self::Updated => "updated",
            Self::AffineOnly => "affine-only",
        }
    }
}

impl Named for OnBadImage {
    const ALL: &'static [Self] = &[Self::Error, Self::Skip];

    fn name(&self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Skip => "skip",
        }
    }
}

impl Named for Sampling {
    const ALL: &'static [Self] = &[Self::Shuffle, Self::Balanced];

    fn name(&self) -> &'static str {
        match self {
            Self::Shuffle => "shuffle",
            Self::Balanced => "balanced",
        }
    }
}

impl Named for Crop {
    const ALL: &'static [Self] = &[Self::Center, Self::Squash];

    fn name(&self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Squash => "squash",
        }
    }
}

impl Named for Interpolation {
    const ALL: &'static [Self] = &[Self::Nearest, Self::Bilinear, Self::Bicubic, Self::Lanczos];

    fn name(&self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }
}

impl Named for Channels {
    const ALL: &'static [Self] = &[Self::Rgb, Self::Bgr, Self::Grey];

    fn name(&self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
            Self::Grey => "grey",
            Self::Stored(_) => "stored",
        }
    }
}
