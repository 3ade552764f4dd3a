//! Applies a preprocessing table to a decoded image.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{F32, U8x3};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use regraft_spec::{Channels, Crop, ImageSize, Interpolation, Preprocess};

use crate::decode::Decoded;
use crate::error::Error;
use crate::planes::Planes;

/// A rectangle of the source image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// Resizes, crops and normalises: `[height, width, C]` values.
///
/// # Errors
/// When the image cannot be resized.
pub(crate) fn apply(preprocess: &Preprocess, image: &Decoded) -> Result<Vec<f32>, Error> {
    let pixels = match preprocess.crop {
        Crop::Squash => resample(preprocess, image, None, preprocess.size)?,
        Crop::Center => {
            let size = covering(preprocess, [image.width, image.height]);
            let resized = resample(preprocess, image, None, size)?;
            crop(&resized, size, preprocess.size)
        }
    };
    Ok(normalise(preprocess, &pixels))
}

/// As [`apply`], of an image of any channels.
pub(crate) fn apply_planes(preprocess: &Preprocess, image: &Planes) -> Result<Vec<f32>, Error> {
    let whole = match preprocess.crop {
        Crop::Squash => None,
        Crop::Center => {
            // The middle of the resized image, seen from the image itself.
            let (width, height) = (f64::from(image.width), f64::from(image.height));
            let resized = covering(preprocess, [image.width, image.height]);
            let size = preprocess.size;
            let (across, down) = (
                width / f64::from(resized.width),
                height / f64::from(resized.height),
            );
            let part = Region {
                width: f64::from(size.width) * across,
                height: f64::from(size.height) * down,
                left: 0.0,
                top: 0.0,
            };
            Some(Region {
                left: ((width - part.width) / 2.0).max(0.0),
                top: ((height - part.height) / 2.0).max(0.0),
                ..part
            })
        }
    };
    region_of_planes(preprocess, image, whole)
}

/// A region of the image at the network's size, `[height, width, C]` normalised values.
pub(crate) fn region_of_planes(
    preprocess: &Preprocess,
    image: &Planes,
    region: Option<Region>,
) -> Result<Vec<f32>, Error> {
    let wrong = |reason: String| Error::Resize { reason };
    let size = preprocess.size;
    let [height, width] = size.sides();
    let channels = image.planes.len();
    let mut values = vec![0.0; height * width * channels];
    let options = options(preprocess, region);
    for (channel, plane) in image.planes.iter().enumerate() {
        let pixels: Vec<F32> = plane.iter().map(|&value| F32::new(value)).collect();
        let source = TypedImageRef::<F32>::new(image.width, image.height, &pixels)
            .map_err(|error| wrong(error.to_string()))?;
        let mut target = TypedImage::<F32>::new(size.width, size.height);
        Resizer::new()
            .resize_typed(&source, &mut target, &options)
            .map_err(|error| wrong(error.to_string()))?;
        let (mean, std) = (preprocess.mean[channel], preprocess.std[channel]);
        let places = values.iter_mut().skip(channel).step_by(channels);
        for (place, pixel) in places.zip(target.pixels()) {
            *place = (pixel.0 * preprocess.scale - mean) / std;
        }
    }
    Ok(values)
}

/// The size to which an image is resized before its middle is taken. As torchvision for squares: the shorter side is `resize`, the
/// longer one cut to whole pixels. A rectangle is enlarged alike, and just covered.
fn covering(preprocess: &Preprocess, [width, height]: [u32; 2]) -> ImageSize {
    let target = preprocess.size;
    let enlarged = |side: u32| {
        let side = u64::from(preprocess.resize) * u64::from(side);
        side / u64::from(target.shorter().max(1))
    };
    let (tall, wide) = (enlarged(target.height), enlarged(target.width));
    let (height, width) = (u64::from(height.max(1)), u64::from(width.max(1)));
    let longer = |side: u64, least: u64| {
        let longest = least.max(1 << 16);
        u32::try_from(side.clamp(least, longest)).unwrap_or(u32::MAX)
    };
    if tall * width >= wide * height {
        ImageSize {
            height: longer(tall, 1),
            width: longer(tall * width / height, wide),
        }
    } else {
        ImageSize {
            height: longer(wide * height / width, tall),
            width: longer(wide, 1),
        }
    }
}

/// A region of the image at the network's size, RGB bytes.
pub(crate) fn region(
    preprocess: &Preprocess,
    image: &Decoded,
    region: Region,
) -> Result<Vec<u8>, Error> {
    resample(preprocess, image, Some(region), preprocess.size)
}

