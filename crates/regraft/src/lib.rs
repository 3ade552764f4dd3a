//! Transfer learning: from a pretrained ONNX network and a folder of images to a fine-tuned ONNX network.
//!
//! ```no_run
//! use regraft::{Recipe, RunOptions, Silent, prepare, train};
//!
//! # fn main() -> Result<(), regraft::Error> {
//! let recipe = Recipe::new("squeezenet1.1.onnx", "photos");
//! let planned = prepare(&recipe)?;
//! println!("{}", planned.table());
//! let summary = train(&planned, &RunOptions::default(), &mut Silent)?;
//! println!("{}", summary.run.join("model.onnx").display());
//! # Ok(())
//! # }
//! ```
//!
//! [`prepare`] goes through four stages, each of which can be entered and left: [`Opened`] (model and images), [`Sized`]
//! (preprocessing and image size), [`Grafted`] (the new head), [`Planned`] (what trains). [`train`] and [`resume`] fill a run
//! folder; [`Classifier`] serves what comes out. Whoever wants to hear of what happens passes an [`Observer`]. Each of the
//! crates below is useful alone and re-exported here.
//!
//! Cargo features: a backend each (`flex` by default), `zoo` (models by name, downloads) and `recipe` (recipes, training, run
//! folders), both on by default. Without them what is left opens a model, describes it and classifies images.

mod classifier;
#[cfg(feature = "recipe")]
mod combinations;
mod error;
#[cfg(feature = "recipe")]
mod find_lr;
#[cfg(feature = "recipe")]
mod held_out;
mod inspect;
#[cfg(feature = "recipe")]
mod prepare;
mod preprocess;
#[cfg(feature = "recipe")]
mod race;
mod raw;
#[cfg(feature = "recipe")]
mod record;
mod run_file;
#[cfg(feature = "recipe")]
mod run_files;
mod run_folder;
#[cfg(feature = "recipe")]
mod solve;
mod source;
#[cfg(feature = "recipe")]
mod surgical;
#[cfg(feature = "recipe")]
mod train;
#[cfg(not(feature = "zoo"))]
#[path = "zoo/disabled.rs"]
mod zoo_models;
#[cfg(feature = "zoo")]
#[path = "zoo/enabled.rs"]
mod zoo_models;

pub use classifier::{ClassMetrics, Classifier, Report, Top, images};
pub use error::Error;
#[cfg(feature = "recipe")]
pub use find_lr::{FoundRates, find_lr};
pub use inspect::{BlockReport, Inspection, ParameterReport, PassReport, Passes, inspect, passes};
#[cfg(feature = "recipe")]
pub use prepare::{Grafted, ModelFile, Opened, Planned, Sized, prepare};
#[cfg(feature = "recipe")]
pub use race::{Candidate, RaceRecord};
pub use raw::{RawRun, Until, run_raw};
#[cfg(feature = "recipe")]
pub use record::RunRecord;
pub use run_file::RunFile;
#[cfg(feature = "recipe")]
pub use run_files::{Metric, PlanRecord, PredictionRecord, RunFiles};
pub use run_folder::RunFolder;
#[cfg(feature = "recipe")]
pub use solve::{SolvedHead, TriedTaps};
pub use source::model_file;
#[cfg(feature = "recipe")]
pub use train::{ResumeOptions, Resumption, RunOptions, Score, Summary, pace, resume, train};

pub use regraft_arch as arch;
pub use regraft_backend as backend;
pub use regraft_data as data;
pub use regraft_freeze as freeze;
pub use regraft_nn as nn;
pub use regraft_onnx as onnx;
#[cfg(feature = "recipe")]
pub use regraft_probe as probe;
pub use regraft_program as program;
#[cfg(feature = "recipe")]
pub use regraft_recipe as recipe;
#[cfg(feature = "recipe")]
pub use regraft_recipe::Recipe;
pub use regraft_spec as spec;
pub use regraft_train as training;
pub use regraft_train::{Event, Observer, Pace, Silent};
#[cfg(feature = "zoo")]
pub use regraft_zoo as zoo;
#[cfg(feature = "zoo")]
pub use zoo_models::fetch_model;
