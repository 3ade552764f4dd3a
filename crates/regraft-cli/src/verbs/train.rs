//! `regraft train`: a recipe, or a folder of images, into a run folder.

use anyhow::Result;
use clap::Args;

use crate::arguments::{Output, RecipeArguments};
use crate::running::{read_recipe, train_recipe};
use crate::say::Talk;
use crate::{output, summary};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft train photos/
  regraft train resnet18 photos/ --policy last-blocks=2 --epochs 5
  regraft train recipe.toml --out runs/mine";

/// What to train, and where to.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    #[command(flatten)]
    pub output: Output,
}

pub fn run(arguments: &Arguments, talk: Talk) -> Result<()> {
    let recipe = read_recipe(&arguments.recipe, talk)?;
    let trained = train_recipe(&recipe, &arguments.output, talk)?;
    if arguments.output.json {
        output::json(&trained)
    } else {
        summary::print(&trained)?;
        summary::print_next(&trained)
    }
}
