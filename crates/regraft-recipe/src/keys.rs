//! The keys that a recipe may have, table by table, and the nearest one to a key that it may not.

use crate::error::KeyHint;

/// Every table of a recipe with its keys, in the order they are written. The first table is the recipe itself.
///
/// The tables inside `freeze.policy` and `data.augment` belong to the crates that read them.
pub const TABLES: &[(&str, &[&str])] = &[
    ("", &["model", "data", "freeze", "train", "device"]),
    ("model", &["source", "head", "dropout"]),
    ("model.head", &["kind", "at", "hidden", "dropout"]),
    (
        "data",
        &[
            "source",
            "classes",
            "per_class",
            "validation",
            "preprocess",
            "augment",
            "sampler",
            "on_bad_image",
        ],
    ),
    (
        "data.preprocess",
        &[
            "size",
            "resize",
            "crop",
            "interpolation",
            "channels",
            "scale",
            "mean",
            "std",
        ],
    ),
    ("freeze", &["policy", "batch_norm"]),
    (
        "train",
        &[
            "epochs",
            "batch_size",
            "optimizer",
            "lr",
            "schedule",
            "mixup",
            "label_smoothing",
            "ema",
            "grad_clip",
            "class_weights",
            "early_stopping",
            "seed",
            "shuffle",
            "feature_cache",
            "trunk_precision",
            "checkpoint_every",
        ],
    ),
    (
        "train.optimizer",
        &[
            "name",
            "momentum",
            "nesterov",
            "betas",
            "epsilon",
            "weight_decay",
        ],
    ),
    ("train.schedule", &["name", "warmup_epochs"]),
    ("train.early_stopping", &["patience", "metric"]),
    ("device", &["name", "threads"]),
];

/// Names that other tools give to our keys.
const ALSO_CALLED: &[(&str, &str)] = &[
    ("backend", "device.name"),
    ("clip_grad", "train.grad_clip"),
    ("image_size", "data.preprocess.size"),
    ("learning_rate", "train.lr"),
    ("scheduler", "train.schedule"),
    ("val_split", "data.validation"),
    ("validation_split", "data.validation"),
];

/// Keys whose value is free text, so that `--set` need not quote it even where it looks like a number or a date.
pub(crate) const FREE_TEXT: &[&str] = &[
    "model.source",
    "model.head.at",
    "data.source",
    "device.name",
];

/// A key that may be a word or a table, and what the word becomes when a key inside the table is set.
pub(crate) struct Shorthand {
    pub key: &'static str,
    /// The key of the table that holds the word, and the word that its absence means; none where a table says
    /// something else altogether.
    pub tag: Option<(&'static str, &'static str)>,
    /// Keys of the table that keep their value when the tag changes; the others take the new kind's defaults.
    pub kept: &'static [&'static str],
}

/// Every key that may be a word or a table.
pub(crate) const SHORTHANDS: &[Shorthand] = &[
    Shorthand {
        key: "model.head",
        tag: Some(("kind", "linear")),
        kept: &["at"],
    },
    Shorthand {
        key: "data.preprocess",
        tag: None,
        kept: &[],
    },
    Shorthand {
        key: "data.augment",
        tag: None,
        kept: &[],
    },
    Shorthand {
        key: "freeze.policy",
        tag: None,
        kept: &[],
    },
    Shorthand {
        key: "train.optimizer",
        tag: Some(("name", "adamw")),
        kept: &[],
    },
    Shorthand {
        key: "train.schedule",
        tag: Some(("name", "one-cycle")),
        kept: &[],
    },
    Shorthand {
        key: "train.early_stopping",
        tag: None,
        kept: &[],
    },
];

/// The keys of `table`, or none when the recipe leaves them to another crate.
pub(crate) fn of(table: &str) -> Option<&'static [&'static str]> {
    TABLES
        .iter()
        .find(|(name, _)| *name == table)
        .map(|(_, keys)| *keys)
}

/// `table.key`, or `key` at the top.
pub(crate) fn join(table: &str, key: &str) -> String {
    if table.is_empty() {
        key.to_owned()
    } else {
        format!("{table}.{key}")
    }
}

/// What may have been meant by `key` in `table`: the same key in the one other table that has it, another tool's
/// name for a key of ours, the nearest key of this table, or the list of them.
pub(crate) fn hint(table: &str, key: &str) -> KeyHint {
    let known = of(table).unwrap_or_default();
    if let Some(elsewhere) = only_table_with(key) {
        return KeyHint::DidYouMean(join(elsewhere, key));
    }
    if let Some((_, ours)) = ALSO_CALLED.iter().find(|(theirs, _)| *theirs == key) {
        return KeyHint::DidYouMean((*ours).to_owned());
    }
    match nearest(key, known) {
        Some(near) => KeyHint::DidYouMean(join(table, near)),
        None => KeyHint::KnownKeys(known.to_vec()),
    }
}

fn only_table_with(key: &str) -> Option<&'static str> {
    let mut tables = TABLES
        .iter()
        .filter(|(_, keys)| keys.contains(&key))
        .map(|(name, _)| *name);
    let first = tables.next()?;
    tables.next().is_none().then_some(first)
}

fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    /// Jaro-Winkler similarity under which two names have little in common.
    const LIKE: f64 = 0.8;
    known
        .iter()
        .map(|&name| (strsim::jaro_winkler(key, name), name))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
