//! Lines on standard error. Nobody may be listening (a closed terminal, `| head`, a full disk), and that stops nothing.

use std::fmt::Display;
use std::io::Write;

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    Quiet,
    Normal,
    Verbose,
}

/// A line on standard error.
pub fn line(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Warnings, which go to standard error whatever the result's form.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        line(format_args!("warning: {warning}"));
    }
}
