//! What a person asks for: the `[freeze]` section as types. [`crate::reading`] reads it, [`crate::written`] writes it.

use std::fmt;

use serde::Serialize;

use crate::text::{NAME, cut};

/// The `[freeze]` section: how deep training reaches and what batch norm does meanwhile.
///
/// `policy` is a word (`"full"`) or a table (`{ last-blocks = 2, layer-decay = 0.65 }`).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(into = "crate::written::Section")]
pub struct FreezeConfig {
    /// Which parameters train.
    pub policy: Policy,
    /// Learning-rate factor from one block to the next lower one, in (0, 1]; `None`: the same rate everywhere.
    pub layer_decay: Option<f64>,
    /// Pull of trained weights towards the values that they began with (L2-SP, Li 2018), at least 0: the share of the
    /// difference that a step at learning rate 1 takes back. `None`: none.
    pub l2_sp: Option<f64>,
    /// What batch norm's running statistics, scale and shift do.
    pub batch_norm: BatchNorm,
}

impl FreezeConfig {
    /// The section from the value of its key `policy` and of its key `batch_norm`.
    pub fn new(part: PolicyPart, batch_norm: BatchNorm) -> Self {
        Self {
            policy: part.policy,
            layer_decay: part.layer_decay,
            l2_sp: part.l2_sp,
            batch_norm,
        }
    }

    /// The value of the key `policy`.
    pub fn policy_part(&self) -> PolicyPart {
        PolicyPart {
            policy: self.policy.clone(),
            layer_decay: self.layer_decay,
            l2_sp: self.l2_sp,
        }
    }
}

/// The value of the key `policy`: a word, or a table that may combine a depth with `layer-decay`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(into = "crate::written::PolicyValue")]
pub struct PolicyPart {
    /// Which parameters train.
    pub policy: Policy,
    /// As in [`FreezeConfig::layer_decay`].
    pub layer_decay: Option<f64>,
    /// As in [`FreezeConfig::l2_sp`].
    pub l2_sp: Option<f64>,
}

/// Which parameters train.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Policy {
    /// Only the new head.
    #[default]
    FeatureExtractor,
    /// The head and the n blocks below it.
    LastBlocks(usize),
    /// Everything from the first block of that name on.
    From(String),
    /// Everything above the last block of that name.
    Until(String),
    /// Everything.
    Full,
    /// By globs on canonical names over a frozen network with a training head; the last match wins.
    Rules(Vec<Rule>),
    /// Scale and shift of normalisation layers, and the head.
    NormOnly,
    /// Biases, and the head.
    BiasOnly,
    /// The head first, then one more block from the top every so many epochs (Howard and Ruder 2018).
    Gradual {
        /// Epochs between two openings, at least 1.
        every: usize,
    },
    /// The head first, then everything from there (Kumar 2022).
    ProbeThenTune {
        /// Epochs of the head alone. 0: the head is solved, and training begins with everything.
        probe_epochs: usize,
    },
    /// Everything, each parameter at a rate in proportion to its gradient relative to its size (Auto-RGN, Lee 2023).
    Surgical,
    /// Decided by trying several of the others on the data.
    Auto,
}

/// One rule of [`Policy::Rules`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Parameters that match train.
    Train(String),
    /// Parameters that match are frozen.
    Freeze(String),
}

/// What batch norm layers do. Those in blocks where nothing trains are always frozen whole, and a layer whose scale and
/// shift do not train keeps its statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNorm {
    /// `affine-only` for little data or small batches, `updated` otherwise.
    #[default]
    Auto,
    /// Running statistics, scale and shift all stay as they are, everywhere. Contradicts a policy that trains nothing else.
    Frozen,
    /// In blocks that train, layers whose scale or shift trains normalise by the batch and update their running statistics.
    /// Contradicts a policy that trains such blocks and none of these layers.
    Updated,
    /// Running statistics stay; scale and shift train where the policy says so.
    AffineOnly,
}

/// As the section writes it, on one line; long names are cut.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::FeatureExtractor => write!(f, "feature-extractor"),
            Policy::LastBlocks(n) => write!(f, "last-blocks = {n}"),
            Policy::From(name) => write!(f, "from = \"{}\"", cut(name, NAME)),
            Policy::Until(name) => write!(f, "until = \"{}\"", cut(name, NAME)),
            Policy::Full => write!(f, "full"),
            Policy::Rules(rules) => write!(f, "{} rules", rules.len()),
            Policy::NormOnly => write!(f, "norm-only"),
            Policy::BiasOnly => write!(f, "bias-only"),
            Policy::Gradual { every } => write!(f, "gradual = {{ every = {every} }}"),
            Policy::ProbeThenTune { probe_epochs } => {
                write!(f, "probe-then-tune = {{ probe_epochs = {probe_epochs} }}")
            }
            Policy::Surgical => write!(f, "surgical"),
            Policy::Auto => write!(f, "auto"),
        }
    }
}
