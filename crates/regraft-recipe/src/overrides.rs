//! `--set key.path=value`: values laid over the file before it is understood.

use toml_edit::{InlineTable, Item, Key, TableLike, Value};

use crate::document::Document;
use crate::error::{Error, OverrideProblem, foreign_message};
use crate::keys::{self, FREE_TEXT, SHORTHANDS, Shorthand};

/// Parts of a key beyond which it is nobody's: twice what the deepest table of a recipe needs.
const DEEPEST: usize = 8;

/// Lays overrides over the document, a later one over an earlier.
pub(crate) fn apply_all(document: &mut Document<'_>, overrides: &[String]) -> Result<(), Error> {
    overrides.iter().try_for_each(|text| apply(document, text))
}

/// Lays one override over the document.
///
/// The value is TOML where it parses as such, else the bare text. A key inside a word turns the word into a table:
/// after `train.optimizer.momentum=0.8`, `optimizer = "sgd"` is `{ name = "sgd", momentum = 0.8 }`. A new kind of
/// optimizer, schedule or head takes that kind's defaults and drops what the file said about the old one.
fn apply(document: &mut Document<'_>, text: &str) -> Result<(), Error> {
    let refused = |problem| Error::Override {
        text: text.to_owned(),
        problem,
    };
    let Some((key, value)) = text.split_once('=') else {
        return Err(refused(OverrideProblem::NoValue));
    };
    let keys = Key::parse(key.trim())
        .map_err(|error| refused(OverrideProblem::Key(foreign_message(error.message()))))?;
    if keys.len() > DEEPEST {
        return Err(refused(OverrideProblem::TooDeep));
    }
    let names: Vec<&str> = keys.iter().map(Key::get).collect();
    let path = names.join(".");
    let value = read_value(&path, value.trim()).map_err(refused)?;
    insert(&mut document.root, "", &names, value).map_err(refused)?;
    document.overrides.push((path, text.to_owned()));
    Ok(())
}

fn read_value(path: &str, text: &str) -> Result<Value, OverrideProblem> {
    let quoted = text.starts_with(['"', '\'']);
    match text.parse::<Value>() {
        Ok(value) if value.is_str() || !FREE_TEXT.contains(&path) => Ok(value),
        Err(error) if quoted || (text.starts_with(['{', '[']) && !FREE_TEXT.contains(&path)) => {
            Err(OverrideProblem::Value(foreign_message(error.message())))
        }
        _ => Ok(Value::from(text)),
    }
}

fn insert(
    table: &mut dyn TableLike,
    path: &str,
    keys: &[&str],
    value: Value,
) -> Result<(), OverrideProblem> {
    match keys {
        [] => {}
        [key] => {
            drop_old_kind(table, path, key, &value);
            table.insert(key, Item::Value(value));
        }
        [key, rest @ ..] => {
            let path = keys::join(path, key);
            let inner = match table.get(key) {
                Some(item) if item.is_table_like() => None,
                Some(item) => Some(
                    unfold(&path, item).ok_or_else(|| OverrideProblem::NotATable(path.clone()))?,
                ),
                None => Some(InlineTable::new()),
            };
            if let Some(inner) = inner {
                table.insert(key, Item::Value(Value::InlineTable(inner)));
            }
            match table.get_mut(key).and_then(Item::as_table_like_mut) {
                Some(inner) => insert(inner, &path, rest, value)?,
                None => return Err(OverrideProblem::NotATable(path)),
            }
        }
    }
    Ok(())
}

/// The table that a word stands for.
fn unfold(path: &str, item: &Item) -> Option<InlineTable> {
    let word = item.as_value().filter(|value| value.is_str())?;
    let shorthand = shorthand(path)?;
    let mut table = InlineTable::new();
    if let Some((tag, _)) = shorthand.tag {
        table.insert(tag, word.clone());
    }
    Some(table)
}

/// Removes what the file said about the old kind when `key` names another. What other overrides said stays.
fn drop_old_kind(table: &mut dyn TableLike, path: &str, key: &str, value: &Value) {
    let Some((shorthand, (tag, implied))) =
        shorthand(path).and_then(|found| Some((found, found.tag?)))
    else {
        return;
    };
    let old_kind = table.get(tag).map_or(Some(implied), Item::as_str);
    if key != tag || old_kind == value.as_str() {
        return;
    }
    let old: Vec<String> = table
        .iter()
        .filter(|(name, item)| item.span().is_some() && !shorthand.kept.contains(name))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in old {
        table.remove(&name);
    }
}

fn shorthand(path: &str) -> Option<&'static Shorthand> {
    SHORTHANDS.iter().find(|shorthand| shorthand.key == path)
}
