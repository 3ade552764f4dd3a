//! Networks from real files against ONNX Runtime, and the trunk and the rest against each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod real_models;
