//! Transfer learning: from a pretrained ONNX network and a folder of images to a fine-tuned ONNX network.
//!
//! ```no_run
//! use regraft::{Recipe, RunOptions, prepare, train};
//!
//! # fn main() -> Result<(), regraft::Error> {
//! let recipe = Recipe::new("squeezenet1.1.onnx", "photos");
//! let prepared = prepare(&recipe)?;
//! println!("{}", prepared.table());
//! let summary = train(&prepared, &RunOptions::default(), &mut |_| {})?;
//! println!("{}", summary.run.join("model.onnx").display());
//! # Ok(())
//! # }
//! ```
//!
//! [`prepare`] reads a recipe's model and data, grafts the head and makes the freeze plan; [`train`] and [`resume`] fill a
//! run folder; [`Classifier`] serves what comes out. Each of the crates below is useful alone and re-exported here.

mod auto;
mod classifier;
mod error;
mod inspect;
mod npy;
mod prepare;
mod raw;
mod record;
mod run_folder;
mod source;
mod train;

pub use classifier::{ClassMetrics, Classifier, Report, Top, images};
pub use error::Error;
pub use inspect::{BlockReport, Inspection, ParameterReport, inspect};
pub use prepare::{Prepared, prepare, prepare_telling};
pub use raw::{RawRun, Until, run_raw};
pub use run_folder::RunFolder;
pub use source::{fetch_model, model_file};
pub use train::{ResumeOptions, Resumption, RunOptions, Score, Summary, pace, resume, train};

pub use regraft_arch as arch;
pub use regraft_backend as backend;
pub use regraft_data as data;
pub use regraft_freeze as freeze;
pub use regraft_nn as nn;
pub use regraft_onnx as onnx;
pub use regraft_recipe as recipe;
pub use regraft_recipe::Recipe;
pub use regraft_score as score;
pub use regraft_train as training;
pub use regraft_train::{Event, Pace};
pub use regraft_zoo as zoo;
