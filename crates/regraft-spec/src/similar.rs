//! "Did you mean": known names that look like one that nobody knows.

/// Comparing takes time by the product of both lengths, and no name is longer.
const LONGEST: usize = 200;

/// The up to five names that look most like `wanted`, the likest first. Case does not count.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted
        .chars()
        .take(LONGEST)
        .collect::<String>()
        .to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    scored
        .into_iter()
        .take(5)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// The name among `known` that `word` is a misspelling of, if it is one. Case, hyphens and underscores do not count.
pub fn misspelling<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity from which on a word counts as misspelt. `last` for `last-blocks` has 0.88; `layer3`,
    /// which is a block, has 0.867 to `layer-decay`.
    const ALIKE: f64 = 0.87;
    likest(word, known, ALIKE)
}

/// The name among `known` that has most in common with `word`, or none where all have little.
pub fn likely<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Jaro-Winkler similarity under which two names have little in common.
    const LIKE: f64 = 0.8;
    likest(word, known, LIKE)
}

fn likest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, least: f64) -> Option<&'a str> {
    let word = letters(&word.chars().take(LONGEST).collect::<String>());
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&word, &letters(known)), known))
        .filter(|(likeness, _)| *likeness >= least)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Letters and digits in lower case.
pub fn letters(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likest_names_come_first_and_none_twice() {
        let names = [
            "layer4.0.conv1",
            "layer4.0.conv2",
            "stem",
            "layer4.0.conv1",
            "",
        ];
        assert_eq!(
            nearest("Layer4.0.conv1", names)[..2],
            ["layer4.0.conv1", "layer4.0.conv2"]
        );
        assert_eq!(nearest("x", names).len(), 3);
    }

    #[test]
    fn a_word_unlike_all_is_no_misspelling() {
        assert_eq!(
            misspelling("last_block", ["last-blocks", "until"]),
            Some("last-blocks")
        );
        assert_eq!(misspelling("layer3", ["layer-decay"]), None);
        assert_eq!(likely("zzz", ["epochs", "lr"]), None);
    }
}
