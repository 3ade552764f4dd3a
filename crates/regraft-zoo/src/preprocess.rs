//! How an image becomes a model's input, in the keys that recipes and exported models use.

use regraft_spec::{Channels, Crop, Interpolation};
use serde::{Deserialize, Serialize};

/// Preprocessing of one image, of which a manifest leaves no key out: `value = (pixel * scale - mean) / std`, pixel in 0..=255, per channel in the model's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square the network sees, in pixels.
    pub size: u32,
    /// Shorter side after resizing, before a centre crop, in pixels. At least `size`.
    pub resize: u32,
    /// How the square is cut.
    pub crop: Crop,
    /// Resampling filter.
    pub interpolation: Interpolation,
    /// Channel order.
    pub channels: Channels,
    /// Factor on the 0..=255 pixel value.
    pub scale: f32,
    /// Mean per channel after scaling, in the model's channel order.
    pub mean: Vec<f32>,
    /// Standard deviation per channel after scaling, in the model's channel order; none is zero.
    pub std: Vec<f32>,
}

impl From<&Preprocess> for regraft_spec::Preprocess {
    fn from(known: &Preprocess) -> Self {
        Self {
            size: regraft_spec::ImageSize::square(known.size),
            resize: known.resize,
            crop: known.crop,
            interpolation: known.interpolation,
            channels: known.channels,
            scale: known.scale,
            mean: known.mean.clone(),
            std: known.std.clone(),
        }
    }
}

impl Preprocess {
    /// What is wrong with the numbers, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let channels = match self.channels {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
            Channels::Stored(channels) => channels as usize,
        };
        if self.size == 0 || self.resize < self.size {
            return Some(format!(
                "preprocess: size {} and resize {}: expected 1 <= size <= resize",
                self.size, self.resize
            ));
        }
        if self.mean.len() != channels || self.std.len() != channels {
            return Some(format!(
                "preprocess: `mean` and `std` need {channels} numbers each"
            ));
        }
        let positive = |number: &f32| number.is_finite() && *number > 0.0;
        let finite = self.mean.iter().all(|mean| mean.is_finite());
        if !positive(&self.scale) || !self.std.iter().all(positive) || !finite {
            return Some(
                "preprocess: `scale` and `std` must be above 0, and every number finite".to_owned(),
            );
        }
        None
    }
}
