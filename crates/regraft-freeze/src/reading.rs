//! The `[freeze]` section as it is read from TOML or JSON. A refusal says what was expected, in the words of the file.
//!
//! Derived readers name Rust types in their messages and cannot suggest a table for a word, so these are written by hand.
//! Each checks a value while it is read, so that an error has the place of that value in the file.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::policy::{BatchNorm, FreezeConfig, Policy, PolicyPart, Rule};
use regraft_spec::similar::{letters, misspelling};

use crate::text::{WORD, cut};

/// Policies that are a word. Each is a key of the policy table, too.
const WORDS: [&str; 8] = [
    "feature-extractor",
    "full",
    "norm-only",
    "bias-only",
    "gradual",
    "probe-then-tune",
    "surgical",
    "auto",
];

/// The other keys of the policy table: what each takes, and an example.
const TABLES: [(&str, &str, &str); 6] = [
    (
        "last-blocks",
        "a whole number from 0",
        "{ last-blocks = 2 }",
    ),
    ("from", "the name of a block", "{ from = \"layer3\" }"),
    ("until", "the name of a block", "{ until = \"layer2\" }"),
    (
        "rules",
        "an array of rules",
        "{ rules = [{ train = \"layer4.**\" }] }",
    ),
    (
        "layer-decay",
        "a number above 0 and at most 1",
        "{ layer-decay = 0.65 }",
    ),
    (
        "l2-sp",
        "a number of at least 0",
        "{ full = true, l2-sp = 0.01 }",
    ),
];

/// How a rule is written.
const RULE: &str = "{ train = \"layer4.**\" } or { freeze = \"**.bn*.*\" }";

/// The words of `batch_norm`.
const BATCH_NORMS: [(&str, BatchNorm); 4] = [
    ("auto", BatchNorm::Auto),
    ("frozen", BatchNorm::Frozen),
    ("updated", BatchNorm::Updated),
    ("affine-only", BatchNorm::AffineOnly),
];

/// The keys of the section.
const SECTION: [&str; 2] = ["policy", "batch_norm"];

impl<'de> Deserialize<'de> for FreezeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read(SectionShape))
    }
}

impl<'de> Deserialize<'de> for PolicyPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read(PolicyShape))
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read(RuleShape { number: None }))
    }
}

impl<'de> Deserialize<'de> for BatchNorm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read(Plain(batch_norm)))
    }
}

/// `policy` and `batch_norm`.
struct SectionShape;

impl<'de> Shape<'de> for SectionShape {
    type Value = FreezeConfig;

    fn plain(&self, found: Found) -> Result<FreezeConfig, String> {
        Err(format!(
            "expected a table such as {{ policy = \"full\", batch_norm = \"auto\" }}, not {found}"
        ))
    }

    fn table<A: MapAccess<'de>>(self, mut entries: Entries<A>) -> Result<FreezeConfig, A::Error> {
        let (mut policy, mut batch_norm) = (None, None);
        while let Some(key) = entries.key(&self, &SECTION, section_key)? {
            match key {
                "policy" => policy = Some(entries.value(PolicyShape)?),
                _ => batch_norm = Some(entries.value(Plain(self::batch_norm))?),
            }
        }
        Ok(FreezeConfig::new(
            policy.unwrap_or_default(),
            batch_norm.unwrap_or_default(),
        ))
    }
}

fn section_key(key: &str) -> String {
    if let Some(near) = misspelling(key, SECTION) {
        return did_you_mean("key", key, &format!("`{near}`"));
    }
    match misspelling(key, policy_keys()) {
        Some(name) => did_you_mean("key", key, &format!("`policy = {}`", as_value(name))),
        None => format!(
            "unknown key `{}`; expected `policy` or `batch_norm`",
            cut(key, WORD)
        ),
    }
}

/// A word or a table.
struct PolicyShape;

impl<'de> Shape<'de> for PolicyShape {
    type Value = PolicyPart;

    fn plain(&self, found: Found) -> Result<PolicyPart, String> {
        let Found::Text(word) = found else {
            return Err(format!(
                "expected a policy name such as \"full\", or a table such as {{ last-blocks = 2 }}, not {found}"
            ));
        };
        let policy = named(&word).ok_or_else(|| unknown_policy(&word))?;
        Ok(PolicyPart {
            policy,
            ..PolicyPart::default()
        })
    }

