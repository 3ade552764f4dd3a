//! Results on standard output, for people and as JSON.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use indicatif::HumanDuration;
use regraft::freeze::ParameterKind;
use regraft::{Inspection, Pace, ParameterReport, RawRun, Report, Score, Summary, Top, backend};

/// A line on standard output.
pub fn line(what: Arguments<'_>) -> Result<()> {
    text(format_args!("{what}\n"))
}

/// Text on standard output; whoever reads it may stop reading, as `head` does.
pub fn text(what: Arguments<'_>) -> Result<()> {
    match std::io::stdout().write_fmt(what) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Pretty JSON.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    line(format_args!("{}", serde_json::to_string_pretty(value)?))?;
    Ok(())
}

fn millions(value: u64) -> String {
    format!("{:.2} M", value as f64 / 1e6)
}

/// `regraft inspect`.
pub fn inspection(i: &Inspection) -> Result<()> {
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

/// `regraft inspect --parameters`.
pub fn parameters(i: &Inspection) -> Result<()> {
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

/// What to do with a trained run.
pub fn next(s: &Summary) -> Result<()> {
    let run = s.run.display();
    line(format_args!("\nnext"))?;
    line(format_args!("  regraft predict {run} IMAGE…"))?;
    match (s.test, s.validation) {
        (None, None) => line(format_args!(
            "  regraft eval {run} --data FOLDER    on images that it was not trained on"
        )),
        _ => line(format_args!(
            "  regraft eval {run}    class by class, on the images held out of training"
        )),
    }
}

/// The last lines of `regraft plan`.
pub fn pace(pace: &Pace) -> Result<()> {
    line(format_args!(
        "time about {}: an image takes {:.1} ms in the trunk{}, {:.1} ms above the cut in a training step (measured here)",
        HumanDuration(Duration::from_secs_f64(pace.seconds.max(1.0))),
        1e3 * pace.trunk_seconds,
        if pace.cached { ", once" } else { "" },
        1e3 * pace.rest_seconds,
    ))?;
    Ok(())
}

/// `regraft train` and `resume`.
pub fn summary(s: &Summary) -> Result<()> {
    if let (Some(before), Some(after)) = (s.validation_before, s.validation) {
        line(format_args!(
            "validation accuracy  {:.3} untrained, {:.3} trained ({} images)",
            before.accuracy, after.accuracy, after.images
        ))?;
    } else if let Some(after) = s.validation {
        line(format_args!(
            "validation accuracy  {:.3} ({} images)",
            after.accuracy, after.images
        ))?;
    }
    if let Some(Score {
        accuracy, images, ..
    }) = s.test
    {
        line(format_args!(
            "test accuracy        {accuracy:.3} ({images} images)"
        ))?;
    }
    line(format_args!(
        "best epoch           {} of {}",
        s.best_epoch, s.epochs
    ))?;
    line(format_args!(
        "frozen               {} parameters, each compared with the pretrained bytes: unchanged",
        s.frozen_unchanged
    ))?;
    line(format_args!("time                 {:.1} s", s.seconds))?;
    line(format_args!(
        "model                {}",
        s.run.join("model.onnx").display()
    ))?;
    Ok(())
}

/// `regraft eval`.
pub fn report(r: &Report) -> Result<()> {
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

/// `regraft predict`.
pub fn predictions(paths: &[PathBuf], predictions: &[Vec<Top>]) -> Result<()> {
    for (path, top) in paths.iter().zip(predictions) {
        let list: Vec<String> = top
            .iter()
            .map(|t| format!("{} {:.1} %", t.label, 100.0 * t.probability))
            .collect();
        line(format_args!("{}: {}", path.display(), list.join(", ")))?;
    }
    Ok(())
}

/// `regraft predict --json`: an object an image.
pub fn prediction_list(paths: &[PathBuf], predictions: &[Vec<Top>]) -> Vec<serde_json::Value> {
    paths
        .iter()
        .zip(predictions)
        .map(|(path, top)| serde_json::json!({ "image": path.to_string_lossy(), "top": top }))
        .collect()
}

/// `regraft run`.
pub fn raw(run: &RawRun, output: Option<&Path>) -> Result<()> {
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

/// `regraft devices`.
pub fn devices(as_json: bool) -> Result<()> {
    let found: Vec<(&backend::Plugin, Option<Vec<String>>)> = backend::PLUGINS
        .iter()
        .map(|plugin| (plugin, plugin.built.as_ref().map(|built| (built.devices)())))
        .collect();
    if as_json {
        let list: Vec<serde_json::Value> = found
            .iter()
            .map(|(plugin, devices)| {
                serde_json::json!({
                    "backend": plugin.name,
                    "summary": plugin.summary,
                    "built": devices.is_some(),
                    "devices": devices.clone().unwrap_or_default(),
                })
            })
            .collect();
        return json(&list);
    }
    for (plugin, devices) in found {
        let state = match devices {
            None => format!(
                "not in this build; rebuild with `--features {}`",
                plugin.name
            ),
            Some(devices) if devices.is_empty() => "no device found".to_owned(),
            Some(devices) => devices.join(", "),
        };
        line(format_args!(
            "{:<8}  {:<28}  {state}",
            plugin.name, plugin.summary
        ))?;
    }
    Ok(())
}
