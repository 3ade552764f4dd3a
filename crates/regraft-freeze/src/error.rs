//! Why a policy cannot be applied to a network. No message grows with the network or with what was asked for.

use crate::text::{NAME, cut};

/// What is wrong with a policy, and what would work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `auto`, which names no parameters.
    #[error(
        "freeze policy `auto` is decided by trying several: resolve each of those, such as `feature-extractor`, `last-blocks` and `full`"
    )]
    DecidedByTrial,
    /// `surgical` without what it goes by.
    #[error("freeze policy `surgical` goes by gradients on this data, and none were measured")]
    NeedsGradients,
    /// A block name that the network does not have.
    #[error("no block is named `{}`; {}", cut(name, NAME), suggest(near))]
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
    #[error("rule `{}` matches no parameter; {}", cut(glob, NAME), suggest(near))]
    NoMatch {
        /// The glob.
        glob: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// A glob that cannot be read.
    #[error(
        "rule `{}` is no valid pattern: {}",
        cut(glob, NAME),
        cut(reason, NAME)
    )]
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
    /// Two keys of the section that cannot both be meant.
    #[error(
        "`policy = {policy}` and `batch_norm = \"{batch_norm}\"` contradict each other: {problem}; {instead}"
    )]
    Contradiction {
        /// The policy as the section writes it; of rules only the one at fault, and none where all of them are.
        policy: String,
        /// The word of `batch_norm`.
        batch_norm: &'static str,
        /// Why not both.
        problem: &'static str,
        /// What would work.
        instead: &'static str,
    },
    /// Nothing would train.
    #[error("this policy leaves no parameter to train; loosen it, or train at least the head")]
    NothingTrains,
    /// Two parameters of an outline with one name.
    #[error("the outline lists parameter `{}` twice", cut(name, NAME))]
    ListedTwice {
        /// The name.
        name: String,
    },
    /// A parameter or normalisation layer in a block that the outline does not have.
    #[error(
        "`{}` lies in block {block}, counted from 0, and the outline has {blocks} blocks",
        cut(name, NAME)
    )]
    OutsideBlocks {
        /// The parameter or layer.
        name: String,
        /// Its block.
        block: usize,
        /// Blocks of the outline.
        blocks: usize,
    },
    /// A parameter that the plan does not have.
    #[error("the plan has no parameter `{}`; {}", cut(name, NAME), suggest(near))]
    NoSuchParameter {
        /// What was asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// A normalisation layer that the plan does not have.
    #[error(
        "the plan has no normalisation layer `{}`; {}",
        cut(name, NAME),
        suggest(near)
    )]
    NoSuchNorm {
        /// What was asked for.
        name: String,
        /// Names that look alike.
        near: Vec<String>,
    },
    /// A plan without phases.
    #[error("the plan has no phases; resolve the policy again")]
    NoPhases,
    /// A plan whose parameters or normalisation layers are not those of the network.
    #[error(
        "the plan is for another network: {what} {position} of phase `{}` is {}, and this network's is {}",
        cut(phase, NAME),
        quoted(planned.as_deref()),
        quoted(found.as_deref())
    )]
    OtherNetwork {
        /// The phase.
        phase: String,
        /// `parameter` or `normalisation layer`.
        what: &'static str,
        /// Which of them is the first that differs, counted from 1.
        position: usize,
        /// Its name in the plan; `None`: the plan has fewer.
        planned: Option<String>,
        /// Its name in the network; `None`: the network has fewer.
        found: Option<String>,
    },
    /// A plan whose trunk is not that of the network.
    #[error(
        "the plan is for another network: phase `{}` freezes the lowest {planned} blocks, and in this network nothing of the lowest {found} trains",
        cut(phase, NAME)
    )]
    OtherBlocks {
        /// The phase.
        phase: String,
        /// As [`crate::Phase::frozen_blocks`].
        planned: usize,
        /// What it would be in this network.
        found: usize,
    },
}

fn quoted(name: Option<&str>) -> String {
    name.map_or_else(
        || "none".to_owned(),
        |name| format!("`{}`", cut(name, NAME)),
    )
}

fn suggest(near: &[String]) -> String {
    if near.is_empty() {
        return "the network has none".to_owned();
    }
    let names: Vec<String> = near
        .iter()
        .map(|name| format!("`{}`", cut(name, NAME)))
        .collect();
    format!("near: {}", names.join(", "))
}
