//! Why a policy cannot be applied to a network.

/// What is wrong with a policy, and what would work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy parses but is not built yet.
    #[error(
        "freeze policy `{policy}` is not available yet; use `feature-extractor`, `last-blocks`, `from`, `until`, `full`, `rules`, `norm-only`, `bias-only`, `layer-decay` or `auto`"
    )]
    NotYet {
        /// Its name.
        policy: String,
    },
    /// `auto` without the scores that it decides by.
    #[error(
        "freeze policy `auto` decides by scores of the network's features on this data, and none were measured; measure them, or use `feature-extractor`, `last-blocks` or `full`"
    )]
    NeedsScores,
    /// A score that says nothing about a depth.
    #[error(
        "score {score} ± {error} after block {block}: expected finite numbers, an error of at least 0, and one of the {available} blocks below the head"
    )]
    BadScore {
        /// Index of the block.
        block: usize,
        /// The score.
        score: f64,
        /// Its standard error.
        error: f64,
        /// Blocks below the head.
        available: usize,
    },
    /// A block name that the network does not have.
    #[error("no block is named `{name}`; {}", suggest(.near))]
    NoSuchBlock {
        /// What was asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// More blocks than there are.
    #[error(
        "`last-blocks = {asked}`: the network has {available} blocks below its head; use at most {available}, or `full`"
    )]
    TooManyBlocks {
        /// What was asked for.
        asked: usize,
        /// Blocks below the head.
        available: usize,
    },
    /// A rule whose glob matches no parameter.
    #[error("rule `{glob}` matches no parameter; {}", suggest(.near))]
    NoMatch {
        /// The glob.
        glob: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// A glob that cannot be read.
    #[error("rule `{glob}` is no valid pattern: {reason}")]
    BadGlob {
        /// The glob.
        glob: String,
        /// Why.
        reason: String,
    },
    /// The network has no parameter of the kind that the policy trains.
    #[error("freeze policy `{policy}`: {reason}")]
    NothingOfThatKind {
        /// The policy.
        policy: &'static str,
        /// Why, and what would work.
        reason: &'static str,
    },
    /// Nothing would train.
    #[error("this policy leaves no parameter to train; loosen it, or train at least the head")]
    NothingTrains,
}

fn suggest(near: &[String]) -> String {
    if near.is_empty() {
        return "the network has none".to_owned();
    }
    let names: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("near: {}", names.join(", "))
}

/// The up to five names that look most like `wanted`.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup();
    scored
        .into_iter()
        .take(5)
        .map(|(_, name)| name.to_owned())
        .collect()
}
