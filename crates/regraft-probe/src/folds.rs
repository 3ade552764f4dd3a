//! Stratified folds: which part of the cross-validation each image is validated in.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// For every row its fold, below `folds`; `None`: always in training, as the only image of its class.
///
/// Each class is shuffled, then dealt out fold by fold; the next class goes on where the last one stopped, so that folds differ by at
/// most one image in size. A class with fewer images than folds is validated in as many folds as it has images. No fold
/// holds all images of a class.
pub(crate) fn stratified(
    labels: &[usize],
    classes: usize,
    folds: usize,
    seed: u64,
) -> Vec<Option<usize>> {
    let mut members = vec![Vec::new(); classes];
    for (row, &label) in labels.iter().enumerate() {
        members[label].push(row);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut assigned = vec![None; labels.len()];
    let mut next = 0;
    for class in members.iter_mut().filter(|class| class.len() > 1) {
        class.shuffle(&mut random);
        for &row in class.iter() {
            assigned[row] = Some(next);
            next = (next + 1) % folds;
        }
    }
    assigned
}

/// For every row one of five folds, stratified; the only image of a class has one too.
pub(crate) fn fifths(labels: &[usize], classes: usize, seed: u64) -> Vec<usize> {
    let assigned = stratified(labels, classes, 5, seed);
    let alone = |(row, fold): (usize, Option<usize>)| fold.unwrap_or(row % 5);
    assigned.into_iter().enumerate().map(alone).collect()
}

/// At most about `most` rows, from every class its share and at least two where it has them, in order.
pub fn sample(labels: &[usize], classes: usize, most: usize, seed: u64) -> Vec<usize> {
    if labels.len() <= most {
        return (0..labels.len()).collect();
    }
    let mut members = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for (row, &label) in labels
        .iter()
        .enumerate()
        .filter(|(_, label)| **label < classes)
    {
        members.entry(label).or_default().push(row);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::with_capacity(most);
    for class in members.values_mut() {
        class.shuffle(&mut random);
        let share = (most * class.len()).div_ceil(labels.len()).max(2);
        rows.extend(class.iter().take(share));
    }
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn folds_are_even_and_never_hold_a_whole_class(
            labels in prop::collection::vec(0usize..6, 1..80),
            folds in 2usize..7,
            seed in any::<u64>(),
        ) {
            let assigned = stratified(&labels, 6, folds, seed);
            prop_assert_eq!(&assigned, &stratified(&labels, 6, folds, seed));
            let mut sizes = vec![0usize; folds];
            for class in 0..6 {
                let mut parts = vec![0usize; folds];
                let members: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == class).collect();
                for &row in &members {
                    prop_assert_eq!(assigned[row].is_none(), members.len() == 1);
                    if let Some(fold) = assigned[row] {
                        parts[fold] += 1;
                        sizes[fold] += 1;
                    }
                }
                if members.len() > 1 {
                    prop_assert!(parts.iter().all(|&part| part < members.len()));
                    prop_assert!(parts.iter().all(|&part| part.abs_diff(members.len() / folds) <= 1));
                }
            }
            let (low, high) = (sizes.iter().min(), sizes.iter().max());
            prop_assert!(high.zip(low).is_some_and(|(high, low)| high - low <= 1));
        }
    }
}
