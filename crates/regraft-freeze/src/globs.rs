//! Patterns on dotted names: `*` within a part, `**` across parts.

use globset::{GlobBuilder, GlobMatcher};

use crate::error::Error;

/// A pattern on canonical parameter names.
pub(crate) struct Pattern(GlobMatcher);

impl Pattern {
    pub fn new(glob: &str) -> Result<Self, Error> {
        // globset knows separators as slashes; dots play that part in parameter names.
        GlobBuilder::new(&glob.replace('.', "/"))
            .literal_separator(true)
            .build()
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|error| Error::BadGlob {
                glob: glob.to_owned(),
                reason: error.kind().to_string(),
            })
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
}
