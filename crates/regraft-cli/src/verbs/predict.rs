//! `regraft predict`: what images show.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use regraft::{Classifier, Top};

use crate::obtain::obtain;
use crate::output::{self, line};
use crate::progress::Progress;
use crate::say::{Talk, warn};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft predict runs/photos-1 new.jpg
  regraft predict model.onnx holiday/ -k 1 --json";

/// What to ask, and about what.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An ONNX file, a run folder, or a name of the zoo.
    pub model: String,
    /// Images, folders of images, or patterns.
    #[arg(required = true)]
    pub images: Vec<String>,
    /// How many labels an image.
    #[arg(short = 'k', long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// Which of the network's outputs counts, where it has several: its name in the file.
    #[arg(long, value_name = "NAME")]
    pub model_output: Option<String>,
    /// What computes; `regraft devices` lists what there is.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, talk: Talk) -> Result<()> {
    let paths = regraft::images(&arguments.images)?;
    obtain(&arguments.model, talk)?;
    let output = arguments.model_output.as_deref();
    let classifier = Classifier::open_output(&arguments.model, output, &arguments.device)?;
    warn(classifier.warnings());
    let mut progress = Progress::new(talk);
    let predictions = classifier.predict(&paths, arguments.top as usize, &mut progress);
    progress.finish();
    let predictions = predictions?;
    match arguments.json {
        true => output::json(&as_objects(&paths, &predictions)),
        false => print(&paths, &predictions),
    }
}

fn print(paths: &[PathBuf], predictions: &[Vec<Top>]) -> Result<()> {
    for (path, top) in paths.iter().zip(predictions) {
        let list: Vec<String> = top
            .iter()
            .map(|t| format!("{} {:.1} %", t.label, 100.0 * t.probability))
            .collect();
        line(format_args!("{}: {}", path.display(), list.join(", ")))?;
    }
    Ok(())
}

/// An object an image.
fn as_objects(paths: &[PathBuf], predictions: &[Vec<Top>]) -> Vec<serde_json::Value> {
    paths
        .iter()
        .zip(predictions)
        .map(|(path, top)| serde_json::json!({ "image": path.to_string_lossy(), "top": top }))
        .collect()
}
