//! What a person can type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Transfer learning from the command line: a pretrained ONNX network in, a fine-tuned ONNX network out.
#[derive(Debug, Parser)]
#[command(name = "regraft", version, about)]
pub struct Arguments {
    /// Say less: only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: every step.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Fine-tune the embedded network on the embedded images, end to end, in a minute or two.
    Quickstart {
        #[command(flatten)]
        output: Output,
        /// What computes; `regraft devices` lists what there is.
        #[arg(long, default_value = "auto")]
        device: String,
    },
    /// Show a model's blocks, layers, parameters, and where its head is.
    Inspect {
        /// An ONNX file, a run folder, or a name of the zoo.
        model: String,
        /// List every parameter too: the names that freeze rules match.
        #[arg(long)]
        parameters: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the freeze plan of a recipe, before anything is trained.
    Plan {
        #[command(flatten)]
        recipe: RecipeArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Train a recipe into a run folder.
    Train {
        #[command(flatten)]
        recipe: RecipeArguments,
        #[command(flatten)]
        output: Output,
    },
    /// Go on with a run from its last checkpoint.
    Resume {
        /// The run folder.
        run: PathBuf,
        /// Change what may change in a run: `train.epochs`, `train.schedule`, `train.early_stopping`,
        /// `train.checkpoint_every`, `data.on_bad_image`, `device.name`, `device.threads`; `model.source` and `data.source` where
        /// the model or the images moved.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Short for `--set train.epochs=…`.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        epochs: Option<u64>,
        /// Go on although images were added, removed or changed, or recipe.toml was edited: every known image stays in its
        /// split, new ones train.
        #[arg(long)]
        accept_changes: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure accuracy on labelled images.
    Eval {
        /// An ONNX file, a run folder, or a name of the zoo.
        model: String,
        /// A folder of class folders; without it, the images that the run held out of training.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Images in a batch.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
        batch_size: u32,
        /// Leave out images that cannot be decoded.
        #[arg(long)]
        skip_bad_images: bool,
        /// What computes; `regraft devices` lists what there is.
        #[arg(long, default_value = "auto")]
        device: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Name what images show.
    Predict {
        /// An ONNX file, a run folder, or a name of the zoo.
        model: String,
        /// Images, folders of images, or patterns.
        #[arg(required = true)]
        images: Vec<String>,
        /// How many labels an image.
        #[arg(short = 'k', long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        top: u32,
        /// What computes; `regraft devices` lists what there is.
        #[arg(long, default_value = "auto")]
        device: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One raw forward pass on a tensor, without preprocessing.
    Run {
        /// An ONNX file, a run folder, or a name of the zoo.
        model: String,
        /// The input: `.npy`, or an ONNX TensorProto `.pb`.
        #[arg(long)]
        input: PathBuf,
        /// Where to write the output, `.npy`.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Stop at the last cut, below the head: what a frozen trunk gives.
        #[arg(long)]
        trunk: bool,
        /// Passes to time after one to warm up.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
        repeat: u32,
        /// What computes; `regraft devices` lists what there is.
        #[arg(long, default_value = "auto")]
        device: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the backends compiled in, and what each finds on this machine.
    Devices {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write an untrained network as ONNX, to train from nothing.
    New {
        /// The architecture; `regraft new --list` lists them.
        #[arg(required_unless_present = "list")]
        architecture: Option<String>,
        /// How many classes it tells apart.
        #[arg(long, default_value_t = 1000, conflicts_with = "labels")]
        classes: usize,
        /// The names of its classes, separated by commas.
        #[arg(long, value_delimiter = ',')]
        labels: Vec<String>,
        /// Pixels a side of its images; without it, what the paper trains on.
        #[arg(long)]
        size: Option<usize>,
        /// Factor on the number of channels of every layer.
        #[arg(long, default_value_t = 1.0)]
        width: f64,
        /// How it begins: `imagenet` shrinks the image soon, `cifar` keeps small ones large, `auto` goes by the size.
        #[arg(long, default_value = "auto")]
        stem: String,
        /// Decides the initial weights.
        #[arg(long, default_value_t = 42)]
        seed: u64,
        /// The file to write; without it, `ARCHITECTURE.onnx`.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Replace the file where there is one.
        #[arg(long)]
        overwrite: bool,
        /// List the architectures.
        #[arg(long)]
        list: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The model zoo: pretrained networks by name.
    #[command(subcommand)]
    Models(Models),
    /// Recipes: every key, and a commented one to begin with.
    #[command(subcommand)]
    Recipe(RecipeVerb),
}

/// What `regraft recipe` does.
#[derive(Debug, Subcommand)]
pub enum RecipeVerb {
    /// List every key with its range, default and meaning.
    Keys {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a commented recipe.
    Init {
        /// The file to write.
        #[arg(default_value = "recipe.toml")]
        file: PathBuf,
    },
}

/// The verbs of the zoo.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List the models that are known.
    List {
        /// Names, families or architectures; without them, all.
        names: Vec<String>,
        /// Only those that are on this machine.
        #[arg(long)]
        here: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetch models into the cache folder.
    Get {
        /// Their names.
        names: Vec<String>,
        /// A whole family, e.g. `vgg`.
        #[arg(long, value_name = "NAME")]
        family: Vec<String>,
        /// All that are known: tens of gigabytes.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        fetching: Fetching,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Read fetched models again and check their SHA-256.
    Verify {
        /// Their names; without them, all that are on this machine.
        names: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print where a fetched model's file is.
    Path {
        /// Its name.
        name: String,
    },
    /// Make the models of a manifest of your own known; the file stays where it is.
    Add {
        /// The manifest, a TOML file.
        manifest: PathBuf,
        /// Take it off the list again.
        #[arg(long)]
        forget: bool,
    },
}

/// How files are fetched.
#[derive(Debug, Args)]
pub struct Fetching {
    /// An address or folder that may hold the files under their own names, tried before the manifest's sources; may be
    /// given several times, in order.
    #[arg(long, value_name = "URL|DIR")]
    pub mirror: Vec<String>,
    /// Use what is on this machine only.
    #[arg(long)]
    pub offline: bool,
    /// Downloads at once.
    #[arg(long, default_value_t = 3)]
    pub parallel: usize,
}

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
    /// Peak learning rate: `train.lr`.
    #[arg(long, alias = "learning-rate", value_parser = learning_rate)]
    pub lr: Option<f64>,
    /// Images a step: `train.batch_size`.
    #[arg(long, alias = "batch", alias = "bs", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub batch_size: Option<u64>,
    /// What trains: `full`, `feature-extractor`, `auto`, `last-blocks=2`, `from=layer3`…: `freeze.policy`.
    #[arg(long)]
    pub policy: Option<String>,
    /// Pixels a side that the network sees: `data.preprocess.size`.
    #[arg(long, alias = "image-size", alias = "imgsz", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub size: Option<u64>,
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
