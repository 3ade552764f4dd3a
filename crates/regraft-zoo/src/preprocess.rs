//! How an image becomes a model's input, in the keys that recipes and exported models use.

use serde::{Deserialize, Serialize};

/// Preprocessing of one image: `value = (pixel * scale - mean) / std`, pixel in 0..=255, per channel in the model's order.
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

/// How a rectangle becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Resize the shorter side to `resize`, then take the centre `size` x `size`.
    Center,
    /// Resize to `size` x `size` whatever the aspect ratio.
    Squash,
}

/// Resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// Nearest neighbour.
    Nearest,
    /// Triangle filter.
    Bilinear,
    /// Catmull-Rom cubic.
    Bicubic,
    /// Lanczos with three lobes.
    Lanczos,
}

/// Channel order of the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red (Caffe, OpenCV).
    Bgr,
    /// One luminance channel.
    Grey,
}

impl Preprocess {
    /// What is wrong with the numbers, if anything.
    pub(crate) fn fault(&self) -> Option<String> {
        let channels = match self.channels {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
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
