//! Images of any number of channels, as their files store them: TIFF, PNG and others with transparency, NumPy's arrays.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::DynamicImage;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use crate::decode::{self, MAX_BYTES, MAX_SIDE};
use crate::error::Error;
use crate::npy;

/// An image with one plane for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Planes {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width` values each, row by row, as the file has them: bytes from 0 to 255, other types in their own range.
    pub planes: Vec<Vec<f32>>,
}

/// Decodes an image file with so many channels.
///
/// TIFF with any number of channels, side by side or plane by plane; other formats with up to four; `.npy` arrays `[H, W]`,
/// `[H, W, C]` and `[C, H, W]`. One channel of a colour image is its luminance; three of one with transparency are on white.
///
/// # Errors
/// When the file cannot be read or is damaged, or has another number of channels.
pub fn decode_planes(path: &Path, channels: usize) -> Result<Planes, Error> {
    let bad = |reason: String| Error::BadImage {
        path: path.to_owned(),
        reason,
    };
    match catch_unwind(AssertUnwindSafe(|| decode_inner(path, channels))) {
        Ok(Ok(planes)) => Ok(planes),
        Ok(Err(reason)) => Err(bad(reason)),
        Err(_) => Err(bad("the decoder failed on it".to_owned())),
    }
}

fn decode_inner(path: &Path, channels: usize) -> Result<Planes, String> {
    if npy::is_npy(path) {
        return of_array(path, channels);
    }
    let is_tiff = path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("tif") || extension.eq_ignore_ascii_case("tiff")
    });
    if is_tiff {
        return of_tiff(path, channels);
    }
    of_picture(decode::upright(path)?, channels)
}

/// Grey, colours, and either with transparency, in bytes.
fn of_picture(image: DynamicImage, channels: usize) -> Result<Planes, String> {
    let (width, height) = (image.width(), image.height());
    let bytes = match channels {
        1 => image.into_luma8().into_raw(),
        2 => image.into_luma_alpha8().into_raw(),
        3 => decode::on_white(image).into_raw(),
        4 if image.color().has_alpha() => image.into_rgba8().into_raw(),
        _ => {
            let own = image.color().channel_count();
            return Err(format!("it has {own} channels, {channels} are wanted"));
        }
    };
    Ok(apart(width, height, channels, |at| f32::from(bytes[at])))
}

/// Values that lie pixel by pixel, taken apart.
fn apart(width: u32, height: u32, channels: usize, value: impl Fn(usize) -> f32) -> Planes {
    let pixels = width as usize * height as usize;
    let plane = |channel: usize| {
        (0..pixels)
            .map(|at| value(at * channels + channel))
            .collect()
    };
    Planes {
        width,
        height,
        planes: (0..channels).map(plane).collect(),
    }
}

fn of_array(path: &Path, channels: usize) -> Result<Planes, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let (shape, values) = npy::read(BufReader::new(file))?;
    let side = |extent: usize| {
        let side = u32::try_from(extent).ok();
        side.filter(|side| (1..=MAX_SIDE).contains(side))
            .ok_or_else(|| format!("its shape is {shape:?}, with a side of {extent} pixels"))
    };
    match shape[..] {
        [height, width] if channels == 1 => Ok(Planes {
            width: side(width)?,
            height: side(height)?,
            planes: vec![values],
        }),
        [height, width, last] if last == channels => {
            Ok(apart(side(width)?, side(height)?, channels, |at| {
                values[at]
            }))
        }
        [first, height, width] if first == channels => {
            let (width, height) = (side(width)?, side(height)?);
            let pixels = values.len() / channels.max(1);
            Ok(Planes {
                width,
                height,
                planes: values.chunks(pixels.max(1)).map(<[f32]>::to_vec).collect(),
            })
        }
        _ => Err(format!(
            "its shape is {shape:?}, expected [height, width, {channels}] or [{channels}, height, width]"
        )),
    }
}

fn of_tiff(path: &Path, channels: usize) -> Result<Planes, String> {
    let said = |error: tiff::TiffError| error.to_string();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let most = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    let mut decoder = Decoder::new(BufReader::new(file))
        .map_err(said)?
        .with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(said)?;
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!("it is {width} x {height} pixels"));
    }
    let own = usize::from(decoder.colortype().map_err(said)?.num_samples());
    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(said)?;
    let values: Vec<f32> = match result {
        DecodingResult::U8(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::U32(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::U64(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::F16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::F32(values) => values,
        DecodingResult::F64(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::I8(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::I16(values) => values.into_iter().map(f32::from).collect(),
        DecodingResult::I32(values) => values.into_iter().map(|value| value as f32).collect(),
        DecodingResult::I64(values) => values.into_iter().map(|value| value as f32).collect(),
    };
    let pixels = width as usize * height as usize;
    let own = own.max(layout.planes);
    if own != channels || values.len() != pixels * channels {
        return match (channels, own) {
            // A picture in colour where one channel is wanted goes the way of other formats.
            (1, 3 | 4) => of_picture(decode::upright(path)?, channels),
            _ => Err(format!("it has {own} channels, {channels} are wanted")),
        };
    }
    if layout.planes > 1 {
        return Ok(Planes {
            width,
            height,
            planes: values.chunks(pixels).map(<[f32]>::to_vec).collect(),
        });
    }
    Ok(apart(width, height, channels, |at| values[at]))
}
