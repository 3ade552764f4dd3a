//! What a person writes in the `[freeze]` section of a recipe.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The `[freeze]` section: how deep training reaches and what batch norm does meanwhile.
///
/// `policy` is a word (`"full"`) or a table (`{ last-blocks = 2, layer-decay = 0.65 }`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct FreezeConfig {
    /// Which parameters train.
    pub policy: Policy,
    /// Learning-rate factor from one block to the next lower one, in (0, 1]; `None`: the same rate everywhere.
    pub layer_decay: Option<f64>,
    /// Pull towards the pretrained weights (Li 2018), at least 0.
    pub l2_sp: Option<f64>,
    /// What batch norm's running statistics, scale and shift do.
    pub batch_norm: BatchNorm,
}

/// The value of the key `policy`: a word, or a table that may combine a depth with `layer-decay` and `l2-sp`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenPolicy", into = "WrittenPolicy")]
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
    /// One more block from the top each n epochs.
    Gradual {
        /// Epochs between two blocks, at least 1.
        every: usize,
    },
    /// The head first, then everything (Kumar 2022).
    ProbeThenTune {
        /// Epochs for the head alone, at least 1.
        probe_epochs: usize,
    },
    /// Learning rate by relative gradient norm (Lee 2023).
    Surgical,
    /// Chosen by [`crate::choose_auto`] from the size of the data and from how far up the pretrained features serve it.
    Auto,
}

/// One rule of [`Policy::Rules`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// Parameters that match train.
    Train(String),
    /// Parameters that match are frozen.
    Freeze(String),
}

/// What batch norm layers do. Those in blocks where nothing trains are always frozen whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNorm {
    /// `affine-only` for little data or small batches, `updated` otherwise.
    #[default]
    Auto,
    /// Running statistics, scale and shift all stay as they are, everywhere.
    Frozen,
    /// Blocks that train normalise by the batch, update running statistics and train scale and shift.
    Updated,
    /// Running statistics stay; scale and shift train where their block does.
    AffineOnly,
}

const WORDS: [&str; 6] = [
    "feature-extractor",
    "full",
    "norm-only",
    "bias-only",
    "surgical",
    "auto",
];

/// The section as it stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    policy: WrittenPolicy,
    batch_norm: BatchNorm,
}

impl Default for Written {
    fn default() -> Self {
        FreezeConfig::default().into()
    }
}

enum WrittenPolicy {
    Word(String),
    Table(Box<Table>),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Table {
    #[serde(skip_serializing_if = "is_false")]
    feature_extractor: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_blocks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    full: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<Rule>>,
    #[serde(skip_serializing_if = "is_false")]
    norm_only: bool,
    #[serde(skip_serializing_if = "is_false")]
    bias_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gradual: Option<Gradual>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe_then_tune: Option<ProbeThenTune>,
    #[serde(skip_serializing_if = "is_false")]
    surgical: bool,
    #[serde(skip_serializing_if = "is_false")]
    auto: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    l2_sp: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gradual {
    every: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeThenTune {
    probe_epochs: usize,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Serialize for WrittenPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for WrittenPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = WrittenPolicy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a policy name or a table such as {{ last-blocks = 2 }}")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<WrittenPolicy, E> {
                if WORDS.contains(&word) {
                    return Ok(WrittenPolicy::Word(word.to_owned()));
                }
                let near = WORDS.iter().max_by(|a, b| {
                    strsim::jaro_winkler(word, a).total_cmp(&strsim::jaro_winkler(word, b))
                });
                Err(E::custom(format!(
                    "unknown freeze policy `{word}`; did you mean `{}`? words: {}; tables: {{ last-blocks = 2 }}, {{ from = \"…\" }}, {{ until = \"…\" }}, {{ rules = […] }}, {{ layer-decay = 0.65 }}",
                    near.unwrap_or(&WORDS[0]),
                    WORDS.join(", ")
                )))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenPolicy, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(WrittenPolicy::Table(Box::new(table)))
            }
        }
        deserializer
            .deserialize_any(WordOrTable)
            .map_err(D::Error::custom)
    }
}

impl TryFrom<Written> for FreezeConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        Ok(Self::new(
            PolicyPart::try_from(written.policy)?,
            written.batch_norm,
        ))
    }
}

impl TryFrom<WrittenPolicy> for PolicyPart {
    type Error = String;

