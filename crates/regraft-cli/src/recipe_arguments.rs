//! From words on the command line to a recipe.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regraft::Recipe;
use regraft::recipe::Error;

use crate::arguments::{RecipeArguments, Settings};
use crate::obtain::EMBEDDED;
use crate::usage::Usage;

/// A recipe read, and what to say about how.
pub struct Read {
    pub recipe: Recipe,
    pub notes: Vec<String>,
}

/// Reads the recipe that arguments mean: a file, or a model and images, with settings laid over it.
pub fn read(arguments: &RecipeArguments) -> Result<Read> {
    let words = Words::of(arguments)?;
    let mut overrides = Vec::new();
    let sources = [
        ("model.source", words.model.as_ref()),
        ("data.source", words.data.as_ref()),
        ("device.name", arguments.device.as_ref()),
    ];
    for (key, value) in sources {
        overrides.extend(value.map(|value| format!("{key}={value}")));
    }
    overrides.extend(arguments.set.iter().cloned());
    overrides.extend(arguments.settings.overrides());
    let load = |overrides: &[String]| match &words.recipe {
        Some(path) => Recipe::load_with(path, overrides),
        None => regraft::recipe::read(None, overrides),
    };
    let mut notes = Vec::new();
    let recipe = match load(&overrides) {
        Err(Error::Missing {
            section: "model", ..
        }) => {
            overrides.push(format!("model.source={}", EMBEDDED));
            notes.push(
                "no model given: taking the embedded SqueezeNet 1.1, the smallest there is; `regraft models list` names stronger ones, for `--model`"
                    .to_owned(),
            );
            load(&overrides)
        }
        read => read,
    };
    let recipe = recipe.map_err(|error| arguments.settings.in_their_words(error))?;
    Ok(Read { recipe, notes })
}

/// What the words before the options mean.
#[derive(Debug, Default)]
struct Words {
    recipe: Option<PathBuf>,
    model: Option<String>,
    data: Option<String>,
}

impl Words {
    /// A recipe is a `.toml` file, images are a folder, a model is what remains: `train recipe.toml`, `train photos/`,
    /// `train model.onnx photos/`.
    fn of(arguments: &RecipeArguments) -> Result<Self> {
        let mut words = Self {
            recipe: None,
            model: arguments.model.clone(),
            data: arguments.data.clone(),
        };
        for word in &arguments.words {
            let path = Path::new(word);
            let is_toml = path
                .extension()
                .is_some_and(|end| end.eq_ignore_ascii_case("toml"));
            let is_run = path.join("model.onnx").is_file();
            let (slot, what) = if is_toml {
                if words.recipe.replace(path.to_owned()).is_some() {
                    bail!(Usage(format!(
                        "two recipes are given, the second is `{word}`"
                    )));
                }
                continue;
            } else if path.is_dir() && !(is_run && words.model.is_none()) {
                (&mut words.data, "--data")
            } else {
                (&mut words.model, "--model")
            };
            if let Some(first) = slot.replace(word.clone()) {
                bail!(Usage(format!(
                    "`{first}` and `{word}` both say what {what} is; give a recipe (recipe.toml), or a model and a folder of images: `regraft train model.onnx photos/`"
                )));
            }
        }
        Ok(words)
    }
}

impl Settings {
    /// An error about a key that a flag gave, in the words that were typed.
    fn in_their_words(&self, error: Error) -> anyhow::Error {
        let flags = [
            (self.policy.is_some(), "freeze.policy", "--policy"),
            (self.budget.is_some(), "train.budget", "--budget"),
            (self.classes.is_some(), "data.classes", "--classes"),
        ];
        let error = anyhow::Error::from(regraft::Error::from(error));
        let text = format!("{error:#}");
        let typed = flags.into_iter().find_map(|(given, key, flag)| {
            let rest = text.strip_prefix(&format!("--set {key}="))?;
            given.then(|| Usage(format!("{flag} {rest}")).into())
        });
        typed.unwrap_or(error)
    }

    /// The flags as overrides of recipe keys.
    fn overrides(&self) -> Vec<String> {
        let mut overrides = Vec::new();
        let mut push = |key: &str, value: Option<String>| {
            overrides.extend(value.map(|value| format!("{key}={value}")));
        };
        push("train.epochs", self.epochs.map(|n| n.to_string()));
        push("train.lr", self.lr.map(|lr| format!("{lr:e}")));
        push("train.batch_size", self.batch_size.map(|n| n.to_string()));
        let size = self.size.map(|size| match size.height == size.width {
            true => size.height.to_string(),
            false => format!("[{}, {}]", size.height, size.width),
        });
        push("data.preprocess.size", size);
        let budgeted = self.budget.as_ref().map(|_| "auto".to_owned());
        push(
            "freeze.policy",
            self.policy.as_deref().map(policy).or(budgeted),
        );
        push(
            "train.budget",
            self.budget.as_ref().map(|time| format!("{time:?}")),
        );
        let quoted = |classes: &Vec<String>| {
            let names: Vec<String> = classes.iter().map(|name| format!("{name:?}")).collect();
            format!("[{}]", names.join(", "))
        };
        push("data.classes", self.classes.as_ref().map(quoted));
        overrides
    }
}

/// `last-blocks=2` as the table that a recipe writes; a word or a table stays.
fn policy(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) if !text.trim_start().starts_with('{') => {
            let value = value.trim();
            let plain = value.parse::<f64>().is_ok()
                || matches!(value, "true" | "false")
                || value.starts_with(['"', '\'', '[', '{']);
            match plain {
                true => format!("{{ {} = {value} }}", name.trim()),
                false => format!("{{ {} = {value:?} }}", name.trim()),
            }
        }
        _ => text.to_owned(),
    }
}
