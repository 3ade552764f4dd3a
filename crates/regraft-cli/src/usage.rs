//! Wrong usage, and what the command exits with.

/// Failed at run time.
pub const FAILED: u8 = 1;
/// Wrong usage or recipe; clap uses the same.
pub const USAGE: u8 = 2;
/// Interrupted, and resumable.
pub const INTERRUPTED: i32 = 3;

/// Words that do not go together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
