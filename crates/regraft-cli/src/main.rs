//! The `regraft` command: parses, calls the library, prints.

mod arguments;
mod models;
mod new;
mod print;
mod progress;
mod quickstart;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

/// Failed at run time.
const FAILED: u8 = 1;
/// Wrong usage or recipe; clap uses the same.
const USAGE: u8 = 2;
/// Interrupted, and resumable.
const INTERRUPTED: u8 = 3;

fn main() -> ExitCode {
    // A defect must not look like one of ours: a person sees one line, not a backtrace.
    std::panic::set_hook(Box::new(|info| {
        eprintln!(
            "internal error: {info}\nThis is a defect of regraft; please report it with the command that you ran."
        );
    }));
    regraft_kernels::keep_freed_memory();
    let arguments = Arguments::parse();
    match std::panic::catch_unwind(|| verbs::run(arguments)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::from(exit_code(&error))
        }
        Err(_) => ExitCode::from(FAILED),
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<regraft::Error>() {
        Some(error) if error.is_interruption() => INTERRUPTED,
        Some(error) if error.is_usage() => USAGE,
        _ if error.downcast_ref::<arguments::NotYet>().is_some() => USAGE,
        _ => FAILED,
    }
}

/// The error and what it rests on, each said once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
