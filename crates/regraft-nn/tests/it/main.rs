//! Networks from real files against ONNX Runtime, and the trunk and the rest against each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../regraft-trunk/tests/it/build.rs"]
mod build;
mod joined;
mod operators;
mod real_models;
mod tapped_head;
mod taps;
