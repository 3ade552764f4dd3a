//! The recipe of a training: one TOML file, read into plain data.
//!
//! A recipe names a model and a folder of images; everything else has a default. This crate knows the keys, their
//! types, ranges and defaults, and says where a file is wrong: line, column, key, and what would do. It reads text and
//! gives data; it opens no model and trains nothing.
//!
//! What was asked for and what it came to are kept apart. A [`Recipe`] holds what was asked for: a learning rate that
//! was left out is `None`, and [`TrainSection::learning_rate`] says what it comes to. [`annotated`] writes both into
//! the recipe of a run folder.
//!
//! ```
//! let recipe = regraft_recipe::Recipe::parse(
//!     r#"
//!     model.source = "resnet18-v1-7"
//!     data.source = "data/flowers"
//!     train.optimizer = "adamw"
//!     "#,
//!     "recipe.toml",
//! )?;
//! assert_eq!(recipe.train.epochs, 10);
//!
//! let overrides = ["train.lrr=0.1".to_owned()];
//! let error = regraft_recipe::read(None, &overrides).unwrap_err();
//! assert_eq!(error.to_string(), "--set train.lrr=0.1: unknown key `train.lrr`; did you mean `train.lr`?");
//! # Ok::<(), regraft_recipe::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `recipe` | the types: a struct a section, with defaults, ranges and units |
//! | `preprocess` | the preprocessing that a recipe leaves in part to the model |
//! | `names` | the words for each choice |
//! | `keys` | every key, declared once; what may have been meant by a key that does not exist |
//! | `kind` | how the value of a key is described, read, checked and written, from its declaration |
//! | `document` | the file under its overrides, every value with the place it was written |
//! | `overrides` | `--set key=value` |
//! | `parse`, `write` | document to recipe and recipe to TOML, for values that are tables |
//! | `paths` | the paths of a file, which are relative to its folder |
//! | `resolved` | what a recipe comes to |
//! | `schema` | the JSON Schema of a recipe |
//! | `template` | a recipe to begin with, every key explained |
//! | `annotated` | the recipe of a run folder |
//! | `differences` | the keys in which two recipes differ |
//! | `error` | what can be wrong |

mod annotated;
mod differences;
mod document;
mod error;
mod keys;
mod kind;
mod names;
mod overrides;
mod parse;
mod paths;
mod preprocess;
mod recipe;
mod resolved;
mod schema;
mod template;
mod write;

pub use annotated::annotated;
pub use differences::{Difference, differences};
pub use error::{Error, KeyHint, OverrideProblem, Place};
pub use keys::{KEYS, KeyInfo};
pub use preprocess::{PartialPreprocess, PreprocessSpec};
pub use recipe::{
    DataSection, DeviceSection, Head, HeadKind, ModelSection, Recipe, Start, Taps, TrainSection,
};
pub use regraft_spec::{
    ClassWeights, EarlyStopping, FeatureCache, Optimizer, Precision, Schedule, ScheduleKind,
    StopMetric,
};
pub use resolved::ResolvedRecipe;
pub use schema::schema;
pub use template::template;

/// Reads a recipe from a file's name and text, if there is a file, and lays overrides (`key.path=value`) over it, a
/// later one over an earlier.
///
/// An override's value is TOML (`0.01`, `[0.9, 0.99]`, `{ last-blocks = 2 }`) where it parses as such, else the bare
/// text (`feature-extractor`). Where a key is a word or a table, a key inside it makes it a table, and a new kind takes
/// its own defaults: `train.optimizer=adamw` and `train.optimizer.name=adamw` are the same.
///
/// Paths stay as they are written; [`Recipe::load_with`] takes those of a file from its folder.
///
/// # Errors
/// The first thing that is wrong, with its line and column or the override that said it.
pub fn read(file: Option<(&str, &str)>, overrides: &[String]) -> Result<Recipe, Error> {
    let mut document = match file {
        Some((origin, text)) => document::Document::parse(origin, text)?,
        None => document::Document::empty(),
    };
    overrides::apply_all(&mut document, overrides)?;
    parse::recipe(&document)
}
