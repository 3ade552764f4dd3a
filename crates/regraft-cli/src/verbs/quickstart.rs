//! `regraft quickstart`: the embedded network on the embedded images, through the same path as anybody's own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use include_dir::{Dir, include_dir};
use regraft::data::OnBadImage;
use regraft::spec::files::write_whole;
use regraft::{Classifier, Report};

use crate::arguments::Output;
use crate::obtain::MODEL;
use crate::output;
use crate::running::train_recipe;
use crate::say::{self, Talk};

static IMAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../models/emoji");

/// What the quickstart changes of a recipe's defaults: small images, and all of each.
const SETTINGS: [&str; 3] = [
    "data.preprocess.size=128",
    "data.preprocess.crop=squash",
    "freeze.policy=feature-extractor",
];

/// Accuracies of one model on both sets.
struct Scores {
    test: Report,
    shifted: Report,
}

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft quickstart
  regraft predict runs/emoji-1 cat.png";

/// Where the run goes, and what computes.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub output: Output,
    /// What computes; `regraft devices` lists what there is.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

pub fn run(arguments: &Arguments, talk: Talk) -> Result<()> {
    let device = arguments.device.as_str();
    let folder = Path::new("runs").join("quickstart");
    let images = folder.join("emoji");
    unpack(&images)?;
    let model = folder.join("squeezenet1.1-imagenet.onnx");
    write_once(&model, MODEL)?;
    let mut overrides = vec![
        format!("model.source={}", model.display()),
        format!("data.source={}", images.display()),
        format!("device.name={device}"),
    ];
    overrides.extend(SETTINGS.iter().map(|setting| (*setting).to_owned()));
    let recipe = regraft::recipe::read(None, &overrides).map_err(regraft::Error::from)?;
    if talk > Talk::Quiet {
        say::line(format_args!(
            "SqueezeNet 1.1, trained on ImageNet, learns to tell ten kinds of emoji apart from {} examples.\n",
            count(&images.join("train"))
        ));
    }
    let untrained = regraft::prepare(&recipe)?;
    let before = scores(
        &Classifier::from_model(&untrained.model, model, device)?,
        &images,
    )?;
    let summary = train_recipe(&recipe, &arguments.output, talk)?;
    let after = scores(
        &Classifier::open(&summary.run.to_string_lossy(), device)?,
        &images,
    )?;
    if arguments.output.json {
        return output::json(&serde_json::json!({
            "summary": summary,
            "test": { "before": before.test.accuracy, "after": after.test.accuracy, "images": after.test.images },
            "shifted": { "before": before.shifted.accuracy, "after": after.shifted.accuracy, "images": after.shifted.images },
        }));
    }
    output::line(format_args!("accuracy            before  after"))?;
    output::line(format_args!(
        "  test              {:>6.3} {:>6.3}   {} emoji that training never saw",
        before.test.accuracy, after.test.accuracy, after.test.images
    ))?;
    output::line(format_args!(
        "  shifted           {:>6.3} {:>6.3}   the same ones, drawn in another style",
        before.shifted.accuracy, after.shifted.accuracy
    ))?;
    output::line(format_args!("(before: the new head untrained)\n"))?;
    output::line(format_args!("run folder  {}", summary.run.display()))?;
    output::line(format_args!(
        "model       {}",
        summary.run.join("model.onnx").display()
    ))?;
    output::line(format_args!("time        {:.1} s\n", summary.seconds))?;
    output::line(format_args!(
        "try it:     regraft predict {} {}",
        summary.run.display(),
        images.join("test/animal").display()
    ))?;
    Ok(())
}

fn scores(classifier: &Classifier, images: &Path) -> Result<Scores> {
    let score = |name: &str| {
        classifier.evaluate(
            &images.join(name),
            32,
            OnBadImage::Error,
            &mut regraft::Silent,
        )
    };
    Ok(Scores {
        test: score("test")?,
        shifted: score("shifted")?,
    })
}

fn unpack(target: &Path) -> Result<()> {
    let mut folders = vec![&IMAGES];
    while let Some(folder) = folders.pop() {
        for file in folder.files() {
            write_once(&target.join(file.path()), file.contents())?;
        }
        folders.extend(folder.dirs());
    }
    Ok(())
}

/// Writes a file unless it is there with the same content.
fn write_once(path: &PathBuf, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("making `{}`", parent.display()))?;
    }
    Ok(write_whole(path, bytes)?)
}

fn count(folder: &Path) -> usize {
    regraft::images(&[folder.to_string_lossy().into_owned()]).map_or(0, |images| images.len())
}
