//! `regraft devices`: the backends compiled in, and what each finds on this machine.

use anyhow::Result;
use clap::Args;
use regraft::backend;

use crate::output::{json, line};

/// Examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  regraft devices";

/// How to list them.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let found: Vec<(&backend::Plugin, Option<Vec<String>>)> = backend::PLUGINS
        .iter()
        .map(|plugin| (plugin, plugin.built.as_ref().map(|built| (built.devices)())))
        .collect();
    if arguments.json {
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
