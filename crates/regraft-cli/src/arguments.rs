//! Arguments that several verbs share.

use std::path::PathBuf;

use clap::Args;
use regraft::spec::ImageSize;

/// Where the recipe comes from.
#[derive(Debug, Args)]
pub struct RecipeArguments {
    /// A recipe (TOML), or a folder of images, or a model and a folder of images.
    #[arg(value_name = "RECIPE | [MODEL] IMAGES", num_args = 0..=2)]
    pub words: Vec<String>,
    /// The pretrained model, a file, a run folder or a name of the zoo: short for `--set model.source=…`.
    #[arg(long)]
    pub model: Option<String>,
    /// The images: short for `--set data.source=…`.
    #[arg(long)]
    pub data: Option<String>,
    /// Override any key of the recipe, e.g. `--set train.lr=0.01`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// What computes: short for `--set device.name=…`.
    #[arg(long)]
    pub device: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
}

/// Settings that people change often; each is short for a key of the recipe.
#[derive(Debug, Args)]
pub struct Settings {
    /// Passes over the training images: `train.epochs`.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub epochs: Option<u64>,
    /// Time that `--policy auto` may take, such as 90s, 10m or 2h: `train.budget`. Alone it means that policy.
    #[arg(long)]
    pub budget: Option<String>,
    /// Peak learning rate: `train.lr`.
    #[arg(long, alias = "learning-rate", value_parser = learning_rate)]
    pub lr: Option<f64>,
    /// Images a step: `train.batch_size`.
    #[arg(long, alias = "batch", alias = "bs", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub batch_size: Option<u64>,
    /// What trains: `full`, `feature-extractor`, `auto`, `last-blocks=2`, `from=layer3`…: `freeze.policy`.
    #[arg(long)]
    pub policy: Option<String>,
    /// Pixels a side that the network sees, `96` or height and width as `32x64`: `data.preprocess.size`.
    #[arg(long, alias = "image-size", alias = "imgsz")]
    pub size: Option<ImageSize>,
    /// The classes to use, separated by commas, in the order of their labels: `data.classes`.
    #[arg(long, value_delimiter = ',')]
    pub classes: Option<Vec<String>>,
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("expected a number above 0, such as 0.001".to_owned()),
    }
}

/// Where the run goes.
#[derive(Debug, Args)]
pub struct Output {
    /// The run folder; without it, the next free `runs/<name>-N`.
    #[arg(short, long, value_name = "DIR", alias = "output", alias = "out-dir")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in --out, once the new one has a model.
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
