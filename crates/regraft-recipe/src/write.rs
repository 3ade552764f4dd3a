//! From the recipe to TOML: every key spelt out, in the order of [`TABLES`](crate::keys::TABLES).

use serde::Serialize;
use toml_edit::ser::ValueSerializer;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::names::Named;
use crate::preprocess::{PartialPreprocess, PreprocessSpec};
use crate::recipe::{
    DataSection, DeviceSection, EarlyStopping, Head, HeadKind, ModelSection, Optimizer, Recipe,
    Schedule, TrainSection,
};

/// The whole recipe.
pub(crate) fn to_toml(recipe: &Recipe) -> String {
    let mut document = DocumentMut::new();
    let mut section = |name: &str, keys: Vec<(&str, Value)>| {
        let mut table = Table::new();
        for (key, value) in keys {
            table.insert(key, Item::Value(value));
        }
        document.insert(name, Item::Table(table));
    };
    section("model", model(&recipe.model));
    section("data", data(&recipe.data));
    section(
        "freeze",
        vec![
            ("policy", foreign(&recipe.freeze.policy_part())),
            ("batch_norm", foreign(&recipe.freeze.batch_norm)),
        ],
    );
    section("train", train(&recipe.train));
    section("device", device(&recipe.device));
    document.to_string()
}

fn model(model: &ModelSection) -> Vec<(&'static str, Value)> {
    vec![
        ("source", model.source.as_str().into()),
        ("head", head(&model.head)),
        ("dropout", model.dropout.into()),
    ]
}

fn head(head: &Head) -> Value {
    let mut table = vec![("kind", head.kind.name().into())];
    if let HeadKind::Mlp { hidden, dropout } = head.kind {
        table.extend([("hidden", whole(hidden)), ("dropout", dropout.into())]);
    }
    table.extend(head.at.as_ref().map(|at| ("at", at.as_str().into())));
    inline(table)
}

fn data(data: &DataSection) -> Vec<(&'static str, Value)> {
    vec![
        ("source", data.source.as_str().into()),
        ("classes", classes(data.classes.as_deref())),
        ("per_class", data.per_class.map_or("all".into(), whole)),
        ("validation", data.validation.into()),
        ("preprocess", preprocess(&data.preprocess)),
        ("augment", foreign(&data.augment)),
        ("sampler", data.sampler.name().into()),
        ("on_bad_image", data.on_bad_image.name().into()),
    ]
}

fn classes(names: Option<&[String]>) -> Value {
    let Some(names) = names else {
        return "all".into();
    };
    Value::Array(names.iter().map(String::as_str).collect::<Array>())
}

fn preprocess(spec: &PreprocessSpec) -> Value {
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
    let keys = [
        ("size", size.map(|pixels| i64::from(pixels).into())),
        ("resize", resize.map(|pixels| i64::from(pixels).into())),
        ("crop", crop.map(|crop| crop.name().into())),
        (
            "interpolation",
            interpolation.map(|filter| filter.name().into()),
        ),
        ("channels", channels.map(|channels| channels.name().into())),
        ("scale", scale.map(|scale| double(scale).into())),
        (
            "mean",
            mean.as_deref()
                .map(|mean| array(mean.iter().copied().map(double))),
        ),
        (
            "std",
            std.as_deref()
                .map(|std| array(std.iter().copied().map(double))),
        ),
    ];
    inline(
        keys.into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    )
}

fn train(train: &TrainSection) -> Vec<(&'static str, Value)> {
    vec![
        ("epochs", whole(train.epochs)),
        ("batch_size", whole(train.batch_size)),
        ("optimizer", optimizer(&train.optimizer)),
        ("lr", train.lr.into()),
        ("schedule", schedule(&train.schedule)),
        ("mixup", train.mixup.into()),
        ("label_smoothing", train.label_smoothing.into()),
        ("ema", train.ema.into()),
        ("grad_clip", train.grad_clip.into()),
        ("class_weights", train.class_weights.name().into()),
        ("early_stopping", early_stopping(train.early_stopping)),
        ("seed", whole(train.seed)),
        ("shuffle", train.shuffle.into()),
        ("feature_cache", train.feature_cache.name().into()),
        ("trunk_precision", train.trunk_precision.name().into()),
        ("checkpoint_every", whole(train.checkpoint_every)),
    ]
}

fn optimizer(optimizer: &Optimizer) -> Value {
    let name = ("name", optimizer.name().into());
    match *optimizer {
        Optimizer::Sgd {
            momentum,
            weight_decay,
            nesterov,
        } => inline([
            name,
            ("momentum", momentum.into()),
            ("nesterov", nesterov.into()),
            ("weight_decay", weight_decay.into()),
        ]),
        Optimizer::Adamw {
            betas,
            epsilon,
            weight_decay,
        } => inline([
            name,
            ("betas", array([betas.0, betas.1])),
            ("epsilon", epsilon.into()),
            ("weight_decay", weight_decay.into()),
        ]),
    }
}

fn schedule(schedule: &Schedule) -> Value {
    inline([
        ("name", schedule.kind.name().into()),
        ("warmup_epochs", schedule.warmup_epochs.into()),
    ])
}

fn early_stopping(stopping: Option<EarlyStopping>) -> Value {
    match stopping {
        None => "none".into(),
        Some(EarlyStopping { patience, metric }) => inline([
            ("patience", whole(patience)),
            ("metric", metric.name().into()),
        ]),
    }
}

fn device(device: &DeviceSection) -> Vec<(&'static str, Value)> {
    vec![
        ("name", device.name.as_str().into()),
        ("threads", whole(device.threads)),
    ]
}

fn inline(keys: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::InlineTable(keys.into_iter().collect::<InlineTable>())
}

fn array(numbers: impl IntoIterator<Item = f64>) -> Value {
    Value::Array(numbers.into_iter().collect::<Array>())
}

/// TOML's integers end at 2^63 - 1.
fn whole(number: impl TryInto<i64>) -> Value {
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
