//! A file to RGB pixels as a person sees them: any format, upright, on white where it is transparent.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage, Rgba};

use crate::error::Error;
use crate::npy;

/// Longest side of an image in pixels.
pub(crate) const MAX_SIDE: u32 = 1 << 15;
/// Most memory for decoding one image, in bytes.
pub(crate) const MAX_BYTES: u64 = 512 << 20;

/// A decoded image: 8 bits a channel, red, green, blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height * width * 3` values, row by row.
    pub rgb: Vec<u8>,
}

/// Decodes an image file by its content, whatever its extension says.
///
/// Orientation from EXIF is applied, transparency laid on white, grey and 16-bit images brought to 8-bit RGB; of an animation
/// the first frame counts.
///
/// # Errors
/// When the file cannot be read, is no image, is damaged, or is larger than 32768 pixels a side.
pub fn decode(path: &Path) -> Result<Decoded, Error> {
    let bad = |reason: String| Error::BadImage {
        path: path.to_owned(),
        reason,
    };
    // Decoders of many formats see hostile files here; one that panics must not end the run.
    match catch_unwind(AssertUnwindSafe(|| decode_inner(path))) {
        Ok(Ok(decoded)) => Ok(decoded),
        Ok(Err(reason)) => Err(bad(reason)),
        Err(_) => Err(bad("the decoder failed on it".to_owned())),
    }
}

fn decode_inner(path: &Path) -> Result<Decoded, String> {
    let rgb = on_white(upright(path)?);
    Ok(Decoded {
        width: rgb.width(),
        height: rgb.height(),
        rgb: rgb.into_raw(),
    })
}

/// The image as its file stores it, turned as EXIF says.
pub(crate) fn upright(path: &Path) -> Result<DynamicImage, String> {
    if npy::is_npy(path) {
        return Err(
            "it is a NumPy array; set `data.preprocess.channels` to the number of its channels"
                .to_owned(),
        );
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().is_ok_and(|meta| meta.len() == 0) {
        return Err("the file is empty".to_owned());
    }
    let mut reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let orientation = decoder.orientation().map_err(|error| error.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Colours as they look on white paper.
pub(crate) fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (target, Rgba([r, g, b, alpha])) in rgb.pixels_mut().zip(rgba.pixels()) {
        let blend = |channel: &u8| {
            let (channel, alpha) = (u32::from(*channel), u32::from(*alpha));
            ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        target.0 = [blend(r), blend(g), blend(b)];
    }
    rgb
}