    fn table<A: MapAccess<'de>>(self, mut entries: Entries<A>) -> Result<PolicyPart, A::Error> {
        let known: Vec<&'static str> = policy_keys().collect();
        let mut policies: Vec<(&str, Policy)> = Vec::new();
        let (mut layer_decay, mut l2_sp) = (None, None);
        while let Some(key) = entries.key(&self, &known, policy_key)? {
            let policy = match key {
                "layer-decay" => {
                    layer_decay = Some(entries.value(Plain(decay))?);
                    continue;
                }
                "l2-sp" => {
                    l2_sp = Some(entries.value(Plain(pull))?);
                    continue;
                }
                "gradual" | "probe-then-tune" => match entries.value(Stepwise(key))? {
                    Some(policy) => policy,
                    None => continue,
                },
                "last-blocks" => Policy::LastBlocks(entries.value(Plain(count))?),
                "from" => Policy::From(entries.value(Plain(|found| block(key, found)))?),
                "until" => Policy::Until(entries.value(Plain(|found| block(key, found)))?),
                "rules" => Policy::Rules(entries.value(RulesShape)?),
                word => match entries.value(Plain(|found| flag(word, found)))? {
                    true => named(word).unwrap_or_default(),
                    false => continue,
                },
            };
            policies.push((key, policy));
        }
        policies.sort_by_key(|(key, _)| known.iter().position(|known| known == key));
        if let [(first, _), (second, _), ..] = policies.as_slice() {
            return Err(A::Error::custom(format!(
                "`{first}` and `{second}` both say how deep to train; keep one"
            )));
        }
        let policy = match (policies.pop(), layer_decay.or(l2_sp)) {
            (Some((_, policy)), _) => policy,
            (None, Some(_)) => Policy::Full,
            (None, None) => {
                return Err(A::Error::custom(
                    "an empty policy table; write for example { last-blocks = 2 } or \"full\"",
                ));
            }
        };
        Ok(PolicyPart {
            policy,
            layer_decay,
            l2_sp,
        })
    }
}

fn named(word: &str) -> Option<Policy> {
    match word {
        "feature-extractor" => Some(Policy::FeatureExtractor),
        "full" => Some(Policy::Full),
        "norm-only" => Some(Policy::NormOnly),
        "bias-only" => Some(Policy::BiasOnly),
        "gradual" => Some(Policy::Gradual { every: 1 }),
        "probe-then-tune" => Some(Policy::ProbeThenTune { probe_epochs: 0 }),
        "surgical" => Some(Policy::Surgical),
        "auto" => Some(Policy::Auto),
        _ => None,
    }
}

fn unknown_policy(word: &str) -> String {
    // `last-blocks = 2` in quotes is how the plan prints it, and what `--set freeze.policy=last-blocks=2` comes to.
    let key = word
        .split('=')
        .next()
        .unwrap_or(word)
        .trim_matches(['{', ' ']);
    if let Some((name, takes, example)) = TABLES.iter().find(|(name, ..)| *name == key) {
        return format!("`{name}` takes {takes}; write it as a table: {example}");
    }
    match Meant::by(key) {
        Some(Meant::Key(name)) => {
            did_you_mean("freeze policy", word, &format!("`{}`", bare_value(name)))
        }
        Some(Meant::AllOrNothing) => did_you_mean(
            "freeze policy",
            word,
            "`full` (everything trains) or `feature-extractor` (only the head does)",
        ),
        None => {
            let tables: Vec<&str> = TABLES.iter().map(|(_, _, example)| *example).collect();
            format!(
                "unknown freeze policy `{}`; expected `{}`, or a table: {}",
                cut(word, WORD),
                WORDS.join("`, `"),
                tables.join(", ")
            )
        }
    }
}

fn policy_key(key: &str) -> String {
    if ["train", "freeze"].contains(&key) {
        return did_you_mean(
            "key",
            key,
            &format!("`{{ rules = [{{ {key} = \"layer4.**\" }}] }}`"),
        );
    }
    if letters(key) == "batchnorm" {
        return "`batch_norm` stands beside `policy`, not inside it".to_owned();
    }
    match Meant::by(key) {
        Some(Meant::Key(name)) => did_you_mean("key", key, &format!("`{name}`")),
        Some(Meant::AllOrNothing) => did_you_mean("key", key, "`full` or `feature-extractor`"),
        None => {
            let known: Vec<&str> = policy_keys().collect();
            format!(
                "unknown key `{}` in a policy; expected one of `{}`",
                cut(key, WORD),
                known.join("`, `")
            )
        }
    }
}

