//! `regraft recipe`: every key, and a recipe to begin with.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Subcommand;
use regraft::recipe::{KEYS, schema, template};

use crate::output;
use crate::usage::Usage;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft recipe init photos.toml
  regraft recipe keys";

/// What `regraft recipe` does.
#[derive(Debug, Subcommand)]
pub enum RecipeVerb {
    /// List every key with its range, default and meaning.
    Keys {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a recipe, for editors that complete and check TOML.
    Schema,
    /// Write a commented recipe.
    Init {
        /// The file to write.
        #[arg(default_value = "recipe.toml")]
        file: PathBuf,
    },
}

/// `regraft recipe`.
pub fn run(verb: RecipeVerb) -> Result<()> {
    match verb {
        RecipeVerb::Keys { json: true } => {
            let keys: Vec<_> = KEYS
                .iter()
                .map(|key| {
                    serde_json::json!({
                        "key": key.key, "takes": key.takes(), "default": key.default(), "about": key.about,
                    })
                })
                .collect();
            output::json(&keys)
        }
        RecipeVerb::Keys { json: false } => {
            for key in KEYS {
                output::line(format_args!("{}", key.key))?;
                output::line(format_args!("    {}", key.about))?;
                output::line(format_args!(
                    "    {}; default: {}",
                    key.takes(),
                    key.default()
                ))?;
            }
            Ok(())
        }
        RecipeVerb::Schema => output::json(&schema()),
        RecipeVerb::Init { file } => init(&file),
    }
}

/// Writes a commented recipe where there is no file yet.
fn init(file: &Path) -> Result<()> {
    let mut options = std::fs::File::options();
    match options.write(true).create_new(true).open(file) {
        Ok(mut opened) => {
            std::io::Write::write_all(&mut opened, template().as_bytes())
                .map_err(|error| anyhow::anyhow!("writing `{}`: {error}", file.display()))?;
            output::line(format_args!(
                "{}: set model.source and data.source, then `regraft plan {0}`",
                file.display()
            ))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!(Usage(format!(
                "`{}` is there already; give another name",
                file.display()
            )))
        }
        Err(error) => bail!("writing `{}`: {error}", file.display()),
    }
}
