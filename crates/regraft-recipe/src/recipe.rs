//! What a recipe says once every default is applied: plain data, a struct a section.

use std::path::Path;

use regraft_freeze::{FreezeConfig, Policy};
use regraft_spec::{
    Augment, ClassWeights, EarlyStopping, FeatureCache, OnBadImage, Optimizer, Precision, Sampling,
    Schedule, ScheduleKind,
};

use crate::document::Document;
use crate::error::Error;
use crate::preprocess::PreprocessSpec;
use crate::{overrides, parse, paths, read, write};

/// A whole recipe. [`Recipe::parse`] and [`read`] keep every value in the range its field states.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The network to start from, and its new head.
    pub model: ModelSection,
    /// The images, and what happens to them on the way to the network.
    pub data: DataSection,
    /// Which layers stay as they are.
    pub freeze: FreezeConfig,
    /// How the rest is trained.
    pub train: TrainSection,
    /// What computes.
    pub device: DeviceSection,
}

/// `[model]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSection {
    /// A zoo name, a path or a run folder; not empty.
    pub source: String,
    /// Name of the output that counts, in a file with several; none: the one that most likely tells classes. Default none.
    pub output: Option<String>,
    /// What comes after the features.
    pub head: Head,
    /// How the values of a new head begin. Default random.
    pub start: Start,
    /// Probability of dropping a feature before a new head, 0 to below 1. Default 0.
    pub dropout: f64,
}

/// The end of the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Head {
    /// What is put there. Default auto.
    pub kind: HeadKind,
    /// Name of the node whose output feeds a new head; none: where the model's own head begins.
    pub at: Option<String>,
    /// Where a solved head takes its features. Default auto.
    pub taps: Taps,
}

/// Where a solved head takes its features.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Taps {
    /// Where cross-validation says.
    #[default]
    Auto,
    /// After each of so many of the highest blocks, at least 1.
    Last(usize),
    /// After the blocks of these names, each with a pooling behind a colon where it is not the mean: `layer3.1:grid2`.
    Named(Vec<String>),
}

/// How the values of a new head begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Small random numbers.
    #[default]
    Random,
    /// The head that is solved from the features of the training images.
    Solved,
}

/// What stands after the features.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum HeadKind {
    /// Solved where nothing but the head trains and nothing is set that only steps of training have a use for; else linear.
    #[default]
    Auto,
    /// One new linear layer over pooled features of one or several blocks, whose values are solved from the training images.
    Solved,
    /// One new linear layer, features to classes.
    Linear,
    /// Two new linear layers with a ReLU between them.
    Mlp {
        /// Units between the two layers, 1 to 65,536. Default 512.
        hidden: usize,
        /// Probability of dropping a hidden unit, 0 to below 1. Default 0.
        dropout: f64,
    },
    /// The model's own head, with its own classes.
    Keep,
}

/// `[data]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSection {
    /// Where the images are; not empty.
    pub source: String,
    /// Images of the same classes in another style, that nothing trains on: what is chosen is to be good on them too. Default
    /// none.
    pub shifted: Option<String>,
    /// The classes to use, at least two, in the order of their labels; none: all. Default none.
    pub classes: Option<Vec<String>>,
    /// Most training images of a class, 1 to 2^53, before any are held out for validation; none: all. Default none.
    pub per_class: Option<usize>,
    /// Share of the images held out for validation, 0 to below 1; ignored where the data has its own split. 0: none.
    /// Default 0.2.
    pub validation: f64,
    /// How an image becomes numbers. Default auto.
    pub preprocess: PreprocessSpec,
    /// Random changes to training images. Default none, so that the features under a frozen trunk can be cached.
    pub augment: Augment,
    /// What an undecodable image does. Default error.
    pub on_bad_image: OnBadImage,
}

