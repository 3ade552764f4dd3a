//! The file with the overrides laid over it: one tree in which every key and value knows where it was written.
//!
//! What came from the file keeps its span of the text; what came from an override has none, and is found by its key.

use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, Key, Table, TableLike};

use crate::error::{Error, Place, excerpt, file_excerpt, foreign_message};
use crate::keys;

/// A recipe as written, before its values mean anything.
pub(crate) struct Document<'a> {
    /// Name of the file, as messages show it, and its text.
    file: Option<(String, &'a str)>,
    pub(crate) root: Table,
    /// Key and full text of each override, in the order they were applied.
    pub(crate) overrides: Vec<(String, String)>,
}

impl<'a> Document<'a> {
    pub(crate) fn empty() -> Self {
        Self {
            file: None,
            root: Table::new(),
            overrides: Vec::new(),
        }
    }

    pub(crate) fn parse(origin: &str, text: &'a str) -> Result<Self, Error> {
        let origin = file_excerpt(Path::new(origin));
        match toml_edit::Document::parse(text) {
            Ok(document) => Ok(Self {
                file: Some((origin, text)),
                root: document.into_table(),
                overrides: Vec::new(),
            }),
            Err(error) => {
                let position = error.span().map(|span| position(text, span.start));
                Err(Error::Syntax {
                    place: Place { origin, position },
                    message: foreign_message(error.message()),
                })
            }
        }
    }

    /// The file's name, if there is a file.
    pub(crate) fn origin(&self) -> Option<String> {
        self.file.as_ref().map(|(origin, _)| origin.clone())
    }

    /// Where the key or value with this span and dotted path was written.
    pub(crate) fn place(&self, path: &str, span: Option<Range<usize>>) -> Place {
        match (&self.file, span) {
            (Some((origin, text)), Some(span)) => Place {
                origin: origin.clone(),
                position: Some(position(text, span.start)),
            },
            _ => self.override_place(path),
        }
    }

    fn override_place(&self, path: &str) -> Place {
        let overrides = || self.overrides.iter().rev();
        let text = overrides()
            .find(|(key, _)| within(path, key))
            .or_else(|| overrides().find(|(key, _)| within(key, path)))
            .map(|(_, text)| format!("--set {}", excerpt(text)));
        Place {
            origin: text
                .or(self.origin())
                .unwrap_or_else(|| "recipe".to_owned()),
            position: None,
        }
    }

    /// The value as it was written, on one line; tables, which may run over many lines, only by that name.
    pub(crate) fn written(&self, item: &Item) -> String {
        match (item, &self.file, item.span()) {
            (Item::None | Item::Table(_), ..) => "a table".to_owned(),
            (Item::ArrayOfTables(_), ..) => "an array of tables".to_owned(),
            (Item::Value(value), ..) if value.is_inline_table() => "a table".to_owned(),
            (_, Some((_, text)), Some(span)) => excerpt(text.get(span).unwrap_or_default()),
            (Item::Value(value), ..) => excerpt(value.to_string().trim()),
        }
    }

    /// Whether the value with this path stands in the file, rather than in an override.
    pub(crate) fn is_from_file(&self, path: &[&str]) -> bool {
        let Some((key, tables)) = path.split_last() else {
            return false;
        };
        let root: &dyn TableLike = &self.root;
        let table = tables.iter().try_fold(root, |table, name| {
            table.get(name).and_then(Item::as_table_like)
        });
        table
            .and_then(|table| table.get(key))
            .is_some_and(|item| item.span().is_some())
    }

    /// Refuses the first key, in the order of the file, that a recipe does not have.
    pub(crate) fn check_keys(&self) -> Result<(), Error> {
        self.check_keys_of("", &self.root)
    }

    fn check_keys_of(&self, table: &str, items: &dyn TableLike) -> Result<(), Error> {
        let Some(known) = keys::of(table) else {
            return Ok(());
        };
        for (key, item) in items.iter() {
            let path = keys::join(table, key);
            if !known.contains(&key) {
                let place = self.place(&path, items.key(key).and_then(Key::span));
                return Err(Error::UnknownKey {
                    place,
                    hint: keys::hint(table, key),
                    key: path,
                });
            }
            if let Some(inner) = item.as_table_like() {
                self.check_keys_of(&path, inner)?;
            }
        }
        Ok(())
    }
}

/// Whether `path` is `ancestor` or lies inside it.
fn within(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Line and column, both from 1, of a byte of the text; the column counts characters.
fn position(text: &str, byte: usize) -> (u32, u32) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let from_one = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    (
        from_one(before.matches('\n').count()),
        from_one(before[line_start..].chars().count()),
    )
}
