//! How far up a pretrained network serves the recipe's images: a linear probe at every cut.

use std::ops::Range;
use std::sync::Arc;

use regraft_data::{ImageSet, Loader, LoaderOptions, OnBadImage, Preprocess, order};
use regraft_freeze::DepthScore;
use regraft_nn::Taps;
use regraft_onnx::Graph;
use regraft_probe::{ChooseOptions, choose};
use regraft_train::{Event, Observer};

use crate::error::Error;

/// Most images to look at.
const MOST_IMAGES: usize = 1000;

/// Scores the features after each block below the head on training images, which the observer hears of.
pub(crate) fn scores(
    graph: &Arc<Graph>,
    device: &str,
    images: &ImageSet,
    preprocess: &Preprocess,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Vec<DepthScore>, Error> {
    let device = regraft_backend::open(device)?;
    let taps = Taps::at_every_cut(graph, &device)?;
    let mut chosen = order(images.samples.len(), seed, 0, true);
    chosen.truncate(MOST_IMAGES);
    chosen.sort_unstable();
    let total = chosen.len();
    let sample = ImageSet {
        samples: chosen
            .into_iter()
            .map(|index| images.samples[index].clone())
            .collect(),
        ..images.clone()
    };
    let options = LoaderOptions {
        preprocess: preprocess.clone(),
        batch_size: 16,
        seed,
        on_bad_image: OnBadImage::Skip,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(sample, options)?;
    let mut labels = Vec::with_capacity(total);
    let mut features: Vec<f32> = Vec::new();
    for batch in loader.in_order() {
        let batch = batch?;
        if batch.labels.is_empty() {
            continue;
        }
        labels.extend(batch.labels.iter().copied());
        features.extend(taps.features(batch.pixels, batch.shape)?);
        observer.observe(&Event::Reading {
            done: labels.len().min(total),
            total,
        });
    }
    let groups: Vec<Range<usize>> = taps.columns().iter().flatten().cloned().collect();
    let blocks: Vec<usize> = (0..taps.columns().len())
        .filter(|&block| taps.columns()[block].is_some())
        .collect();
    let sets: Vec<Vec<usize>> = (0..groups.len()).map(|group| vec![group]).collect();
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let options = ChooseOptions {
        seed,
        ..ChooseOptions::default()
    };
    let classes = images.classes.len();
    let choice = choose(&features, &labels, classes, &groups, &sets, &options)?;
    let scores = blocks.into_iter().zip(choice.candidates);
    Ok(scores
        .map(|(block, worth)| DepthScore {
            block,
            score: worth.accuracy,
            error: worth.accuracy_error,
        })
        .collect())
}
