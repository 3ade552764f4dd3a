//! The keys that a recipe may have, and the nearest one to a key that it may not.

use crate::error::KeyHint;
use regraft_spec::similar::likely;

/// What there is to say about a key of a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo {
    /// The whole key, dotted, such as `train.optimizer.momentum`.
    pub key: &'static str,
    /// Type and range of its values, in the words of the error about a value that will not do.
    pub takes: &'static str,
    /// The value where the key is left out: as TOML, or in words where it depends on other keys or on the model.
    pub default: &'static str,
    /// One sentence on what it does.
    pub about: &'static str,
}

/// Every key of a recipe, in the order they are written: section by section, and the keys of a table after the key of
/// the table. The reader knows no other list: a table of a recipe is one that this list has a key of.
///
/// The table of `freeze.policy` belongs to `regraft-freeze`, which reads it.
pub const KEYS: &[KeyInfo] = &[
    KeyInfo {
        key: "model.source",
        takes: "a string that is not empty",
        default: "none; the command takes the embedded `squeezenet1.1`",
        about: "The network to start from: a zoo name, the path of an ONNX file, or a run folder.",
    },
    KeyInfo {
        key: "model.head",
        takes: "`linear`, `mlp` or `keep`, or a table with `kind`",
        default: "\"linear\"",
        about: "What comes after the features.",
    },
    KeyInfo {
        key: "model.head.kind",
        takes: "`linear`, `mlp` or `keep`",
        default: "\"linear\"",
        about: "One new linear layer, two with a ReLU between them, or the model's own head.",
    },
    KeyInfo {
        key: "model.head.at",
        takes: "a string that is not empty",
        default: "where the model's own head begins",
        about: "Name of the node whose output feeds a new head.",
    },
    KeyInfo {
        key: "model.head.hidden",
        takes: "a whole number from 1 to 65536",
        default: "512 for mlp",
        about: "Units between the two layers of an mlp.",
    },
    KeyInfo {
        key: "model.head.dropout",
        takes: "a number from 0 to below 1",
        default: "0 for mlp",
        about: "Probability of dropping a hidden unit of an mlp.",
    },
    KeyInfo {
        key: "model.dropout",
        takes: "a number from 0 to below 1",
        default: "0.0",
        about: "Probability of dropping a feature before a new head.",
    },
    KeyInfo {
        key: "data.source",
        takes: "a string that is not empty",
        default: "none; every recipe says it",
        about: "The images: the path of a folder with a folder for each class, or with IDX files.",
    },
    KeyInfo {
        key: "data.classes",
        takes: "\"all\" or the names of at least two classes in brackets",
        default: "\"all\"",
        about: "The classes to use, in the order of their labels.",
    },
    KeyInfo {
        key: "data.per_class",
        takes: "\"all\" or a whole number from 1 to 2^53",
        default: "\"all\"",
        about: "Most training images of a class, before any are held out for validation.",
    },
    KeyInfo {
        key: "data.validation",
        takes: "a number from 0 to below 1",
        default: "0.2",
        about: "Share of the images held out for validation; ignored where the data has its own split.",
    },
    KeyInfo {
        key: "data.preprocess",
        takes: "\"auto\" or a table",
        default: "\"auto\"",
        about: "How an image becomes numbers: as the model says, but for the keys of a table.",
    },
    KeyInfo {
        key: "data.preprocess.size",
        takes: "a whole number from 1 to 4096",
        default: "the model's",
        about: "Side of the square the network sees, in pixels.",
    },
    KeyInfo {
        key: "data.preprocess.resize",
        takes: "a whole number from 1 to 16384, at least `size`",
        default: "`size` where that is given, else the model's",
        about: "Shorter side after resizing, in pixels.",
    },
    KeyInfo {
        key: "data.preprocess.crop",
        takes: "`center` or `squash`",
        default: "the model's",
        about: "How a rectangle becomes a square.",
    },
    KeyInfo {
        key: "data.preprocess.interpolation",
        takes: "`nearest`, `bilinear`, `bicubic` or `lanczos`",
        default: "the model's",
        about: "Resampling filter.",
    },
    KeyInfo {
        key: "data.preprocess.channels",
        takes: "`rgb`, `bgr` or `grey`",
        default: "the model's",
        about: "Channel order of the network's input.",
    },
    KeyInfo {
        key: "data.preprocess.scale",
        takes: "a number above 0",
        default: "the model's",
        about: "Factor on the pixel values, which go from 0 to 255.",
    },
    KeyInfo {
        key: "data.preprocess.mean",
        takes: "one number or three in brackets, each a finite number",
        default: "the model's",
        about: "Mean per channel after scaling, in the model's channel order.",
    },
    KeyInfo {
        key: "data.preprocess.std",
        takes: "one number or three in brackets, each a number above 0",
        default: "the model's",
        about: "Standard deviation per channel after scaling: as many numbers as `mean` has.",
    },
    KeyInfo {
        key: "data.augment",
        takes: "`none`, `light` or `standard`",
        default: "\"none\"",
        about: "Random changes to training images; with none, the features under a frozen trunk can be cached.",
    },
    KeyInfo {
        key: "data.on_bad_image",
        takes: "`error` or `skip`",
        default: "\"error\"",
        about: "What happens when an image cannot be decoded.",
    },
    KeyInfo {
        key: "freeze.policy",
        takes: "`feature-extractor`, `full`, `norm-only`, `bias-only` or `auto`, or a table with `last-blocks`, `from`, `until`, `rules` or `layer-decay`",
        default: "\"feature-extractor\"",
        about: "Which layers train; the others stay as they are.",
    },
    KeyInfo {
        key: "freeze.batch_norm",
        takes: "`auto`, `frozen`, `updated` or `affine-only`",
        default: "\"auto\"",
        about: "What the statistics, scale and shift of batch norm do where layers train.",
    },
    KeyInfo {
        key: "train.epochs",
        takes: "a whole number from 1 to 1000000",
        default: "10",
        about: "Passes over the training images.",
    },
    KeyInfo {
        key: "train.batch_size",
        takes: "a whole number from 1 to 65536",
        default: "32",
        about: "Images a step.",
    },
    KeyInfo {
        key: "train.optimizer",
        takes: "`sgd` or `adamw`, or a table with `name`",
        default: "\"adamw\"",
        about: "The rule that turns gradients into steps.",
    },
    KeyInfo {
        key: "train.optimizer.name",
        takes: "`sgd` or `adamw`",
        default: "\"adamw\"",
        about: "Which optimizer.",
    },
    KeyInfo {
        key: "train.optimizer.momentum",
        takes: "a number from 0 to below 1",
        default: "0.9 for sgd",
        about: "Share of the last step kept in the next; for sgd alone.",
    },
    KeyInfo {
        key: "train.optimizer.nesterov",
        takes: "`true` or `false`",
        default: "false for sgd",
        about: "Whether the gradient is taken where momentum leads; for sgd alone.",
    },
    KeyInfo {
        key: "train.optimizer.betas",
        takes: "two numbers in brackets, each from 0 to below 1",
        default: "[0.9, 0.999]",
        about: "Decay of the running means of gradients and of their squares; for adamw alone.",
    },
    KeyInfo {
        key: "train.optimizer.epsilon",
        takes: "a number above 0",
        default: "1e-8",
        about: "Added to the denominator; for adamw alone.",
    },
    KeyInfo {
        key: "train.optimizer.weight_decay",
        takes: "a number of at least 0",
        default: "0.0001 for sgd, 0.01 for adamw",
        about: "Pull of the weights towards zero.",
    },
    KeyInfo {
        key: "train.lr",
        takes: "a number above 0",
        default: "0.01 for sgd, 0.001 for adamw",
        about: "Peak learning rate.",
    },
    KeyInfo {
        key: "train.schedule",
        takes: "`constant`, `cosine` or `one-cycle`, or a table with `name`",
        default: "\"one-cycle\"",
        about: "The learning rate over time.",
    },
    KeyInfo {
        key: "train.schedule.name",
        takes: "`constant`, `cosine` or `one-cycle`",
        default: "\"one-cycle\"",
        about: "What the learning rate does after the warm-up.",
    },
    KeyInfo {
        key: "train.schedule.warmup_epochs",
        takes: "a number from 0 to below `train.epochs`",
        default: "3/10 of the epochs for one-cycle, else 0",
        about: "Epochs over which the learning rate rises to its peak; fractions count.",
    },
    KeyInfo {
        key: "train.label_smoothing",
        takes: "a number from 0 to below 1",
        default: "0.0",
        about: "Share of the target that is spread over all classes.",
    },
    KeyInfo {
        key: "train.grad_clip",
        takes: "a number of at least 0",
        default: "0.0",
        about: "Largest norm of all gradients together; 0 sets no limit.",
    },
    KeyInfo {
        key: "train.micro_batches",
        takes: "a whole number from 1 to 65536",
        default: "1",
        about: "Parts that a batch is cut into to save memory; their gradients are summed before a step is taken.",
    },
    KeyInfo {
        key: "train.ema",
        takes: "a number from 0 to below 1",
        default: "0.0",
        about: "Share of the running mean of weights that stays in each step, such as 0.999; 0 keeps no mean. Where there is one, it is evaluated and written.",
    },
    KeyInfo {
        key: "train.early_stopping",
        takes: "\"none\" or a table such as `{ patience = 5 }`",
        default: "\"none\"",
        about: "When to stop before the last epoch.",
    },
    KeyInfo {
        key: "train.early_stopping.patience",
        takes: "a whole number from 1 to 1000000",
        default: "5 with the table",
        about: "Epochs without a better validation result after which training stops.",
    },
    KeyInfo {
        key: "train.early_stopping.metric",
        takes: "`accuracy` or `loss`",
        default: "\"accuracy\" with the table",
        about: "The validation result that is watched.",
    },
    KeyInfo {
        key: "train.seed",
        takes: "a whole number from 0 to 2^63 - 1",
        default: "42",
        about: "Seed of every random number.",
    },
    KeyInfo {
        key: "train.shuffle",
        takes: "`true` or `false`",
        default: "true",
        about: "Whether the images come in a new order each epoch.",
    },
    KeyInfo {
        key: "train.feature_cache",
        takes: "`auto`, `off` or `memory`",
        default: "\"auto\"",
        about: "Where the features under a frozen trunk are kept between epochs.",
    },
    KeyInfo {
        key: "train.trunk_precision",
        takes: "`f32` or `bf16`",
        default: "\"f32\"",
        about: "In what the frozen trunk multiplies; bf16 needs a processor with AVX-512 BF16.",
    },
    KeyInfo {
        key: "train.checkpoint_every",
        takes: "a whole number from 1 to 1000000",
        default: "1",
        about: "Epochs between checkpoints.",
    },
    KeyInfo {
        key: "device.name",
        takes: "a string that is not empty",
        default: "\"auto\"",
        about: "The backend that computes, with the number of the device where there are several.",
    },
    KeyInfo {
        key: "device.threads",
        takes: "a whole number from 0 to 1024",
        default: "0",
        about: "Threads to compute with; 0 takes all.",
    },
];

