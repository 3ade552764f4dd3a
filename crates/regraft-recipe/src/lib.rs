//! The recipe of a training: one TOML file, read into plain data.
//!
//! A recipe names a model and a folder of images; everything else has a default. This crate knows the keys, their
//! types, ranges and defaults, and says where a file is wrong: line, column, key, and what would do. It reads text and
//! gives data; it opens no model and trains nothing.
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
//! | `keys` | every key, and the nearest one to a key that does not exist |
//! | `document` | the file under its overrides, every value with the place it was written |
//! | `overrides` | `--set key=value` |
//! | `parse`, `write` | document to recipe; recipe to TOML |
//! | `available` | the values that a later version will understand |
//! | `error` | what can be wrong |

mod available;
mod document;
mod error;
mod keys;
mod names;
mod overrides;
mod parse;
mod preprocess;
mod recipe;
mod write;

pub use available::check_available;
pub use error::{Error, KeyHint, OverrideProblem, Place};
pub use keys::TABLES;
pub use preprocess::{PartialPreprocess, PreprocessSpec};
pub use recipe::{
    ClassWeights, DataSection, DeviceSection, EarlyStopping, FeatureCache, Head, HeadKind,
    ModelSection, Optimizer, Recipe, Sampler, Schedule, ScheduleKind, StopMetric, TrainSection,
    TrunkPrecision,
};

/// Reads a recipe from a file's name and text, if there is a file, and lays overrides (`key.path=value`) over it, a
/// later one over an earlier.
///
/// An override's value is TOML (`0.01`, `[0.9, 0.99]`, `{ last-blocks = 2 }`) where it parses as such, else the bare
/// text (`feature-extractor`). Where a key is a word or a table, a key inside it makes it a table, and a new kind takes
/// its own defaults: `train.optimizer=adamw` and `train.optimizer.name=adamw` are the same.
///
/// # Errors
/// The first thing that is wrong, with its line and column or the override that said it.
pub fn read(file: Option<(&str, &str)>, overrides: &[String]) -> Result<Recipe, Error> {
    let mut document = match file {
        Some((origin, text)) => document::Document::parse(origin, text)?,
        None => document::Document::empty(),
    };
    for text in overrides {
        overrides::apply(&mut document, text)?;
    }
    parse::recipe(&document)
}
