//! `regraft plan`: the freeze plan of a recipe, before anything is trained.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use indicatif::HumanDuration;
use regraft::Pace;

use crate::arguments::RecipeArguments;
use crate::output::{self, line};
use crate::running::{read_recipe, use_threads};
use crate::say::{Talk, warn};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft plan photos/
  regraft plan recipe.toml --policy last-blocks=2";

/// What to plan.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, talk: Talk) -> Result<()> {
    let recipe = read_recipe(&arguments.recipe, talk)?;
    use_threads(recipe.device.threads);
    let planned = regraft::prepare(&recipe)?;
    let pace = regraft::pace(&planned)?;
    if arguments.json {
        return output::json(&serde_json::json!({
            "plan": planned.plan,
            "outline": planned.outline,
            "estimates": planned.estimates(),
            "time": pace,
            "warnings": planned.warnings,
        }));
    }
    warn(&planned.warnings);
    output::text(format_args!("{}", planned.table()))?;
    print_pace(&pace)
}

fn print_pace(pace: &Pace) -> Result<()> {
    line(format_args!(
        "time about {}: an image takes {:.1} ms in the trunk{}, {:.1} ms above the cut in a training step (measured here)",
        HumanDuration(Duration::from_secs_f64(pace.seconds.max(1.0))),
        1e3 * pace.trunk_seconds,
        if pace.cached { ", once" } else { "" },
        1e3 * pace.rest_seconds,
    ))
}
