//! Classifiers solved from features, and how good features are: on plain matrices, without a network.
//!
//! [`solve`] makes a linear classifier from features and [`Targets`], and judges it on images left out. [`choose`] says
//! which of several sets of features it is best solved from. Both are pure functions of their input; whoever runs the
//! network makes the features.
//!
//! ```
//! use regraft_probe::{SolveOptions, solve};
//!
//! // Six images, two features each; the first feature tells the classes apart.
//! let features = [0.1, 0.3, 0.0, 0.9, 0.2, 0.4, 1.1, 0.8, 1.0, 0.1, 0.9, 0.5];
//! let labels = [0, 0, 0, 1, 1, 1];
//! let solved = solve(&features, &labels, 2, &[0..2], &SolveOptions::default())?;
//! assert_eq!(solved.judgement.accuracy, 1.0);
//! # Ok::<(), regraft_probe::Error>(())
//! ```

mod calibrate;
mod check;
mod choose;
mod dual;
mod error;
mod folds;
mod linear;
mod loss;
mod matrix;
mod minimise;
mod neighbours;
mod problem;
mod ridge;
mod scores;
mod solve;
mod stack;
mod standard;
mod targets;
mod temperature;

pub use choose::{Choice, ChooseOptions, Judgement, choose};
pub use error::Error;
pub use folds::sample;
pub use linear::Linear;
pub use neighbours::nearest_neighbours;
pub use ridge::Sums;
pub use scores::{MultiLabelScores, multi_label_scores};
pub use solve::{SolveOptions, Solved, solve};
pub use targets::Targets;
pub use temperature::temperature;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
