//! From the recipe to TOML: every key spelt out, in the order of [`KEYS`](crate::KEYS).

use serde::Serialize;
use toml_edit::ser::ValueSerializer;
use toml_edit::{Array, InlineTable, Value};

use crate::names::Named;
use crate::parse::in_sections;
use crate::preprocess::{PartialPreprocess, PreprocessSpec};
use crate::recipe::{Head, HeadKind, Recipe, Taps};
use regraft_spec::{
    Channels, ClassWeights, EarlyStopping, ImageSize, Optimizer, Schedule, ScheduleKind,
};

/// A section and its keys.
pub(crate) struct Section {
    pub name: &'static str,
    /// Each key with its value as TOML on one line; none where the recipe leaves the value to others.
    pub keys: Vec<(&'static str, Option<String>)>,
}

/// The whole recipe.
pub(crate) fn to_toml(recipe: &Recipe) -> String {
    text(sections(recipe).into_iter().map(|section| {
        let lines = section
            .keys
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key} = {}", value?)));
        (section.name, lines.collect())
    }))
}

/// Sections with their lines, as one text.
pub(crate) fn text(sections: impl Iterator<Item = (&'static str, Vec<String>)>) -> String {
    let sections: Vec<String> = sections
        .map(|(name, lines)| format!("[{name}]\n{}\n", lines.join("\n")))
        .collect();
    sections.join("\n")
}

/// Every section with every key, in the order of [`KEYS`](crate::KEYS).
pub(crate) fn sections(recipe: &Recipe) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for (info, (name, key)) in in_sections() {
        let value = info.value.write(recipe).map(|mut value| {
            keep_on_one_line(&mut value);
            value.to_string()
        });
        match sections.last_mut().filter(|last| last.name == name) {
            Some(section) => section.keys.push((key, value)),
            None => sections.push(Section {
                name,
                keys: vec![(key, value)],
            }),
        }
    }
    sections
}

