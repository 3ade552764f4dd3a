//! Progress of fetches on the terminal: one bar a file.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::{Entry, Progress};

/// Bars on standard error, and lines for what went wrong on the way; to be told by [`fetch_all`](crate::fetch_all).
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shows what happens to the file of an entry.
    pub fn tell(&self, entry: &Entry, progress: Progress<'_>) {
        let bar = self.bar(entry);
        // Lines on standard error are for a log, too, where there are no bars.
        let say = |line: String| {
            let _ = self.all.println(&line);
            if self.all.is_hidden() {
                // Nobody may be listening, which is no reason to stop.
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        };
        match progress {
            Progress::Waiting => bar.set_message("another process fetches it"),
            Progress::Trying { source } => bar.set_message(source.to_owned()),
            Progress::Bytes { done, total } => {
                bar.set_length(total);
                bar.set_position(done);
                if done == total {
                    bar.finish_with_message("");
                }
            }
            Progress::Retrying { reason, wait } => {
                say(format!("{}: {reason}; again in {wait:.1?}", entry.name));
            }
            Progress::Failed { source, reason } => {
                say(format!("{}: {source}: {reason}", entry.name));
                bar.set_message("");
            }
        }
    }

    fn bar(&self, entry: &Entry) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        bars.entry(entry.name.clone())
            .or_insert_with(|| {
                let template = "{prefix:>24} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}";
                let style = ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = ProgressBar::new(entry.bytes).with_style(style.progress_chars("━╸ "));
                bar.set_prefix(entry.name.clone());
                bar.enable_steady_tick(Duration::from_millis(250));
                self.all.add(bar)
            })
            .clone()
    }
}
