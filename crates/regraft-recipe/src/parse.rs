//! From the document to the recipe: each value's type and range, and the defaults of those left out.

use std::ops::RangeInclusive;

use regraft_freeze::FreezeConfig;
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml_edit::{Item, Key, TableLike, Value};

use crate::document::Document;
use crate::error::{Error, alternatives, foreign_message};
use crate::keys::{self, KEYS, KeyInfo};
use crate::kind::{
    ABOVE_ZERO, ANY, BELOW_ONE, BUDGET, CHANNELS, CLASS_WEIGHTS, FLAG, NOT_NEGATIVE, OUTPUT, Range,
    SHIFTED, SIZE, TAPS, TEXT, UP_TO_A_MILLION, WITHIN_ONE, whole_words,
};
use crate::names::Named;
use crate::preprocess::{PartialPreprocess, PreprocessSpec};
use crate::recipe::{Head, HeadKind, Recipe, Taps};
use regraft_spec::similar::likely;
use regraft_spec::{
    Channels, ClassWeights, EarlyStopping, ImageSize, LONGEST_SIDE, MOST_CHANNELS, Optimizer,
    Schedule, ScheduleKind,
};

/// Reads every section.
pub(crate) fn recipe(document: &Document<'_>) -> Result<Recipe, Error> {
    document.check_keys()?;
    let root = Section {
        document,
        path: String::new(),
        table: Some(&document.root),
    };
    let model = root.section("model")?;
    let data = root.section("data")?;
    let mut recipe = Recipe::new(
        source(&model, "model", "--model")?,
        source(&data, "data", "--data")?,
    );
    for (info, (section, key)) in in_sections() {
        let section = root.section(section)?;
        info.value.read(&section, key, &mut recipe)?;
    }
    Ok(recipe)
}

