//! Somebody's wish to stop, and the run that it is about.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;

/// A flag that whoever wants a run to stop sets: it ends after the step in hand, resumable.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    run: PathBuf,
}

impl Stop {
    /// For the run in that folder, which its error names.
    pub fn new(flag: Arc<AtomicBool>, run: impl Into<PathBuf>) -> Self {
        Self {
            flag,
            run: run.into(),
        }
    }

    /// Ends the run where somebody asked for it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] then.
    pub fn check(&self) -> Result<(), Error> {
        if self.flag.load(Ordering::Relaxed) {
            return Err(Error::Interrupted {
                run: self.run.clone(),
            });
        }
        Ok(())
    }
}
