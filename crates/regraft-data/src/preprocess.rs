//! How an image becomes numbers: the same table in a recipe and in an exported model's metadata.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use crate::decode::Decoded;
use crate::error::Error;

/// Preprocessing of one image into `[C, H, W]` f32 values.
///
/// `value = (pixel * scale - mean) / std`, pixel in 0..=255, per channel in the model's own channel order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocess {
    /// Side of the square the network sees, in pixels.
    pub size: u32,
    /// Shorter side after resizing, before a centre crop, in pixels; ignored by `squash`. At least `size`.
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

/// ImageNet's usual numbers: RGB, 224 from 256, mean and deviation of its training images.
impl Default for Preprocess {
    fn default() -> Self {
        Self {
            size: 224,
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

/// A rectangle of the source image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Preprocess {
    /// Checks that the numbers make sense together.
    ///
    /// # Errors
    /// With the key that does not, and what would work.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Preprocess { reason });
        let channels = self.channel_count();
        if !(1..=4096).contains(&self.size) {
            return wrong(format!(
                "`size` is {}, expected 1 to 4096 pixels",
                self.size
            ));
        }
        if self.crop == Crop::Center && (self.resize < self.size || self.resize > 16384) {
            return wrong(format!(
                "`resize` is {}, expected at least `size` ({}) for a centre crop",
                self.resize, self.size
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

    /// Channels of the network's input: 3, or 1 for grey.
    pub fn channel_count(&self) -> usize {
        match self.channels {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
        }
    }

    /// Resizes, crops and normalises: `[C, size, size]` values.
    ///
    /// # Errors
    /// When the image cannot be resized.
    pub fn apply(&self, image: &Decoded) -> Result<Vec<f32>, Error> {
        let pixels = match self.crop {
            Crop::Squash => self.resample(image, None, [self.size, self.size])?,
            Crop::Center => {
                // As torchvision: the shorter side to `resize`, the longer one cut to whole pixels, then the middle.
                let (short, long) = (image.width.min(image.height), image.width.max(image.height));
                let other = u64::from(self.resize) * u64::from(long) / u64::from(short.max(1));
                let other = u32::try_from(other)
                    .unwrap_or(u32::MAX)
                    .clamp(self.resize, 1 << 16);
                let [width, height] = if image.width <= image.height {
                    [self.resize, other]
                } else {
                    [other, self.resize]
                };
                let resized = self.resample(image, None, [width, height])?;
                crop(&resized, width, height, self.size)
            }
        };
        Ok(self.normalise(&pixels))
    }

    /// A region of the image at `size` x `size`, RGB bytes.
    pub(crate) fn region(&self, image: &Decoded, region: Region) -> Result<Vec<u8>, Error> {
        self.resample(image, Some(region), [self.size, self.size])
    }

    fn resample(
        &self,
        image: &Decoded,
        region: Option<Region>,
        [width, height]: [u32; 2],
    ) -> Result<Vec<u8>, Error> {
        let wrong = |reason: String| Error::Preprocess { reason };
        // Of one pixel type only: the resizer that chooses at run time compiles all of them.
        let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, &image.rgb)
            .map_err(|error| wrong(error.to_string()))?;
        let mut target = TypedImage::<U8x3>::new(width, height);
        let algorithm = match self.interpolation {
            Interpolation::Nearest => ResizeAlg::Nearest,
            Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
            Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
            Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
        };
        let mut options = ResizeOptions::new().resize_alg(algorithm);
        if let Some(r) = region {
            options = options.crop(r.left, r.top, r.width, r.height);
        }
        Resizer::new()
            .resize_typed(&source, &mut target, &options)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(target.pixels().iter().flat_map(|pixel| pixel.0).collect())
    }

    /// RGB bytes of a square to `[C, size, size]` normalised values in the model's channel order.
    pub(crate) fn normalise(&self, rgb: &[u8]) -> Vec<f32> {
        let plane = rgb.len() / 3;
        let mut values = Vec::with_capacity(plane * self.channel_count());
        let scaled = |value: f32, channel: usize| {
            (value * self.scale - self.mean[channel]) / self.std[channel]
        };
        match self.channels {
            Channels::Grey => values.extend(rgb.as_chunks::<3>().0.iter().map(|&[r, g, b]| {
                // Luma of ITU-R BT.601, rounded to a byte as an image library would.
                let luma =
                    (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000;
                scaled(luma as f32, 0)
            })),
            Channels::Rgb | Channels::Bgr => {
                for channel in 0..3 {
                    let source = if self.channels == Channels::Bgr {
                        2 - channel
                    } else {
                        channel
                    };
                    values.extend(
                        rgb.as_chunks::<3>()
                            .0
                            .iter()
                            .map(|pixel| scaled(pixel[source].into(), channel)),
                    );
                }
            }
        }
        values
    }
}

/// The middle `size` x `size` of RGB bytes.
fn crop(rgb: &[u8], width: u32, height: u32, size: u32) -> Vec<u8> {
    let offset =
        |extent: u32| (f64::from(extent.saturating_sub(size)) / 2.0).round_ties_even() as usize;
    let (left, top) = (offset(width), offset(height));
    let (width, size) = (width as usize, size as usize);
    (0..size)
        .flat_map(|row| {
            let start = ((top + row) * width + left) * 3;
            rgb[start..start + size * 3].iter().copied()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> Decoded {
        Decoded {
            width,
            height,
            rgb: colour.repeat((width * height) as usize),
        }
    }

    #[test]
    fn channels_are_normalised_in_the_models_order() {
        let bgr = Preprocess {
            size: 2,
            resize: 2,
            channels: Channels::Bgr,
            scale: 1.0,
            mean: vec![1.0, 2.0, 3.0],
            std: vec![1.0, 2.0, 1.0],
            ..Preprocess::default()
        };
        let values = bgr.apply(&plain(4, 8, [10, 20, 30])).unwrap();
        assert_eq!(values, [[29.0; 4], [9.0; 4], [7.0; 4]].concat());
    }

    #[test]
    fn a_centre_crop_takes_the_middle_and_squash_takes_all() {
        let mut image = plain(6, 2, [0, 0, 0]);
        for row in 0..2 {
            image.rgb[row * 18 + 6..row * 18 + 12].fill(255);
        }
        let centre = Preprocess {
            size: 2,
            resize: 2,
            scale: 1.0,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
            interpolation: Interpolation::Nearest,
            ..Preprocess::default()
        };
        assert_eq!(centre.apply(&image).unwrap(), [255.0; 12]);
        let squash = Preprocess {
            crop: Crop::Squash,
            ..centre
        };
        assert!(squash.apply(&image).unwrap().contains(&0.0));
    }

    #[test]
    fn impossible_tables_name_the_key() {
        for (table, key) in [
            (
                Preprocess {
                    size: 0,
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
