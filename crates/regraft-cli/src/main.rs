//! The `regraft` command: parses, calls the library, prints.

mod arguments;
mod obtain;
mod output;
mod plot;
mod progress;
mod recipe_arguments;
mod running;
mod say;
mod summary;
mod usage;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::say::Talk;
use crate::usage::{FAILED, INTERRUPTED, USAGE, Usage};
use crate::verbs::Verb;

/// Transfer learning from the command line: a pretrained ONNX network in, a fine-tuned ONNX network out.
///
/// regraft takes a network that somebody has already trained (ResNet, VGG, MobileNet, any image classifier in ONNX), puts a new
/// head on it, freezes what a policy says, trains the rest on your own images on the CPU or a GPU, and writes ONNX again.
/// Everything about a run is in its folder: model, plan, metrics, checkpoints, and which image went where.
#[derive(Debug, Parser)]
#[command(name = "regraft", version, about, after_help = EXAMPLES)]
struct Arguments {
    /// Say less: only results and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more: every step.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

/// The way from photos to a model, for `--help`.
const EXAMPLES: &str = "\
Examples:
  regraft quickstart                            see the whole way on embedded images
  regraft train photos/                         a folder with a folder of images for each class
  regraft train resnet18 photos/ --policy auto  a stronger network, as deep as the images ask for
  regraft predict runs/photos-1 new.jpg         what the trained model says
  regraft eval runs/photos-1                    class by class, on the images held out of training
  regraft plan photos/                          what would train, with memory and time

Exit codes: 0 done, 1 failed, 2 wrong usage or recipe, 3 interrupted and resumable.";

fn main() -> ExitCode {
    // A defect must not look like one of ours: a person sees one line, not a backtrace.
    std::panic::set_hook(Box::new(|info| {
        say::line(format_args!(
            "internal error: {info}\nThis is a defect of regraft; please report it with the command that you ran."
        ));
    }));
    regraft_kernels::keep_freed_memory();
    let arguments = Arguments::parse();
    let talk = match (arguments.quiet, arguments.verbose) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Normal,
    };
    match std::panic::catch_unwind(|| verbs::run(arguments.verb, talk)) {
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
        _ if error.is::<Usage>() => USAGE,
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
