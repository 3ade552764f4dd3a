//! Random changes to a training image, each a function of (seed, epoch, index).

use rand::{Rng, RngExt};
use regraft_spec::{Augment, ImageSize, Preprocess};

use crate::decode::Decoded;
use crate::error::Error;
use crate::planes::Planes;
use crate::preprocess::{self, Region};

/// Ranges of the built-in augmentations.
struct Ranges {
    area: [f64; 2],
    ratio: [f64; 2],
    colour: f32,
}

const LIGHT: Ranges = Ranges {
    area: [0.8, 1.0],
    ratio: [0.9, 1.1],
    colour: 0.0,
};
const STANDARD: Ranges = Ranges {
    area: [0.35, 1.0],
    ratio: [3.0 / 4.0, 4.0 / 3.0],
    colour: 0.2,
};

/// How far an augmentation goes; none where it changes nothing.
fn ranges(augment: Augment) -> Option<Ranges> {
    match augment {
        Augment::None => None,
        Augment::Light => Some(LIGHT),
        Augment::Standard => Some(STANDARD),
    }
}

/// One image as the network sees it in training: `[height, width, C]`.
pub(crate) fn apply(
    augment: Augment,
    image: &Decoded,
    preprocess: &Preprocess,
    random: &mut impl Rng,
) -> Result<Vec<f32>, Error> {
    let Some(ranges) = ranges(augment) else {
        return preprocess::apply(preprocess, image);
    };
    let mut rgb = preprocess::region(
        preprocess,
        image,
        region(
            [image.width, image.height],
            &ranges,
            preprocess.size,
            random,
        ),
    )?;
    if random.random::<bool>() {
        mirror(&mut rgb, preprocess.size.width as usize, 3);
    }
    if ranges.colour > 0.0 {
        jitter(&mut rgb, ranges.colour, random);
    }
    Ok(preprocess::normalise(preprocess, &rgb))
}

/// As [`apply`], of an image of any channels: what they mean is not known, so that only place, size and side change.
pub(crate) fn apply_planes(
    augment: Augment,
    image: &Planes,
    preprocess: &Preprocess,
    random: &mut impl Rng,
) -> Result<Vec<f32>, Error> {
    let Some(ranges) = ranges(augment) else {
        return preprocess::apply_planes(preprocess, image);
    };
    let part = region(
        [image.width, image.height],
        &ranges,
        preprocess.size,
        random,
    );
    let mut values = preprocess::region_of_planes(preprocess, image, Some(part))?;
    if random.random::<bool>() {
        mirror(
            &mut values,
            preprocess.size.width as usize,
            image.planes.len(),
        );
    }
    Ok(values)
}

/// A random part of the image with area and aspect ratio, relative to that of the network's images, in range; the whole image
/// where none fits in ten tries.
fn region(
    [width, height]: [u32; 2],
    ranges: &Ranges,
    size: ImageSize,
    random: &mut impl Rng,
) -> Region {
    let (width, height) = (f64::from(width), f64::from(height));
    for _ in 0..10 {
        let area = width * height * random.random_range(ranges.area[0]..=ranges.area[1]);
        let ratio = random
            .random_range(ranges.ratio[0].ln()..=ranges.ratio[1].ln())
            .exp()
            * (f64::from(size.width) / f64::from(size.height));
        let (w, h) = ((area * ratio).sqrt(), (area / ratio).sqrt());
        if w >= 1.0 && h >= 1.0 && w <= width && h <= height {
            let left = random.random_range(0.0..=width - w);
            let top = random.random_range(0.0..=height - h);
            return Region {
                left,
                top,
                width: w,
                height: h,
            };
        }
    }
    Region {
        left: 0.0,
        top: 0.0,
        width,
        height,
    }
}

/// Left and right change sides, in `[height, width, channels]`.
fn mirror<T>(values: &mut [T], width: usize, channels: usize) {
    for row in values.chunks_exact_mut(width * channels) {
        for column in 0..width / 2 {
            for channel in 0..channels {
                let other = (width - 1 - column) * channels + channel;
                row.swap(column * channels + channel, other);
            }
        }
    }
}

/// Brightness, contrast about the mean grey, and saturation, each by a factor in `1 - strength ..= 1 + strength`.
fn jitter(rgb: &mut [u8], strength: f32, random: &mut impl Rng) {
    let mut factor = || random.random_range(1.0 - strength..=1.0 + strength);
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let grey =
        |p: &[u8; 3]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    let mean = pixels.iter().map(grey).sum::<f32>() / pixels.len().max(1) as f32 * brightness;
    for pixel in pixels {
        let own = (grey(pixel) * brightness - mean) * contrast + mean;
        for channel in pixel.iter_mut() {
            let value = (f32::from(*channel) * brightness - mean) * contrast + mean;
            *channel = (own + (value - own) * saturation).round().clamp(0.0, 255.0) as u8;
        }
    }
}
