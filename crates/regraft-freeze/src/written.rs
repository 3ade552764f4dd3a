//! The `[freeze]` section as it is written to a file: a policy is a word where a word says it all, else a table.

use serde::{Serialize, Serializer};

use crate::policy::{BatchNorm, FreezeConfig, Policy, PolicyPart, Rule};

/// The section.
#[derive(Serialize)]
pub(crate) struct Section {
    policy: PolicyValue,
    batch_norm: BatchNorm,
}

/// The value of the key `policy`.
pub(crate) enum PolicyValue {
    Word(&'static str),
    Table(Box<Table>),
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Table {
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

#[derive(Serialize)]
struct Gradual {
    every: usize,
}

#[derive(Serialize)]
struct ProbeThenTune {
    probe_epochs: usize,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl From<FreezeConfig> for Section {
    fn from(config: FreezeConfig) -> Self {
        Self {
            policy: config.policy_part().into(),
            batch_norm: config.batch_norm,
        }
    }
}

impl From<PolicyPart> for PolicyValue {
    fn from(part: PolicyPart) -> Self {
        let word = match &part.policy {
            Policy::FeatureExtractor => Some("feature-extractor"),
            Policy::Full => Some("full"),
            Policy::NormOnly => Some("norm-only"),
            Policy::BiasOnly => Some("bias-only"),
            Policy::Surgical => Some("surgical"),
            Policy::Auto => Some("auto"),
            Policy::LastBlocks(_)
            | Policy::From(_)
            | Policy::Until(_)
            | Policy::Rules(_)
            | Policy::Gradual { .. }
            | Policy::ProbeThenTune { .. } => None,
        };
        match word {
            Some(word) if part.layer_decay.or(part.l2_sp).is_none() => Self::Word(word),
            _ => Self::Table(Box::new(part.into())),
        }
    }
}

impl From<PolicyPart> for Table {
    fn from(part: PolicyPart) -> Self {
        let mut table = Self {
            layer_decay: part.layer_decay,
            l2_sp: part.l2_sp,
            ..Self::default()
        };
        match part.policy {
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
        table
    }
}

impl Serialize for PolicyValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}
