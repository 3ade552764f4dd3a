//! Drives the crate from outside, against a real server that misbehaves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cache;
mod download;
mod manifest;
mod packages;
mod scene;
mod server;
mod together;
