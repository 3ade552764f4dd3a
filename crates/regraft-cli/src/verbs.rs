//! One function a verb.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use regraft::data::{OnBadImage, usable_threads};
use regraft::{Classifier, Planned, Recipe, ResumeOptions, RunOptions, Summary, Until};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

use crate::arguments::{Arguments, Output, RecipeArguments, Verb};
use crate::progress::Progress;
use crate::{INTERRUPTED, models, new, print, quickstart, recipe, say};

/// How much to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    Quiet,
    Normal,
    Verbose,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let talk = match (arguments.quiet, arguments.verbose) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Normal,
    };
    match arguments.verb {
        Verb::Quickstart { output, device } => quickstart::run(&output, &device, talk),
        Verb::Inspect {
            model,
            parameters,
            json,
        } => {
            models::obtain(&model, talk)?;
            let inspection = regraft::inspect(&model)?;
            if json {
                return print::json(&inspection);
            }
            print::inspection(&inspection)?;
            match parameters {
                true => print::parameters(&inspection),
                false => Ok(()),
            }
        }
        Verb::Plan { recipe, json } => plan(&recipe, json, talk),
        Verb::Train { recipe, output } => train(&recipe, &output, talk),
        Verb::Resume {
            run,
            mut set,
            epochs,
            accept_changes,
            json,
        } => {
            set.extend(epochs.map(|epochs| format!("train.epochs={epochs}")));
            resume(&run, set, accept_changes, json, talk)
        }
        Verb::Eval {
            model,
            data,
            batch_size,
            skip_bad_images,
            device,
            json,
        } => {
            let on_bad_image = if skip_bad_images {
                OnBadImage::Skip
            } else {
                OnBadImage::Error
            };
            models::obtain(&model, talk)?;
            let classifier = Classifier::open(&model, &device)?;
            let mut progress = Progress::new(talk);
            let batch_size = batch_size as usize;
            let report = match &data {
                Some(data) => classifier.evaluate(data, batch_size, on_bad_image, &mut progress),
                None => classifier.evaluate_held_out(batch_size, on_bad_image, &mut progress),
            };
            progress.finish();
            let report = report?;
            warn(&report.warnings);
            if json {
                print::json(&report)
            } else {
                print::report(&report)
            }
        }
        Verb::Predict {
            model,
            images,
            top,
            device,
            json,
        } => {
            let paths = regraft::images(&images)?;
            models::obtain(&model, talk)?;
            let classifier = Classifier::open(&model, &device)?;
            let mut progress = Progress::new(talk);
            let predictions = classifier.predict(&paths, top as usize, &mut progress);
            progress.finish();
            let predictions = predictions?;
            if json {
                print::json(&print::prediction_list(&paths, &predictions))
            } else {
                print::predictions(&paths, &predictions)
            }
        }
        Verb::Run {
            model,
            input,
            output,
            trunk,
            repeat,
            device,
            json,
        } => {
            models::obtain(&model, talk)?;
            let until = match trunk {
                true => Until::LastCut,
                false => Until::Output,
            };
            let run = regraft::run_raw(&model, &device, &input, until, repeat as usize)?;
            if let Some(path) = &output {
                run.write_npy(path)?;
            }
            if json {
                print::json(&run)
            } else {
                print::raw(&run, output.as_deref())
            }
        }
        Verb::Devices { json } => print::devices(json),
        Verb::New { .. } => new::run(arguments.verb),
        Verb::Models(verb) => models::run(verb, talk),
        Verb::Recipe(verb) => recipe::run(verb),
    }
}

/// Warnings, which go to standard error whatever the result's form.
fn warn(warnings: &[String]) {
    for warning in warnings {
        say::line(format_args!("warning: {warning}"));
    }
}

/// The recipe that arguments mean, its model at hand.
fn read_recipe(arguments: &RecipeArguments, talk: Talk) -> Result<Recipe> {
    let recipe::Read { recipe, notes } = recipe::read(arguments)?;
    if talk > Talk::Quiet {
        notes.iter().for_each(say::line);
    }
    models::obtain(&recipe.model.source, talk)?;
    Ok(recipe)
}

fn plan(arguments: &RecipeArguments, json: bool, talk: Talk) -> Result<()> {
    let recipe = read_recipe(arguments, talk)?;
    use_threads(recipe.device.threads);
    let planned = prepare(&recipe, talk)?;
    let pace = regraft::pace(&planned)?;
    if json {
        return print::json(&serde_json::json!({
            "plan": planned.plan,
            "outline": planned.outline,
            "estimates": planned.estimates(),
            "time": pace,
            "warnings": planned.warnings,
        }));
    }
    warn(&planned.warnings);
    print::text(format_args!("{}", planned.table()))?;
    print::pace(&pace)
}

/// Prepares a recipe, with a bar where its policy looks at images.
fn prepare(recipe: &Recipe, talk: Talk) -> Result<Planned> {
    let mut progress = Progress::new(talk);
    let planned = regraft::prepare(recipe, &mut progress);
    progress.finish();
    Ok(planned?)
}

fn train(arguments: &RecipeArguments, output: &Output, talk: Talk) -> Result<()> {
    let recipe = read_recipe(arguments, talk)?;
    let summary = train_recipe(&recipe, output, talk)?;
    if output.json {
        print::json(&summary)
    } else {
        print::summary(&summary)?;
        print::next(&summary)
    }
}

/// Trains a recipe with progress on the terminal.
pub fn train_recipe(recipe: &Recipe, output: &Output, talk: Talk) -> Result<Summary> {
    use_threads(recipe.device.threads);
    let planned = prepare(recipe, talk)?;
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

fn resume(
    run: &Path,
    overrides: Vec<String>,
    accept_changes: bool,
    json: bool,
    talk: Talk,
) -> Result<()> {
    let recipe = run.join("recipe.toml");
    if recipe.is_file() {
        let recipe = Recipe::load_with(&recipe, &overrides).map_err(regraft::Error::from)?;
        models::obtain(&recipe.model.source, talk)?;
        use_threads(recipe.device.threads);
    }
    let options = ResumeOptions {
        overrides,
        accept_changes,
        stop: stop_on_signal(),
    };
    let mut progress = Progress::new(talk);
    let resumed = regraft::resume(run, &options, &mut progress);
    progress.finish();
    let resumed = resumed?;
    if json {
        return print::json(&resumed);
    }
    if !resumed.trained {
        return print::line(format_args!(
            "{} is finished, after epoch {}; nothing was changed. More epochs: `regraft resume {0} --epochs {}`",
            run.display(),
            resumed.summary.epochs,
            2 * resumed.summary.epochs,
        ));
    }
    print::summary(&resumed.summary)?;
    print::next(&resumed.summary)
}

/// Sets the threads that compute, of which this is one: it then hands out a kernel's work without waking anybody first.
/// 0: one a core.
fn use_threads(asked: usize) {
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
fn stop_on_signal() -> Arc<AtomicBool> {
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
