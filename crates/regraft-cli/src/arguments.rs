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
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure accuracy on labelled images.
    Eval {
        /// An ONNX file, a run folder, or a name of the zoo.
        model: String,
        /// A folder of class folders.
        #[arg(long)]
        data: PathBuf,
        /// Images in a batch.
        #[arg(long, default_value_t = 32)]
        batch_size: usize,
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
        #[arg(short = 'k', long, default_value_t = 3)]
        top: usize,
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
        #[arg(long, default_value_t = 0)]
        repeat: usize,
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
    /// Learning-rate range test (not available yet).
    #[command(hide = true)]
    FindLr(Later),
    /// Order models by how well they should transfer (not available yet).
    #[command(hide = true)]
    Rank(Later),
    /// Export to other formats (not available yet).
    #[command(hide = true)]
    Export(Later),
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
    /// The recipe, a TOML file; may be left out with --model and --data.
    pub recipe: Option<PathBuf>,
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
}

/// Where the run goes.
#[derive(Debug, Args)]
pub struct Output {
    /// The run folder; without it, the next free `runs/<name>-N`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace an earlier run in --out.
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Whatever follows a verb that is not built yet.
#[derive(Debug, Args)]
pub struct Later {
    /// Ignored.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

/// A verb that is not built yet.
#[derive(Debug)]
pub struct NotYet(pub &'static str);

impl std::fmt::Display for NotYet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`regraft {}` is not available yet; `quickstart`, `inspect`, `plan`, `train`, `resume`, `eval`, `predict`, `run`, `new`, `models` and `devices` are",
            self.0
        )
    }
}

impl std::error::Error for NotYet {}
