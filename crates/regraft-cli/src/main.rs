//! The `regraft` command: parses, calls the library, prints.

mod arguments;
mod embedded;
mod models;
mod new;
mod print;
mod progress;
mod quickstart;
mod recipe;
mod say;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong usage or recipe; clap uses the same.
const USAGE: u8 = 2;
/// Interrupted, and resumable.
const INTERRUPTED: i32 = 3;

fn main() -> ExitCode {
    // A defect must not look like one of ours: a person sees one line, not a backtrace.
    std::panic::set_hook(Box::new(|info| {
        say::line(format_args!(
            "internal error: {info}\nThis is a defect of regraft; please report it with the command that you ran."
        ));
    }));
    regraft_kernels::keep_freed_memory();
    let arguments = Arguments::parse();
    match std::panic::catch_unwind(|| verbs::run(arguments)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            say::line(format_args!("error: {}", chain(&error)));
            ExitCode::from(exit_code(&error))
        }
        Err(_) => ExitCode::from(FAILED),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<regraft::Error>() {
        Some(error) if error.is_interruption() => INTERRUPTED as u8,
        Some(error) if error.is_usage() => USAGE,
        _ if error.is::<recipe::Usage>() => USAGE,
        _ => FAILED,
    }
}

/// The error and what it rests on, of a length that a person reads.
fn chain(error: &anyhow::Error) -> String {
    /// Characters of a message; what names a thousand things is cut.
    const ENOUGH: usize = 4000;
    let text = format!("{error:#}");
    match text.char_indices().nth(ENOUGH) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}
