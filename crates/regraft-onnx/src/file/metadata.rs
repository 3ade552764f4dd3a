//! What a model says of itself in `metadata_props`: its labels and its preprocessing.
//!
//! `labels` is a JSON array of strings, one a class; `preprocessing` a JSON object whose keys this crate passes on unread,
//! except for the image's `size`.

use super::model::Model;
use crate::error::Error;

/// Key of the labels.
pub const LABELS: &str = "labels";
/// Key of the preprocessing.
pub const PREPROCESSING: &str = "preprocessing";

/// Key of the mark of a network whose weights are initial ones. What training writes has it no more.
pub const UNTRAINED: &str = "untrained";

/// The value of a metadata key.
pub fn get<'a>(model: &'a Model, key: &str) -> Option<&'a str> {
    model
        .proto
        .metadata_props
        .iter()
        .find(|entry| entry.key == key)
        .map(|entry| entry.value.as_str())
}

/// Sets a metadata key, replacing its value where there is one.
pub fn set(model: &mut Model, key: &str, value: &str) {
    let entries = &mut model.proto.metadata_props;
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
        value.clone_into(&mut entry.value);
        return;
    }
    entries.push(Default::default());
    if let Some(entry) = entries.last_mut() {
        key.clone_into(&mut entry.key);
        value.clone_into(&mut entry.value);
    }
}

/// Takes a metadata key out, where it is there.
pub fn remove(model: &mut Model, key: &str) {
    model.proto.metadata_props.retain(|entry| entry.key != key);
}

/// Whether the weights are initial ones.
pub fn is_untrained(model: &Model) -> bool {
    get(model, UNTRAINED).is_some()
}

/// The class labels in the order of the logits; `None` where the model has none.
///
/// # Errors
/// When `labels` is no JSON array of strings.
pub fn labels(model: &Model) -> Result<Option<Vec<String>>, Error> {
    get(model, LABELS)
        .map(|text| {
            serde_json::from_str(text).map_err(|error| Error::Graph {
                reason: format!("its metadata `labels` is no JSON array of strings: {error}"),
            })
        })
        .transpose()
}

/// Sets the class labels.
pub fn set_labels(model: &mut Model, labels: &[String]) {
    set(model, LABELS, &serde_json::json!(labels).to_string());
}

/// The preprocessing object; `None` where the model has none.
///
/// # Errors
/// When `preprocessing` is no JSON.
pub fn preprocessing(model: &Model) -> Result<Option<serde_json::Value>, Error> {
    get(model, PREPROCESSING)
        .map(|text| {
            serde_json::from_str(text).map_err(|error| Error::Graph {
                reason: format!("its metadata `preprocessing` is no JSON object: {error}"),
            })
        })
        .transpose()
}

/// Image height and width from the preprocessing.
pub(crate) fn image_size(model: &Model) -> Option<[usize; 2]> {
    let size = preprocessing(model).ok()??.get("size")?.as_u64()?;
    let size = usize::try_from(size)
        .ok()
        .filter(|size| (1..=1 << 16).contains(size))?;
    Some([size, size])
}
