//! Settings of loading images: what a recipe writes and the loader reads.

use serde::{Deserialize, Serialize};

/// How training images are varied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Augment {
    /// Not at all, so that frozen features can be computed once.
    #[default]
    None,
    /// Mirrored half the time, cut to 80-100 % of the area.
    Light,
    /// Mirrored, cut to 35-100 % of the area (Szegedy 2015), brightness, contrast and saturation varied by 20 %.
    Standard,
}

impl Augment {
    /// Whether an image looks different from epoch to epoch.
    pub fn is_random(self) -> bool {
        self != Self::None
    }
}

/// Which training images an epoch shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every image once.
    #[default]
    Shuffle,
    /// As many images as there are, of every class the same number.
    Balanced,
}

/// What to do with an image that cannot be decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBadImage {
    /// Stop with its name.
    #[default]
    Error,
    /// Leave it out and say so.
    Skip,
}