/// The keys that stand in sections, with both their names.
pub(crate) fn in_sections() -> impl Iterator<Item = (&'static KeyInfo, (&'static str, &'static str))>
{
    KEYS.iter()
        .filter_map(|info| Some((info, info.in_section()?)))
}

fn source(table: &Section<'_>, section: &'static str, flag: &'static str) -> Result<String, Error> {
    match table.text("source")? {
        Some(source) => Ok(source),
        None => Err(Error::Missing {
            origin: table.document.origin(),
            section,
            example: keys::example_source(section),
            flag,
        }),
    }
}

pub(crate) fn model_dropout(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    let Some(dropout) = section.number("dropout", BELOW_ONE)? else {
        return Ok(());
    };
    match section.get("dropout") {
        Some(entry) if recipe.model.head.kind == HeadKind::Keep && dropout > 0.0 => {
            return Err(entry.value_error("0, as the model keeps its own head"));
        }
        _ => recipe.model.dropout = dropout,
    }
    Ok(())
}

fn read_head(section: &Section<'_>) -> Result<Head, Error> {
    let Some((kind, table)) = section.kind_and_table("head", "kind", HeadKind::default())? else {
        return Ok(Head::default());
    };
    match kind {
        HeadKind::Auto | HeadKind::Solved => table.allow_only(&kind, &["kind", "at", "taps"])?,
        HeadKind::Linear => table.allow_only(&kind, &["kind", "at"])?,
        HeadKind::Mlp { .. } => table.allow_only(&kind, &["kind", "at", "hidden", "dropout"])?,
        HeadKind::Keep => table.allow_only(&kind, &["kind"])?,
    }
    let kind = match kind {
        HeadKind::Mlp { hidden, dropout } => HeadKind::Mlp {
            hidden: table.count("hidden", 1..=65_536)?.unwrap_or(hidden),
            dropout: table.number("dropout", BELOW_ONE)?.unwrap_or(dropout),
        },
        other => other,
    };
    Ok(Head {
        kind,
        at: table.text("at")?,
        taps: read_taps(&table)?,
    })
}

/// `"auto"`, a number of blocks, or names.
fn read_taps(section: &Section<'_>) -> Result<Taps, Error> {
    let Some(entry) = section.get("taps") else {
        return Ok(Taps::Auto);
    };
    if entry.item.as_str() == Some("auto") {
        return Ok(Taps::Auto);
    }
    if let Some(count) = entry.whole(&UP_TO_A_MILLION) {
        return Ok(Taps::Last(as_count(count)));
    }
    let names: Option<Vec<String>> = entry.item.as_array().and_then(|names| {
        let names = names.iter().map(|name| name.as_str().map(str::to_owned));
        names.collect()
    });
    match names {
        Some(names) if !names.is_empty() => Ok(Taps::Named(names)),
        _ => Err(entry.value_error(TAPS)),
    }
}

/// `"all"`, or the names of at least two classes.
fn read_classes(section: &Section<'_>) -> Result<Option<Vec<String>>, Error> {
    let Some(entry) = section.get("classes") else {
        return Ok(None);
    };
    if entry.item.as_str() == Some("all") {
        return Ok(None);
    }
    let names: Option<Vec<String>> = entry.item.as_array().and_then(|names| {
        names
            .iter()
            .map(|name| name.as_str().filter(|name| !name.is_empty()))
            .map(|name| name.map(str::to_owned))
            .collect()
    });
    match names {
        Some(names) if names.len() >= 2 => Ok(Some(names)),
        _ => Err(entry.value_error("\"all\" or the names of at least two classes in brackets")),
    }
}

/// `"all"`, or a number of images.
fn read_per_class(section: &Section<'_>) -> Result<Option<usize>, Error> {
    /// The last of the whole numbers that doubles count without a gap.
    const MOST: i64 = 1 << 53;
    match section.get("per_class") {
        Some(entry) if entry.item.as_str() != Some("all") => entry
            .whole(&(1..=MOST))
            .map(as_count)
            .ok_or_else(|| entry.value_error(format!("\"all\" or {}", whole_words(&(1..=MOST)))))
            .map(Some),
        _ => Ok(None),
    }
}

fn read_preprocess(section: &Section<'_>) -> Result<PreprocessSpec, Error> {
    let Some(entry) = section.get("preprocess") else {
        return Ok(PreprocessSpec::Auto);
    };
    if entry.item.as_str() == Some("auto") {
        return Ok(PreprocessSpec::Auto);
    }
    let table = entry.table("\"auto\" or a table")?;
    let size = table.image_size("size")?;
    let mean = table.per_channel("mean", ANY)?;
    let std = table.per_channel("std", ABOVE_ZERO)?;
    if let (Some(mean), Some(std), Some(entry)) = (&mean, &std, table.get("std"))
        && mean.len() != std.len()
    {
        return Err(entry.value_error(format!("as many numbers as `mean` has, {}", mean.len())));
    }
    Ok(PreprocessSpec::Partial(PartialPreprocess {
        size,
        resize: table.pixels("resize", size.map_or(1, ImageSize::shorter)..=16_384)?,
        crop: table.choice("crop")?,
        interpolation: table.choice("interpolation")?,
        channels: table.channels("channels")?,
        scale: table.single("scale", ABOVE_ZERO)?,
        mean,
        std,
    }))
}

fn read_optimizer(section: &Section<'_>, default: Optimizer) -> Result<Optimizer, Error> {
    let Some((kind, table)) = section.kind_and_table("optimizer", "name", default)? else {
        return Ok(default);
    };
    match kind {
        Optimizer::Sgd {
            momentum,
            weight_decay,
            nesterov,
        } => {
            table.allow_only(&kind, &["name", "momentum", "nesterov", "weight_decay"])?;
            Ok(Optimizer::Sgd {
                momentum: table.number("momentum", BELOW_ONE)?.unwrap_or(momentum),
                weight_decay: table
                    .number("weight_decay", NOT_NEGATIVE)?
                    .unwrap_or(weight_decay),
                nesterov: table.flag("nesterov")?.unwrap_or(nesterov),
            })
        }
        Optimizer::Adamw {
            betas,
            epsilon,
            weight_decay,
        } => {
            table.allow_only(&kind, &["name", "betas", "epsilon", "weight_decay"])?;
            Ok(Optimizer::Adamw {
                betas: table.betas("betas")?.unwrap_or(betas),
                epsilon: table.number("epsilon", ABOVE_ZERO)?.unwrap_or(epsilon),
                weight_decay: table
                    .number("weight_decay", NOT_NEGATIVE)?
                    .unwrap_or(weight_decay),
            })
        }
        Optimizer::Lion {
            betas,
            weight_decay,
        } => {
            table.allow_only(&kind, &["name", "betas", "weight_decay"])?;
            Ok(Optimizer::Lion {
                betas: table.betas("betas")?.unwrap_or(betas),
                weight_decay: table
                    .number("weight_decay", NOT_NEGATIVE)?
                    .unwrap_or(weight_decay),
            })
        }
        Optimizer::Lamb {
            betas,
            epsilon,
            weight_decay,
        } => {
            table.allow_only(&kind, &["name", "betas", "epsilon", "weight_decay"])?;
            Ok(Optimizer::Lamb {
                betas: table.betas("betas")?.unwrap_or(betas),
                epsilon: table.number("epsilon", ABOVE_ZERO)?.unwrap_or(epsilon),
                weight_decay: table
                    .number("weight_decay", NOT_NEGATIVE)?
                    .unwrap_or(weight_decay),
            })
        }
    }
}

fn read_schedule(
    section: &Section<'_>,
    default: ScheduleKind,
    epochs: usize,
) -> Result<Schedule, Error> {
    let Some((kind, table)) = section.kind_and_table("schedule", "name", default)? else {
        return Ok(Schedule::new(default));
    };
    let kind = match kind {
        ScheduleKind::Step { every, factor } => {
            table.allow_only(&kind, &["name", "every", "factor", "warmup_epochs"])?;
            ScheduleKind::Step {
                every: table.count("every", UP_TO_A_MILLION)?.unwrap_or(every),
                factor: table.number("factor", WITHIN_ONE)?.unwrap_or(factor),
            }
        }
        ScheduleKind::CosineRestarts { first, grow } => {
            table.allow_only(&kind, &["name", "first", "grow", "warmup_epochs"])?;
            ScheduleKind::CosineRestarts {
                first: table.count("first", UP_TO_A_MILLION)?.unwrap_or(first),
                grow: table.count("grow", UP_TO_A_MILLION)?.unwrap_or(grow),
            }
        }
        ScheduleKind::Constant | ScheduleKind::Cosine | ScheduleKind::OneCycle => {
            table.allow_only(&kind, &["name", "warmup_epochs"])?;
            kind
        }
    };
    let Some(entry) = table.get("warmup_epochs") else {
        return Ok(Schedule::new(kind));
    };
    match entry.as_number() {
        Some(warmup) if (0.0..epochs as f64).contains(&warmup) => Ok(Schedule {
            kind,
            warmup_epochs: Some(warmup),
        }),
        _ => Err(entry.value_error(format!("a number from 0 to below `train.epochs`, {epochs}"))),
    }
}

fn read_early_stopping(section: &Section<'_>) -> Result<Option<EarlyStopping>, Error> {
    let Some(entry) = section.get("early_stopping") else {
        return Ok(None);
    };
    if entry.item.as_str() == Some("none") {
        return Ok(None);
    }
    let table = entry.table("\"none\" or a table such as `{ patience = 5 }`")?;
    let default = EarlyStopping::default();
    Ok(Some(EarlyStopping {
        patience: table
            .count("patience", UP_TO_A_MILLION)?
            .unwrap_or(default.patience),
        metric: table.choice("metric")?.unwrap_or(default.metric),
    }))
}

pub(crate) fn head(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.model.head = read_head(section)?;
    Ok(())
}

pub(crate) fn output(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    if let Some(output) = section.text_unless("output", "auto", OUTPUT)? {
        recipe.model.output = output;
    }
    Ok(())
}

pub(crate) fn shifted(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    if let Some(shifted) = section.text_unless("shifted", "none", SHIFTED)? {
        recipe.data.shifted = shifted;
    }
    Ok(())
}

pub(crate) fn classes(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.data.classes = read_classes(section)?;
    Ok(())
}

pub(crate) fn per_class(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.data.per_class = read_per_class(section)?;
    Ok(())
}

pub(crate) fn preprocess(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.data.preprocess = read_preprocess(section)?;
    Ok(())
}

pub(crate) fn policy(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    if let Some(part) = section.foreign("policy")? {
        recipe.freeze = FreezeConfig::new(part, recipe.freeze.batch_norm);
    }
    Ok(())
}

pub(crate) fn optimizer(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.train.optimizer = read_optimizer(section, recipe.train.optimizer)?;
    Ok(())
}

pub(crate) fn lr(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.train.lr = section.number("lr", ABOVE_ZERO)?;
    Ok(())
}

pub(crate) fn schedule(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    let train = &mut recipe.train;
    train.schedule = read_schedule(section, train.schedule.kind, train.epochs)?;
    Ok(())
}

pub(crate) fn early_stopping(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    recipe.train.early_stopping = read_early_stopping(section)?;
    Ok(())
}

pub(crate) fn class_weights(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    let Some(entry) = section.get("class_weights") else {
        return Ok(());
    };
    recipe.train.class_weights = match (entry.item.as_str(), entry.item.as_table_like()) {
        (Some("none"), _) => ClassWeights::Equal,
        (Some("balanced"), _) => ClassWeights::Balanced,
        (_, Some(table)) if !table.is_empty() => {
            let weights = entry.table(CLASS_WEIGHTS)?;
            let weight = |(name, _): (&str, &Item)| {
                let weight = weights.number(name, ABOVE_ZERO)?.unwrap_or(1.0);
                Ok((name.to_owned(), weight))
            };
            ClassWeights::Named(table.iter().map(weight).collect::<Result<_, Error>>()?)
        }
        _ => return Err(entry.value_error(CLASS_WEIGHTS)),
    };
    Ok(())
}

pub(crate) fn budget(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    let Some(entry) = section.get("budget") else {
        return Ok(());
    };
    recipe.train.budget = match entry.item.as_str() {
        Some("none") => None,
        Some(text) => Some(seconds(text).ok_or_else(|| entry.value_error(BUDGET))?),
        None => return Err(entry.value_error(BUDGET)),
    };
    Ok(())
}

/// `90s`, `10m` or `2h` in seconds.
fn seconds(text: &str) -> Option<f64> {
    let unit = text.chars().next_back()?;
    let factor = match unit {
        's' => 1.0,
        'm' => 60.0,
        'h' => 3600.0,
        _ => return None,
    };
    let number: f64 = text[..text.len() - 1].trim().parse().ok()?;
    let seconds = number * factor;
    (1.0..=8.64e6).contains(&seconds).then_some(seconds)
}

pub(crate) fn seed(section: &Section<'_>, recipe: &mut Recipe) -> Result<(), Error> {
    if let Some(seed) = section.whole("seed", 0..=i64::MAX)? {
        recipe.train.seed = seed.unsigned_abs();
    }
    Ok(())
}

/// A table of the document; one that was left out has no keys.
pub(crate) struct Section<'a> {
    document: &'a Document<'a>,
    path: String,
    table: Option<&'a dyn TableLike>,
}