/// `[train]`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainSection {
    /// Passes over the training images, 1 to 1,000,000. Default 10.
    pub epochs: usize,
    /// Seconds that the policy `auto` may take in all, 1 to 10^7; none: what it takes for want of a budget. Default none.
    pub budget: Option<f64>,
    /// Images a step, 1 to 65,536. Default 32.
    pub batch_size: usize,
    /// The optimizer. Default [`Optimizer::adamw`], whose steps do not depend on how large a network's features are.
    pub optimizer: Optimizer,
    /// Peak learning rate, above 0; none: [`Optimizer::default_lr`]. Default none.
    pub lr: Option<f64>,
    /// The learning rate over time. Default one-cycle.
    pub schedule: Schedule,
    /// Share of the target spread over all classes, 0 to below 1. Default 0.
    pub label_smoothing: f64,
    /// MixUp's parameter, at least 0: two images are blended, their shares from the Beta distribution with it twice. 0: off.
    /// Default 0.
    pub mixup: f64,
    /// CutMix's parameter, at least 0, of the area of a box of one image in another. 0: off. Default 0.
    pub cutmix: f64,
    /// How much each class counts in the loss, and where the head is solved in its regressions. Default all the same.
    pub class_weights: ClassWeights,
    /// Largest norm of all gradients together, at least 0. 0: no limit. Default 0.
    pub grad_clip: f64,
    /// Parts that a batch is cut into, 1 to 65,536; their gradients are summed before a step. Default 1.
    pub micro_batches: usize,
    /// Share of the running mean of weights that stays in each step, 0 to below 1. 0: none. Default 0.
    pub ema: f64,
    /// Share of the steps, counted from the last, whose weights are averaged equally, 0 to below 1. 0: none. Default 0.
    pub swa: f64,
    /// When to stop before the last epoch. Default never.
    pub early_stopping: Option<EarlyStopping>,
    /// Start of every random number, 0 to 2^63 - 1, the largest integer of TOML. Default 42.
    pub seed: u64,
    /// Whether the images come in a new order each epoch. Default true.
    pub shuffle: bool,
    /// Which training images an epoch shows. Default every image once.
    pub sampling: Sampling,
    /// Where the features under a frozen trunk are kept between epochs. Default auto.
    pub feature_cache: FeatureCache,
    /// In what the frozen trunk multiplies. Default f32.
    pub trunk_precision: Precision,
    /// Epochs between checkpoints, 1 to 1,000,000. Default 1.
    pub checkpoint_every: usize,
}

/// `[device]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSection {
    /// A backend's name, with the number of the device where there are several (`flex`, `cuda:0`); `auto`: the first
    /// backend there is. Default auto.
    pub name: String,
    /// Threads to compute with, at most 1024. 0: all. Default 0.
    pub threads: usize,
}

impl Recipe {
    /// The recipe that says nothing but where model and images are.
    pub fn new(model: impl Into<String>, data: impl Into<String>) -> Self {
        Self {
            model: ModelSection {
                source: model.into(),
                output: None,
                head: Head::default(),
                start: Start::default(),
                dropout: 0.0,
            },
            data: DataSection {
                source: data.into(),
                shifted: None,
                classes: None,
                per_class: None,
                validation: 0.2,
                preprocess: PreprocessSpec::Auto,
                augment: Augment::None,
                on_bad_image: OnBadImage::Error,
            },
            freeze: FreezeConfig::default(),
            train: TrainSection::default(),
            device: DeviceSection::default(),
        }
    }

