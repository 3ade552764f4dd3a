//! The keys that a recipe may have, each declared once, and the nearest one to a key that it may not.

use regraft_freeze::BatchNorm;
use regraft_spec::similar::likely;
use regraft_spec::{Augment, FeatureCache, OnBadImage, Precision, Sampling};
use toml_edit::Value;

use crate::error::{Error, KeyHint};
use crate::kind::{
    BELOW_ONE, BUDGET, CHANNELS, CLASS_WEIGHTS, Kind, NOT_NEGATIVE, OUTPUT, SHIFTED, SIZE, TAPS,
};
use crate::names::Named;
use crate::parse::Section;
use crate::recipe::{Recipe, Start};
use crate::{parse, write};

/// The one declaration of a key: what it is for, what it takes, how it is read and written.
#[derive(Debug, Clone, Copy)]
pub struct KeyInfo {
    /// The whole key, dotted, such as `train.optimizer.momentum`.
    pub key: &'static str,
    /// One sentence on what it does.
    pub about: &'static str,
    pub(crate) value: Kind,
}

impl KeyInfo {
    /// Type and range of its values, in the words of the error about a value that will not do.
    pub fn takes(&self) -> String {
        self.value.takes()
    }

    /// The value where the key is left out: as TOML, or in words where it depends on other keys or on the model.
    pub fn default(&self) -> String {
        self.value.default()
    }

    /// Section and name of a key that stands in a section itself, not in a table of one.
    pub(crate) fn in_section(&self) -> Option<(&'static str, &'static str)> {
        let (section, name) = self.key.split_once('.')?;
        (!name.contains('.')).then_some((section, name))
    }
}

