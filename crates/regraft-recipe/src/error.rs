//! What can be wrong with a recipe, and where it was written.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a recipe could not be read.
///
/// The fields hold what was written in full; the messages cut it where it is long.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or is not UTF-8.
    #[error("reading recipe `{}`", file_excerpt(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The file is not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where the parser stopped.
        place: Place,
        /// What the parser said.
        message: String,
    },

    /// A key that no recipe has.
    #[error("{place}: unknown key `{}`; {hint}", excerpt(key))]
    UnknownKey {
        /// Where the key stands.
        place: Place,
        /// The whole key, such as `train.lrr`.
        key: String,
        /// What may have been meant.
        hint: KeyHint,
    },

    /// A value of the wrong type or out of range.
    #[error("{place}: `{key}` = {found}: expected {expected}{}", did_you_mean(*near))]
    Value {
        /// Where the value stands.
        place: Place,
        /// The whole key.
        key: String,
        /// The value as it was written; a long one is cut.
        found: Box<str>,
        /// The values that would do.
        expected: Box<str>,
        /// The word that looks like the one found, where the key is a choice between words.
        near: Option<&'static str>,
    },

    /// A key that exists, but not beside the other keys of its table.
    #[error(
        "{place}: `{key}` does not apply to `{kind}`, which takes {}",
        allowed_keys(allowed)
    )]
    Misplaced {
        /// Where the key stands.
        place: Place,
        /// The whole key.
        key: String,
        /// The kind that the table names, such as `adamw`.
        kind: String,
        /// The keys of that kind.
        allowed: Vec<&'static str>,
    },

    /// A value that its own type refused.
    #[error("{place}: `{key}`: {message}")]
    Refused {
        /// Where the value stands, or the part of it that is wrong.
        place: Place,
        /// The whole key.
        key: String,
        /// What the type said.
        message: String,
    },

    /// The source of the model or of the data, which every recipe needs.
    #[error("{}", missing(origin.as_deref(), section, example, flag))]
    Missing {
        /// The file's name, if there is a file; a long one is cut.
        origin: Option<String>,
        /// The section that lacks its `source`.
        section: &'static str,
        /// A value it may have.
        example: &'static str,
        /// The command-line argument that gives the same.
        flag: &'static str,
    },

    /// A `--set` that says nothing usable.
    #[error("--set {}: {problem}", excerpt(text))]
    Override {
        /// What followed `--set`.
        text: String,
        /// What is wrong with it.
        problem: OverrideProblem,
    },
}

/// Where something was written: a file with line and column, or an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name, or `--set` and what followed it; a long one is cut.
    pub origin: String,
    /// Line and column in the file, both from 1, the column in characters; none for an override.
    pub position: Option<(u32, u32)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.origin),
            None => f.write_str(&self.origin),
        }
    }
}

/// What may have been meant by an unknown key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyHint {
    /// A known key, in full, that looks or sounds like it.
    DidYouMean(String),
    /// Nothing comes near: the keys that the table has.
    KnownKeys(Vec<&'static str>),
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DidYouMean(key) => write!(f, "did you mean `{key}`?"),
            Self::KnownKeys(keys) => write!(f, "known here: {}", quoted(keys)),
        }
    }
}

/// What is wrong with a `--set`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverrideProblem {
    /// There is no `=`.
    NoValue,
    /// What stands before the `=` is no dotted key; what the TOML parser said.
    Key(String),
    /// The key has more parts than any key of a recipe.
    TooDeep,
    /// A quoted string, array or table that does not end as it should; what the TOML parser said.
    Value(String),
    /// A key inside something that is not a table.
    NotATable(String),
}

impl fmt::Display for OverrideProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue => f.write_str("expected `key=value`, such as `train.lr=0.01`"),
            Self::Key(message) => write!(f, "the key is not a dotted TOML key: {message}"),
            Self::TooDeep => f.write_str("the key has more parts than any key of a recipe"),
            Self::Value(message) => write!(f, "the value is not TOML: {message}"),
            Self::NotATable(key) => write!(
                f,
                "`{}` is a plain value and has no keys inside",
                excerpt(key)
            ),
        }
    }
}

fn missing(origin: Option<&str>, section: &str, example: &str, flag: &str) -> String {
    let line = format!("write `source = \"{example}\"` under `[{section}]`");
    match origin {
        Some(origin) => {
            format!("{origin}: `{section}.source` is missing; {line}, or pass `{flag}`")
        }
        None => format!("`{section}.source` is missing; pass `{flag}`, or {line} in a recipe"),
    }
}

fn allowed_keys(keys: &[&str]) -> String {
    match keys {
        [] => "no other keys".to_owned(),
        keys => quoted(keys),
    }
}

/// `` `a`, `b`, `c` ``.
fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn alternatives(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or `{last}`", quoted(first)),
        names => quoted(names),
    }
}

fn did_you_mean(word: Option<&str>) -> String {
    word.map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"))
}

/// Characters of a name, key, value or override that still help in a message.
const ENOUGH: usize = 80;
/// Characters of a file's name, which ends with what tells it from others.
const ENOUGH_OF_A_PATH: usize = 200;
/// Characters of a message that another crate made.
const ENOUGH_OF_A_MESSAGE: usize = 500;

/// Text from outside as a message shows it: on one line, and cut where more of it no longer helps.
pub(crate) fn excerpt(text: &str) -> String {
    start_of(&one_line(text, " "), ENOUGH)
}

/// As [`excerpt`], but of a file's name, of which the end says most.
pub(crate) fn file_excerpt(path: &Path) -> String {
    let name = one_line(&path.display().to_string(), " ");
    match name.char_indices().rev().nth(ENOUGH_OF_A_PATH) {
        Some((cut, first_left_out)) => format!("…{}", &name[cut + first_left_out.len_utf8()..]),
        None => name,
    }
}

/// What another crate says about a value or about TOML.
pub(crate) fn foreign_message(message: &str) -> String {
    start_of(&one_line(message, ", "), ENOUGH_OF_A_MESSAGE)
}

fn start_of(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Control characters are replaced, as a terminal would obey them.
fn one_line(text: &str, separator: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .join(separator)
        .replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}
