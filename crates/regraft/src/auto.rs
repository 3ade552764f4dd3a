//! How far up a pretrained network serves the recipe's images: a linear probe at every cut.

use std::sync::Arc;

use regraft_data::{ImageSet, Loader, LoaderOptions, OnBadImage, Preprocess, order};
use regraft_freeze::DepthScore;
use regraft_nn::Cuts;
use regraft_onnx::Graph;
use regraft_score::{ProbeOptions, linear_probe};
use regraft_train::{Event, Observer};

use crate::error::Error;

/// Most images to look at.
const MOST_IMAGES: usize = 2000;
/// Widest features to probe.
const MOST_FEATURES: usize = 4096;

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
    let cuts = Cuts::new(graph, &device)?;
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
    let mut features: Vec<Vec<f32>> = vec![Vec::new(); graph.blocks.len()];
    for batch in loader.in_order() {
        let batch = batch?;
        if batch.labels.is_empty() {
            continue;
        }
        labels.extend(batch.labels.iter().copied());
        for (block, values) in cuts.features(batch.pixels, batch.shape)? {
            features[block].extend(values);
        }
        observer.observe(&Event::Reading {
            done: labels.len().min(total),
            total,
        });
    }
    let probe = ProbeOptions {
        seed,
        ..ProbeOptions::default()
    };
    features
        .iter()
        .enumerate()
        .filter(|(_, values)| {
            let width = values.len() / labels.len().max(1);
            (1..=MOST_FEATURES).contains(&width)
        })
        .map(|(block, values)| {
            let score = linear_probe(values, &labels, images.classes.len(), &probe)?;
            Ok(DepthScore {
                block,
                score: score.accuracy,
                error: score.error,
            })
        })
        .collect()
}
