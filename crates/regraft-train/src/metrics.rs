//! `metrics.csv`, a line an epoch, and `metrics.jsonl`, a line a step and an epoch.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use regraft_spec::files::FileError;
use serde::Serialize;

use crate::error::Error;
use crate::observer::{EpochReport, StepReport};

/// The file with a line an epoch.
pub const METRICS_CSV: &str = "metrics.csv";
/// The file with a line a step and an epoch.
pub const METRICS_JSONL: &str = "metrics.jsonl";

const HEADER: &str = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,lr,seconds,images_per_second,best\n";

/// Appends to both files.
pub(crate) struct Metrics {
    csv: (PathBuf, File),
    jsonl: (PathBuf, File),
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line<'a> {
    Step(&'a StepReport),
    Epoch(&'a EpochReport),
}

impl Metrics {
    /// Opens both in the run folder; lines past the given lengths belong to an epoch that will be trained again.
    pub(crate) fn open(run: &Path, lengths: Option<[u64; 2]>) -> Result<Self, Error> {
        let [csv_length, jsonl_length] = lengths.unwrap_or([0, 0]);
        let mut csv = open(run.join(METRICS_CSV), csv_length)?;
        if csv_length == 0 {
            append(&mut csv, HEADER.as_bytes())?;
        }
        Ok(Self {
            csv,
            jsonl: open(run.join(METRICS_JSONL), jsonl_length)?,
        })
    }

    pub(crate) fn step(&mut self, report: &StepReport) -> Result<(), Error> {
        append(&mut self.jsonl, &json(&Line::Step(report)))
    }

    pub(crate) fn epoch(&mut self, report: &EpochReport) -> Result<(), Error> {
        append(&mut self.jsonl, &json(&Line::Epoch(report)))?;
        let optional = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        let line = format!(
            "{},{},{},{},{},{},{},{},{}\n",
            report.epoch,
            report.train_loss,
            report.train_accuracy,
            optional(report.validation_loss),
            optional(report.validation_accuracy),
            report.lr,
            report.seconds,
            report.images_per_second,
            report.best
        );
        append(&mut self.csv, line.as_bytes())
    }

    /// Bytes written so far, for a checkpoint.
    pub(crate) fn lengths(&self) -> Result<[u64; 2], Error> {
        let length = |(path, file): &(PathBuf, File)| {
            file.metadata()
                .map(|meta| meta.len())
                .map_err(|error| Error::from(FileError::reading(path)(error)))
        };
        Ok([length(&self.csv)?, length(&self.jsonl)?])
    }
}

fn open(path: PathBuf, length: u64) -> Result<(PathBuf, File), Error> {
    let opened = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|file| {
            let keep = file.metadata()?.len().min(length);
            file.set_len(keep).map(|()| file)
        });
    match opened {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(FileError::writing(&path)(error).into()),
    }
}

fn append((path, file): &mut (PathBuf, File), bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes)
        .map_err(|error| FileError::writing(path)(error).into())
}

fn json(line: &Line<'_>) -> Vec<u8> {
    // These structs hold numbers and booleans only, which always serialise.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