fn resample(
    preprocess: &Preprocess,
    image: &Decoded,
    region: Option<Region>,
    size: ImageSize,
) -> Result<Vec<u8>, Error> {
    let wrong = |reason: String| Error::Resize { reason };
    // Of one pixel type only: the resizer that chooses at run time compiles all of them.
    let source = TypedImageRef::<U8x3>::from_buffer(image.width, image.height, &image.rgb)
        .map_err(|error| wrong(error.to_string()))?;
    let mut target = TypedImage::<U8x3>::new(size.width, size.height);
    Resizer::new()
        .resize_typed(&source, &mut target, &options(preprocess, region))
        .map_err(|error| wrong(error.to_string()))?;
    Ok(target.pixels().iter().flat_map(|pixel| pixel.0).collect())
}

/// The filter, and the part of the image that is resized.
fn options(preprocess: &Preprocess, region: Option<Region>) -> ResizeOptions {
    let algorithm = match preprocess.interpolation {
        Interpolation::Nearest => ResizeAlg::Nearest,
        Interpolation::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Interpolation::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Interpolation::Lanczos => ResizeAlg::Convolution(FilterType::Lanczos3),
    };
    let options = ResizeOptions::new().resize_alg(algorithm);
    match region {
        Some(r) => options.crop(r.left, r.top, r.width, r.height),
        None => options,
    }
}

/// RGB bytes to `[height, width, C]` normalised values, channels in the model's own order.
pub(crate) fn normalise(preprocess: &Preprocess, rgb: &[u8]) -> Vec<f32> {
    let pixels = rgb.as_chunks::<3>().0;
    let scaled = |value: f32, channel: usize| {
        (value * preprocess.scale - preprocess.mean[channel]) / preprocess.std[channel]
    };
    let mut values = vec![0.0; pixels.len() * preprocess.channel_count()];
    match preprocess.channels {
        Channels::Grey => {
            for (value, &[r, g, b]) in values.iter_mut().zip(pixels) {
                // Luma of ITU-R BT.601, rounded to a byte as an image library would.
                let luma =
                    (299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000;
                *value = scaled(luma as f32, 0);
            }
        }
        // Stored channels do not come this way.
        Channels::Rgb | Channels::Bgr | Channels::Stored(_) => {
            // A byte has 256 values: they are worked out once.
            let [first, second, third] = [0, 1, 2].map(|channel| {
                let mut table = [0.0; 256];
                for (byte, value) in (0..=u8::MAX).zip(&mut table) {
                    *value = scaled(byte.into(), channel);
                }
                table
            });
            let [a, b, c] = match preprocess.channels {
                Channels::Bgr => [2, 1, 0],
                _ => [0, 1, 2],
            };
            for (value, pixel) in values.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                *value = [
                    first[usize::from(pixel[a])],
                    second[usize::from(pixel[b])],
                    third[usize::from(pixel[c])],
                ];
            }
        }
    }
    values
}

/// The middle of RGB bytes.
fn crop(rgb: &[u8], from: ImageSize, size: ImageSize) -> Vec<u8> {
    let offset = |extent: u32, side: u32| {
        (f64::from(extent.saturating_sub(side)) / 2.0).round_ties_even() as usize
    };
    let (left, top) = (
        offset(from.width, size.width),
        offset(from.height, size.height),
    );
    let [_, stride] = from.sides();
    let [height, width] = size.sides();
    (0..height)
        .flat_map(|row| {
            let start = ((top + row) * stride + left) * 3;
            rgb[start..start + width * 3].iter().copied()
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
    fn channels_are_normalised_in_the_models_order_and_lie_side_by_side() {
        let bgr = Preprocess {
            size: ImageSize::square(2),
            resize: 2,
            channels: Channels::Bgr,
            scale: 1.0,
            mean: vec![1.0, 2.0, 3.0],
            std: vec![1.0, 2.0, 1.0],
            ..Preprocess::default()
        };
        let values = apply(&bgr, &plain(4, 8, [10, 20, 30])).unwrap();
        assert_eq!(values, [[29.0, 9.0, 7.0]; 4].concat());
    }

    #[test]
    fn a_centre_crop_takes_the_middle_and_squash_takes_all() {
        let mut image = plain(6, 2, [0, 0, 0]);
        for row in 0..2 {
            image.rgb[row * 18 + 6..row * 18 + 12].fill(255);
        }
        let centre = Preprocess {
            size: ImageSize::square(2),
            resize: 2,
            scale: 1.0,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
            interpolation: Interpolation::Nearest,
            ..Preprocess::default()
        };
        assert_eq!(apply(&centre, &image).unwrap(), [255.0; 12]);
        let squash = Preprocess {
            crop: Crop::Squash,
            ..centre
        };
        assert!(apply(&squash, &image).unwrap().contains(&0.0));
    }
}
