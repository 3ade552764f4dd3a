//! Where two recipes differ.

use crate::recipe::Recipe;
use crate::write::{Section, sections};

/// A key of a section that two recipes give other values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The whole key, such as `train.epochs` or `freeze.policy`.
    pub key: String,
    /// The value in the first recipe as TOML on one line, or `default` where it is left out.
    pub before: String,
    /// The value in the second recipe, likewise.
    pub after: String,
}

/// The keys of all sections whose values differ as TOML, in the order they are written.
pub fn differences(before: &Recipe, after: &Recipe) -> Vec<Difference> {
    keys(before)
        .zip(keys(after))
        .filter(|((_, before), (_, after))| before != after)
        .map(|((key, before), (_, after))| Difference { key, before, after })
        .collect()
}

fn keys(recipe: &Recipe) -> impl Iterator<Item = (String, String)> {
    let keys = |Section { name, keys }: Section| {
        keys.into_iter().map(move |(key, value)| {
            let value = value.unwrap_or_else(|| "default".to_owned());
            (format!("{name}.{key}"), value)
        })
    };
    sections(recipe).into_iter().flat_map(keys)
}
