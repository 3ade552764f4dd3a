//! What a run came to, for people.

use anyhow::Result;
use regraft::{Score, Summary};

use crate::output::line;

/// `regraft train` and `resume`.
pub fn print(s: &Summary) -> Result<()> {
    if let Some(head) = &s.head {
        line(format_args!(
            "head                 solved from {} images, {} features at {} taps",
            head.images,
            head.features,
            head.taps.len()
        ))?;
        line(format_args!(
            "accuracy, left out   {:.3} ± {:.3} (each image judged by a head that was solved without it)",
            head.accuracy, head.accuracy_error
        ))?;
    }
    let solved_alone = s.epochs == 0 && s.validation.is_some();
    if let (Some(before), Some(after)) = (s.validation_before, s.validation) {
        let begun = if s.head.is_some() {
            "solved"
        } else {
            "untrained"
        };
        line(format_args!(
            "validation accuracy  {:.3} {begun}, {:.3} trained ({} images)",
            before.accuracy, after.accuracy, after.images
        ))?;
    } else if let Some(after) = s
        .validation
        .filter(|v| !solved_alone || s.head.as_ref().is_none_or(|head| head.images != v.images))
    {
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
    if let Some(Score {
        accuracy, images, ..
    }) = s.shifted
    {
        line(format_args!(
            "shifted accuracy     {accuracy:.3} ({images} images)"
        ))?;
    }
    if s.epochs > 0 {
        line(format_args!(
            "best epoch           {} of {}",
            s.best_epoch, s.epochs
        ))?;
    }
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
