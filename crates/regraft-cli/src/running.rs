//! What verbs that train share: threads, signals, preparing with progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use regraft::data::usable_threads;
use regraft::{Recipe, RunOptions, Summary};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

use crate::arguments::{Output, RecipeArguments};
use crate::obtain::obtain;
use crate::progress::Progress;
use crate::recipe_arguments::{self, Read};
use crate::say::{self, Talk, warn};
use crate::usage::INTERRUPTED;

/// The recipe that arguments mean, its model at hand.
pub fn read_recipe(arguments: &RecipeArguments, talk: Talk) -> Result<Recipe> {
    let Read { recipe, notes } = recipe_arguments::read(arguments)?;
    if talk > Talk::Quiet {
        notes.iter().for_each(say::line);
    }
    obtain(&recipe.model.source, talk)?;
    Ok(recipe)
}

/// Trains a recipe with progress on the terminal.
pub fn train_recipe(recipe: &Recipe, output: &Output, talk: Talk) -> Result<Summary> {
    use_threads(recipe.device.threads);
    let planned = regraft::prepare(recipe)?;
    warn(&planned.warnings);
    if talk > Talk::Quiet {
        say::line(planned.table());
    }
    let options = RunOptions {
        out: output.out.clone(),
        overwrite: output.overwrite,
        stop: stop_on_signal(),
    };
    let mut progress = Progress::new(talk);
    let summary = regraft::train(&planned, &options, &mut progress);
    progress.finish();
    Ok(summary?)
}

/// Sets the threads that compute, of which this is one: it then hands out a kernel's work without waking anybody first.
/// 0: one a core.
pub fn use_threads(asked: usize) {
    let threads = usable_threads(asked);
    if asked > threads {
        say::line(format_args!(
            "warning: `device.threads` is {asked}; this machine's cores keep {threads} busy at most, and so many are used"
        ));
    }
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    // Alone it would leave nobody for what other threads hand out while it waits for them.
    if threads > 1 {
        pool = pool.use_current_thread();
    }
    // Fails only where the pool already exists, which then has the size that was first asked for.
    let _ = pool.build_global();
}

/// A flag that Ctrl-C or a termination signal sets; the second one ends the process at once. A terminal that closes stops
/// nothing: training goes on without it.
pub fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    // Without a handler, a signal simply ends the process, and the checkpoints serve as well.
    for signal in [SIGINT, SIGTERM] {
        let _ = register_conditional_shutdown(signal, INTERRUPTED, stop.clone());
        let _ = register(signal, stop.clone());
    }
    #[cfg(unix)]
    let _ = register(signal_hook::consts::SIGHUP, Arc::default());
    let flag = stop.clone();
    std::thread::spawn(move || {
        while !flag.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        say::line("\nstopping after this step; press Ctrl-C again to stop at once");
    });
    stop
}
