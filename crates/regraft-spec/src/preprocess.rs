//! How an image becomes numbers: the same table in a recipe and in an exported model's metadata.

use serde::{Deserialize, Serialize};

use crate::image_size::{ImageSize, LONGEST_SIDE};

/// Preprocessing of one image into `[C, H, W]` f32 values.
///
/// `value = (pixel * scale - mean) / std`, pixel in 0..=255, per channel in the model's own channel order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// Height and width of what the network sees, in pixels.
    pub size: ImageSize,
    /// Before a centre crop, the image is resized so that it just covers `size` enlarged to this shorter side, in pixels; ignored
    /// by `squash`. At least the shorter side of `size`.
    pub resize: u32,
    /// What becomes of images of another shape.
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

/// How an image of one shape becomes one of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// Resize as `resize` says, then take the centre of `size`.
    Center,
    /// Resize to `size` whatever the aspect ratio.
    Squash,
}

/// Resampling filter, antialiased when shrinking.
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

/// The network's channels, and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red (Caffe, OpenCV).
    Bgr,
    /// One luminance channel.
    Grey,
    /// So many channels as files store them, in their order, up to [`MOST_CHANNELS`]; written as a number.
    #[serde(untagged)]
    Stored(u32),
}

/// Most channels of an image.
pub const MOST_CHANNELS: u32 = 64;

/// ImageNet's usual numbers: RGB, 224 from 256, mean and deviation of its training images.
impl Default for Preprocess {
    fn default() -> Self {
        Self {
            size: ImageSize::square(224),
            resize: 256,
            crop: Crop::Center,
            interpolation: Interpolation::Bilinear,
            channels: Channels::Rgb,
            scale: 1.0 / 255.0,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }
}

/// A table of preprocessing whose numbers make no sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("preprocessing: {reason}")]
pub struct InvalidPreprocess {
    /// The key that does not fit, and what would work.
    pub reason: String,
}

impl Preprocess {
    /// Checks that the numbers make sense together.
    ///
    /// # Errors
    /// With the key that does not, and what would work.
    pub fn validate(&self) -> Result<(), InvalidPreprocess> {
        let wrong = |reason: String| Err(InvalidPreprocess { reason });
        let channels = self.channel_count();
        if !(1..=MOST_CHANNELS as usize).contains(&channels) {
            return wrong(format!(
                "`channels` is {channels}, expected 1 to {MOST_CHANNELS}"
            ));
        }
        if !self.size.is_possible() {
            return wrong(format!(
                "`size` is {}, expected 1 to {LONGEST_SIDE} pixels a side",
                self.size
            ));
        }
        if self.crop == Crop::Center && (self.resize < self.size.shorter() || self.resize > 16384) {
            return wrong(format!(
                "`resize` is {}, expected at least `size` ({}) for a centre crop",
                self.resize,
                self.size.shorter()
            ));
        }
        if self.mean.len() != channels || self.std.len() != channels {
            return wrong(format!(
                "`mean` and `std` have {} and {} values, the image has {channels} channels",
                self.mean.len(),
                self.std.len()
            ));
        }
        if !self.scale.is_finite() || self.mean.iter().any(|v| !v.is_finite()) {
            return wrong("`scale` and `mean` must be finite numbers".to_owned());
        }
        if let Some(std) = self.std.iter().find(|v| !(v.is_finite() && **v != 0.0)) {
            return wrong(format!(
                "`std` holds {std}, expected finite numbers other than 0"
            ));
        }
        Ok(())
    }

    /// Channels of the network's input.
    pub fn channel_count(&self) -> usize {
        match self.channels {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
            Channels::Stored(channels) => channels as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn impossible_tables_name_the_key() {
        for (table, key) in [
            (
                Preprocess {
                    size: ImageSize::square(0),
                    ..Preprocess::default()
                },
                "`size`",
            ),
            (
                Preprocess {
                    resize: 100,
                    ..Preprocess::default()
                },
                "`resize`",
            ),
            (
                Preprocess {
                    std: vec![1.0, 0.0, 1.0],
                    ..Preprocess::default()
                },
                "`std`",
            ),
            (
                Preprocess {
                    channels: Channels::Grey,
                    ..Preprocess::default()
                },
                "channels",
            ),
        ] {
            let message = table.validate().unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
    }
}
