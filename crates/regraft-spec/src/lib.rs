//! The words that regraft's crates share: plain data with one rule of validity each, and two helpers that every crate would
//! write again.
//!
//! A recipe writes these values, the trainer and the data loaders read them, and none of those crates has to know the others.
//!
//! ```
//! use regraft_spec::{ImageSize, Optimizer, Preprocess};
//!
//! assert_eq!(Optimizer::adamw().default_lr(), 0.001);
//! let wrong = Preprocess { size: ImageSize::square(300), ..Preprocess::default() };
//! assert!(wrong.validate().unwrap_err().to_string().contains("`resize`"));
//! ```

pub mod files;
mod image_size;
mod loading;
mod pooling;
mod preprocess;
pub mod similar;
mod training;

pub use image_size::{ImageSize, LONGEST_SIDE};
pub use loading::{Augment, OnBadImage, Sampling};
pub use pooling::{Pooling, UnknownPooling, Windows};
pub use preprocess::{Channels, Crop, Interpolation, InvalidPreprocess, MOST_CHANNELS, Preprocess};
pub use training::{
    ClassWeights, EarlyStopping, FeatureCache, Optimizer, Precision, Schedule, ScheduleKind,
    Statistics, StopMetric,
};

/// Keeps the example of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
