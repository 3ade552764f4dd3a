//! The recipe of a run folder: what was asked for as plain lines, what it came to as comments.

use crate::recipe::Recipe;
use crate::resolved::ResolvedRecipe;
use crate::write::{sections, text};

const HEADER: &str = "\
# Lines without `#` are what was asked for. The comments give the other values of this run: defaults, and what followed
# from the model, the data or other keys.

";

/// TOML that tells apart what a run was asked for, `asked`, and what that came to, `resolved`.
///
/// Plain lines are the sources, and the keys whose value in `asked` is not the default. Every other key is a comment
/// line with the value of `resolved`. Where a plain key came to another value, a comment under it gives that. Reading
/// the text gives `asked` again, so that derived values follow an override on it: with twice the epochs, the warm-up is
/// twice as long.
///
/// Paths in a recipe file are relative to its folder. The caller makes the sources of `asked` absolute where the text
/// is written to another folder.
pub fn annotated(asked: &Recipe, resolved: &ResolvedRecipe) -> String {
    let default = Recipe::new(&asked.model.source, &asked.data.source);
    let recipes = sections(asked)
        .into_iter()
        .zip(sections(resolved))
        .zip(sections(&default));
    let lines = recipes.map(|((asked, resolved), default)| {
        let values = asked.keys.into_iter().zip(resolved.keys).zip(default.keys);
        let lines = values.flat_map(|(((key, asked), (_, resolved)), (_, default))| {
            lines(key, asked, resolved, default)
        });
        (asked.name, lines.collect())
    });
    format!("{HEADER}{}", text(lines))
}

fn lines(
    key: &str,
    asked: Option<String>,
    resolved: Option<String>,
    default: Option<String>,
) -> Vec<String> {
    let plain = asked.filter(|asked| key == "source" || Some(asked) != default.as_ref());
    match (plain, resolved) {
        (Some(asked), Some(resolved)) if asked != resolved => {
            vec![format!("{key} = {asked}"), format!("# came to: {resolved}")]
        }
        (Some(asked), _) => vec![format!("{key} = {asked}")],
        (None, Some(resolved)) => vec![format!("# {key} = {resolved}")],
        (None, None) => Vec::new(),
    }
}
