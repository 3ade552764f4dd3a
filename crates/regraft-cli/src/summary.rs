//! What a run came to, for people.

use anyhow::Result;
use regraft::{Score, Summary};

use crate::output::line;

/// `regraft train` and `resume`.
pub fn print(s: &Summary) -> Result<()> {
    if let (Some(before), Some(after)) = (s.validation_before, s.validation) {
        line(format_args!(
            "validation accuracy  {:.3} untrained, {:.3} trained ({} images)",
            before.accuracy, after.accuracy, after.images
        ))?;
    } else if let Some(after) = s.validation {
        line(format_args!(
            "validation accuracy  {:.3} ({} images)",
            after.accuracy, after.images
        ))?;
    }
    if let Some(Score {
        accuracy, images, ..
    }) = s.test
    {
        line(format_args!(
            "test accuracy        {accuracy:.3} ({images} images)"
        ))?;
    }
    line(format_args!(
        "best epoch           {} of {}",
        s.best_epoch, s.epochs
    ))?;
    line(format_args!(
        "frozen               {} parameters, each compared with the pretrained bytes: unchanged",
        s.frozen_unchanged
    ))?;
    line(format_args!("time                 {:.1} s", s.seconds))?;
    line(format_args!(
        "model                {}",
        s.run.join("model.onnx").display()
    ))?;
    Ok(())
}

/// What to do with a trained run.
pub fn print_next(s: &Summary) -> Result<()> {
    let run = s.run.display();
    line(format_args!("\nnext"))?;
    line(format_args!("  regraft predict {run} IMAGE…"))?;
    match (s.test, s.validation) {
        (None, None) => line(format_args!(
            "  regraft eval {run} --data FOLDER    on images that it was not trained on"
        )),
        _ => line(format_args!(
            "  regraft eval {run}    class by class, on the images held out of training"
        )),
    }
}
