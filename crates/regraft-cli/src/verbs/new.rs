//! `regraft new`: an untrained network as an ONNX file.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use regraft::arch::{Architecture, Classes, Spec, Stem, build};
use regraft::spec::files::write_whole;

use crate::output;

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft new --list
  regraft new resnet18 --labels cat,dog --size 64";

/// Which network.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The architecture; `regraft new --list` lists them.
    #[arg(required_unless_present = "list")]
    pub architecture: Option<String>,
    /// How many classes it tells apart.
    #[arg(long, default_value_t = 1000, conflicts_with = "labels")]
    pub classes: usize,
    /// The names of its classes, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Pixels a side of its images; without it, what the paper trains on.
    #[arg(long)]
    pub size: Option<usize>,
    /// Factor on the number of channels of every layer.
    #[arg(long, default_value_t = 1.0)]
    pub width: f64,
    /// How it begins: `imagenet` shrinks the image soon, `cifar` keeps small ones large, `auto` goes by the size.
    #[arg(long, default_value = "auto")]
    pub stem: String,
    /// Decides the initial weights.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The file to write; without it, `ARCHITECTURE.onnx`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file where there is one.
    #[arg(long)]
    pub overwrite: bool,
    /// List the architectures.
    #[arg(long)]
    pub list: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let Arguments {
        architecture,
        classes,
        labels,
        size,
        width,
        stem,
        seed,
        out,
        overwrite,
        list,
        json,
    } = arguments;
    let Some(name) = architecture.filter(|_| !list) else {
        return list_all(json);
    };
    let architecture: Architecture = name.parse().map_err(regraft::Error::from)?;
    let classes = match labels.is_empty() {
        true => Classes::Count(classes),
        false => Classes::Named(labels),
    };
    let usual = Spec::new(architecture, classes);
    let spec = Spec {
        size: size.unwrap_or(usual.size),
        width,
        stem: stem.parse::<Stem>().map_err(regraft::Error::from)?,
        seed,
        ..usual
    };
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.onnx", architecture.name())));
    if out.exists() && !overwrite {
        bail!(
            "`{}` is there already; give another name with --out, or --overwrite",
            out.display()
        );
    }
    let model = build(&spec).map_err(regraft::Error::from)?;
    let bytes = model.to_bytes()?;
    write_whole(&out, &bytes)?;
    print(&spec, &out, bytes.len(), json)
}

fn print(spec: &Spec, out: &Path, bytes: usize, json: bool) -> Result<()> {
    let parameters = regraft::arch::parameter_count(spec).map_err(regraft::Error::from)?;
    if json {
        return output::json(&serde_json::json!({
            "path": out,
            "architecture": spec.architecture.name(),
            "classes": spec.classes.count(),
            "size": spec.size,
            "width": spec.width,
            "seed": spec.seed,
            "parameters": parameters,
            "bytes": bytes,
        }));
    }
    output::line(format_args!(
        "{}: {} for {} classes, images of {size} x {size}, {:.2} M parameters, untrained",
        out.display(),
        spec.architecture.name(),
        spec.classes.count(),
        parameters as f64 / 1e6,
        size = spec.size,
    ))
}

fn list_all(json: bool) -> Result<()> {
    if json {
        let all: Vec<_> = Architecture::all()
            .map(|a| serde_json::json!({"name": a.name(), "size": a.default_size(), "about": a.about()}))
            .collect();
        return output::json(&all);
    }
    for architecture in Architecture::all() {
        output::line(format_args!(
            "{:18} {:3} px  {}",
            architecture.name(),
            architecture.default_size(),
            architecture.about()
        ))?;
    }
    Ok(())
}
