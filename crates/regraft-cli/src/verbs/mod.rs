//! The table of verbs: one file a verb, one line here.

mod devices;
mod eval;
mod find_lr;
mod inspect;
mod models;
mod new;
mod plan;
mod predict;
mod quickstart;
mod recipe;
mod resume;
mod run;
mod train;

use anyhow::Result;
use clap::Subcommand;

use crate::say::Talk;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Fine-tune the embedded network on the embedded images, end to end, in a minute or two.
    #[command(after_help = quickstart::EXAMPLES)]
    Quickstart(quickstart::Arguments),
    /// Show a model's blocks, layers, parameters, its head, and what is fused.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Arguments),
    /// Show the freeze plan of a recipe, before anything is trained.
    #[command(after_help = plan::EXAMPLES)]
    Plan(plan::Arguments),
    /// Train on a folder of images, or as a recipe says, into a run folder.
    #[command(after_help = train::EXAMPLES)]
    Train(train::Arguments),
    /// Find a learning rate: a short trial in memory whose rate grows with every step.
    #[command(alias = "lr-find", after_help = find_lr::EXAMPLES)]
    FindLr(find_lr::Arguments),
    /// Go on with a run from its last checkpoint.
    #[command(after_help = resume::EXAMPLES)]
    Resume(resume::Arguments),
    /// Measure accuracy on labelled images.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Arguments),
    /// Name what images show.
    #[command(after_help = predict::EXAMPLES)]
    Predict(predict::Arguments),
    /// One raw forward pass on a tensor, without preprocessing.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Arguments),
    /// List the backends compiled in, and what each finds on this machine.
    #[command(after_help = devices::EXAMPLES)]
    Devices(devices::Arguments),
    /// Write an untrained network as ONNX, to train from nothing.
    #[command(after_help = new::EXAMPLES)]
    New(new::Arguments),
    /// The model zoo: pretrained networks by name.
    #[command(subcommand, after_help = models::EXAMPLES)]
    Models(models::Models),
    /// Recipes: every key, and a commented one to begin with.
    #[command(subcommand, after_help = recipe::EXAMPLES)]
    Recipe(recipe::RecipeVerb),
}

/// Does what a verb says.
pub fn run(verb: Verb, talk: Talk) -> Result<()> {
    match verb {
        Verb::Quickstart(arguments) => quickstart::run(&arguments, talk),
        Verb::Inspect(arguments) => inspect::run(&arguments, talk),
        Verb::Plan(arguments) => plan::run(&arguments, talk),
        Verb::Train(arguments) => train::run(&arguments, talk),
        Verb::FindLr(arguments) => find_lr::run(&arguments, talk),
        Verb::Resume(arguments) => resume::run(arguments, talk),
        Verb::Eval(arguments) => eval::run(&arguments, talk),
        Verb::Predict(arguments) => predict::run(&arguments, talk),
        Verb::Run(arguments) => run::run(&arguments, talk),
        Verb::Devices(arguments) => devices::run(&arguments),
        Verb::New(arguments) => new::run(arguments),
        Verb::Models(verb) => models::run(verb, talk),
        Verb::Recipe(verb) => recipe::run(verb),
    }
}
