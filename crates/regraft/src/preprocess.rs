//! How images become numbers, where the model says so and where it does not.

use std::path::Path;

use regraft_onnx::{Graph, InputLayout, Model, PixelRange, metadata};
use regraft_spec::{Channels, Crop, ImageSize, LONGEST_SIDE, Preprocess};

use crate::error::Error;

/// The preprocessing in a model's metadata.
pub(crate) fn model_preprocess(model: &Model, path: &Path) -> Result<Option<Preprocess>, Error> {
    let fault = |source| Error::Model {
        path: path.to_owned(),
        source,
    };
    let Some(value) = metadata::preprocessing(model).map_err(fault)? else {
        return Ok(None);
    };
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| Error::Unfit {
            reason: format!(
                "model `{}`: its metadata `preprocessing` cannot be used ({}); write the preprocessing as a table with size, resize, crop, interpolation, channels, scale, mean and std",
                path.display(),
                plain(&error)
            ),
        })
}

/// What a JSON reader says is wrong, without the names of types.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(", expected struct").next().unwrap_or_default();
    text.chars().take(200).collect()
}

/// What a person is told where nobody says how images become numbers.
pub(crate) const ASSUMED: &str = "the model does not say how its images are preprocessed; ImageNet's usual numbers are assumed. Set `data.preprocess` if you know better";

/// What a person is told where the network itself turns pixels into what its layers want.
pub(crate) const BY_ITSELF: &str = "the model does not say how its images are preprocessed; its first layers normalise pixels by themselves, so they are fed as they are. Set `data.preprocess` if you know better";

/// What a person is told of images whose channels nobody says the meaning of.
pub(crate) const AS_STORED: &str = "the model does not say how its images are preprocessed; its channels are taken to hold bytes, which become numbers from -1 to 1. Set `data.preprocess` if you know better";

/// A family of networks that is trained with other numbers than ImageNet's: pixels from -1 to 1.
struct Family {
    /// What people call it.
    name: &'static str,
    /// Parts of parameter names that it alone has.
    parts: &'static [&'static str],
    /// Whether it takes `[N, H, W, C]`.
    channels_last: bool,
    /// What becomes of images of another shape.
    crop: Crop,
}

/// From the families' own preprocessors: `transformers` and `keras.applications`.
const FAMILIES: &[Family] = &[
    Family {
        name: "Hugging Face's ViT",
        parts: &["vit.embeddings.patch_embeddings"],
        channels_last: false,
        crop: Crop::Squash,
    },
    Family {
        name: "Hugging Face's BEiT",
        parts: &[
            "beit.embeddings.patch_embeddings",
            "data2vec_vision.embeddings.patch_embeddings",
        ],
        channels_last: false,
        crop: Crop::Center,
    },
    Family {
        name: "Hugging Face's MobileNet",
        parts: &["mobilenet_v1.conv_stem", "mobilenet_v2.conv_stem"],
        channels_last: false,
        crop: Crop::Center,
    },
    Family {
        name: "Keras' MobileNet",
        parts: &["block_1_expand.", "conv_pw_1."],
        channels_last: true,
        crop: Crop::Squash,
    },
    Family {
        name: "Keras' Xception",
        parts: &["block14_sepconv2"],
        channels_last: true,
        crop: Crop::Squash,
    },
];

/// The family whose names a network has.
fn family(graph: &Graph) -> Option<&'static Family> {
    let last = graph.layout == InputLayout::ChannelsLast;
    let has = |part: &str| graph.parameters.iter().any(|p| p.name.contains(part));
    let mut families = FAMILIES
        .iter()
        .filter(|family| family.channels_last == last);
    families.find(|family| family.parts.iter().any(|part| has(part)))
}

/// What to tell of a preprocessing that nobody stated.
pub(crate) fn assumption(graph: &Graph) -> String {
    match (graph.pixel_range(), graph.image_shape()[0]) {
        (Some(_), _) => BY_ITSELF.to_owned(),
        (None, 1) => ASSUMED.to_owned(),
        (None, 3) => match family(graph) {
            Some(family) => format!(
                "the model does not say how its images are preprocessed; its names are those of {}, whose pixels go from -1 to 1. Set `data.preprocess` if you know better",
                family.name
            ),
            None => ASSUMED.to_owned(),
        },
        _ => AS_STORED.to_owned(),
    }
}

/// Why pixels of this preprocessing cannot be meant for a network that normalises by itself; none where they can.
#[cfg(feature = "recipe")]
pub(crate) fn misfit(graph: &Graph, preprocess: &Preprocess) -> Option<String> {
    let range = graph.pixel_range()?;
    let channels = preprocess.mean.iter().zip(&preprocess.std);
    let ends = channels
        .flat_map(|(mean, std)| [0.0, 255.0 * preprocess.scale].map(|value| (value - mean) / std));
    let (least, most) = ends.fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), end| {
        (least.min(end), most.max(end))
    });
    let (wanted, fits) = match range {
        PixelRange::Bytes => (
            255,
            (-1.0..=1.0).contains(&least) && (200.0..=300.0).contains(&most),
        ),
        PixelRange::Unit => (
            1,
            (-0.1..=0.1).contains(&least) && (0.8..=1.2).contains(&most),
        ),
    };
    (!fits).then(|| {
        format!(
            "it gives pixels from {least:.2} to {most:.2}, and the first layers of this network normalise pixels from 0 to {wanted} by themselves; set `scale`, `mean` and `std` to {}, 0 and 1",
            match range {
                PixelRange::Bytes => "1",
                PixelRange::Unit => "0.00392156862745098",
            }
        )
    })
}

fn stored(channels: usize) -> Channels {
    Channels::Stored(u32::try_from(channels).unwrap_or(u32::MAX))
}

/// ImageNet's numbers at the network's own size; pixels as they are where the network normalises by itself.
pub(crate) fn assumed_preprocess(graph: &Graph) -> Preprocess {
    let [channels, height, width] = graph.image_shape();
    let base = Preprocess::default();
    let side = |extent: usize| u32::try_from(extent).unwrap_or(LONGEST_SIDE);
    let size = ImageSize {
        height: side(height),
        width: side(width),
    };
    let resize = size.shorter() * base.resize / base.size.shorter();
    // Networks of lines and strips are given all of them.
    let crop = if height == width {
        base.crop
    } else {
        Crop::Squash
    };
    if let Some(range) = graph.pixel_range() {
        return Preprocess {
            size,
            resize,
            crop,
            channels: match channels {
                1 => Channels::Grey,
                3 => base.channels,
                _ => stored(channels),
            },
            scale: match range {
                PixelRange::Bytes => 1.0,
                PixelRange::Unit => 1.0 / 255.0,
            },
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
            ..base
        };
    }
    if let Some(family) = family(graph).filter(|_| channels == 3) {
        return Preprocess {
            size,
            resize,
            crop: family.crop,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            ..base
        };
    }
    match channels {
        // What the channels mean is not known: bytes go from -1 to 1.
        2 | 4.. => Preprocess {
            size,
            resize,
            crop,
            channels: stored(channels),
            mean: vec![0.5; channels],
            std: vec![0.5; channels],
            ..base
        },
        1 => Preprocess {
            size,
            resize,
            crop,
            channels: Channels::Grey,
            mean: vec![0.5],
            std: vec![0.5],
            ..base
        },
        _ => Preprocess {
            size,
            resize,
            crop,
            ..base
        },
    }
}
