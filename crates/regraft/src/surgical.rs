//! Gradients relative to the parameters that they are of, on a few batches: what the policy `surgical` goes by.

use regraft_data::{Augment, Loader, LoaderOptions};
use regraft_freeze::{FreezeConfig, Policy, RelativeGradients, resolve};
use regraft_train::{Session, SessionOptions, Settings, Target};

use crate::error::Error;
use crate::prepare::Grafted;

/// Batches that gradients are averaged over.
const BATCHES: usize = 4;

/// Of every parameter the norm of its gradient by its own norm, averaged over batches. A parameter of zeros has none.
pub(crate) fn measure(grafted: &Grafted) -> Result<RelativeGradients, Error> {
    let recipe = &grafted.asked;
    let everything = FreezeConfig {
        policy: Policy::Full,
        layer_decay: None,
        l2_sp: None,
        ..recipe.freeze.clone()
    };
    let plan = resolve(&grafted.outline, &grafted.facts, &everything)?;
    let device = regraft_backend::open(&recipe.device.name)?;
    let options = SessionOptions {
        graph: grafted.graph.clone(),
        dropout: Vec::new(),
        settings: Settings {
            label_smoothing: recipe.train.label_smoothing,
            class_weights: grafted.class_weights(&grafted.data.train)?,
            seed: recipe.train.seed,
            ..Settings::default()
        },
        device,
    };
    let Some(phase) = plan.phases.first() else {
        return Ok(RelativeGradients::new());
    };
    let session = Session::new(options, phase)?;
    let loader = Loader::new(
        grafted.data.train.clone(),
        LoaderOptions {
            preprocess: grafted.preprocess.clone(),
            augment: Augment::None,
            batch_size: recipe.train.batch_size,
            seed: recipe.train.seed,
            shuffle: true,
            on_bad_image: recipe.data.on_bad_image,
            threads: recipe.device.threads,
            ..LoaderOptions::default()
        },
    )?;
    let mut sums = RelativeGradients::new();
    let mut batches = 0.0;
    for batch in loader.epoch_from(0, 0).take(BATCHES) {
        let batch = batch?;
        if batch.labels.is_empty() {
            continue;
        }
        let targets: Vec<Target> = batch.labels.iter().copied().map(Target::Class).collect();
        let network = session.network();
        let features = network.features_of_pixels(batch.pixels, batch.shape)?;
        let learner = session.learner();
        let total = learner.objective.total(&targets);
        let gradients = learner.gradients(features, &targets, total, 0)?;
        for (name, gradient) in learner.values(&gradients)? {
            *sums.entry(name).or_insert(0.0) += norm(&gradient);
        }
        batches += 1.0;
    }
    for parameter in &grafted.graph.parameters {
        let size = norm(&parameter.data.to_vec());
        if size == 0.0 {
            sums.remove(&parameter.name);
        } else if let Some(sum) = sums.get_mut(&parameter.name) {
            *sum /= size * f64::max(batches, 1.0);
        }
    }
    Ok(sums)
}

fn norm(values: &[f32]) -> f64 {
    let squares: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    squares.sqrt()
}
