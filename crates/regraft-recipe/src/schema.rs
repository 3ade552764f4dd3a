//! The JSON Schema of a recipe, from the declarations of its keys: for editors that complete and check TOML.

use serde_json::{Map, Value, json};

use crate::keys::{KEYS, KeyInfo};
use crate::kind::Kind;

/// A JSON Schema (draft 2020-12) of recipes as TOML holds them.
///
/// Sections and keys are closed: an unknown key does not fit. A value that may be a word or a table is described in words,
/// and by its table's keys.
pub fn schema() -> Value {
    let mut sections = Map::new();
    for info in KEYS {
        let Some((section, key)) = info.in_section() else {
            continue;
        };
        let section = sections.entry(section).or_insert_with(
            || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
        );
        section["properties"][key] = of(info);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of regraft",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    })
}

fn of(info: &KeyInfo) -> Value {
    let description = format!("{} Takes {}.", info.about, info.takes());
    let mut schema = match info.value {
        Kind::Whole { least, most, .. } => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Number { range, .. } => {
            let mut number = json!({ "type": "number" });
            let bounds = [
                ("minimum", range.at_least),
                ("exclusiveMinimum", range.above),
                ("exclusiveMaximum", range.below),
            ];
            for (name, bound) in bounds {
                if let Some(bound) = bound {
                    number[name] = bound.into();
                }
            }
            number
        }
        Kind::Flag { .. } => json!({ "type": "boolean" }),
        Kind::Text { .. } => json!({ "type": "string", "minLength": 1 }),
        Kind::Word { words, .. } => json!({ "enum": words() }),
        Kind::Own { .. } | Kind::Part { .. } => with_table(info),
    };
    schema["description"] = description.into();
    if let Ok(default) = serde_json::from_str::<Value>(&info.default()) {
        schema["default"] = default;
    }
    schema
}

/// A value of another kind; where it may be a table, with the table's keys.
fn with_table(info: &KeyInfo) -> Value {
    let inside = KEYS.iter().filter_map(|other| {
        let key = other.key.strip_prefix(info.key)?.strip_prefix('.')?;
        Some((key.to_owned(), of(other)))
    });
    let properties: Map<String, Value> = inside.collect();
    match properties.is_empty() {
        true => json!({}),
        false => json!({
            "anyOf": [
                { "type": "string" },
                { "type": "object", "additionalProperties": false, "properties": properties },
            ]
        }),
    }
}