    /// Reads a recipe from text. `origin` names the text in errors: a file name, say. Paths stay as they are written.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Error> {
        read(Some((origin, text)), &[])
    }

    /// Reads a recipe file. Its paths are relative to its folder, as [`Recipe::load_with`] says.
    ///
    /// # Errors
    /// As [`Recipe::parse`], and when the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::load_with(path, &[])
    }

    /// Reads a recipe file and lays overrides over it, as [`read`] does.
    ///
    /// A path in the file is relative to the file's folder: `data.source`, and `model.source` where it contains a path
    /// separator, ends in `.onnx`, or is the name of a file or folder in that folder. Any other `model.source` is a
    /// name. A path in an override is relative to the working directory.
    ///
    /// # Errors
    /// As [`read`], and when the file cannot be read.
    pub fn load_with(path: &Path, overrides: &[String]) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut document = Document::parse(&path.display().to_string(), &text)?;
        overrides::apply_all(&mut document, overrides)?;
        let mut recipe = parse::recipe(&document)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        if document.is_from_file(&["data", "source"]) {
            recipe.data.source = paths::data(folder, &recipe.data.source);
        }
        if document.is_from_file(&["data", "shifted"]) {
            let shifted = recipe.data.shifted.take();
            recipe.data.shifted = shifted.map(|shifted| paths::data(folder, &shifted));
        }
        if document.is_from_file(&["model", "source"]) {
            recipe.model.source = paths::model(folder, &recipe.model.source);
        }
        Ok(recipe)
    }

    /// The recipe as TOML, every value spelt out, in the same order always. `lr` and `warmup_epochs` are left out where
    /// the recipe leaves them to their defaults; [`Recipe::resolve`] fills them. Reading the text gives the
    /// same recipe, as long as every value is in the range its field states.
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }
}

impl Recipe {
    /// What stands after the features: the given kind, or what [`HeadKind::Auto`] means in this recipe.
    pub fn head_kind(&self) -> HeadKind {
        let trains = self.freeze.policy != Policy::FeatureExtractor
            || self.data.augment.is_random()
            || self.model.dropout > 0.0
            || self.train.asks_for_steps();
        let probes = self.freeze.policy == Policy::ProbeThenTune { probe_epochs: 0 };
        match self.model.head.kind {
            HeadKind::Auto if self.model.head.taps != Taps::Auto => HeadKind::Solved,
            // What is tuned from a solved head is best tuned from the whole of it.
            HeadKind::Auto if probes => HeadKind::Solved,
            HeadKind::Auto if trains => HeadKind::Linear,
            HeadKind::Auto => HeadKind::Solved,
            given => given,
        }
    }

    /// Whether the head's values are solved before anything else happens.
    pub fn solves(&self) -> bool {
        self.head_kind() == HeadKind::Solved
            || self.model.start == Start::Solved
            || self.freeze.policy == Policy::ProbeThenTune { probe_epochs: 0 }
            || self.freeze.policy == Policy::Auto
    }

    /// Whether the solved head is all there is: no step of training follows.
    pub fn only_solves(&self) -> bool {
        self.head_kind() == HeadKind::Solved && self.freeze.policy == Policy::FeatureExtractor
    }
}

impl TrainSection {
    /// Whether anything is set that only steps of training have a use for.
    fn asks_for_steps(&self) -> bool {
        // What a solved head has a use for, or what changes nothing it is about.
        let usual = Self {
            seed: self.seed,
            batch_size: self.batch_size,
            shuffle: self.shuffle,
            feature_cache: self.feature_cache,
            checkpoint_every: self.checkpoint_every,
            budget: self.budget,
            class_weights: self.class_weights.clone(),
            ..Self::default()
        };
        *self != usual
    }

    /// The peak learning rate: the given one, or the optimizer's default.
    pub fn learning_rate(&self) -> f64 {
        self.lr.unwrap_or(self.optimizer.default_lr())
    }
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            epochs: 10,
            budget: None,
            batch_size: 32,
            optimizer: Optimizer::adamw(),
            lr: None,
            schedule: Schedule::new(ScheduleKind::OneCycle),
            label_smoothing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            class_weights: ClassWeights::Equal,
            grad_clip: 0.0,
            micro_batches: 1,
            ema: 0.0,
            swa: 0.0,
            early_stopping: None,
            seed: 42,
            shuffle: true,
            sampling: Sampling::Shuffle,
            feature_cache: FeatureCache::default(),
            trunk_precision: Precision::default(),
            checkpoint_every: 1,
        }
    }
}

impl Default for DeviceSection {
    fn default() -> Self {
        Self {
            name: "auto".to_owned(),
            threads: 0,
        }
    }
}
