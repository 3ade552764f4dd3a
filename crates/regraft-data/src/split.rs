//! A stratified, seeded validation split.

use crate::dataset::{ImageSet, Sample};
use crate::random::order;

/// Takes `fraction` of every class out of `set`; the rest comes first. At least one image of each class stays for training.
///
/// The third value names classes that are too small to give any.
pub(crate) fn stratified(
    set: ImageSet,
    fraction: f64,
    seed: u64,
) -> (ImageSet, ImageSet, Vec<String>) {
    let ImageSet { classes, samples } = set;
    let mut by_class: Vec<Vec<Sample>> = vec![Vec::new(); classes.len()];
    for sample in samples {
        by_class[sample.label].push(sample);
    }
    let (mut train, mut held_out, mut too_small) = (Vec::new(), Vec::new(), Vec::new());
    for (label, samples) in by_class.into_iter().enumerate() {
        let wanted = (samples.len() as f64 * fraction).round() as usize;
        let count = wanted.max(1).min(samples.len().saturating_sub(1));
        if count == 0 {
            too_small.push(classes[label].clone());
        }
        // The label takes the place of an epoch: each class has its own draw.
        let mut chosen = vec![false; samples.len()];
        for index in order(samples.len(), seed, label, true)
            .into_iter()
            .take(count)
        {
            chosen[index] = true;
        }
        for (sample, chosen) in samples.into_iter().zip(chosen) {
            if chosen {
                held_out.push(sample)
            } else {
                train.push(sample)
            }
        }
    }
    (
        ImageSet {
            classes: classes.clone(),
            samples: train,
        },
        ImageSet {
            classes,
            samples: held_out,
        },
        too_small,
    )
}
