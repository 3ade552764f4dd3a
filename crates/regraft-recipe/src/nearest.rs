//! The known name that looks like a name that is not known.

/// The name most like `word`, whatever its case, or none when all have little in common with it.
pub(crate) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    /// Jaro-Winkler similarity under which two names have little in common.
    const LIKE: f64 = 0.8;
    let word = word.to_lowercase();
    known
        .iter()
        .map(|&name| (strsim::jaro_winkler(&word, name), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
