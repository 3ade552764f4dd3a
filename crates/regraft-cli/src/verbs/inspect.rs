//! `regraft inspect`: a model's blocks, layers, parameters, head, and what the passes make of it.

use anyhow::Result;
use clap::Args;
use regraft::freeze::ParameterKind;
use regraft::{Inspection, ParameterReport, Passes};

use crate::obtain::obtain;
use crate::output::{self, line};
use crate::say::Talk;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft inspect resnet18.onnx
  regraft inspect runs/photos-1 --parameters
  regraft inspect resnet18 --passes";

/// What to inspect.
#[derive(Debug, Args)]
pub struct Arguments {
    /// An ONNX file, a run folder, or a name of the zoo.
    pub model: String,
    /// List every parameter too: the names that freeze rules match.
    #[arg(long)]
    pub parameters: bool,
    /// List what was fused for inference and for training, and why a node stays by itself.
    #[arg(long)]
    pub passes: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, talk: Talk) -> Result<()> {
    obtain(&arguments.model, talk)?;
    let inspection = regraft::inspect(&arguments.model)?;
    let passes = match arguments.passes {
        true => Some(regraft::passes(&arguments.model)?),
        false => None,
    };
    if arguments.json {
        let mut value = serde_json::to_value(&inspection)?;
        if let (Some(passes), Some(fields)) = (&passes, value.as_object_mut()) {
            fields.insert("passes".to_owned(), serde_json::to_value(passes)?);
        }
        return output::json(&value);
    }
    print(&inspection)?;
    if arguments.parameters {
        print_parameters(&inspection)?;
    }
    match &passes {
        Some(passes) => print_passes(passes),
        None => Ok(()),
    }
}

/// What every pass did, for inference and for training.
fn print_passes(passes: &Passes) -> Result<()> {
    match &passes.inference_refused {
        Some(why) => line(format_args!("\n  inference: run node by node, since {why}"))?,
        None => line(format_args!(
            "\n  inference: {} nodes become {} steps",
            passes.nodes, passes.steps
        ))?,
    }
    for note in &passes.inference {
        line(format_args!("    {note}"))?;
    }
    line(format_args!("\n  training, where all of it trains"))?;
    for note in &passes.training {
        line(format_args!("    {note}"))?;
    }
    Ok(())
}

fn millions(value: u64) -> String {
    format!("{:.2} M", value as f64 / 1e6)
}

fn print(i: &Inspection) -> Result<()> {
    let [channels, height, width] = i.image;
    line(format_args!("{}", i.path.display()))?;
    line(format_args!(
        "  written by     {} (opset {})",
        if i.producer.is_empty() {
            "unknown"
        } else {
            &i.producer
        },
        i.opset
    ))?;
    line(format_args!(
        "  image          {channels} x {height} x {width}"
    ))?;
    line(format_args!(
        "  classes        {}{}",
        i.classes,
        if i.has_labels {
            ", with labels"
        } else {
            ", without labels"
        }
    ))?;
    if !i.other_outputs.is_empty() {
        line(format_args!(
            "  outputs        `{}` counts; there are also `{}`",
            i.output,
            i.other_outputs.join("`, `")
        ))?;
    }
    line(format_args!(
        "  preprocessing  {}",
        if i.has_preprocessing {
            "in the file"
        } else {
            "not in the file"
        }
    ))?;
    line(format_args!(
        "  parameters     {}",
        millions(i.parameters as u64)
    ))?;
    line(format_args!(
        "  computation    {} multiply-accumulates an image ({:.2} GFLOP)",
        millions(i.macs),
        2e-9 * i.macs as f64
    ))?;
    line(format_args!(
        "  normalisation  {} layers with running statistics",
        i.norms
    ))?;
    if let (Some(value), Some(features)) = (&i.head, i.features) {
        line(format_args!(
            "  head           begins after `{value}`, {features} features"
        ))?;
    }
    if let Some(reason) = &i.head_missing {
        line(format_args!("  head           not found: {reason}"))?;
    }
    let name = i
        .blocks
        .iter()
        .map(|block| block.name.chars().count() + 7)
        .max()
        .unwrap_or(5);
    line(format_args!(
        "\n  {:<name$}  {:>5}  {:>10}  {:>10}  {:>5}  output",
        "block", "nodes", "parameters", "MACs", "norms"
    ))?;
    for block in &i.blocks {
        let label = format!("{}{}", block.name, if block.head { " (head)" } else { "" });
        let output: Vec<String> = block.output.iter().map(usize::to_string).collect();
        line(format_args!(
            "  {label:<name$}  {:>5}  {:>10}  {:>10}  {:>5}  {}",
            block.nodes,
            block.parameters,
            millions(block.macs),
            block.norms,
            output.join(" x ")
        ))?;
    }
    Ok(())
}

fn print_parameters(i: &Inspection) -> Result<()> {
    let width = |of: fn(&ParameterReport) -> &str, least| {
        let widths = i.parameter_list.iter().map(|p| of(p).chars().count());
        widths.max().unwrap_or(0).max(least)
    };
    let (name, block) = (width(|p| &p.name, 9), width(|p| &p.block, 5));
    line(format_args!(
        "\n  {:<name$}  {:<block$}  {:<10}  shape",
        "parameter", "block", "kind"
    ))?;
    for p in &i.parameter_list {
        let shape: Vec<String> = p.shape.iter().map(usize::to_string).collect();
        let kind = match p.kind {
            ParameterKind::Weight => "weight",
            ParameterKind::Bias => "bias",
            ParameterKind::NormScale => "norm-scale",
            ParameterKind::NormShift => "norm-shift",
        };
        line(format_args!(
            "  {:<name$}  {:<block$}  {kind:<10}  {}",
            p.name,
            p.block,
            shape.join(" x ")
        ))?;
    }
    Ok(())
}