/// A key with its value, if it has one.
type Entry = (&'static str, Option<Value>);

fn given(key: &'static str, value: impl Into<Value>) -> Entry {
    (key, Some(value.into()))
}

pub(crate) fn head(head: &Head) -> Value {
    let mut table = vec![given("kind", head.kind.name())];
    if let HeadKind::Mlp { hidden, dropout } = head.kind {
        table.extend([given("hidden", whole(hidden)), given("dropout", dropout)]);
    }
    table.push(("at", head.at.as_deref().map(Value::from)));
    table.push(match &head.taps {
        Taps::Auto => ("taps", None),
        Taps::Last(count) => given("taps", whole(*count)),
        Taps::Named(names) => {
            let names = names.iter().map(String::as_str).collect::<Array>();
            given("taps", Value::Array(names))
        }
    });
    inline(table)
}

/// `"none"`, or seconds.
pub(crate) fn budget(seconds: Option<f64>) -> Value {
    seconds.map_or("none".into(), |seconds| format!("{seconds}s").into())
}

/// `"all"`, or a number of images.
pub(crate) fn per_class(limit: Option<usize>) -> Value {
    limit.map_or("all".into(), whole)
}

pub(crate) fn classes(names: Option<&[String]>) -> Value {
    let Some(names) = names else {
        return "all".into();
    };
    Value::Array(names.iter().map(String::as_str).collect::<Array>())
}

fn image_size(size: ImageSize) -> Value {
    match size.height == size.width {
        true => whole(size.height),
        false => Value::Array(
            [size.height, size.width]
                .map(i64::from)
                .into_iter()
                .collect(),
        ),
    }
}

pub(crate) fn preprocess(spec: &PreprocessSpec) -> Value {
    let PreprocessSpec::Partial(partial) = spec else {
        return "auto".into();
    };
    let PartialPreprocess {
        size,
        resize,
        crop,
        interpolation,
        channels,
        scale,
        mean,
        std,
    } = partial;
    let numbers =
        |numbers: &Option<Vec<f32>>| Some(array(numbers.as_ref()?.iter().copied().map(double)));
    inline([
        ("size", size.map(image_size)),
        ("resize", resize.map(whole)),
        ("crop", crop.map(|crop| crop.name().into())),
        (
            "interpolation",
            interpolation.map(|filter| filter.name().into()),
        ),
        (
            "channels",
            channels.map(|channels| match channels {
                Channels::Stored(count) => whole(count),
                order => order.name().into(),
            }),
        ),
        ("scale", scale.map(|scale| double(scale).into())),
        ("mean", numbers(mean)),
        ("std", numbers(std)),
    ])
}

pub(crate) fn optimizer(optimizer: &Optimizer) -> Value {
    let name = given("name", optimizer.name());
    match *optimizer {
        Optimizer::Sgd {
            momentum,
            weight_decay,
            nesterov,
        } => inline([
            name,
            given("momentum", momentum),
            given("nesterov", nesterov),
            given("weight_decay", weight_decay),
        ]),
        Optimizer::Adamw {
            betas,
            epsilon,
            weight_decay,
        }
        | Optimizer::Lamb {
            betas,
            epsilon,
            weight_decay,
        } => inline([
            name,
            given("betas", array([betas.0, betas.1])),
            given("epsilon", epsilon),
            given("weight_decay", weight_decay),
        ]),
        Optimizer::Lion {
            betas,
            weight_decay,
        } => inline([
            name,
            given("betas", array([betas.0, betas.1])),
            given("weight_decay", weight_decay),
        ]),
    }
}

pub(crate) fn schedule(schedule: &Schedule) -> Value {
    let mut table = vec![given("name", schedule.kind.name())];
    match schedule.kind {
        ScheduleKind::Step { every, factor } => {
            table.extend([given("every", whole(every)), given("factor", factor)]);
        }
        ScheduleKind::CosineRestarts { first, grow } => {
            table.extend([given("first", whole(first)), given("grow", whole(grow))]);
        }
        ScheduleKind::Constant | ScheduleKind::Cosine | ScheduleKind::OneCycle => {}
    }
    table.push(("warmup_epochs", schedule.warmup_epochs.map(Value::from)));
    inline(table)
}

pub(crate) fn class_weights(weights: &ClassWeights) -> Value {
    match weights {
        ClassWeights::Equal => "none".into(),
        ClassWeights::Balanced => "balanced".into(),
        ClassWeights::Named(weights) => {
            let weights = weights
                .iter()
                .map(|(name, weight)| (name.as_str(), *weight));
            Value::InlineTable(weights.collect::<InlineTable>())
        }
    }
}

pub(crate) fn early_stopping(stopping: Option<EarlyStopping>) -> Value {
    match stopping {
        None => "none".into(),
        Some(EarlyStopping { patience, metric }) => inline([
            given("patience", whole(patience)),
            given("metric", metric.name()),
        ]),
    }
}

fn inline(entries: impl IntoIterator<Item = Entry>) -> Value {
    let given = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    Value::InlineTable(given.collect::<InlineTable>())
}

fn array(numbers: impl IntoIterator<Item = f64>) -> Value {
    Value::Array(numbers.into_iter().collect::<Array>())
}

/// TOML's integers end at 2^63 - 1.
pub(crate) fn whole(number: impl TryInto<i64>) -> Value {
    number.try_into().unwrap_or(i64::MAX).into()
}

/// The double with the shortest decimals that reads as this single again: 0.485, not 0.48500001430511475.
fn double(number: f32) -> f64 {
    match number.to_string().parse::<f64>() {
        Ok(short) if short as f32 == number => short,
        _ => f64::from(number),
    }
}

/// A value whose type another crate defines, and writes. One that TOML cannot hold, an integer over 2^63 - 1, leaves
/// words that no reader takes for a value.
pub(crate) fn foreign(value: &impl Serialize) -> Value {
    value
        .serialize(ValueSerializer::new())
        .unwrap_or_else(|error| Value::from(format!("not writable: {error}")))
}

/// Escapes line breaks in strings, which would else be written over several lines: a comment ends with its line.
fn keep_on_one_line(value: &mut Value) {
    match value {
        Value::String(text) if text.value().contains(['\n', '\r']) => {
            if let Ok(escaped) = basic_string(text.value()).parse() {
                *value = escaped;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(keep_on_one_line),
        Value::InlineTable(table) => table
            .iter_mut()
            .for_each(|(_, value)| keep_on_one_line(value)),
        _ => {}
    }
}

/// The text as a TOML string between double quotes.
fn basic_string(text: &str) -> String {
    let escape = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    let escaped: String = text.chars().map(escape).collect();
    format!("\"{escaped}\"")
}
