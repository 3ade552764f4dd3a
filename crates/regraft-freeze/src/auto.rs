//! The policy `auto`: how deep to train, from how much data there is and how far up the pretrained features serve it.
//!
//! The rule is the classic advice (CS231n, "Transfer Learning"): little data, hold most layers and train the last few;
//! much data, retrain everything; data unlike the original, keep only the early, generic layers (Yosinski 2014: features grow
//! specific to their task with depth). Likeness is measured, not asked for: a probe scores the features at several depths.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::outline::Outline;
use crate::plan::FreezePlan;
use crate::policy::{FreezeConfig, Policy};
use crate::resolve::{DataFacts, resolve};
use crate::text::{NAME, cut};

/// Below this many images a class, data is little: features that serve are held whole (CS231n: fine-tuning on little data
/// overfits, so train a linear classifier), and those that do not are retrained only at the very end.
pub const LITTLE_PER_CLASS: usize = 20;
/// From this many images a class, a third of the kept blocks retrains too; below, one block, or two of more than [`SHALLOW_BLOCKS`].
pub const THIRD_PER_CLASS: usize = 100;
/// From this many images a class, half of the kept blocks retrains too.
pub const HALF_PER_CLASS: usize = 300;
/// From this many images a class, everything retrains: about as many as ImageNet has (CS231n: with much data, fine-tune
/// through the whole network).
pub const MUCH_PER_CLASS: usize = 1000;
/// From this many images in all, everything retrains, however many classes share them.
pub const MUCH_IMAGES: usize = 50_000;
/// With at most this many blocks, "the last few" is one; with more, two.
pub const SHALLOW_BLOCKS: usize = 8;

/// How well the features at one depth serve the new labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DepthScore {
    /// Index into [`Outline::blocks`], below the head: the features are those after this block, so it would be the last frozen one.
    pub block: usize,
    /// The score, higher is better, e.g. the accuracy of a linear probe.
    pub score: f64,
    /// Its standard error, at least 0.
    pub error: f64,
}

/// What `auto` comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoChoice {
    /// The policy to apply: `feature-extractor`, `last-blocks` or `full`.
    pub policy: Policy,
    /// The measured numbers and the advice that they call for.
    pub reason: String,
    /// The rule that fired.
    pub rule: AutoRule,
}

/// The rules of `auto`, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoRule {
    /// The weights are initial ones: everything trains.
    Untrained,
    /// Nothing below the head could train.
    OnlyAHead,
    /// Much data: everything trains.
    MuchData,
    /// Little data, features serve to the last measured depth: the head trains.
    LittleDataAlike,
    /// Little data, features serve best lower down: the last few blocks train.
    LittleDataUnlike,
    /// Enough data, features serve to the last measured depth: the last blocks train, more of them with more data.
    SomeDataAlike,
    /// Enough data, features serve best lower down: all above that depth trains, and more of it with more data.
    SomeDataUnlike,
}

impl fmt::Display for AutoRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untrained => "the network is untrained: train everything",
            Self::OnlyAHead => "nothing below the head could train",
            Self::MuchData => "much data: retrain everything",
            Self::LittleDataAlike => {
                "little data, like what the network knows: hold all layers below the head"
            }
            Self::LittleDataUnlike => {
                "little data, unlike what the network knows: retrain the last few layers, as far as so little data allows"
            }
            Self::SomeDataAlike => {
                "enough data, like what the network knows: hold most layers and train the last few"
            }
            Self::SomeDataUnlike => {
                "enough data, unlike what the network knows: keep only the early layers and retrain the rest"
            }
        })
    }
}

/// Whether [`choose_auto`] looks at scores at all. With much data, an untrained network, or nothing but a head, measuring them is wasted.
pub fn needs_scores(outline: &Outline, facts: &DataFacts) -> bool {
    !outline.untrained && !much_data(facts) && !weighted_blocks(outline).is_empty()
}

/// Chooses how deep to train.
///
/// Of the depths whose score is within one standard error of the best, the deepest is where the features stop serving
/// (Breiman 1984, the one-standard-error rule). Everything above it trains, if there are [`LITTLE_PER_CLASS`] images a class, and of
/// the blocks below it a share that grows with images a class. Blocks without parameters are not counted. More images never open
/// less, a deeper peak never opens more.
///
/// `scores` in any order; the deepest of them stands for the end of the network. They may be empty where [`needs_scores`] says no.
///
/// # Errors
/// When scores are needed and there are none, or one of them names no block below the head or is not finite.
pub fn choose_auto(
    outline: &Outline,
    facts: &DataFacts,
    scores: &[DepthScore],
) -> Result<AutoChoice, Error> {
    let weighted = weighted_blocks(outline);
    let count = format!(
        "{} images, {} a class",
        facts.train_images,
        rounded(per_class(facts))
    );
    let by_size = |policy, rule: AutoRule| AutoChoice {
        policy,
        reason: format!("{count}: {rule}"),
        rule,
    };
    if outline.untrained {
        return Ok(by_size(Policy::Full, AutoRule::Untrained));
    }
    if weighted.is_empty() {
        return Ok(by_size(Policy::FeatureExtractor, AutoRule::OnlyAHead));
    }
    if much_data(facts) {
        return Ok(by_size(Policy::Full, AutoRule::MuchData));
    }
    let depths = Depths::new(outline, scores)?;
    let alike = depths.peak.block == depths.deepest.block;
    let kept = if alike {
        weighted.len()
    } else {
        weighted
            .iter()
            .filter(|block| **block <= depths.peak.block)
            .count()
    };
    // A peak above which no weights lie is the end of the network, too.
    let alike = kept == weighted.len();
    let above = weighted.len() - kept;
    let (rule, open) = match (per_class(facts) < LITTLE_PER_CLASS as f64, alike) {
        (true, true) => (AutoRule::LittleDataAlike, 0),
        (true, false) => (AutoRule::LittleDataUnlike, above.min(few(weighted.len()))),
        (false, true) => (AutoRule::SomeDataAlike, share(facts, kept)),
        (false, false) => (AutoRule::SomeDataUnlike, above + share(facts, kept)),
    };
    Ok(AutoChoice {
        policy: opening(outline, &weighted, open),
        reason: format!("{count}; {}: {rule}", depths.in_words(outline, alike)),
        rule,
    })
}

