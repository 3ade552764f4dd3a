//! Untrained classic convolutional networks as ONNX models, by name: the start of a training from nothing.
//!
//! A [`Spec`] says which architecture, for which classes, at which width and image size; [`build`] makes the model. Parameters
//! have torchvision's names and shapes, so that weights move either way; the same spec gives the same bytes on any machine.
//!
//! ```
//! use regraft_arch::{Classes, Spec, build};
//!
//! # fn main() -> Result<(), regraft_arch::Error> {
//! let labels = ["cat", "dog"].map(str::to_owned).to_vec();
//! let spec = Spec {
//!     size: 32,
//!     width: 0.25,
//!     ..Spec::new("resnet18".parse()?, Classes::Named(labels))
//! };
//! let bytes = build(&spec)?.to_bytes()?; // input [N, 3, 32, 32], output logits [N, 2]
//! # assert!(bytes.len() > 2_000_000);
//! # Ok(())
//! # }
//! ```
//!
//! [`Architecture::all`] lists the names. Initial weights follow He et al. 2015 ("Delving Deep into Rectifiers"): see
//! [`build`].

mod architecture;
mod blueprint;
mod error;
mod googlenet;
mod inception_v3;
mod initial;
mod mobilenet_v2;
mod model;
mod resnet;
mod spec;
mod vgg;

pub use architecture::Architecture;
pub use error::Error;
pub use model::{build, parameter_count};
pub use spec::{Classes, Spec, Stem};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
