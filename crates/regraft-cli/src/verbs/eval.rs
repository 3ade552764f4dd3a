//! `regraft eval`: accuracy on labelled images.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use regraft::data::OnBadImage;
use regraft::{Classifier, Report};

use crate::obtain::obtain;
use crate::output::{self, line};
use crate::progress::Progress;
use crate::say::{Talk, warn};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft eval runs/photos-1
  regraft eval model.onnx --data photos/test";

/// What to evaluate, and on what.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An ONNX file, a run folder, or a name of the zoo.
    pub model: String,
    /// A folder of class folders; without it, the images that the run held out of training.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Images in a batch.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch_size: u32,
    /// Leave out images that cannot be decoded.
    #[arg(long)]
    pub skip_bad_images: bool,
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
    let on_bad_image = match arguments.skip_bad_images {
        true => OnBadImage::Skip,
        false => OnBadImage::Error,
    };
    obtain(&arguments.model, talk)?;
    let output = arguments.model_output.as_deref();
    let classifier = Classifier::open_output(&arguments.model, output, &arguments.device)?;
    let mut progress = Progress::new(talk);
    let batch_size = arguments.batch_size as usize;
    let report = match &arguments.data {
        Some(data) => classifier.evaluate(data, batch_size, on_bad_image, &mut progress),
        None => classifier.evaluate_held_out(batch_size, on_bad_image, &mut progress),
    };
    progress.finish();
    let report = report?;
    warn(classifier.warnings());
    warn(&report.warnings);
    match arguments.json {
        true => output::json(&report),
        false => print(&report),
    }
}

fn print(r: &Report) -> Result<()> {
    line(format_args!("on        {}", r.data))?;
    line(format_args!("images    {}", r.images))?;
    line(format_args!("accuracy  {:.4}", r.accuracy))?;
    if let Some(top) = r.top_5 {
        line(format_args!("top 5     {top:.4}"))?;
    }
    line(format_args!("loss      {:.4}\n", r.loss))?;
    let shown: Vec<usize> = (0..r.classes.len())
        .filter(|&class| {
            r.classes[class].images > 0 || r.confusion.iter().any(|row| row[class] > 0)
        })
        .collect();
    let name = shown
        .iter()
        .map(|&class| r.classes[class].label.chars().count())
        .max()
        .unwrap_or(5)
        .max(5);
    line(format_args!(
        "{:<name$}  {:>6}  {:>9}  {:>6}  {:>6}",
        "class", "images", "precision", "recall", "F1"
    ))?;
    for &class in &shown {
        let c = &r.classes[class];
        line(format_args!(
            "{:<name$}  {:>6}  {:>9.3}  {:>6.3}  {:>6.3}",
            c.label, c.images, c.precision, c.recall, c.f1
        ))?;
    }
    if shown.len() <= 20 {
        line(format_args!(
            "\nconfusion (rows: true, columns: predicted, in the order above)"
        ))?;
        for &row in &shown {
            let cells: Vec<String> = shown
                .iter()
                .map(|&column| format!("{:>5}", r.confusion[row][column]))
                .collect();
            line(format_args!(
                "{:<name$} {}",
                r.classes[row].label,
                cells.join("")
            ))?;
        }
    }
    Ok(())
}