/// The plan of a choice: [`resolve`] under the chosen policy, saying that `auto` chose it and why.
///
/// `config` gives everything but the policy, which is not looked at. No learning-rate decay is added to what it says.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_auto(
    outline: &Outline,
    facts: &DataFacts,
    config: &FreezeConfig,
    choice: &AutoChoice,
) -> Result<FreezePlan, Error> {
    let config = FreezeConfig {
        policy: choice.policy.clone(),
        ..config.clone()
    };
    let mut plan = resolve(outline, facts, &config)?;
    plan.policy = format!("auto: {}", plan.policy);
    plan.reason = format!("{}; {}", choice.reason, plan.reason);
    Ok(plan)
}

/// Blocks below the head that have parameters.
fn weighted_blocks(outline: &Outline) -> Vec<usize> {
    (0..below_head(outline))
        .filter(|block| outline.parameters.iter().any(|p| p.block == *block))
        .collect()
}

/// How many blocks lie below the head.
fn below_head(outline: &Outline) -> usize {
    outline
        .blocks
        .iter()
        .position(|block| block.head)
        .unwrap_or(outline.blocks.len())
}

fn per_class(facts: &DataFacts) -> f64 {
    facts.train_images as f64 / facts.classes.max(1) as f64
}

fn much_data(facts: &DataFacts) -> bool {
    facts.train_images >= MUCH_IMAGES || per_class(facts) >= MUCH_PER_CLASS as f64
}

/// "The last few" of so many blocks.
fn few(blocks: usize) -> usize {
    (1 + usize::from(blocks > SHALLOW_BLOCKS)).min(blocks)
}

/// How many of the kept blocks retrain. Grows by at most one from one block to the next, so that a deeper peak never opens more.
fn share(facts: &DataFacts, kept: usize) -> usize {
    let images = per_class(facts);
    if images < THIRD_PER_CLASS as f64 {
        few(kept)
    } else if images < HALF_PER_CLASS as f64 {
        kept.div_ceil(3)
    } else {
        kept.div_ceil(2)
    }
}

/// The policy that trains the last `open` blocks with parameters.
fn opening(outline: &Outline, weighted: &[usize], open: usize) -> Policy {
    let head = below_head(outline);
    let head_trains = outline
        .parameters
        .iter()
        .any(|p| p.block >= head || p.fresh);
    // Something has to train.
    let open = if head_trains { open } else { open.max(1) };
    match weighted.len().checked_sub(open) {
        _ if open == 0 => Policy::FeatureExtractor,
        None | Some(0) => Policy::Full,
        Some(frozen) => Policy::LastBlocks(head - weighted[frozen]),
    }
}

/// The depths that matter among those measured.
struct Depths {
    /// The highest score; of equals the deepest.
    best: DepthScore,
    /// The deepest within one standard error of it.
    peak: DepthScore,
    /// The deepest of all.
    deepest: DepthScore,
}

impl Depths {
    fn new(outline: &Outline, scores: &[DepthScore]) -> Result<Self, Error> {
        let available = below_head(outline);
        let sound = |score: &DepthScore| {
            let finite = score.score.is_finite() && score.error.is_finite();
            score.block < available && finite && score.error >= 0.0
        };
        if let Some(bad) = scores.iter().find(|score| !sound(score)) {
            return Err(Error::BadScore {
                block: bad.block,
                score: bad.score,
                error: bad.error,
                available,
            });
        }
        // From the input to the head; of two scores for one depth the better comes last.
        let mut scores = scores.to_vec();
        scores.sort_by(|a, b| a.block.cmp(&b.block).then(a.score.total_cmp(&b.score)));
        let best = scores.iter().max_by(|a, b| a.score.total_cmp(&b.score));
        let (Some(&best), Some(&deepest)) = (best, scores.last()) else {
            return Err(Error::NeedsScores);
        };
        let serves = |score: &&DepthScore| score.score >= best.score - best.error;
        let peak = scores.iter().rfind(serves).copied().unwrap_or(best);
        Ok(Self {
            best,
            peak,
            deepest,
        })
    }

    fn in_words(&self, outline: &Outline, alike: bool) -> String {
        let at = |depth: &DepthScore| {
            let name = outline
                .blocks
                .get(depth.block)
                .map_or("", |block| &block.name);
            let name = cut(name, NAME);
            format!("{:.3} ± {:.3} after `{name}`", depth.score, depth.error)
        };
        let mut text = format!("the probe scores {}", at(&self.peak));
        if self.peak.block == self.best.block {
            text.push_str(", the best depth");
        } else {
            text.push_str(&format!(
                ", the deepest within one standard error of the best ({})",
                at(&self.best)
            ));
        }
        if !alike {
            text.push_str(&format!(", and {}, the last", at(&self.deepest)));
        }
        text
    }
}

/// A count that need not be whole.
fn rounded(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}
