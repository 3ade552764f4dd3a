//! From a policy to a plan.

use std::collections::{HashMap, HashSet};

use crate::contradictions::{refuse_training_frozen_norms, refuse_updating_nothing};
use crate::error::Error;
use crate::globs::Pattern;
use crate::outline::{NormOutline, Outline, ParameterKind, ParameterOutline, is_norm};
use crate::plan::{FreezePlan, NormPlan, ParameterPlan, Phase};
use crate::policy::{BatchNorm, FreezeConfig, Policy, Rule};
use crate::text::{NAME, cut};
use regraft_spec::Statistics;
use regraft_spec::similar::nearest;

/// Below this many training images, `batch_norm = "auto"` keeps running statistics: they were estimated from far more.
/// (EfficientNet-Lite0, 1,600 images, all of it trained for 5 epochs: 0.77 with them kept, 0.73 with them updated.)
pub const SMALL_DATA_IMAGES: usize = 10_000;
/// Below this batch size, `batch_norm = "auto"` keeps running statistics: a batch's own are too noisy (Wu and He 2018).
pub const SMALL_BATCH: usize = 16;

/// What the engine needs to know of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFacts {
    /// Images in the training split.
    pub train_images: usize,
    /// Classes.
    pub classes: usize,
    /// Images in a batch.
    pub batch_size: usize,
}

/// Decides what trains.
///
/// # Errors
/// When the policy names what the network lacks, leaves nothing to train, contradicts [`FreezeConfig::batch_norm`], or is
/// `auto`, which is decided by trying others.
pub fn resolve(
    outline: &Outline,
    facts: &DataFacts,
    config: &FreezeConfig,
) -> Result<FreezePlan, Error> {
    let (batch_norm, mut why_batch_norm) = batch_norm(outline, facts, config.batch_norm);
    let mut trained = selected(outline, &config.policy)?;
    if batch_norm == BatchNorm::Frozen {
        refuse_training_frozen_norms(outline, &config.policy, &trained)?;
        for (parameter, trained) in outline.parameters.iter().zip(&mut trained) {
            *trained &= parameter.fresh || !is_norm(parameter);
        }
    }
    if !trained.contains(&true) {
        return Err(Error::NothingTrains);
    }
    let training_blocks: HashSet<usize> = outline
        .parameters
        .iter()
        .zip(&trained)
        .filter(|(_, trained)| **trained)
        .map(|(p, _)| p.block)
        .collect();
    let in_training_block: Vec<bool> = outline
        .norms
        .iter()
        .map(|norm| training_blocks.contains(&norm.block))
        .collect();
    let frozen_norms = frozen_norms(outline, &trained);
    let norms: Vec<NormPlan> = outline
        .norms
        .iter()
        .zip(&in_training_block)
        .zip(frozen_norms)
        .map(|((norm, in_training_block), frozen)| NormPlan {
            name: norm.name.clone(),
            statistics: if batch_norm == BatchNorm::Updated && *in_training_block && !frozen {
                Statistics::Updated
            } else {
                Statistics::Frozen
            },
        })
        .collect();
    if config.batch_norm == BatchNorm::Updated {
        refuse_updating_nothing(&config.policy, &in_training_block, &norms)?;
    }
    let all_kept = norms
        .iter()
        .all(|norm| norm.statistics == Statistics::Frozen);
    if batch_norm == BatchNorm::Updated && !norms.is_empty() && all_kept {
        why_batch_norm = "batch norm keeps its statistics (none of its layers trains)".to_owned();
    }
    let frozen_blocks = (0..outline.blocks.len())
        .take_while(|block| !training_blocks.contains(block))
        .count();
    let parameters = outline
        .parameters
        .iter()
        .zip(trained)
        .map(|(parameter, trained)| ParameterPlan {
            name: parameter.name.clone(),
            trained,
            lr_multiplier: config
                .layer_decay
                .map_or(1.0, |decay| decay.powi(depth(outline, parameter.block))),
            weight_decay: parameter.kind == ParameterKind::Weight,
        })
        .collect();
    let policy = match config.layer_decay {
        Some(decay) => format!("{}, layer-decay = {decay:?}", config.policy),
        None => config.policy.to_string(),
    };
    Ok(FreezePlan {
        policy,
        reason: format!("{}; {why_batch_norm}", reason(&config.policy)),
        phases: vec![Phase {
            name: "train".to_owned(),
            epochs: None,
            frozen_blocks,
            parameters,
            norms,
        }],
    })
}