/// Names that other tools give to our keys.
const ALSO_CALLED: &[(&str, &str)] = &[
    ("arch", "model.source"),
    ("augmentation", "data.augment"),
    ("backbone", "model.source"),
    ("backend", "device.name"),
    ("accumulate", "train.micro_batches"),
    ("accumulate_grad_batches", "train.micro_batches"),
    ("batch", "train.batch_size"),
    ("bs", "train.batch_size"),
    ("clip_grad", "train.grad_clip"),
    ("dataset", "data.source"),
    ("ema_decay", "train.ema"),
    ("freeze_layers", "freeze.policy"),
    ("freeze_policy", "freeze.policy"),
    ("gradient_accumulation_steps", "train.micro_batches"),
    ("gradient_clip_val", "train.grad_clip"),
    ("image_size", "data.preprocess.size"),
    ("img_size", "data.preprocess.size"),
    ("imgsz", "data.preprocess.size"),
    ("input_size", "data.preprocess.size"),
    ("learning_rate", "train.lr"),
    ("lr0", "train.lr"),
    ("lr_scheduler", "train.schedule"),
    ("max_epochs", "train.epochs"),
    ("max_lr", "train.lr"),
    ("model_ema_decay", "train.ema"),
    ("n_epochs", "train.epochs"),
    ("nb_epochs", "train.epochs"),
    ("num_epochs", "train.epochs"),
    ("num_workers", "device.threads"),
    ("optim", "train.optimizer"),
    ("random_seed", "train.seed"),
    ("resolution", "data.preprocess.size"),
    ("scheduler", "train.schedule"),
    ("smoothing", "train.label_smoothing"),
    ("val_split", "data.validation"),
    ("validation_split", "data.validation"),
    ("workers", "device.threads"),
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

/// A value that the `source` of a section may have, for messages and for a recipe to begin with.
pub(crate) fn example_source(section: &str) -> &'static str {
    match section {
        "model" => "squeezenet1.1",
        _ => "data/flowers",
    }
}

