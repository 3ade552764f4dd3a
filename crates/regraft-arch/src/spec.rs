//! What a caller may choose about a network.

use std::collections::HashSet;
use std::str::FromStr;

use crate::architecture::Architecture;
use crate::error::Error;

/// Widest network, as a multiple of the paper's.
const WIDEST: f64 = 16.0;
/// Largest image in pixels a side, that of regraft's preprocessing.
const LARGEST_IMAGE: usize = 4096;

/// A network to build.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Which.
    pub architecture: Architecture,
    /// What it tells apart, at least two.
    pub classes: Classes,
    /// Pixels a side of its images, 1 to 4096; the smallest that work depend on the architecture.
    pub size: usize,
    /// Factor on the number of channels of every layer, above 0 and at most 16. Channels are rounded to a multiple of 8, are
    /// at least 8 and no more than 10 % below the factor (Sandler et al. 2018); with 1 they are the paper's.
    pub width: f64,
    /// How the network begins.
    pub stem: Stem,
    /// Decides the initial weights.
    pub seed: u64,
}

/// The classes of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classes {
    /// So many, without names.
    Count(usize),
    /// One label a class, in the order of the logits; the model carries them.
    Named(Vec<String>),
}

/// How a network begins: how soon it shrinks the image.
///
/// VGG's first layers are those of the small stem anyway; there all are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stem {
    /// `Cifar` for images up to 64 x 64 (74 x 74 for Inception v3), `ImageNet` above.
    #[default]
    Auto,
    /// As in the paper.
    ImageNet,
    /// The first convolution has stride 1, and a kernel of 3 x 3; the first shrinking layer after it (max pooling; MobileNet's
    /// first block with stride 2) does not shrink.
    Cifar,
}

impl Spec {
    /// An architecture as in its paper: its image size, width 1, seed 42.
    pub fn new(architecture: Architecture, classes: Classes) -> Self {
        Self {
            architecture,
            classes,
            size: architecture.default_size(),
            width: 1.0,
            stem: Stem::Auto,
            seed: 42,
        }
    }

    /// Whether the network has the small stem.
    pub(crate) fn cifar_stem(&self) -> bool {
        match self.stem {
            Stem::Auto => self.architecture.is_small(self.size),
            Stem::ImageNet => false,
            Stem::Cifar => true,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let classes = self.classes.count();
        if classes < 2 {
            return Err(Error::Classes { classes });
        }
        if let Classes::Named(labels) = &self.classes {
            let mut seen = HashSet::new();
            if let Some(label) = labels.iter().find(|label| !seen.insert(*label)) {
                return Err(Error::Label {
                    label: label.clone(),
                });
            }
        }
        if !(self.width > 0.0 && self.width <= WIDEST) {
            return Err(Error::Width {
                width: self.width,
                most: WIDEST,
            });
        }
        if !(1..=LARGEST_IMAGE).contains(&self.size) {
            return Err(Error::Size {
                size: self.size,
                most: LARGEST_IMAGE,
            });
        }
        Ok(())
    }
}

impl Classes {
    /// How many there are.
    pub fn count(&self) -> usize {
        match self {
            Classes::Count(count) => *count,
            Classes::Named(labels) => labels.len(),
        }
    }
}

impl FromStr for Stem {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Stem::Auto),
            "imagenet" => Ok(Stem::ImageNet),
            "cifar" => Ok(Stem::Cifar),
            _ => Err(Error::UnknownStem {
                name: name.to_owned(),
            }),
        }
    }
}