impl<'a> Section<'a> {
    fn get(&self, key: &str) -> Option<Entry<'a>> {
        let table = self.table?;
        let item = table.get(key)?;
        Some(Entry {
            document: self.document,
            path: keys::join(&self.path, key),
            key: table.key(key),
            item,
        })
    }

    fn section(&self, key: &str) -> Result<Section<'a>, Error> {
        match self.get(key) {
            Some(entry) => entry.table("a table"),
            None => Ok(Section {
                document: self.document,
                path: keys::join(&self.path, key),
                table: None,
            }),
        }
    }

    /// A choice written as a word or as a table that holds the word under `tag`, and the table with its other keys.
    fn kind_and_table<T: Named + Copy>(
        &self,
        key: &str,
        tag: &str,
        default: T,
    ) -> Result<Option<(T, Section<'a>)>, Error> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        if entry.item.is_table_like() {
            let table = entry.table("")?;
            Ok(Some((table.choice(tag)?.unwrap_or(default), table)))
        } else {
            let no_more_keys = Section {
                document: self.document,
                path: entry.path.clone(),
                table: None,
            };
            let words = alternatives(&T::names());
            Ok(Some((
                entry.choice(&format!("{words}, or a table with `{tag}`"))?,
                no_more_keys,
            )))
        }
    }

    /// Refuses keys of other kinds than the one chosen.
    fn allow_only<T: Named>(&self, kind: &T, allowed: &[&'static str]) -> Result<(), Error> {
        for (key, _) in self.table.into_iter().flat_map(TableLike::iter) {
            if let Some(entry) = self.get(key).filter(|_| !allowed.contains(&key)) {
                let place = entry
                    .document
                    .place(&entry.path, entry.key.and_then(Key::span));
                let allowed = allowed[1..].to_vec();
                return Err(Error::Misplaced {
                    place,
                    key: entry.path,
                    kind: kind.name().to_owned(),
                    allowed,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Error> {
        self.get(key).map(|entry| entry.text()).transpose()
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Error> {
        let read = |entry: Entry<'_>| entry.item.as_bool().ok_or_else(|| entry.value_error(FLAG));
        self.get(key).map(read).transpose()
    }

    fn choice<T: Named + Copy>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get(key)
            .map(|entry| entry.choice(&alternatives(&T::names())))
            .transpose()
    }

    /// Takes one of the words of a choice over, where one is given.
    pub(crate) fn choose<T: Named + Copy>(&self, key: &str, to: &mut T) -> Result<(), Error> {
        if let Some(choice) = self.choice(key)? {
            *to = choice;
        }
        Ok(())
    }

    pub(crate) fn number(&self, key: &str, range: Range) -> Result<Option<f64>, Error> {
        let read = |entry: Entry<'_>| {
            let number = entry.as_number().filter(|&number| range.contains(number));
            number.ok_or_else(|| entry.value_error(range.words))
        };
        self.get(key).map(read).transpose()
    }

    pub(crate) fn whole(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Error> {
        let read = |entry: Entry<'_>| {
            let number = entry.whole(&range);
            number.ok_or_else(|| entry.value_error(whole_words(&range)))
        };
        self.get(key).map(read).transpose()
    }

    pub(crate) fn count(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<usize>, Error> {
        Ok(self.whole(key, range)?.map(as_count))
    }

    /// Text that is not empty, or the word that stands for none; none where the key is not there.
    fn text_unless(
        &self,
        key: &str,
        none: &str,
        takes: &'static str,
    ) -> Result<Option<Option<String>>, Error> {
        let read = |entry: Entry<'_>| match entry.item.as_str() {
            Some(word) if word == none => Ok(None),
            Some(text) if !text.is_empty() => Ok(Some(text.to_owned())),
            _ => Err(entry.value_error(takes)),
        };
        self.get(key).map(read).transpose()
    }

    fn image_size(&self, key: &str) -> Result<Option<ImageSize>, Error> {
        let read = |entry: Entry<'_>| {
            let side = |number: f64| {
                let whole =
                    number.fract() == 0.0 && (1.0..=f64::from(LONGEST_SIDE)).contains(&number);
                whole.then_some(number as u32)
            };
            let size = match (entry.as_number(), entry.as_numbers().as_deref()) {
                (Some(both), _) => side(both).map(ImageSize::square),
                (None, Some(&[height, width])) => side(height)
                    .zip(side(width))
                    .map(|(height, width)| ImageSize { height, width }),
                _ => None,
            };
            size.ok_or_else(|| entry.value_error(SIZE))
        };
        self.get(key).map(read).transpose()
    }

    fn pixels(&self, key: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Error> {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        Ok(self
            .whole(key, range)?
            .and_then(|number| u32::try_from(number).ok()))
    }

    fn channels(&self, key: &str) -> Result<Option<Channels>, Error> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        if entry.as_number().is_some() {
            let count = entry.whole(&(1..=i64::from(MOST_CHANNELS)));
            let count = count.and_then(|count| u32::try_from(count).ok());
            let count = count.ok_or_else(|| entry.value_error(CHANNELS))?;
            return Ok(Some(Channels::Stored(count)));
        }
        entry.choice(CHANNELS).map(Some)
    }

    fn single(&self, key: &str, range: Range) -> Result<Option<f32>, Error> {
        let read = |entry: Entry<'_>| {
            let number = entry.as_number().and_then(|number| single(number, range));
            number.ok_or_else(|| entry.value_error(range.words))
        };
        self.get(key).map(read).transpose()
    }

    fn per_channel(&self, key: &str, range: Range) -> Result<Option<Vec<f32>>, Error> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        let numbers: Option<Vec<f32>> = entry.as_numbers().and_then(|numbers| {
            numbers
                .into_iter()
                .map(|number| single(number, range))
                .collect()
        });
        match numbers {
            Some(numbers) if (1..=MOST_CHANNELS as usize).contains(&numbers.len()) => {
                Ok(Some(numbers))
            }
            _ => Err(entry.value_error(format!(
                "a number for each channel in brackets, each {}",
                range.words
            ))),
        }
    }

    fn betas(&self, key: &str) -> Result<Option<(f64, f64)>, Error> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        match entry.as_numbers().as_deref() {
            Some(&[first, second]) if BELOW_ONE.contains(first) && BELOW_ONE.contains(second) => {
                Ok(Some((first, second)))
            }
            _ => Err(entry.value_error("two numbers in brackets, each from 0 to below 1")),
        }
    }

    /// A value whose type another crate defines, and reads.
    fn foreign<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        let Ok(value) = entry.item.clone().into_value() else {
            return Ok(None);
        };
        T::deserialize(value.into_deserializer())
            .map(Some)
            .map_err(|error| {
                let span = error.span().or(entry.item.span());
                let place = self.document.place(&entry.path, span);
                Error::Refused {
                    place,
                    key: entry.path,
                    message: foreign_message(error.message()),
                }
            })
    }
}