fn policy_keys() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, ..)| *name).chain(WORDS)
}

/// What a word that is no policy may stand for.
enum Meant {
    /// A key of the policy table.
    Key(&'static str),
    /// `full` or `feature-extractor`: the word does not say whether everything trains or is frozen.
    AllOrNothing,
}

impl Meant {
    fn by(word: &str) -> Option<Self> {
        let near = match letters(&cut(word, WORD)).as_str() {
            "freeze" | "frozen" | "freezeall" | "freezebackbone" | "head" | "headonly"
            | "classifier" | "linear" | "linearprobe" | "probe" => Some("feature-extractor"),
            "finetune" | "finetuning" | "fullfinetune" | "unfreeze" | "unfrozen" | "train" => {
                Some("full")
            }
            "none" | "nothing" | "all" | "everything" => return Some(Self::AllOrNothing),
            "bn" | "bnonly" | "norms" => Some("norm-only"),
            "bitfit" => Some("bias-only"),
            "lastlayers" | "lastn" => Some("last-blocks"),
            "layerwisedecay" | "lrdecay" => Some("layer-decay"),
            _ => misspelling(word, policy_keys()),
        };
        near.map(Self::Key)
    }
}

/// How a policy is written as the value of `policy`.
fn as_value(name: &str) -> String {
    match named(name) {
        Some(_) => format!("\"{name}\""),
        None => bare_value(name).to_owned(),
    }
}

/// The same with a word left bare.
fn bare_value(name: &str) -> &str {
    TABLES
        .iter()
        .find(|(known, ..)| *known == name)
        .map_or(name, |(_, _, example)| example)
}

fn did_you_mean(what: &str, word: &str, meant: &str) -> String {
    format!(
        "unknown {what} `{}`; did you mean {meant}?",
        cut(word, WORD)
    )
}

fn refused(key: &str, found: &Found) -> String {
    match TABLES.iter().find(|(name, ..)| *name == key) {
        Some((_, takes, example)) => {
            format!("`{key}`: expected {takes}, such as {example}, not {found}")
        }
        None => format!(
            "`{key}`: expected true, such as {{ {key} = true, layer-decay = 0.65 }}, not {found}"
        ),
    }
}

/// `true`, or a table with the one number that a policy in steps has.
struct Stepwise(&'static str);

impl Stepwise {
    /// The number's key, its least value, and an example.
    fn number(&self) -> (&'static str, i128, &'static str) {
        match self.0 {
            "gradual" => ("every", 1, "{ gradual = { every = 2 } }"),
            _ => (
                "probe_epochs",
                0,
                "{ probe-then-tune = { probe_epochs = 3 } }",
            ),
        }
    }

    fn refused(&self, found: &Found) -> String {
        let (key, least, example) = self.number();
        format!(
            "`{}`: expected true, or a table with `{key}`, a whole number from {least}, such as {example}, not {found}",
            self.0
        )
    }
}

impl<'de> Shape<'de> for Stepwise {
    type Value = Option<Policy>;

    fn plain(&self, found: Found) -> Result<Option<Policy>, String> {
        match found {
            Found::Flag(true) => Ok(named(self.0)),
            Found::Flag(false) => Ok(None),
            found => Err(self.refused(&found)),
        }
    }

    fn table<A: MapAccess<'de>>(self, mut entries: Entries<A>) -> Result<Self::Value, A::Error> {
        let (key, least, example) = self.number();
        let unknown = |found: &str| {
            format!(
                "unknown key `{}` in `{}`; expected `{key}`, such as {example}",
                cut(found, WORD),
                self.0
            )
        };
        let known = [key];
        let mut policy = named(self.0);
        while entries.key(&self, &known, unknown)?.is_some() {
            let number = entries.value(Plain(|found| match found {
                Found::Whole(number) if number >= least => {
                    usize::try_from(number).map_err(|_| self.refused(&Found::Whole(number)))
                }
                found => Err(self.refused(&found)),
            }))?;
            policy = Some(match self.0 {
                "gradual" => Policy::Gradual { every: number },
                _ => Policy::ProbeThenTune {
                    probe_epochs: number,
                },
            });
        }
        Ok(policy)
    }
}

fn pull(found: Found) -> Result<f64, String> {
    match found {
        Found::Whole(0) => Some(0.0),
        Found::Whole(pull) if pull > 0 => Some(pull as f64),
        Found::Number(pull) if pull >= 0.0 && pull.is_finite() => Some(pull),
        _ => None,
    }
    .ok_or_else(|| refused("l2-sp", &found))
}

fn count(found: Found) -> Result<usize, String> {
    match found {
        Found::Whole(blocks) => usize::try_from(blocks).ok(),
        _ => None,
    }
    .ok_or_else(|| refused("last-blocks", &found))
}

fn decay(found: Found) -> Result<f64, String> {
    match found {
        Found::Whole(1) => Some(1.0),
        Found::Number(decay) if decay > 0.0 && decay <= 1.0 => Some(decay),
        _ => None,
    }
    .ok_or_else(|| refused("layer-decay", &found))
}

fn block(key: &str, found: Found) -> Result<String, String> {
    match found {
        Found::Text(name) => Ok(name),
        found => Err(refused(key, &found)),
    }
}

fn flag(word: &str, found: Found) -> Result<bool, String> {
    match found {
        Found::Flag(flag) => Ok(flag),
        found => Err(refused(word, &found)),
    }
}

fn batch_norm(found: Found) -> Result<BatchNorm, String> {
    let known = || BATCH_NORMS.iter().map(|(name, _)| *name);
    let Found::Text(word) = found else {
        return Err(format!("expected \"{}\", not {found}", joined(known())));
    };
    if let Some((_, setting)) = BATCH_NORMS.iter().find(|(name, _)| *name == word) {
        return Ok(*setting);
    }
    let near = match letters(&cut(&word, WORD)).as_str() {
        "freeze" | "froze" | "fixed" | "fix" => Some("frozen"),
        "train" | "training" | "batch" => Some("updated"),
        "eval" => Some("affine-only"),
        _ => misspelling(&word, known()),
    };
    Err(match near {
        Some(near) => did_you_mean("batch norm setting", &word, &format!("`{near}`")),
        None => format!(
            "unknown batch norm setting `{}`; expected \"{}\"",
            cut(&word, WORD),
            joined(known())
        ),
    })
}

/// `a", "b" or "c`.
fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, first)) if !first.is_empty() => {
            format!("{}\" or \"{last}", first.join("\", \""))
        }
        _ => words.concat(),
    }
}