/// Which parameters the policy trains, in outline order.
fn selected(outline: &Outline, policy: &Policy) -> Result<Vec<bool>, Error> {
    let head = outline
        .blocks
        .iter()
        .position(|block| block.head)
        .unwrap_or(outline.blocks.len());
    let from_block = |first: usize| -> Vec<bool> {
        outline
            .parameters
            .iter()
            .map(|p| p.block >= first || p.fresh)
            .collect()
    };
    Ok(match policy {
        Policy::FeatureExtractor => from_block(head),
        Policy::LastBlocks(n) if *n > head => {
            return Err(Error::TooManyBlocks {
                asked: *n,
                available: head,
            });
        }
        Policy::LastBlocks(n) => from_block(head - n),
        Policy::From(name) => from_block(*matching(outline, name)?.first().unwrap_or(&head)),
        Policy::Until(name) => from_block(
            matching(outline, name)?
                .last()
                .map_or(head, |last| last + 1),
        ),
        Policy::Full => from_block(0),
        Policy::Rules(rules) => by_rules(outline, rules)?,
        Policy::NormOnly => of_kind(
            outline,
            is_norm,
            "norm-only",
            "the network has no normalisation layers with scale and shift; its exporter may have folded batch norm into the convolutions. Use `last-blocks` or `bias-only`",
        )?,
        Policy::BiasOnly => of_kind(
            outline,
            |p| p.kind == ParameterKind::Bias,
            "bias-only",
            "the network has no biases below its head. Use `norm-only` or `last-blocks`",
        )?,
        Policy::Auto => return Err(Error::DecidedByTrial),
    })
}

/// Which norms have a scale or shift of their own and train none of it, in outline order.
fn frozen_norms(outline: &Outline, trained: &[bool]) -> Vec<bool> {
    let trained: HashMap<&str, bool> = outline
        .parameters
        .iter()
        .zip(trained)
        .map(|(parameter, trained)| (parameter.name.as_str(), *trained))
        .collect();
    let frozen = |norm: &NormOutline| {
        let mut affine = norm
            .affine
            .iter()
            .filter_map(|name| trained.get(name.as_str()))
            .peekable();
        affine.peek().is_some() && affine.all(|trained| !trained)
    };
    outline.norms.iter().map(frozen).collect()
}

/// Parameters of a kind below the head, and the whole head.
fn of_kind(
    outline: &Outline,
    kind: impl Fn(&ParameterOutline) -> bool,
    policy: &'static str,
    reason: &'static str,
) -> Result<Vec<bool>, Error> {
    let in_head = |p: &ParameterOutline| {
        p.fresh || outline.blocks.get(p.block).is_some_and(|block| block.head)
    };
    if !outline.parameters.iter().any(|p| !in_head(p) && kind(p)) {
        return Err(Error::NothingOfThatKind { policy, reason });
    }
    Ok(outline
        .parameters
        .iter()
        .map(|p| in_head(p) || kind(p))
        .collect())
}

