//! Reads recipes from outside, as the command line does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod annotated;
mod defaults;
mod differences;
mod errors;
mod keys;
mod overrides;
mod paths;
mod round_trip;
mod schema;
mod template;

use regraft_recipe::{Error, Recipe, read};

/// A recipe with a model and data, and these lines from line 3 on.
fn parse(lines: &str) -> Result<Recipe, Error> {
    Recipe::parse(
        &format!("model.source = \"m\"\ndata.source = \"d\"\n{lines}"),
        "recipe.toml",
    )
}

/// As [`parse`], with overrides.
fn set(lines: &str, overrides: &[&str]) -> Result<Recipe, Error> {
    let text = format!("model.source = \"m\"\ndata.source = \"d\"\n{lines}");
    read(
        Some(("recipe.toml", &text)),
        &overrides
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>(),
    )
}
