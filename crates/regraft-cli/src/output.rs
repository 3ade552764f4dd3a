//! Results on standard output, for people and as JSON.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use anyhow::Result;

/// A line on standard output.
pub fn line(what: Arguments<'_>) -> Result<()> {
    text(format_args!("{what}\n"))
}

/// Text on standard output; whoever reads it may stop reading, as `head` does.
pub fn text(what: Arguments<'_>) -> Result<()> {
    match std::io::stdout().write_fmt(what) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Pretty JSON.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    line(format_args!("{}", serde_json::to_string_pretty(value)?))
}
