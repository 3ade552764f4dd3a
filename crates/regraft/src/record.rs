//! What a run began with, for going on with it: `run.json`, `split.csv`, and how both differ from what is there now.

use std::path::Path;

use regraft_data::{Changes, ImageRecord};
use regraft_recipe::{Difference, Recipe, ResolvedRecipe, differences};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::prepare::Planned;
use crate::run_file::RunFile;
use crate::run_folder::io;

/// Keys of a recipe that may change while a run is under way: none of them changes what earlier steps did. Model and images
/// may have moved; that they are the same ones is checked by their hashes.
const CHANGEABLE: [&str; 9] = [
    "model.source",
    "data.source",
    "train.epochs",
    "train.schedule",
    "train.early_stopping",
    "train.checkpoint_every",
    "data.on_bad_image",
    "device.name",
    "device.threads",
];

/// What a run began with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of regraft that began it.
    pub version: String,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// The recipe as asked for, as TOML.
    pub asked: String,
    /// The recipe with every choice made, as TOML.
    pub resolved: String,
}

impl RunRecord {
    pub(crate) fn new(planned: &Planned) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            model_sha256: planned.pretrained.sha256.clone(),
            asked: planned.asked.to_toml(),
            resolved: planned.recipe.to_toml(),
        }
    }

    /// The recipe as asked for.
    ///
    /// # Errors
    /// When another version wrote it.
    pub fn asked(&self) -> Result<Recipe, Error> {
        Ok(Recipe::parse(&self.asked, RunFile::Record.name())?)
    }

    /// The recipe with every choice made.
    ///
    /// # Errors
    /// When another version wrote it.
    pub fn resolved(&self) -> Result<ResolvedRecipe, Error> {
        Ok(ResolvedRecipe::parse(
            &self.resolved,
            RunFile::Record.name(),
        )?)
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
    let fault = |source| io("reading", path, source);
    let mut file = std::fs::File::open(path).map_err(fault)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut HashWriter(&mut hash)).map_err(fault)?;
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Feeds a hash with what is written to it.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The settings that a run goes on with: those it began with, and the new values of those that may change.
pub(crate) struct Settings {
    pub asked: Recipe,
    pub resolved: ResolvedRecipe,
    /// What changed, for telling.
    pub changes: Vec<Difference>,
}

/// Lays overrides, and with `accept_changes` edits of the run's recipe.toml, over the recorded settings.
///
/// # Errors
/// When a setting would change that decided what is already trained, or recipe.toml was edited and that is not accepted.
pub(crate) fn settings(
    run: &Path,
    record: &RunRecord,
    overrides: &[String],
    accept_changes: bool,
) -> Result<Settings, Error> {
    let began = record.asked()?;
    let edited = Recipe::load(&run.join(RunFile::Recipe.name()))?;
    let edits = differences(&began, &edited);
    let refused = |reason: String| Error::Changed {
        path: run.to_owned(),
        reason,
    };
    if !edits.is_empty() && !accept_changes {
        return Err(refused(format!(
            "its recipe.toml was edited ({}); put it back and use `--set`, or pass `--accept-changes` for what may change in a run",
            list(&edits)
        )));
    }
    let asked = regraft_recipe::read(Some(("recipe.toml", &edited.to_toml())), overrides)?;
    let changes = differences(&began, &asked);
    let fixed: Vec<Difference> = changes
        .iter()
        .filter(|change| !CHANGEABLE.contains(&change.key.as_str()))
        .cloned()
        .collect();
    if !fixed.is_empty() {
        return Err(refused(format!(
            "{} cannot change in a run that has begun; {} can. Start another from it: `regraft train {} --model {} …`",
            list(&fixed),
            CHANGEABLE.map(|key| format!("`{key}`")).join(", "),
            run.join(RunFile::Recipe.name()).display(),
            run.display(),
        )));
    }
    let resolved = record.resolved()?.change(|recipe| {
        recipe.model.source.clone_from(&asked.model.source);
        recipe.data.source.clone_from(&asked.data.source);
        recipe.train.epochs = asked.train.epochs;
        recipe.train.schedule = asked.train.schedule;
        recipe.train.early_stopping = asked.train.early_stopping;
        recipe.train.checkpoint_every = asked.train.checkpoint_every;
        recipe.data.on_bad_image = asked.data.on_bad_image;
        recipe.device = asked.device.clone();
    });
    Ok(Settings {
        asked,
        resolved,
        changes,
    })
}

/// `` `train.lr` 0.001 → 0.01, … ``
fn list(changes: &[Difference]) -> String {
    let all: Vec<String> = changes
        .iter()
        .map(|change| {
            let Difference { key, before, after } = change;
            format!("`{key}` {before} → {after}")
        })
        .collect();
    all.join(", ")
}

/// Compares a run's images with those there are now.
///
/// # Errors
/// When they differ and that is not accepted.
pub(crate) fn check_images(
    run: &Path,
    before: &[ImageRecord],
    now: &[ImageRecord],
    accept_changes: bool,
) -> Result<Option<Changes>, Error> {
    let changes = regraft_data::changes(before, now);
    match changes.is_empty() {
        true => Ok(None),
        false if accept_changes => Ok(Some(changes)),
        false => Err(Error::Changed {
            path: run.to_owned(),
            reason: format!(
                "its images are not those that it began with: {changes}; put them back, or pass `--accept-changes` to go on with them (every known image stays in its split, new ones train)"
            ),
        }),
    }
}
