//! Lines on standard error. Nobody may be listening (a closed terminal, `| head`, a full disk), and that stops nothing.

use std::fmt::Display;
use std::io::Write;

/// A line on standard error.
pub fn line(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