/// A value of the document and its key.
struct Entry<'a> {
    document: &'a Document<'a>,
    path: String,
    key: Option<&'a Key>,
    item: &'a Item,
}

impl<'a> Entry<'a> {
    fn table(self, expected: &str) -> Result<Section<'a>, Error> {
        match self.item.as_table_like() {
            Some(table) => Ok(Section {
                document: self.document,
                path: self.path,
                table: Some(table),
            }),
            None => Err(self.value_error(expected)),
        }
    }

    fn text(&self) -> Result<String, Error> {
        match self.item.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(self.value_error(TEXT)),
        }
    }

    fn choice<T: Named + Copy>(&self, expected: &str) -> Result<T, Error> {
        let word = self.item.as_str();
        let chosen = word.and_then(|word| T::ALL.iter().find(|choice| choice.name() == word));
        chosen
            .copied()
            .ok_or_else(|| self.error(expected, word.and_then(|word| likely(word, T::names()))))
    }

    fn whole(&self, range: &RangeInclusive<i64>) -> Option<i64> {
        self.item.as_integer().filter(|it| range.contains(it))
    }

    fn as_number(&self) -> Option<f64> {
        self.item.as_value().and_then(finite)
    }

    fn as_numbers(&self) -> Option<Vec<f64>> {
        self.item.as_array()?.iter().map(finite).collect()
    }

    fn value_error(&self, expected: impl Into<Box<str>>) -> Error {
        self.error(expected, None)
    }

    fn error(&self, expected: impl Into<Box<str>>, near: Option<&'static str>) -> Error {
        Error::Value {
            place: self.document.place(&self.path, self.item.span()),
            key: self.path.clone(),
            found: self.document.written(self.item).into(),
            expected: expected.into(),
            near,
        }
    }
}

/// A number that is not negative, as large as the machine counts.
fn as_count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An integer or a float, unless infinite or NaN.
fn finite(value: &Value) -> Option<f64> {
    let number = value
        .as_float()
        .or_else(|| value.as_integer().map(|whole| whole as f64))?;
    number.is_finite().then_some(number)
}

/// The number in single precision, if it is in range there too.
fn single(number: f64, range: Range) -> Option<f32> {
    let number = number as f32;
    (number.is_finite() && range.contains(f64::from(number))).then_some(number)
}
