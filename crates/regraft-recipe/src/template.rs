//! The recipe that a new project begins with: every key, explained, at its default.

use toml_edit::Value;

use crate::keys::{self, KEYS, KeyInfo};
use crate::write::text;

const HEADER: &str = "\
# A recipe of regraft: which network to start from, which images to train it on, and how.
# Only the two sources must be given. A line such as `# epochs = 10` shows a default: take the `# `
# away and change the value. Paths are relative to this file.

";

/// Characters of a line.
const WIDTH: usize = 100;

/// A recipe in which every key but the sources is a comment: what it does, what it takes, its default.
pub fn template() -> String {
    let sections = keys::of("").unwrap_or_default().into_iter();
    let sections = sections.map(|section| (section, section_lines(section)));
    format!("{HEADER}{}", text(sections))
}

fn section_lines(section: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for info in KEYS {
        let Some(key) = info
            .key
            .strip_prefix(section)
            .and_then(|rest| rest.strip_prefix('.'))
        else {
            continue;
        };
        if key.contains('.') {
            lines.extend(inner_key(key, info));
            continue;
        }
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(wrapped("# ", "# ", &explained(info)));
        lines.push(key_line(section, key, info));
    }
    lines
}

fn key_line(section: &str, key: &str, info: &KeyInfo) -> String {
    if key == "source" {
        format!("{key} = \"{}\"", keys::example_source(section))
    } else if info.default().parse::<Value>().is_ok() {
        format!("# {key} = {}", info.default())
    } else {
        format!("# {key} = <{}>", info.default())
    }
}

/// A key inside a table, under the line of the table.
fn inner_key(key: &str, info: &KeyInfo) -> Vec<String> {
    let text = format!("{key}: {} Default: {}.", explained(info), info.default());
    wrapped("#   ", "#     ", &text)
}

fn explained(info: &KeyInfo) -> String {
    format!("{} Takes {}.", info.about, info.takes())
}

/// The words of a text on lines no longer than [`WIDTH`] where words allow it.
fn wrapped(first_start: &str, start: &str, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first_start.to_owned();
    let mut space = "";
    for word in text.split(' ') {
        if !space.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, start.to_owned()));
            space = "";
        }
        line.push_str(space);
        line.push_str(word);
        space = " ";
    }
    lines.push(line);
    lines
}
