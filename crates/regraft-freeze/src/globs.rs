//! Patterns on dotted names: `*` within a part, `**` across parts.

use globset::{GlobBuilder, GlobSet};

use crate::error::Error;

/// A pattern on canonical parameter names.
pub(crate) struct Pattern(GlobSet);

impl Pattern {
    pub fn new(glob: &str) -> Result<Self, Error> {
        /// Characters of a glob: far more than a parameter's name has, and too few to build a matcher of many megabytes.
        const LONGEST: usize = 1000;
        let bad = |reason: String| Error::BadGlob {
            glob: glob.to_owned(),
            reason,
        };
        if glob.chars().nth(LONGEST).is_some() {
            return Err(bad(format!("longer than {LONGEST} characters")));
        }
        // globset knows separators as slashes; dots play that part in parameter names.
        let parsed = GlobBuilder::new(&glob.replace('.', "/"))
            .literal_separator(true)
            .build()
            .map_err(|error| bad(error.kind().to_string()))?;
        // A set of one: a single glob's matcher panics on braces nested too deep, a set's says so.
        GlobSet::builder()
            .add(parsed)
            .build()
            .map(Self)
            .map_err(|_| bad("too deeply nested".to_owned()))
    }

    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name.replace('.', "/"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stars_stay_within_a_part_and_double_stars_cross() {
        for (glob, name, expected) in [
            ("layer4.**", "layer4.0.conv1.weight", true),
            ("layer4.**", "layer40.0.conv1.weight", false),
            ("layer4.*", "layer4.0.conv1.weight", false),
            ("**.bn*", "layer1.0.bn1", true),
            ("**.bn*.weight", "layer1.0.bn1.weight", true),
            ("conv?.weight", "conv1.weight", true),
        ] {
            assert_eq!(
                Pattern::new(glob).unwrap().matches(name),
                expected,
                "{glob} on {name}"
            );
        }
    }
    #[test]
    fn patterns_too_large_to_build_are_refused() {
        let nested = "{".repeat(300) + "a,b" + &"}".repeat(300);
        for glob in [nested, "?".repeat(10_000), "[".into(), "{a".into()] {
            assert!(Pattern::new(&glob).is_err(), "{glob}");
        }
        assert!(Pattern::new(&"?".repeat(1000)).is_ok());
    }
}
