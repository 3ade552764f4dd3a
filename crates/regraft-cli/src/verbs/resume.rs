//! `regraft resume`: goes on with a run from its last checkpoint.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use regraft::{Recipe, ResumeOptions};

use crate::obtain::obtain;
use crate::progress::Progress;
use crate::running::{stop_on_signal, use_threads};
use crate::say::Talk;
use crate::{output, summary};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft resume runs/photos-1
  regraft resume runs/photos-1 --epochs 20";

/// Which run, and what changes.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The run folder.
    pub run: PathBuf,
    /// Change what may change in a run: `train.epochs`, `train.schedule`, `train.early_stopping`,
    /// `train.checkpoint_every`, `data.on_bad_image`, `device.name`, `device.threads`; `model.source` and `data.source` where
    /// the model or the images moved.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Short for `--set train.epochs=…`.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub epochs: Option<u64>,
    /// Go on although images were added, removed or changed, or recipe.toml was edited: every known image stays in its
    /// split, new ones train.
    #[arg(long)]
    pub accept_changes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: Arguments, talk: Talk) -> Result<()> {
    let run = &arguments.run;
    let mut overrides = arguments.set;
    overrides.extend(
        arguments
            .epochs
            .map(|epochs| format!("train.epochs={epochs}")),
    );
    let recipe = run.join("recipe.toml");
    if recipe.is_file() {
        let recipe = Recipe::load_with(&recipe, &overrides).map_err(regraft::Error::from)?;
        obtain(&recipe.model.source, talk)?;
        use_threads(recipe.device.threads);
    }
    let options = ResumeOptions {
        overrides,
        accept_changes: arguments.accept_changes,
        stop: stop_on_signal(),
    };
    let mut progress = Progress::new(talk);
    let resumed = regraft::resume(run, &options, &mut progress);
    progress.finish();
    let resumed = resumed?;
    if arguments.json {
        return output::json(&resumed);
    }
    if !resumed.trained {
        return output::line(format_args!(
            "{} is finished, after epoch {}; nothing was changed. More epochs: `regraft resume {0} --epochs {}`",
            run.display(),
            resumed.summary.epochs,
            2 * resumed.summary.epochs,
        ));
    }
    summary::print(&resumed.summary)?;
    summary::print_next(&resumed.summary)
}
