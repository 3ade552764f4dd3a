//! One function a verb.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use regraft::data::OnBadImage;
use regraft::{Classifier, Prepared, Recipe, RunOptions, Summary, Until};

use crate::arguments::{Arguments, NotYet, Output, RecipeArguments, Verb};
use crate::progress::Progress;
use crate::{models, new, print, quickstart};

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
        Verb::Inspect { model, json } => {
            models::obtain(&model, talk)?;
            let inspection = regraft::inspect(&model)?;
            if json {
                print::json(&inspection)
            } else {
                print::inspection(&inspection)
            }
        }
        Verb::Plan { recipe, json } => plan(&recipe, json, talk),
        Verb::Train { recipe, output } => train(&recipe, &output, talk),
        Verb::Resume { run, json } => resume(&run, json, talk),
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
            let report = classifier.evaluate(
                &data,
                batch_size.max(1),
                on_bad_image,
                &mut |done, total| progress.images(done, total),
            )?;
            progress.finish();
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
            let predictions = classifier.predict(&paths, top.max(1), &mut |done, total| {
                progress.images(done, total);
            })?;
            progress.finish();
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
            let run = regraft::run_raw(&model, &device, &input, until, repeat)?;
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
        Verb::FindLr(_) => Err(NotYet("find-lr").into()),
        Verb::Rank(_) => Err(NotYet("rank").into()),
        Verb::Export(_) => Err(NotYet("export").into()),
    }
}

fn read_recipe(arguments: &RecipeArguments) -> Result<Recipe> {
    let mut overrides = Vec::new();
    let shorthands = [
        ("model.source", &arguments.model),
        ("data.source", &arguments.data),
        ("device.name", &arguments.device),
    ];
    for (key, value) in shorthands {
        overrides.extend(value.iter().map(|value| format!("{key}={value}")));
    }
    overrides.extend(arguments.set.iter().cloned());
    let recipe = match &arguments.recipe {
        Some(path) => Recipe::load_with(path, &overrides),
        None => regraft::recipe::read(None, &overrides),
    };
    Ok(recipe.map_err(regraft::Error::from)?)
}

fn plan(arguments: &RecipeArguments, json: bool, talk: Talk) -> Result<()> {
    let recipe = read_recipe(arguments)?;
    models::obtain(&recipe.model.source, talk)?;
    use_threads(recipe.device.threads);
    let prepared = prepare(&recipe, talk)?;
    let pace = regraft::pace(&prepared)?;
    if json {
        return print::json(&serde_json::json!({
            "plan": prepared.plan,
            "outline": prepared.outline,
            "estimates": prepared.estimates(),
            "time": pace,
        }));
    }
    for warning in &prepared.warnings {
        eprintln!("warning: {warning}");
    }
    print::text(format_args!("{}", prepared.table()))?;
    print::pace(&pace)
}

/// Prepares a recipe, with a bar where its policy looks at images.
fn prepare(recipe: &Recipe, talk: Talk) -> Result<Prepared> {
    let mut progress = Progress::new(talk);
    let prepared =
        regraft::prepare_telling(recipe, &mut |done, total| progress.images(done, total));
    progress.finish();
    Ok(prepared?)
}

fn train(arguments: &RecipeArguments, output: &Output, talk: Talk) -> Result<()> {
    let recipe = read_recipe(arguments)?;
    models::obtain(&recipe.model.source, talk)?;
    let summary = train_recipe(&recipe, output, talk)?;
    if output.json {
        print::json(&summary)
    } else {
        print::summary(&summary)
    }
}

/// Trains a recipe with progress on the terminal.
pub fn train_recipe(recipe: &Recipe, output: &Output, talk: Talk) -> Result<Summary> {
    use_threads(recipe.device.threads);
    let prepared = prepare(recipe, talk)?;
    for warning in &prepared.warnings {
        eprintln!("warning: {warning}");
    }
    if talk > Talk::Quiet {
        eprintln!("{}", prepared.table());
    }
    let options = RunOptions {
        out: output.out.clone(),
        overwrite: output.overwrite,
        stop: stop_on_signal(),
    };
    let mut progress = Progress::new(talk);
    let summary = regraft::train(&prepared, &options, &mut |event| progress.tell(&event));
    progress.finish();
    Ok(summary?)
}

fn resume(run: &Path, json: bool, talk: Talk) -> Result<()> {
    let recipe = run.join("recipe.toml");
    if recipe.is_file() {
        use_threads(
            Recipe::load(&recipe)
                .map_err(regraft::Error::from)?
                .device
                .threads,
        );
    }
    let mut progress = Progress::new(talk);
    let summary = regraft::resume(run, stop_on_signal(), &mut |event| progress.tell(&event));
    progress.finish();
    let summary = summary?;
    if json {
        print::json(&summary)
    } else {
        print::summary(&summary)
    }
}

/// Sets the threads that compute, of which this is one: it then hands out a kernel's work without waking anybody first.
/// 0: one a core.
fn use_threads(threads: usize) {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    // Alone it would leave nobody for what other threads hand out while it waits for them.
    if threads > 1 {
        pool = pool.use_current_thread();
    }
    // Fails only where the pool already exists, which then has the size that was first asked for.
    let _ = pool.build_global();
}

/// A flag that Ctrl-C or a termination signal sets; the second one ends the process at once.
fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    // Without a handler, a signal simply ends the process, and the checkpoints serve as well.
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(3);
        }
        eprintln!("\nstopping after this step; press Ctrl-C again to stop at once");
    });
    stop
}