/// An array of rules.
struct RulesShape;

impl<'de> Shape<'de> for RulesShape {
    type Value = Vec<Rule>;

    fn plain(&self, found: Found) -> Result<Vec<Rule>, String> {
        Err(refused("rules", &found))
    }

    fn array<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Rule>, A::Error> {
        let mut rules = Vec::new();
        let shape = |number| {
            Read(RuleShape {
                number: Some(number),
            })
        };
        while let Some(rule) = items.next_element_seed(shape(rules.len() + 1))? {
            rules.push(rule);
        }
        Ok(rules)
    }
}

/// One rule.
struct RuleShape {
    /// Its place among the rules, from 1.
    number: Option<usize>,
}

impl RuleShape {
    fn error(&self, problem: &str) -> String {
        match self.number {
            Some(number) => format!("rule {number}: {problem}"),
            None => problem.to_owned(),
        }
    }
}

impl<'de> Shape<'de> for RuleShape {
    type Value = Rule;

    fn plain(&self, found: Found) -> Result<Rule, String> {
        Err(self.error(&format!("a rule is {RULE}, not {found}")))
    }

    fn table<A: MapAccess<'de>>(self, mut entries: Entries<A>) -> Result<Rule, A::Error> {
        let unknown = |key: &str| {
            self.error(&format!(
                "unknown key `{}`; a rule is {RULE}",
                cut(key, WORD)
            ))
        };
        let mut rule = None;
        while let Some(key) = entries.key(&self, &["train", "freeze"], unknown)? {
            if rule.is_some() {
                return Err(A::Error::custom(
                    self.error(&format!("a rule is {RULE}, not both; split it in two")),
                ));
            }
            let glob = entries.value(Plain(|found| match found {
                Found::Text(glob) => Ok(glob),
                found => Err(self.error(&format!(
                    "`{key}`: expected a pattern of parameter names, such as {{ {key} = \"layer4.**\" }}, not {found}"
                ))),
            }))?;
            rule = Some(match key {
                "train" => Rule::Train(glob),
                _ => Rule::Freeze(glob),
            });
        }
        rule.ok_or_else(|| {
            A::Error::custom(self.error(&format!("a rule is {RULE}, not an empty table")))
        })
    }
}