fn by_rules(outline: &Outline, rules: &[Rule]) -> Result<Vec<bool>, Error> {
    let mut trained: Vec<bool> = outline.parameters.iter().map(|p| p.fresh).collect();
    for rule in rules {
        let (glob, trains) = match rule {
            Rule::Train(glob) => (glob, true),
            Rule::Freeze(glob) => (glob, false),
        };
        let pattern = Pattern::new(glob)?;
        let mut matched = false;
        for (parameter, trained) in outline.parameters.iter().zip(&mut trained) {
            if pattern.matches(&parameter.name) {
                *trained = trains;
                matched = true;
            }
        }
        if !matched {
            let plain = glob.replace("**", "").replace('*', "");
            let near = nearest(&plain, outline.parameters.iter().map(|p| p.name.as_str()));
            return Err(Error::NoMatch {
                glob: glob.clone(),
                near,
            });
        }
    }
    Ok(trained)
}

/// Blocks called `name`, or below it: `layer1` is also `layer1.0`, never `layer10`.
fn matching(outline: &Outline, name: &str) -> Result<Vec<usize>, Error> {
    let below = format!("{name}.");
    let again = format!("{name}#");
    let found: Vec<usize> = (0..outline.blocks.len())
        .filter(|&index| {
            let block = &outline.blocks[index].name;
            block == name || block.starts_with(&below) || block.starts_with(&again)
        })
        .collect();
    if found.is_empty() {
        let near = nearest(name, outline.blocks.iter().map(|block| block.name.as_str()));
        return Err(Error::NoSuchBlock {
            name: name.to_owned(),
            near,
        });
    }
    Ok(found)
}

/// Steps from the head down to a block: 0 in the head, 1 just under it.
fn depth(outline: &Outline, block: usize) -> i32 {
    let head = outline
        .blocks
        .iter()
        .position(|block| block.head)
        .unwrap_or(outline.blocks.len());
    i32::try_from(head.saturating_sub(block)).unwrap_or(i32::MAX)
}

fn batch_norm(outline: &Outline, facts: &DataFacts, asked: BatchNorm) -> (BatchNorm, String) {
    match asked {
        BatchNorm::Auto if outline.untrained => (
            BatchNorm::Updated,
            "batch norm updates its statistics (the network is untrained and has none worth keeping)"
                .to_owned(),
        ),
        BatchNorm::Auto if facts.train_images < SMALL_DATA_IMAGES => (
            BatchNorm::AffineOnly,
            format!(
                "batch norm keeps its statistics ({} images are fewer than {SMALL_DATA_IMAGES})",
                facts.train_images
            ),
        ),
        BatchNorm::Auto if facts.batch_size < SMALL_BATCH => (
            BatchNorm::AffineOnly,
            format!(
                "batch norm keeps its statistics (batches of {} are smaller than {SMALL_BATCH})",
                facts.batch_size
            ),
        ),
        BatchNorm::Auto => (
            BatchNorm::Updated,
            format!(
                "batch norm updates its statistics where blocks train ({} images)",
                facts.train_images
            ),
        ),
        BatchNorm::Frozen => (
            BatchNorm::Frozen,
            "batch norm is frozen whole, as asked".to_owned(),
        ),
        BatchNorm::Updated => (
            BatchNorm::Updated,
            "batch norm updates its statistics, as asked".to_owned(),
        ),
        BatchNorm::AffineOnly => (
            BatchNorm::AffineOnly,
            "batch norm keeps its statistics, as asked".to_owned(),
        ),
    }
}

fn reason(policy: &Policy) -> String {
    match policy {
        Policy::FeatureExtractor => {
            "the pretrained network is a fixed feature extractor".to_owned()
        }
        Policy::LastBlocks(1) => "the head and the last block train".to_owned(),
        Policy::LastBlocks(n) => format!("the head and the last {n} blocks train"),
        Policy::From(name) => format!("everything from `{}` on trains", cut(name, NAME)),
        Policy::Until(name) => format!("everything through `{}` is frozen", cut(name, NAME)),
        Policy::Full => "everything trains".to_owned(),
        Policy::Rules(_) => "rules decide, the last match wins".to_owned(),
        Policy::NormOnly => "normalisation layers and the head train".to_owned(),
        Policy::BiasOnly => "biases and the head train".to_owned(),
        Policy::Auto => policy.to_string(),
    }
}
