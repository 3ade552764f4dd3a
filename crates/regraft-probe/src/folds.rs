//! Stratified folds: which part of the cross-validation each image is validated in.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::targets::Targets;

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
///
/// `targets`: labels, soft targets (each image counts for its most probable class), or any number of classes an image,
/// of each of which images are drawn from both sides. Labels beyond `classes` are left out.
pub fn sample<'a>(
    targets: impl Into<Targets<'a>>,
    classes: usize,
    most: usize,
    seed: u64,
) -> Vec<usize> {
    match targets.into() {
        Targets::Labels(labels) => sample_labels(labels, classes, most, seed),
        targets @ Targets::Soft(values) => {
            let rows = 0..values.len() / classes.max(1);
            let labels: Vec<usize> = rows.filter_map(|row| targets.label(row, classes)).collect();
            sample_labels(&labels, classes, most, seed)
        }
        Targets::MultiLabel(truths) => {
            let rows = truths.len() / classes.max(1);
            let sides = rarer_sides(rows, classes, |row, class| truths[row * classes + class]);
            sample_sides(&sides, classes, most, seed)
        }
    }
}

pub(crate) fn sample_labels(
    labels: &[usize],
    classes: usize,
    most: usize,
    seed: u64,
) -> Vec<usize> {
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

/// At most about `most` rows with the same share of each side as in all, and at least two where there are two.
pub(crate) fn sample_sides(
    sides: &[Vec<usize>],
    classes: usize,
    most: usize,
    seed: u64,
) -> Vec<usize> {
    let count = sides.len();
    if count <= most {
        return (0..count).collect();
    }
    let share = most as f64 / count as f64;
    let dealt = iterative(sides, classes, None, &[share, 1.0 - share], seed);
    let mut chosen: Vec<bool> = dealt.iter().map(|part| *part == 0).collect();
    let mut found = vec![0usize; classes];
    for row in (0..count).filter(|&row| chosen[row]) {
        sides[row].iter().for_each(|&class| found[class] += 1);
    }
    for row in 0..count {
        if !chosen[row] && sides[row].iter().any(|&class| found[class] < 2) {
            chosen[row] = true;
            sides[row].iter().for_each(|&class| found[class] += 1);
        }
    }
    (0..count).filter(|&row| chosen[row]).collect()
}

/// For each row the classes of which it is on the rarer side: true of it and false of most, or the other way round.
pub(crate) fn rarer_sides(
    rows: usize,
    classes: usize,
    truth: impl Fn(usize, usize) -> bool,
) -> Vec<Vec<usize>> {
    let often: Vec<bool> = (0..classes)
        .map(|class| 2 * (0..rows).filter(|&row| truth(row, class)).count() > rows)
        .collect();
    let rare = |row: usize| {
        (0..classes)
            .filter(|&class| truth(row, class) != often[class])
            .collect()
    };
    (0..rows).map(rare).collect()
}

/// For every row its fold, where rows have any number of classes: iterative stratification (Sechidis, Tsoumakas and
/// Vlahavas 2011). Rows of the same one of `objects` come into the same fold. `shares`: of all rows, what each fold is
/// to have.
///
/// The class with the fewest rows left is dealt out first, each row to the fold that lacks most of that class; of those
/// to the one that lacks most rows. Rows without a class are dealt last.
pub(crate) fn iterative(
    sides: &[Vec<usize>],
    classes: usize,
    objects: Option<&[usize]>,
    shares: &[f64],
    seed: u64,
) -> Vec<usize> {
    let mut units = units(sides, objects);
    units.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    // Large ones while there is room.
    units.sort_by_key(|unit| std::cmp::Reverse(unit.rows.len()));
    let mut members = vec![Vec::new(); classes];
    let mut totals = vec![0usize; classes];
    for (index, unit) in units.iter().enumerate() {
        for &(class, count) in &unit.counts {
            members[class].push(index);
            totals[class] += count;
        }
    }
    let mut left: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut lacking: Vec<Lacking> = shares
        .iter()
        .map(|share| Lacking {
            rows: share * sides.len() as f64,
            of_class: totals.iter().map(|total| share * *total as f64).collect(),
        })
        .collect();
    let mut folds = vec![None; sides.len()];
    let mut deal = |unit: &Unit, class: Option<usize>, left: &mut [usize]| {
        if folds[unit.rows[0]].is_some() {
            return;
        }
        let most = |lacking: &Lacking| (class.map_or(0.0, |c| lacking.of_class[c]), lacking.rows);
        let fold = (1..lacking.len()).fold(0, |best, fold| {
            if most(&lacking[fold]) > most(&lacking[best]) {
                fold
            } else {
                best
            }
        });
        lacking[fold].rows -= unit.rows.len() as f64;
        for &(class, count) in &unit.counts {
            lacking[fold].of_class[class] -= count as f64;
            left[class] -= 1;
        }
        unit.rows.iter().for_each(|&row| folds[row] = Some(fold));
    };
    while let Some(class) = (0..classes)
        .filter(|&class| left[class] > 0)
        .min_by_key(|&class| left[class])
    {
        for &unit in &members[class] {
            deal(&units[unit], Some(class), &mut left);
        }
    }
    units.iter().for_each(|unit| deal(unit, None, &mut left));
    folds.into_iter().map(Option::unwrap_or_default).collect()
}

/// Rows that stay together.
struct Unit {
    rows: Vec<usize>,
    /// Classes of the rows, and how many rows have each.
    counts: Vec<(usize, usize)>,
}

/// What a fold is still to have.
struct Lacking {
    rows: f64,
    of_class: Vec<f64>,
}

fn units(sides: &[Vec<usize>], objects: Option<&[usize]>) -> Vec<Unit> {
    let mut rows: Vec<usize> = (0..sides.len()).collect();
    let object = |row: usize| objects.map_or(row, |objects| objects[row]);
    rows.sort_by_key(|&row| object(row));
    rows.chunk_by(|&a, &b| object(a) == object(b))
        .map(|rows| {
            let mut classes: Vec<usize> =
                rows.iter().flat_map(|&row| &sides[row]).copied().collect();
            classes.sort_unstable();
            Unit {
                rows: rows.to_vec(),
                counts: classes
                    .chunk_by(|a, b| a == b)
                    .map(|equal| (equal[0], equal.len()))
                    .collect(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::RngExt;

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

        #[test]
        fn samples_of_several_classes_keep_two_of_each_side(
            truths in prop::collection::vec(prop::bool::weighted(0.2), 40..400),
            most in 5usize..40,
            seed in any::<u64>(),
        ) {
            let classes = 4;
            let truths = &truths[..truths.len() / classes * classes];
            let rows = sample(Targets::MultiLabel(truths), classes, most, seed);
            prop_assert_eq!(&rows, &sample(Targets::MultiLabel(truths), classes, most, seed));
            prop_assert!(rows.is_sorted() && rows.len() <= most + 3 * classes);
            let count = |rows: &[usize], class: usize, side: bool| {
                rows.iter().filter(|&&row| truths[row * classes + class] == side).count()
            };
            let all: Vec<usize> = (0..truths.len() / classes).collect();
            for class in 0..classes {
                let rarer = 2 * count(&all, class, true) <= all.len();
                prop_assert!(count(&rows, class, rarer) >= count(&all, class, rarer).min(2));
            }
        }
    }

    /// Truths of `[rows, 6]`, the first class rarest; classes come together more often than by chance.
    fn truths(rows: usize) -> Vec<Vec<usize>> {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        (0..rows)
            .map(|_| {
                let common = random.random::<f64>();
                let often = |class: &usize| {
                    0.04 * (class + 1) as f64 + if common < 0.1 { 0.3 } else { 0.0 }
                };
                (0..6)
                    .filter(|class| random.random::<f64>() < often(class))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn every_fold_has_its_share_of_every_class() {
        let sides = truths(500);
        let folds = iterative(&sides, 6, None, &[0.2; 5], 1);
        for fold in 0..5 {
            let size = folds.iter().filter(|own| **own == fold).count();
            assert!(size.abs_diff(100) <= 2, "{size}");
            for class in 0..6 {
                let has = |row: &usize| sides[*row].contains(&class);
                let all = (0..500).filter(has).count();
                let own = (0..500)
                    .filter(|&row| folds[row] == fold)
                    .filter(has)
                    .count();
                assert!(
                    (own as f64 - all as f64 / 5.0).abs() <= 1.5,
                    "{own} of {all}"
                );
            }
        }
    }

    #[test]
    fn rows_of_an_object_share_a_fold() {
        let sides = truths(600);
        let objects: Vec<usize> = (0..600).map(|row| row % 150 * 7).collect();
        let folds = iterative(&sides, 6, Some(&objects), &[1.0 / 3.0; 3], 1);
        assert!((150..600).all(|row| folds[row] == folds[row - 150]));
        for class in 0..6 {
            let has = |row: &usize| sides[*row].contains(&class);
            let all = (0..600).filter(has).count();
            let own = (0..600).filter(|&row| folds[row] == 2).filter(has).count();
            assert!(
                (own as f64 - all as f64 / 3.0).abs() <= 4.0,
                "{own} of {all}"
            );
        }
    }
}