    fn try_from(written: WrittenPolicy) -> Result<Self, String> {
        let table = match written {
            WrittenPolicy::Word(word) => {
                return Ok(Self {
                    policy: word_policy(&word)?,
                    layer_decay: None,
                    l2_sp: None,
                });
            }
            WrittenPolicy::Table(table) => table,
        };
        let (layer_decay, l2_sp) = (table.layer_decay, table.l2_sp);
        if let Some(decay) = layer_decay.filter(|decay| !(*decay > 0.0 && *decay <= 1.0)) {
            return Err(format!(
                "`layer-decay = {decay}`: expected more than 0 and at most 1"
            ));
        }
        if let Some(pull) = l2_sp.filter(|pull| !(*pull >= 0.0 && pull.is_finite())) {
            return Err(format!("`l2-sp = {pull}`: expected a number from 0"));
        }
        Ok(Self {
            policy: table_policy(*table)?,
            layer_decay,
            l2_sp,
        })
    }
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

fn word_policy(word: &str) -> Result<Policy, String> {
    Ok(match word {
        "feature-extractor" => Policy::FeatureExtractor,
        "full" => Policy::Full,
        "norm-only" => Policy::NormOnly,
        "bias-only" => Policy::BiasOnly,
        "surgical" => Policy::Surgical,
        "auto" => Policy::Auto,
        other => return Err(format!("unknown freeze policy `{other}`")),
    })
}

fn table_policy(table: Table) -> Result<Policy, String> {
    let named: Vec<(&str, Policy)> = [
        table
            .feature_extractor
            .then_some(("feature-extractor", Policy::FeatureExtractor)),
        table
            .last_blocks
            .map(|n| ("last-blocks", Policy::LastBlocks(n))),
        table.from.map(|name| ("from", Policy::From(name))),
        table.until.map(|name| ("until", Policy::Until(name))),
        table.full.then_some(("full", Policy::Full)),
        table.rules.map(|rules| ("rules", Policy::Rules(rules))),
        table.norm_only.then_some(("norm-only", Policy::NormOnly)),
        table.bias_only.then_some(("bias-only", Policy::BiasOnly)),
        table
            .gradual
            .map(|g| ("gradual", Policy::Gradual { every: g.every })),
        table.probe_then_tune.map(|p| {
            (
                "probe-then-tune",
                Policy::ProbeThenTune {
                    probe_epochs: p.probe_epochs,
                },
            )
        }),
        table.surgical.then_some(("surgical", Policy::Surgical)),
        table.auto.then_some(("auto", Policy::Auto)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [(first, _), (second, _), ..] = named.as_slice() {
        return Err(format!(
            "`{first}` and `{second}` both say how deep to train; keep one"
        ));
    }
    match named.into_iter().next() {
        Some((name, Policy::Gradual { every: 0 } | Policy::ProbeThenTune { probe_epochs: 0 })) => {
            Err(format!("`{name}` needs at least one epoch"))
        }
        Some((_, policy)) => Ok(policy),
        None if table.layer_decay.is_some() || table.l2_sp.is_some() => Ok(Policy::Full),
        None => Err(
            "an empty policy table; write for example { last-blocks = 2 } or \"full\"".to_owned(),
        ),
    }
}

impl From<FreezeConfig> for Written {
    fn from(config: FreezeConfig) -> Self {
        Self {
            policy: config.policy_part().into(),
            batch_norm: config.batch_norm,
        }
    }
}

impl From<PolicyPart> for WrittenPolicy {
    fn from(config: PolicyPart) -> Self {
        let word = match &config.policy {
            Policy::FeatureExtractor => Some("feature-extractor"),
            Policy::Full => Some("full"),
            Policy::NormOnly => Some("norm-only"),
            Policy::BiasOnly => Some("bias-only"),
            Policy::Surgical => Some("surgical"),
            Policy::Auto => Some("auto"),
            _ => None,
        };
        let combined = config.layer_decay.is_some() || config.l2_sp.is_some();
        match word {
            Some(word) if !combined => WrittenPolicy::Word(word.to_owned()),
            _ => {
                let mut table = Table {
                    layer_decay: config.layer_decay,
                    l2_sp: config.l2_sp,
                    ..Table::default()
                };
                match config.policy {
                    Policy::FeatureExtractor => table.feature_extractor = true,
                    Policy::LastBlocks(n) => table.last_blocks = Some(n),
                    Policy::From(name) => table.from = Some(name),
                    Policy::Until(name) => table.until = Some(name),
                    Policy::Full => table.full = true,
                    Policy::Rules(rules) => table.rules = Some(rules),
                    Policy::NormOnly => table.norm_only = true,
                    Policy::BiasOnly => table.bias_only = true,
                    Policy::Gradual { every } => table.gradual = Some(Gradual { every }),
                    Policy::ProbeThenTune { probe_epochs } => {
                        table.probe_then_tune = Some(ProbeThenTune { probe_epochs });
                    }
                    Policy::Surgical => table.surgical = true,
                    Policy::Auto => table.auto = true,
                }
                WrittenPolicy::Table(Box::new(table))
            }
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::FeatureExtractor => write!(f, "feature-extractor"),
            Policy::LastBlocks(n) => write!(f, "last-blocks = {n}"),
            Policy::From(name) => write!(f, "from = \"{name}\""),
            Policy::Until(name) => write!(f, "until = \"{name}\""),
            Policy::Full => write!(f, "full"),
            Policy::Rules(rules) => write!(f, "{} rules", rules.len()),
            Policy::NormOnly => write!(f, "norm-only"),
            Policy::BiasOnly => write!(f, "bias-only"),
            Policy::Gradual { .. } => write!(f, "gradual"),
            Policy::ProbeThenTune { .. } => write!(f, "probe-then-tune"),
            Policy::Surgical => write!(f, "surgical"),
            Policy::Auto => write!(f, "auto"),
        }
    }
}
