//! `regraft new`: an untrained network as an ONNX file.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use regraft::arch::{Architecture, Classes, Spec, Stem, build};
use regraft::spec::files::write_whole;

use crate::arguments::Verb;
use crate::print;

pub fn run(verb: Verb) -> Result<()> {
    let Verb::New {
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
    } = verb
    else {
        return Ok(());
    };
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
    tell(&spec, &out, bytes.len(), json)
}

fn tell(spec: &Spec, out: &Path, bytes: usize, json: bool) -> Result<()> {
    let parameters = regraft::arch::parameter_count(spec).map_err(regraft::Error::from)?;
    if json {
        return print::json(&serde_json::json!({
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
    print::line(format_args!(
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
        return print::json(&all);
    }
    for architecture in Architecture::all() {
        print::line(format_args!(
            "{:18} {:3} px  {}",
            architecture.name(),
            architecture.default_size(),
            architecture.about()
        ))?;
    }
    Ok(())
}
