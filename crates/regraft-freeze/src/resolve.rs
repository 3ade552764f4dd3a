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

/// Gradient norms of parameters relative to their own norms, by canonical name: what [`Policy::Surgical`] goes by.
pub type RelativeGradients = HashMap<String, f64>;

impl Policy {
    /// Decides what trains, as [`resolve`] does with this policy and the defaults of everything else.
    ///
    /// # Errors
    /// As [`resolve`].
    pub fn resolve(&self, outline: &Outline, facts: &DataFacts) -> Result<FreezePlan, Error> {
        let config = FreezeConfig {
            policy: self.clone(),
            ..FreezeConfig::default()
        };
        resolve(outline, facts, &config)
    }
}

/// Decides what trains.
///
/// # Errors
/// When the outline is not valid, or the policy names what the network lacks, leaves nothing to train, contradicts
/// [`FreezeConfig::batch_norm`], is `surgical`, which [`resolve_measured`] decides, or `auto`, which is decided by trying others.
pub fn resolve(
    outline: &Outline,
    facts: &DataFacts,
    config: &FreezeConfig,
) -> Result<FreezePlan, Error> {
    resolve_measured(outline, facts, config, None)
}

/// Decides what trains, with measured gradients for the policy that goes by them.
///
/// # Errors
/// As [`resolve`]; `surgical` is an error where nothing was measured.
pub fn resolve_measured(
    outline: &Outline,
    facts: &DataFacts,
    config: &FreezeConfig,
    gradients: Option<&RelativeGradients>,
) -> Result<FreezePlan, Error> {
    outline.check()?;
    let (batch_norm, mut why_batch_norm) = batch_norm(outline, facts, config.batch_norm);
    let rates = match (&config.policy, gradients) {
        (Policy::Surgical, None) => return Err(Error::NeedsGradients),
        (Policy::Surgical, Some(gradients)) => surgical(outline, gradients),
        _ => vec![1.0; outline.parameters.len()],
    };
    let stretches = stretches(outline, &config.policy)?;
    let alone = stretches.len() == 1;
    let mut phases = Vec::new();
    for stretch in stretches {
        let phase = phase(outline, config, batch_norm, &rates, stretch)?;
        let all_kept = phase
            .norms
            .iter()
            .all(|norm| norm.statistics == Statistics::Frozen);
        let update = batch_norm == BatchNorm::Updated && !phase.norms.is_empty();
        if alone && update && all_kept {
            why_batch_norm =
                "batch norm keeps its statistics (none of its layers trains)".to_owned();
        }
        phases.push(phase);
    }
    if phases.is_empty() {
        return Err(Error::NothingTrains);
    }
    let mut policy = config.policy.to_string();
    if let Some(decay) = config.layer_decay {
        policy.push_str(&format!(", layer-decay = {decay:?}"));
    }
    if let Some(pull) = config.l2_sp {
        policy.push_str(&format!(", l2-sp = {pull:?}"));
    }
    Ok(FreezePlan {
        policy,
        reason: format!("{}; {why_batch_norm}", reason(&config.policy)),
        l2_sp: config.l2_sp,
        phases,
    })
}

/// A stretch of epochs before it is decided what norms do in it.
struct Stretch {
    name: String,
    epochs: Option<usize>,
    /// In outline order.
    trained: Vec<bool>,
}

fn phase(
    outline: &Outline,
    config: &FreezeConfig,
    batch_norm: BatchNorm,
    rates: &[f64],
    stretch: Stretch,
) -> Result<Phase, Error> {
    let Stretch {
        name,
        epochs,
        mut trained,
    } = stretch;
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
    let frozen_blocks = outline.blocks_below(|block| training_blocks.contains(&block));
    let parameters = outline
        .parameters
        .iter()
        .zip(trained)
        .zip(rates)
        .map(|((parameter, trained), rate)| ParameterPlan {
            name: parameter.name.clone(),
            trained,
            lr_multiplier: rate
                * config.layer_decay.map_or(1.0, |decay| {
                    let factor = decay.powi(depth(outline, parameter.block));
                    // Far down a deep network a small decay rounds to 0, which is the rate of frozen parameters.
                    factor.max(f64::MIN_POSITIVE)
                }),
            weight_decay: parameter.kind == ParameterKind::Weight,
        })
        .collect();
    Ok(Phase {
        name,
        epochs,
        frozen_blocks,
        parameters,
        norms,
    })
}

