//! Text for messages: cut to a length, and compared with what may have been meant.

/// Characters of a block's or parameter's name that a message shows.
pub(crate) const NAME: usize = 60;
/// Characters of a word in the section that a message shows.
pub(crate) const WORD: usize = 40;

/// On one line and of at most so many characters, the last of them `…` where some are left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(most).map(on_one_line).collect();
    if text.chars().nth(most).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

/// The up to five names that look most like `wanted`.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // Comparing takes time by the product of both lengths, and no name is that long.
    let wanted = cut(wanted, 200);
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (strsim::jaro_winkler(&wanted, name), name))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    scored
        .into_iter()
        .take(5)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// The word among `known` that `word` is a misspelling of, if it is one. Case, hyphens and underscores do not count.
pub(crate) fn misspelt<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Jaro-Winkler similarity from which on a word counts as misspelt. `last` for `last-blocks` has 0.88; `layer3`,
    /// which is a block, has 0.867 to `layer-decay`.
    const ALIKE: f64 = 0.87;
    let word = letters(&cut(word, WORD));
    known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&word, &letters(known)), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// Letters and digits in lower case.
pub(crate) fn letters(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
