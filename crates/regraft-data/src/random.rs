//! Randomness as a function of what it is for: (seed, epoch, index), whoever asks and when.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator for image `index` in `epoch`.
pub fn rng(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    repeated_rng(seed, epoch, index, 0)
}

/// The generator for the time that image `index` is shown again in `epoch`; 0 is its first.
pub(crate) fn repeated_rng(seed: u64, epoch: usize, index: usize, time: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(epoch as u64).to_le_bytes());
    key[16..24].copy_from_slice(&(index as u64).to_le_bytes());
    key[24..].copy_from_slice(&time.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The generator for mixing the images of batch `number` of `epoch`.
pub(crate) fn mixing_rng(seed: u64, epoch: usize, number: usize) -> ChaCha8Rng {
    // No image is shown so often.
    repeated_rng(seed, epoch, number, u64::MAX)
}

/// The order in which `len` images are seen in `epoch`: as they stand, or shuffled (Fisher and Yates).
pub fn order(len: usize, seed: u64, epoch: usize, shuffle: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    if shuffle {
        // No image has this index, so an image's augmentation never shares the order's generator.
        shuffled(&mut order, &mut rng(seed, epoch, usize::MAX));
    }
    order
}

/// As many images as there are `labels`, of every class the same number, in random order.
///
/// Where they do not come out even, classes drawn by lot have one more. Within a class no image is shown a second time before
/// every other was shown once.
pub(crate) fn balanced_order(labels: &[usize], seed: u64, epoch: usize) -> Vec<usize> {
    // As that of the order above, but for the balanced one.
    let mut random = rng(seed, epoch, usize::MAX - 1);
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut images = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        images[label].push(index);
    }
    images.retain(|images| !images.is_empty());
    shuffled(&mut images, &mut random);
    let classes = images.len();
    let mut order = Vec::with_capacity(labels.len());
    for (place, mut images) in images.into_iter().enumerate() {
        let share = labels.len() / classes + usize::from(place < labels.len() % classes);
        shuffled(&mut images, &mut random);
        order.extend(images.iter().copied().cycle().take(share));
    }
    shuffled(&mut order, &mut random);
    order
}

/// Fisher and Yates.
pub(crate) fn shuffled<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.random_range(0..=last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balanced_order_shows_every_class_as_often_and_repeats_no_more_than_it_must() {
        // Ten images of class 0, one of class 2, four of class 3; none of class 1.
        let labels: Vec<usize> = [vec![0; 10], vec![2], vec![3; 4]].concat();
        let mut seen = vec![false; labels.len()];
        for epoch in 0..20 {
            let order = balanced_order(&labels, 7, epoch);
            assert_eq!(order, balanced_order(&labels, 7, epoch));
            assert_eq!(order.len(), labels.len());
            let mut times = vec![0; labels.len()];
            order.iter().for_each(|&index| times[index] += 1);
            let of = |class| -> usize {
                let own = times.iter().zip(&labels);
                own.filter(|(_, label)| **label == class)
                    .map(|(n, _)| n)
                    .sum()
            };
            assert_eq!([of(0), of(2), of(3)], [5, 5, 5]);
            assert!(times[..10].iter().all(|&n| n <= 1));
            assert!(times[11..].iter().all(|&n| n == 1 || n == 2));
            order.iter().for_each(|&index| seen[index] = true);
        }
        assert!(seen.iter().all(|seen| *seen), "every image has its epochs");
        assert_ne!(balanced_order(&labels, 7, 0), balanced_order(&labels, 7, 1));
        assert!(balanced_order(&[], 7, 0).is_empty());
    }

    #[test]
    fn what_is_left_over_goes_to_classes_by_lot() {
        let labels = [0, 0, 0, 1, 1, 1, 1];
        let mut more = [0, 0];
        for epoch in 0..40 {
            let order = balanced_order(&labels, 1, epoch);
            let ones: usize = order.iter().map(|&index| labels[index]).sum();
            assert!(ones == 3 || ones == 4);
            more[ones - 3] += 1;
        }
        assert!(more.iter().all(|&times| times > 5), "{more:?}");
    }
}