/// What trains when, as the policy alone has it.
fn stretches(outline: &Outline, policy: &Policy) -> Result<Vec<Stretch>, Error> {
    let to_the_end = |trained: Vec<bool>| Stretch {
        name: "train".to_owned(),
        epochs: None,
        trained,
    };
    Ok(match policy {
        Policy::Gradual { every } => {
            let head = head_of(outline);
            let weighted = (0..head).rev().filter(|&block| {
                let mut inside = outline.parameters.iter();
                inside.any(|p| p.block == block && !p.fresh)
            });
            let first = outline
                .parameters
                .iter()
                .any(|p| p.block >= head || p.fresh);
            let mut stretches: Vec<Stretch> = Vec::new();
            if first {
                stretches.push(Stretch {
                    name: "the head".to_owned(),
                    epochs: Some(*every),
                    trained: from_block(outline, head),
                });
            }
            stretches.extend(weighted.map(|block| Stretch {
                name: format!("from {}", cut(&outline.blocks[block].name, NAME)),
                epochs: Some(*every),
                trained: from_block(outline, block),
            }));
            if let Some(last) = stretches.last_mut() {
                last.epochs = None;
            }
            stretches
        }
        Policy::ProbeThenTune { probe_epochs: 0 } => vec![to_the_end(from_block(outline, 0))],
        Policy::ProbeThenTune { probe_epochs } => vec![
            Stretch {
                name: "probe".to_owned(),
                epochs: Some(*probe_epochs),
                trained: from_block(outline, head_of(outline)),
            },
            Stretch {
                name: "tune".to_owned(),
                ..to_the_end(from_block(outline, 0))
            },
        ],
        policy => vec![to_the_end(selected(outline, policy)?)],
    })
}

/// Factors on the learning rate by relative gradients: the largest of the pretrained parameters has 1, new ones have 1, and
/// none has less than a thousandth.
fn surgical(outline: &Outline, gradients: &RelativeGradients) -> Vec<f64> {
    let measured = |p: &ParameterOutline| {
        let value = gradients.get(&p.name).copied();
        value.filter(|value| value.is_finite() && !p.fresh)
    };
    let largest = outline
        .parameters
        .iter()
        .filter_map(measured)
        .fold(0.0, f64::max);
    outline
        .parameters
        .iter()
        .map(|p| match measured(p) {
            Some(value) if largest > 0.0 => (value / largest).max(1e-3),
            _ => 1.0,
        })
        .collect()
}

/// The first block of the head.
fn head_of(outline: &Outline) -> usize {
    let head = outline.blocks.iter().position(|block| block.head);
    head.unwrap_or(outline.blocks.len())
}

/// Everything from a block on, and whatever is new.
fn from_block(outline: &Outline, first: usize) -> Vec<bool> {
    let parameters = outline.parameters.iter();
    parameters.map(|p| p.block >= first || p.fresh).collect()
}

/// Which parameters the policy trains, in outline order.
fn selected(outline: &Outline, policy: &Policy) -> Result<Vec<bool>, Error> {
    let head = head_of(outline);
    let from_block = |first: usize| from_block(outline, first);
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
        Policy::Surgical | Policy::Gradual { .. } | Policy::ProbeThenTune { .. } => from_block(0),
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
    let head = head_of(outline);
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
        Policy::Gradual { every: 1 } => {
            "the head trains, then one more block from the top each epoch".to_owned()
        }
        Policy::Gradual { every } => {
            format!("the head trains, then one more block from the top every {every} epochs")
        }
        Policy::ProbeThenTune { probe_epochs: 0 } => {
            "the head is solved, then everything trains from there".to_owned()
        }
        Policy::ProbeThenTune { probe_epochs } => {
            format!("the head trains for {probe_epochs} epochs, then everything does")
        }
        Policy::Surgical => {
            "everything trains, each parameter in proportion to its gradient relative to its size"
                .to_owned()
        }
        Policy::Auto => policy.to_string(),
    }
}