/// A value of the file, without what arrays and tables hold.
enum Found {
    Null,
    Flag(bool),
    Whole(i128),
    Number(f64),
    Text(String),
    Date,
    Array,
    Table,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => write!(f, "null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Whole(number) => write!(f, "{number}"),
            // Plain `Display` writes hundreds of digits for large and small numbers.
            Self::Number(number) => write!(f, "{number:?}"),
            Self::Text(text) => write!(f, "\"{}\"", cut(text, WORD)),
            Self::Date => write!(f, "a date"),
            Self::Array => write!(f, "an array"),
            Self::Table => write!(f, "a table"),
        }
    }
}

/// How one kind of value is read.
trait Shape<'de>: Sized {
    type Value;

    /// From a plain value, or from the fact that an array or a table was found where none is expected.
    fn plain(&self, found: Found) -> Result<Self::Value, String>;

    fn array<A: SeqAccess<'de>>(self, _items: A) -> Result<Self::Value, A::Error> {
        self.plain(Found::Array).map_err(A::Error::custom)
    }

    fn table<A: MapAccess<'de>>(self, mut entries: Entries<A>) -> Result<Self::Value, A::Error> {
        let found = match entries.map.next_key::<String>()?.as_deref() {
            Some(DATE) => Found::Date,
            _ => Found::Table,
        };
        self.plain(found).map_err(A::Error::custom)
    }
}

/// Key of the only entry of the table that a TOML date arrives as.
const DATE: &str = "$__toml_private_datetime";

/// The entries of a table, each key known and given once.
struct Entries<A> {
    map: A,
    seen: Vec<&'static str>,
}

impl<'de, A: MapAccess<'de>> Entries<A> {
    /// The next key. Another than the known ones is refused with the text that `unknown` makes of it.
    fn key<S: Shape<'de>>(
        &mut self,
        table: &S,
        known: &[&'static str],
        unknown: impl Fn(&str) -> String,
    ) -> Result<Option<&'static str>, A::Error> {
        let check = |found: Found| {
            let Found::Text(key) = found else {
                return Err("expected a key".to_owned());
            };
            match known.iter().find(|known| **known == key) {
                Some(known) if self.seen.contains(known) => {
                    Err(format!("`{known}` is given twice; keep one"))
                }
                Some(known) => Ok(*known),
                None if key == DATE => Err(table.plain(Found::Date).err().unwrap_or_default()),
                None => Err(unknown(&key)),
            }
        };
        let key = self.map.next_key_seed(Read(Plain(check)))?;
        self.seen.extend(key);
        Ok(key)
    }

    fn value<S: Shape<'de>>(&mut self, shape: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(Read(shape))
    }
}

/// A plain value, read by a function.
struct Plain<F>(F);

impl<T, F: Fn(Found) -> Result<T, String>> Shape<'_> for Plain<F> {
    type Value = T;

    fn plain(&self, found: Found) -> Result<T, String> {
        (self.0)(found)
    }
}

/// Reads a value by its shape.
struct Read<S>(S);

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for Read<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for Read<S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the freeze section")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<S::Value, E> {
        self.0.plain(Found::Null).map_err(E::custom)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<S::Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<S::Value, E> {
        self.0.plain(Found::Flag(flag)).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<S::Value, E> {
        self.visit_i128(number.into())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<S::Value, E> {
        self.visit_i128(number.into())
    }

    fn visit_i128<E: serde::de::Error>(self, number: i128) -> Result<S::Value, E> {
        self.0.plain(Found::Whole(number)).map_err(E::custom)
    }

    fn visit_u128<E: serde::de::Error>(self, number: u128) -> Result<S::Value, E> {
        match i128::try_from(number) {
            Ok(number) => self.visit_i128(number),
            Err(_) => self.visit_f64(number as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<S::Value, E> {
        self.0.plain(Found::Number(number)).map_err(E::custom)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<S::Value, E> {
        self.0
            .plain(Found::Text(text.to_owned()))
            .map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<S::Value, A::Error> {
        self.0.array(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<S::Value, A::Error> {
        self.0.table(Entries {
            map,
            seen: Vec::new(),
        })
    }
}