/// The keys of `table` in the order they are written, or none when that is no table of a recipe.
pub(crate) fn of(table: &str) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    for info in KEYS {
        let inside = match table {
            "" => Some(info.key),
            table => info
                .key
                .strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.')),
        };
        let name = inside.map(|rest| rest.split_once('.').map_or(rest, |(first, _)| first));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    (!names.is_empty()).then_some(names)
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
    let spelt_our_way = key.to_ascii_lowercase().replace('-', "_");
    if let Some(ours) = only_key_named(&spelt_our_way).or_else(|| also_called(&spelt_our_way)) {
        return KeyHint::DidYouMean(ours.to_owned());
    }
    match likely(&spelt_our_way, known.iter().copied()) {
        Some(near) => KeyHint::DidYouMean(join(table, near)),
        None => KeyHint::KnownKeys(known),
    }
}

/// The whole key or section of that name, if there is one alone.
fn only_key_named(name: &str) -> Option<&'static str> {
    let sections = of("").unwrap_or_default();
    let mut found = KEYS
        .iter()
        .map(|info| info.key)
        .chain(sections)
        .filter(|key| key.rsplit('.').next() == Some(name));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn also_called(name: &str) -> Option<&'static str> {
    ALSO_CALLED
        .iter()
        .find(|(theirs, _)| *theirs == name)
        .map(|(_, ours)| *ours)
}