/// Every key of a recipe, in the order they are written: section by section, and the keys of a table after the key of
/// the table. The reader knows no other list: a table of a recipe is one that this list has a key of.
///
/// The table of `freeze.policy` belongs to `regraft-freeze`, which reads it.
pub const KEYS: &[KeyInfo] = &[
    KeyInfo {
        key: "model.source",
        about: "The network to start from: a zoo name, the path of an ONNX file, or a run folder.",
        value: Kind::Own {
            takes: "a string that is not empty",
            default: "none; the command takes the embedded `squeezenet1.1`",
            read: read_before,
            write: |recipe| Some(recipe.model.source.as_str().into()),
        },
    },
    KeyInfo {
        key: "model.output",
        about: "Which of the network's outputs counts, where it has several: its name in the file. With auto it is the one that most likely tells classes.",
        value: Kind::Own {
            takes: OUTPUT,
            default: "\"auto\"",
            read: parse::output,
            write: |recipe| Some(recipe.model.output.as_deref().unwrap_or("auto").into()),
        },
    },
    KeyInfo {
        key: "model.head",
        about: "What comes after the features.",
        value: Kind::Own {
            takes: "`auto`, `solved`, `linear`, `mlp` or `keep`, or a table with `kind`",
            default: "\"auto\"",
            read: parse::head,
            write: |recipe| Some(write::head(&recipe.model.head)),
        },
    },
    KeyInfo {
        key: "model.head.kind",
        about: "A linear layer that is solved from the images' features, one that is trained, two with a ReLU between them, or the model's own head. With auto it is solved where nothing but the head trains and no key is set that only steps of training have a use for (epochs, learning rate, augmentation, dropout and the like), else linear.",
        value: Kind::Part {
            takes: "`auto`, `solved`, `linear`, `mlp` or `keep`",
            default: "\"auto\"",
        },
    },
    KeyInfo {
        key: "model.head.at",
        about: "Name of the node whose output feeds a new head.",
        value: Kind::Part {
            takes: "a string that is not empty",
            default: "where the model's own head begins",
        },
    },
    KeyInfo {
        key: "model.head.taps",
        about: "Where a solved head takes its features: where cross-validation says, after each of so many of the highest blocks, or after the blocks named.",
        value: Kind::Part {
            takes: TAPS,
            default: "\"auto\" for solved",
        },
    },
    KeyInfo {
        key: "model.head.hidden",
        about: "Units between the two layers of an mlp.",
        value: Kind::Part {
            takes: "a whole number from 1 to 65536",
            default: "512 for mlp",
        },
    },
    KeyInfo {
        key: "model.head.dropout",
        about: "Probability of dropping a hidden unit of an mlp.",
        value: Kind::Part {
            takes: "a number from 0 to below 1",
            default: "0 for mlp",
        },
    },
    KeyInfo {
        key: "model.start",
        about: "How the values of a new linear head begin where it trains: small random numbers, or solved from the images' features.",
        value: Kind::Word {
            words: Start::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.model.start),
            write: |recipe| recipe.model.start.name(),
        },
    },
    KeyInfo {
        key: "model.dropout",
        about: "Probability of dropping a feature before a new head.",
        value: Kind::Own {
            takes: BELOW_ONE.words,
            default: "0.0",
            read: parse::model_dropout,
            write: |recipe| Some(recipe.model.dropout.into()),
        },
    },
    KeyInfo {
        key: "data.source",
        about: "The images: the path of a folder with a folder for each class, or with IDX files.",
        value: Kind::Own {
            takes: "a string that is not empty",
            default: "none; every recipe says it",
            read: read_before,
            write: |recipe| Some(recipe.data.source.as_str().into()),
        },
    },
    KeyInfo {
        key: "data.shifted",
        about: "Images of the same classes in another style, as a folder with a folder for each class: nothing trains on them, and taps and candidates of `auto` are chosen to be good on them too.",
        value: Kind::Own {
            takes: SHIFTED,
            default: "\"none\"",
            read: parse::shifted,
            write: |recipe| Some(recipe.data.shifted.as_deref().unwrap_or("none").into()),
        },
    },
    KeyInfo {
        key: "data.classes",
        about: "The classes to use, in the order of their labels.",
        value: Kind::Own {
            takes: "\"all\" or the names of at least two classes in brackets",
            default: "\"all\"",
            read: parse::classes,
            write: |recipe| Some(write::classes(recipe.data.classes.as_deref())),
        },
    },
    KeyInfo {
        key: "data.per_class",
        about: "Most training images of a class, before any are held out for validation.",
        value: Kind::Own {
            takes: "\"all\" or a whole number from 1 to 2^53",
            default: "\"all\"",
            read: parse::per_class,
            write: |recipe| Some(write::per_class(recipe.data.per_class)),
        },
    },
    KeyInfo {
        key: "data.validation",
        about: "Share of the images held out for validation; ignored where the data has its own split.",
        value: Kind::Number {
            range: BELOW_ONE,
            of: |recipe| &mut recipe.data.validation,
        },
    },
    KeyInfo {
        key: "data.preprocess",
        about: "How an image becomes numbers: as the model says, but for the keys of a table.",
        value: Kind::Own {
            takes: "\"auto\" or a table",
            default: "\"auto\"",
            read: parse::preprocess,
            write: |recipe| Some(write::preprocess(&recipe.data.preprocess)),
        },
    },
    KeyInfo {
        key: "data.preprocess.size",
        about: "What the network sees, in pixels: the side of a square, or height and width.",
        value: Kind::Part {
            takes: SIZE,
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.resize",
        about: "Shorter side after resizing, in pixels.",
        value: Kind::Part {
            takes: "a whole number from 1 to 16384, at least `size`",
            default: "`size` where that is given, else the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.crop",
        about: "What becomes of images of another shape than the network's.",
        value: Kind::Part {
            takes: "`center` or `squash`",
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.interpolation",
        about: "Resampling filter.",
        value: Kind::Part {
            takes: "`nearest`, `bilinear`, `bicubic` or `lanczos`",
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.channels",
        about: "The network's channels, and their order; a number means so many channels as files store them (TIFF, transparency, NumPy's arrays).",
        value: Kind::Part {
            takes: CHANNELS,
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.scale",
        about: "Factor on the pixel values, which go from 0 to 255 where they are bytes.",
        value: Kind::Part {
            takes: "a number above 0",
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.mean",
        about: "Mean per channel after scaling, in the model's channel order.",
        value: Kind::Part {
            takes: "a number for each channel in brackets, each a finite number",
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.preprocess.std",
        about: "Standard deviation per channel after scaling: as many numbers as `mean` has.",
        value: Kind::Part {
            takes: "a number for each channel in brackets, each a number above 0",
            default: "the model's",
        },
    },
    KeyInfo {
        key: "data.augment",
        about: "Random changes to training images; with none, the features under a frozen trunk can be cached.",
        value: Kind::Word {
            words: Augment::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.data.augment),
            write: |recipe| recipe.data.augment.name(),
        },
    },
    KeyInfo {
        key: "data.on_bad_image",
        about: "What happens when an image cannot be decoded.",
        value: Kind::Word {
            words: OnBadImage::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.data.on_bad_image),
            write: |recipe| recipe.data.on_bad_image.name(),
        },
    },
    KeyInfo {
        key: "freeze.policy",
        about: "Which layers train; the others stay as they are.",
        value: Kind::Own {
            takes: "`feature-extractor`, `full`, `norm-only`, `bias-only`, `gradual`, `probe-then-tune`, `surgical` or `auto`, or a table with `last-blocks`, `from`, `until`, `rules`, `gradual`, `probe-then-tune`, `layer-decay` or `l2-sp`",
            default: "\"feature-extractor\"",
            read: parse::policy,
            write: |recipe| Some(write::foreign(&recipe.freeze.policy_part())),
        },
    },
    KeyInfo {
        key: "freeze.batch_norm",
        about: "What the statistics, scale and shift of batch norm do where layers train.",
        value: Kind::Word {
            words: BatchNorm::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.freeze.batch_norm),
            write: |recipe| recipe.freeze.batch_norm.name(),
        },
    },
    KeyInfo {
        key: "train.epochs",
        about: "Passes over the training images.",
        value: Kind::Whole {
            least: 1,
            most: 1_000_000,
            of: |recipe| &mut recipe.train.epochs,
        },
    },
    KeyInfo {
        key: "train.budget",
        about: "Time that the policy auto may take in all, decoding and evaluation included; other policies take none.",
        value: Kind::Own {
            takes: BUDGET,
            default: "\"none\"",
            read: parse::budget,
            write: |recipe| Some(write::budget(recipe.train.budget)),
        },
    },
    KeyInfo {
        key: "train.batch_size",
        about: "Images a step.",
        value: Kind::Whole {
            least: 1,
            most: 65_536,
            of: |recipe| &mut recipe.train.batch_size,
        },
    },
    KeyInfo {
        key: "train.optimizer",
        about: "The rule that turns gradients into steps.",
        value: Kind::Own {
            takes: "`sgd`, `adamw`, `lion` or `lamb`, or a table with `name`",
            default: "\"adamw\"",
            read: parse::optimizer,
            write: |recipe| Some(write::optimizer(&recipe.train.optimizer)),
        },
    },
    KeyInfo {
        key: "train.optimizer.name",
        about: "Which optimizer.",
        value: Kind::Part {
            takes: "`sgd`, `adamw`, `lion` or `lamb`",
            default: "\"adamw\"",
        },
    },
    KeyInfo {
        key: "train.optimizer.momentum",
        about: "Share of the last step kept in the next; for sgd alone.",
        value: Kind::Part {
            takes: "a number from 0 to below 1",
            default: "0.9 for sgd",
        },
    },
    KeyInfo {
        key: "train.optimizer.nesterov",
        about: "Whether the gradient is taken where momentum leads; for sgd alone.",
        value: Kind::Part {
            takes: "`true` or `false`",
            default: "false for sgd",
        },
    },
    KeyInfo {
        key: "train.optimizer.betas",
        about: "Decay of the running means of gradients and of their squares; not for sgd.",
        value: Kind::Part {
            takes: "two numbers in brackets, each from 0 to below 1",
            default: "[0.9, 0.99] for lion, else [0.9, 0.999]",
        },
    },
    KeyInfo {
        key: "train.optimizer.epsilon",
        about: "Added to the denominator; for adamw and lamb.",
        value: Kind::Part {
            takes: "a number above 0",
            default: "1e-8 for adamw, 1e-6 for lamb",
        },
    },
    KeyInfo {
        key: "train.optimizer.weight_decay",
        about: "Pull of the weights towards zero.",
        value: Kind::Part {
            takes: "a number of at least 0",
            default: "0.0001 for sgd, 0.1 for lion, else 0.01",
        },
    },
    KeyInfo {
        key: "train.lr",
        about: "Peak learning rate.",
        value: Kind::Own {
            takes: "a number above 0",
            default: "0.01 for sgd, 0.001 for adamw, 0.0001 for lion, 0.005 for lamb",
            read: parse::lr,
            write: |recipe| recipe.train.lr.map(Value::from),
        },
    },
    KeyInfo {
        key: "train.schedule",
        about: "The learning rate over time.",
        value: Kind::Own {
            takes: "`constant`, `cosine`, `one-cycle`, `step` or `cosine-restarts`, or a table with `name`",
            default: "\"one-cycle\"",
            read: parse::schedule,
            write: |recipe| Some(write::schedule(&recipe.train.schedule)),
        },
    },
    KeyInfo {
        key: "train.schedule.name",
        about: "What the learning rate does after the warm-up.",
        value: Kind::Part {
            takes: "`constant`, `cosine`, `one-cycle`, `step` or `cosine-restarts`",
            default: "\"one-cycle\"",
        },
    },
    KeyInfo {
        key: "train.schedule.every",
        about: "Epochs between two drops; for step alone.",
        value: Kind::Part {
            takes: "a whole number from 1 to 1000000",
            default: "3 for step",
        },
    },
    KeyInfo {
        key: "train.schedule.factor",
        about: "What is left of the learning rate at each drop; for step alone.",
        value: Kind::Part {
            takes: "a number above 0 and below 1",
            default: "0.1 for step",
        },
    },
    KeyInfo {
        key: "train.schedule.first",
        about: "Epochs of the first fall; for cosine-restarts alone.",
        value: Kind::Part {
            takes: "a whole number from 1 to 1000000",
            default: "5 for cosine-restarts",
        },
    },
    KeyInfo {
        key: "train.schedule.grow",
        about: "How many times as long each fall is as the one before; for cosine-restarts alone.",
        value: Kind::Part {
            takes: "a whole number from 1 to 1000000",
            default: "1 for cosine-restarts",
        },
    },
    KeyInfo {
        key: "train.schedule.warmup_epochs",
        about: "Epochs over which the learning rate rises to its peak; fractions count.",
        value: Kind::Part {
            takes: "a number from 0 to below `train.epochs`",
            default: "3/10 of the epochs for one-cycle, else 0",
        },
    },
    KeyInfo {
        key: "train.label_smoothing",
        about: "Share of the target that is spread over all classes.",
        value: Kind::Number {
            range: BELOW_ONE,
            of: |recipe| &mut recipe.train.label_smoothing,
        },
    },
    KeyInfo {
        key: "train.mixup",
        about: "MixUp blends pairs of training images and their labels, shares drawn from the Beta distribution with this parameter twice, such as 0.2; 0 is off. Features are not cached then.",
        value: Kind::Number {
            range: NOT_NEGATIVE,
            of: |recipe| &mut recipe.train.mixup,
        },
    },
    KeyInfo {
        key: "train.cutmix",
        about: "CutMix puts a box of one training image into another, its area drawn likewise, such as 1; 0 is off. With mixup a batch takes either at even odds.",
        value: Kind::Number {
            range: NOT_NEGATIVE,
            of: |recipe| &mut recipe.train.cutmix,
        },
    },
    KeyInfo {
        key: "train.class_weights",
        about: "How much each class counts, in the loss and for a solved head: all the same, in inverse proportion to its training images, or by name, where 1 is the weight of a class without a name.",
        value: Kind::Own {
            takes: CLASS_WEIGHTS,
            default: "\"none\"",
            read: parse::class_weights,
            write: |recipe| Some(write::class_weights(&recipe.train.class_weights)),
        },
    },
    KeyInfo {
        key: "train.grad_clip",
        about: "Largest norm of all gradients together; 0 sets no limit.",
        value: Kind::Number {
            range: NOT_NEGATIVE,
            of: |recipe| &mut recipe.train.grad_clip,
        },
    },
    KeyInfo {
        key: "train.micro_batches",
        about: "Parts that a batch is cut into to save memory; their gradients are summed before a step is taken.",
        value: Kind::Whole {
            least: 1,
            most: 65_536,
            of: |recipe| &mut recipe.train.micro_batches,
        },
    },
    KeyInfo {
        key: "train.ema",
        about: "Share of the running mean of weights that stays in each step, such as 0.999; 0 keeps no mean. Where there is one, it is evaluated and written.",
        value: Kind::Number {
            range: BELOW_ONE,
            of: |recipe| &mut recipe.train.ema,
        },
    },
    KeyInfo {
        key: "train.swa",
        about: "Share of the steps, counted from the last, whose weights are averaged equally, such as 0.25; 0 averages none. Once that has begun, the average is evaluated and written.",
        value: Kind::Number {
            range: BELOW_ONE,
            of: |recipe| &mut recipe.train.swa,
        },
    },
    KeyInfo {
        key: "train.early_stopping",
        about: "When to stop before the last epoch.",
        value: Kind::Own {
            takes: "\"none\" or a table such as `{ patience = 5 }`",
            default: "\"none\"",
            read: parse::early_stopping,
            write: |recipe| Some(write::early_stopping(recipe.train.early_stopping)),
        },
    },
    KeyInfo {
        key: "train.early_stopping.patience",
        about: "Epochs without a better validation result after which training stops.",
        value: Kind::Part {
            takes: "a whole number from 1 to 1000000",
            default: "5 with the table",
        },
    },
    KeyInfo {
        key: "train.early_stopping.metric",
        about: "The validation result that is watched.",
        value: Kind::Part {
            takes: "`accuracy` or `loss`",
            default: "\"accuracy\" with the table",
        },
    },
    KeyInfo {
        key: "train.seed",
        about: "Seed of every random number.",
        value: Kind::Own {
            takes: "a whole number from 0 to 2^63 - 1",
            default: "42",
            read: parse::seed,
            write: |recipe| Some(write::whole(recipe.train.seed)),
        },
    },
    KeyInfo {
        key: "train.shuffle",
        about: "Whether the images come in a new order each epoch.",
        value: Kind::Flag {
            of: |recipe| &mut recipe.train.shuffle,
        },
    },
    KeyInfo {
        key: "train.sampling",
        about: "Which images an epoch shows: every one once, or as many as there are with every class equally often.",
        value: Kind::Word {
            words: Sampling::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.train.sampling),
            write: |recipe| recipe.train.sampling.name(),
        },
    },
    KeyInfo {
        key: "train.feature_cache",
        about: "Where the features under a frozen trunk are kept: in memory between epochs, or on disk for the next run too.",
        value: Kind::Word {
            words: FeatureCache::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.train.feature_cache),
            write: |recipe| recipe.train.feature_cache.name(),
        },
    },
    KeyInfo {
        key: "train.trunk_precision",
        about: "In what the frozen trunk multiplies; bf16 needs a processor with AVX-512 BF16.",
        value: Kind::Word {
            words: Precision::names,
            read: |section, key, recipe| section.choose(key, &mut recipe.train.trunk_precision),
            write: |recipe| recipe.train.trunk_precision.name(),
        },
    },
    KeyInfo {
        key: "train.checkpoint_every",
        about: "Epochs between checkpoints.",
        value: Kind::Whole {
            least: 1,
            most: 1_000_000,
            of: |recipe| &mut recipe.train.checkpoint_every,
        },
    },
    KeyInfo {
        key: "device.name",
        about: "The backend that computes, with the number of the device where there are several.",
        value: Kind::Text {
            of: |recipe| &mut recipe.device.name,
        },
    },
    KeyInfo {
        key: "device.threads",
        about: "Threads to compute with; 0 takes all.",
        value: Kind::Whole {
            least: 0,
            most: 1024,
            of: |recipe| &mut recipe.device.threads,
        },
    },
];

/// The sources are read before all other keys, which have defaults.
fn read_before(_: &Section<'_>, _: &mut Recipe) -> Result<(), Error> {
    Ok(())
}

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
    ("class_weight", "train.class_weights"),
    ("clip_grad", "train.grad_clip"),
    ("cutmix_alpha", "train.cutmix"),
    ("dataset", "data.source"),
    ("ema_decay", "train.ema"),
    ("freeze_layers", "freeze.policy"),
    ("freeze_policy", "freeze.policy"),
    ("gamma", "train.schedule.factor"),
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
    ("mixup_alpha", "train.mixup"),
    ("model_ema_decay", "train.ema"),
    ("n_epochs", "train.epochs"),
    ("nb_epochs", "train.epochs"),
    ("num_epochs", "train.epochs"),
    ("num_workers", "device.threads"),
    ("optim", "train.optimizer"),
    ("random_seed", "train.seed"),
    ("resolution", "data.preprocess.size"),
    ("sampler", "train.sampling"),
    ("scheduler", "train.schedule"),
    ("smoothing", "train.label_smoothing"),
    ("step_size", "train.schedule.every"),
    ("t_0", "train.schedule.first"),
    ("t_mult", "train.schedule.grow"),
    ("val_split", "data.validation"),
    ("validation_split", "data.validation"),
    ("workers", "device.threads"),
];

/// Keys whose value is free text, so that `--set` need not quote it even where it looks like a number or a date.
pub(crate) const FREE_TEXT: &[&str] = &[
    "model.source",
    "model.output",
    "model.head.at",
    "data.source",
    "data.shifted",
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
        tag: Some(("kind", "auto")),
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
        key: "train.class_weights",
        tag: None,
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
