//! Transfer learning: from a pretrained ONNX network and a folder of images to a fine-tuned ONNX network.
//!
//! ```no_run
//! use regraft::{Recipe, RunOptions, Silent, prepare, train};
//!
//! # fn main() -> Result<(), regraft::Error> {
//! let recipe = Recipe::new("squeezenet1.1.onnx", "photos");
//! let planned = prepare(&recipe, &mut Silent)?;
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

mod auto;
mod classifier;
mod error;
mod inspect;
mod npy;
mod prepare;
mod raw;
mod record;
mod run_files;
mod run_folder;
mod source;
mod train;

pub use classifier::{ClassMetrics, Classifier, Report, Top, images};
pub use error::Error;
pub use inspect::{BlockReport, Inspection, ParameterReport, PassReport, Passes, inspect, passes};
pub use prepare::{Grafted, ModelFile, Opened, Planned, Sized, prepare};
pub use raw::{RawRun, Until, run_raw};
pub use record::RunRecord;
pub use run_files::{Metric, PlanRecord, PredictionRecord, RunFile, RunFiles};
pub use run_folder::RunFolder;
pub use source::{fetch_model, model_file};
pub use train::{ResumeOptions, Resumption, RunOptions, Score, Summary, pace, resume, train};

pub use regraft_arch as arch;
pub use regraft_backend as backend;
pub use regraft_data as data;
pub use regraft_freeze as freeze;
pub use regraft_nn as nn;
pub use regraft_onnx as onnx;
pub use regraft_program as program;
pub use regraft_recipe as recipe;
pub use regraft_recipe::Recipe;
pub use regraft_score as score;
pub use regraft_spec as spec;
pub use regraft_train as training;
pub use regraft_train::{Event, Observer, Pace, Silent};
pub use regraft_zoo as zoo;
