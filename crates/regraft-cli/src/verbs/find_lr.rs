//! `regraft find-lr`: a learning rate for a recipe, from a short trial whose rate grows with every step.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use regraft::FoundRates;
use regraft::training::RangeTest;

use crate::arguments::RecipeArguments;
use crate::output::{self, line};
use crate::plot::Plot;
use crate::progress::Progress;
use crate::running::{read_recipe, use_threads};
use crate::say::{self, Talk};
use crate::usage::Usage;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft find-lr photos/ --policy last-blocks=2
  regraft find-lr recipe.toml --steps 200 --svg rates.svg";

/// The picture shows losses up to so many times the one that the test began with.
const HIGHEST: f64 = 1.2;

/// What to try.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Steps, at most; the trial ends where the loss explodes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    pub steps: u64,
    /// Write a picture.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, talk: Talk) -> Result<()> {
    if arguments.recipe.settings.lr.is_some() {
        bail!(Usage(
            "--lr is what find-lr looks for; leave it out".to_owned()
        ));
    }
    let recipe = read_recipe(&arguments.recipe, talk)?;
    use_threads(recipe.device.threads);
    let test = RangeTest {
        steps: usize::try_from(arguments.steps)?,
        ..RangeTest::default()
    };
    let mut progress = Progress::new(talk);
    let found = regraft::find_lr(&recipe, &test, &mut progress);
    progress.finish();
    let found = found?;
    if let Some(path) = &arguments.svg {
        regraft::spec::files::write_whole(path, plot(&found).svg()?.as_bytes())?;
    }
    if arguments.json {
        return output::json(&found);
    }
    if talk > Talk::Quiet {
        found.notes.iter().for_each(say::line);
    }
    print(&found)
}

fn plot(found: &FoundRates) -> Plot<'_> {
    let points = &found.curve.points;
    let curve: Vec<(f64, f64)> = points.iter().map(|p| (p.lr, p.smoothed)).collect();
    let heights = curve.iter().map(|(_, loss)| *loss);
    let (least, most) = heights.fold((f64::INFINITY, f64::MIN), |(least, most), loss| {
        (least.min(loss), most.max(loss))
    });
    let first = curve.first().map_or(1.0, |(_, loss)| *loss);
    let most = most.min(HIGHEST * first.max(least)).max(least + 1e-6);
    let marks = [
        (found.curve.steepest, 's', "steepest"),
        (found.curve.minimum_tenth, 't', "a tenth of the least"),
    ];
    Plot {
        axes: ["learning rate", "loss"],
        behind: points.iter().map(|p| (p.lr, p.loss)).collect(),
        curve,
        marks: marks
            .into_iter()
            .filter_map(|(place, letter, words)| Some((place?, letter, words)))
            .collect(),
        heights: least..most,
    }
}

fn print(found: &FoundRates) -> Result<()> {
    output::text(format_args!("{}\n", plot(found).text()))?;
    let curve = &found.curve;
    let steps = curve.points.len();
    let end = curve.points.last().map_or(0.0, |point| point.lr);
    match curve.exploded {
        true => line(format_args!(
            "the loss exploded after {steps} steps, above {end:.1e}"
        ))?,
        false => line(format_args!(
            "{steps} steps, up to {end:.1e}; the loss did not explode"
        ))?,
    }
    match (curve.steepest, curve.minimum_tenth) {
        (Some(steepest), Some(tenth)) => {
            line(format_args!(
                "  s  {steepest:.1e}  where the loss falls most steeply"
            ))?;
            line(format_args!(
                "  t  {tenth:.1e}  a tenth of the rate where it is least"
            ))?;
            line(format_args!(
                "the recipe has {:.1e}; train with `--lr {steepest:.1e}`, or any rate between these",
                found.recipe_lr
            ))
        }
        _ => line(format_args!(
            "the loss fell at no learning rate, so that none is suggested; does the recipe train what it should?"
        )),
    }
}
