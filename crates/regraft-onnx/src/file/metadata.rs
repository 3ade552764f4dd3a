//! What a model says of itself in `metadata_props`: its labels and its preprocessing.
//!
//! `labels` is a JSON array of strings, one a class; `preprocessing` a JSON object whose keys this crate passes on unread,
//! except for the image's `size`.

use regraft_spec::ImageSize;
use serde_json::Value;

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

/// Keys under which other tools keep labels: Ultralytics, Hugging Face, PaddleOCR, and what people write by hand.
const LABELS_OF_OTHERS: &[&str] = &["names", "id2label", "classes", "class_names", "character"];
/// Keys of other tools that would contradict what is written with new labels.
const CONTRADICTING: &[&str] = &["label2id", "imgsz", "task"];

/// The class labels in the order of the logits; `None` where the model has none.
///
/// Ours are a JSON array of strings. Those of other tools are read too: lists and dictionaries as JSON or Python write them,
/// lines, and words between commas. Whoever uses them looks whether there are as many as classes.
pub fn labels(model: &Model) -> Option<Vec<String>> {
    let ours = get(model, LABELS).into_iter();
    let others = LABELS_OF_OTHERS.iter().filter_map(|key| get(model, key));
    ours.chain(others).find_map(list)
}

/// The entries of a list, however it is written.
fn list(text: &str) -> Option<Vec<String>> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(text) {
        return Some(list);
    }
    let text = text.trim();
    let entries: Vec<String> = match text.chars().next()? {
        '{' => {
            let mut numbered = dictionary(text)?;
            numbered.sort();
            let in_order = numbered
                .iter()
                .enumerate()
                .all(|(at, (number, _))| at == *number);
            in_order.then_some(())?;
            numbered.into_iter().map(|(_, label)| label).collect()
        }
        '[' | '(' => quoted(text).map(|(_, label)| label).collect(),
        _ if text.contains('\n') => text.lines().map(|line| line.trim().to_owned()).collect(),
        _ => text.split(',').map(|word| word.trim().to_owned()).collect(),
    };
    (entries.len() > 1 && entries.iter().all(|entry| !entry.is_empty())).then_some(entries)
}

/// `{0: 'cat', "1": "dog"}`: numbers and labels.
fn dictionary(text: &str) -> Option<Vec<(usize, String)>> {
    let mut labels = Vec::new();
    let mut key: Option<usize> = None;
    for (before, string) in quoted(text) {
        let number = before.trim_matches(|c: char| !c.is_ascii_digit());
        match (
            key.take(),
            number.parse().ok(),
            string.parse::<usize>().ok(),
        ) {
            // A key in quotes waits for its label.
            (None, None, Some(number)) if before.trim_end().ends_with(['{', ',']) => {
                key = Some(number);
            }
            (Some(number), None, _) | (None, Some(number), _) => labels.push((number, string)),
            _ => return None,
        }
    }
    Some(labels)
}

/// Strings in single or double quotes, each with what stands before it.
fn quoted(text: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(['\'', '"'])?;
        let (before, behind) = rest.split_at(start);
        let quote = behind.chars().next()?;
        let mut string = String::new();
        let mut characters = behind.char_indices().skip(1);
        let end = loop {
            match characters.next()? {
                (_, '\\') => string.push(characters.next()?.1),
                (at, c) if c == quote => break at + 1,
                (_, c) => string.push(c),
            }
        };
        rest = &behind[end..];
        Some((before, string))
    })
}

/// Sets the class labels. What other tools have said of older ones goes.
pub fn set_labels(model: &mut Model, labels: &[String]) {
    for key in LABELS_OF_OTHERS.iter().chain(CONTRADICTING) {
        remove(model, key);
    }
    set(model, LABELS, &serde_json::json!(labels).to_string());
}

/// The preprocessing object; `None` where the model has none, or another tool's words.
///
/// # Errors
/// When `preprocessing` begins as a JSON object and is none.
pub fn preprocessing(model: &Model) -> Result<Option<serde_json::Value>, Error> {
    get(model, PREPROCESSING)
        .filter(|text| text.trim_start().starts_with('{'))
        .map(|text| {
            serde_json::from_str(text).map_err(|error| Error::Graph {
                reason: format!("its metadata `preprocessing` is no JSON object: {error}"),
            })
        })
        .transpose()
}

/// Image height and width from the preprocessing, or from Ultralytics' `imgsz`.
pub(crate) fn image_size(model: &Model) -> Option<[usize; 2]> {
    let ours = preprocessing(model).ok().flatten();
    let size = |value: &Value| serde_json::from_value::<ImageSize>(value.clone()).ok();
    let ours = ours.and_then(|ours| size(ours.get("size")?));
    let theirs = || serde_json::from_str(get(model, "imgsz")?).ok();
    let size: ImageSize = ours.or_else(theirs)?;
    size.is_possible().then(|| size.sides())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_are_read_however_tools_write_them() {
        for text in [
            r#"["cat", "dog", "it's"]"#,
            r#"{0: 'cat', 1: 'dog', 2: "it's"}"#,
            r#"{"1": "dog", "0": "cat", "2": "it's"}"#,
            "['cat', 'dog', 'it\\'s']",
            "cat,dog, it's",
            "cat\ndog\nit's",
        ] {
            assert_eq!(list(text).unwrap(), ["cat", "dog", "it's"], "{text}");
        }
        for text in [
            "",
            "one",
            "{0: 'cat', 2: 'dog'}",
            "{0: 'cat'",
            "[1, 2]",
            "a,,b",
        ] {
            assert_eq!(list(text), None, "{text}");
        }
    }
}
