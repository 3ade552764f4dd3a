//! The file: its model with initializers by name, the weights it keeps beside it or computes, and what it says of itself.

pub(crate) mod derived;
pub(crate) mod evaluate;
mod external;
mod foreign;
mod inference;
mod inline;
pub mod metadata;
pub(crate) mod model;
pub(crate) mod names;
