//! How images become numbers, where the model says so and where it does not.

use std::path::Path;

use regraft_onnx::{Graph, Model, metadata};
use regraft_spec::{Channels, Preprocess};

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

/// ImageNet's numbers at the network's own size.
pub(crate) fn assumed_preprocess(graph: &Graph) -> Preprocess {
    let [channels, height, _] = graph.image_shape();
    let base = Preprocess::default();
    let size = u32::try_from(height).unwrap_or(base.size);
    let resize = size * base.resize / base.size;
    match channels {
        1 => Preprocess {
            size,
            resize,
            channels: Channels::Grey,
            mean: vec![0.5],
            std: vec![0.5],
            ..base
        },
        _ => Preprocess {
            size,
            resize,
            ..base
        },
    }
}
