//! `regraft run`: one raw forward pass on a tensor, without preprocessing.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use regraft::{RawRun, Until};

use crate::obtain::obtain;
use crate::output::{self, line};
use crate::say::Talk;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft run model.onnx --input image.npy --output logits.npy
  regraft run model.onnx --input image.npy --trunk --repeat 20";

/// What to run, on what, and how far.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An ONNX file, a run folder, or a name of the zoo.
    pub model: String,
    /// The input: `.npy`, or an ONNX TensorProto `.pb`.
    #[arg(long)]
    pub input: PathBuf,
    /// Where to write the output, `.npy`.
    #[arg(long)]
    pub output: Option<PathBuf>,
    /// Stop at the last cut, below the head: what a frozen trunk gives.
    #[arg(long)]
    pub trunk: bool,
    /// Passes to time after one to warm up.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub repeat: u32,
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
    let Arguments {
        model,
        input,
        device,
        ..
    } = arguments;
    obtain(model, talk)?;
    let until = match arguments.trunk {
        true => Until::LastCut,
        false => Until::Output,
    };
    let output = arguments.model_output.as_deref();
    let repeat = arguments.repeat as usize;
    let run = regraft::run_raw(model, output, device, input, until, repeat)?;
    if let Some(path) = &arguments.output {
        run.write_npy(path)?;
    }
    match arguments.json {
        true => output::json(&run),
        false => print(&run, arguments.output.as_deref()),
    }
}

fn print(run: &RawRun, output: Option<&Path>) -> Result<()> {
    line(format_args!("output {:?}", run.shape))?;
    match output {
        Some(path) => line(format_args!("written to {}", path.display()))?,
        None => line(format_args!(
            "{:?}",
            &run.values[..run.values.len().min(10)]
        ))?,
    }
    if !run.seconds.is_empty() {
        let mut sorted = run.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        line(format_args!(
            "median of {} passes: {:.4} s",
            sorted.len(),
            sorted[sorted.len() / 2]
        ))?;
    }
    Ok(())
}
