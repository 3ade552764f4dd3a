//! Transferability scores: how well the features of a pretrained network serve new labels, before anything is trained.
//!
//! A score is a pure function of a feature matrix and labels; whoever runs the network makes the matrix. So far there is
//! one, [`linear_probe`]: the cross-validated accuracy of a ridge classifier.
//!
//! ```
//! use regraft_probe::{ProbeOptions, linear_probe};
//!
//! // Six images, two features each; the first feature tells the classes apart.
//! let features = [0.1, 0.3, 0.0, 0.9, 0.2, 0.4, 1.1, 0.8, 1.0, 0.1, 0.9, 0.5];
//! let labels = [0, 0, 0, 1, 1, 1];
//! let score = linear_probe(&features, &labels, 2, &ProbeOptions::default())?;
//! assert_eq!(score.accuracy, 1.0);
//! # Ok::<(), regraft_probe::Error>(())
//! ```

mod check;
mod choose;
mod dual;
mod error;
mod folds;
mod linear;
mod matrix;
mod minimise;
mod problem;
mod ridge;
mod solve;
mod stack;
mod standard;
mod temperature;

pub use choose::{Choice, ChooseOptions, Judgement, choose};
pub use error::Error;
pub use folds::sample;
pub use linear::Linear;
pub use ridge::Sums;
pub use solve::{SolveOptions, Solved, solve};
pub use temperature::temperature;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
