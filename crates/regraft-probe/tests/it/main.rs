//! Choosing and solving from outside: what must be found, and what must be refused.
#![allow(clippy::unwrap_used)]
// One group of columns is what it says.
#![allow(clippy::single_range_in_vec_init)]

mod targets;

use std::ops::Range;

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft_probe::{
    Choice, ChooseOptions, Error, SolveOptions, Solved, Sums, Targets, choose, nearest_neighbours,
    solve,
};

/// Uniform noise in [-0.5, 0.5), `[rows, columns]`.
fn noise(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..rows * columns)
        .map(|_| random.random::<f32>() - 0.5)
        .collect()
}

fn labels(rows: usize, classes: usize) -> Vec<usize> {
    (0..rows).map(|row| row % classes).collect()
}

/// Noise in which every column is `signal` higher for the images of one class.
fn signal(rows: usize, columns: usize, classes: usize, signal: f32) -> Vec<f32> {
    let mut features = noise(rows, columns, 9);
    for (index, value) in features.iter_mut().enumerate() {
        if index % columns % classes == index / columns % classes {
            *value += signal;
        }
    }
    features
}

fn solved(features: &[f32], labels: &[usize], classes: usize) -> Solved {
    let width = features.len() / labels.len();
    solve(
        features,
        labels,
        classes,
        &[0..width],
        &SolveOptions::default(),
    )
    .unwrap()
}

fn chosen(
    features: &[f32],
    labels: &[usize],
    classes: usize,
    groups: &[Range<usize>],
    sets: &[Vec<usize>],
) -> Choice {
    let options = ChooseOptions::default();
    choose(features, labels, classes, groups, sets, &options).unwrap()
}

/// Share of rows whose own class has the largest output.
fn accuracy(outputs: &[f32], labels: &[usize], classes: usize) -> f64 {
    let right = outputs.chunks(classes).zip(labels).filter(|(row, label)| {
        let best = (1..classes).fold(0, |best, at| if row[at] > row[best] { at } else { best });
        best == **label
    });
    right.count() as f64 / labels.len() as f64
}

#[test]
fn separable_classes_are_told_apart_and_known_to_be() {
    for columns in [4, 30, 300] {
        let features = signal(120, columns, 4, 3.0);
        let labels = labels(120, 4);
        let solved = solved(&features, &labels, 4);
        assert_eq!(solved.judgement.accuracy, 1.0, "{columns} columns");
        let error = solved.judgement.accuracy_error;
        assert!(error > 0.0 && error < 0.03, "{error}");
        let outputs = solved.linear.outputs(&features);
        assert_eq!(accuracy(&outputs, &labels, 4), 1.0);
    }
}

#[test]
fn noise_is_judged_as_guessing_is() {
    for columns in [8, 1200] {
        let solved = solved(&noise(600, columns, 4), &labels(600, 4), 4);
        let accuracy = solved.judgement.accuracy;
        assert!((accuracy - 0.25).abs() < 0.075, "{accuracy}");
        // Probabilities say so too: hardly better than a quarter for each.
        let loss = solved.judgement.loss;
        assert!((loss - 4f64.ln()).abs() < 0.03, "{loss}");
    }
}

#[test]
fn new_images_do_as_the_judgement_says() {
    let classes = 5;
    for (rows, columns) in [(200, 400), (1200, 60), (3000, 20)] {
        let all = signal(rows + 2000, columns, classes, 3.0 / (columns as f32).sqrt());
        let known = labels(rows + 2000, classes);
        let (train, test) = all.split_at(rows * columns);
        let solved = solved(train, &known[..rows], classes);
        let outputs = solved.linear.outputs(test);
        let found = accuracy(&outputs, &known[rows..], classes);
        let expected = solved.judgement.accuracy;
        let error = solved.judgement.accuracy_error;
        assert!(
            (found - expected).abs() < 4.0 * error + 0.03,
            "{rows} x {columns}: {found} on new images, {expected} ± {error} said"
        );
        assert!(found > 0.4, "{found}");
    }
}

#[test]
fn of_sets_that_serve_alike_the_simplest_is_chosen() {
    let (rows, classes) = (400, 4);
    let labels = labels(rows, classes);
    // The first group is noise, the second tells all, the third adds nothing.
    let parts = [
        noise(rows, 20, 1),
        signal(rows, 20, classes, 1.5),
        noise(rows, 20, 2),
    ];
    let features: Vec<f32> = (0..rows)
        .flat_map(|row| {
            parts
                .iter()
                .flat_map(move |part| part[row * 20..][..20].to_vec())
        })
        .collect();
    let groups = [0..20, 20..40, 40..60];
    let sets = [vec![0], vec![1], vec![0, 1], vec![0, 1, 2]];
    let choice = chosen(&features, &labels, classes, &groups, &sets);
    assert_eq!(choice.chosen, 1);
    assert!(choice.candidates[0].accuracy < 0.4);
    assert!(choice.candidates[1].accuracy > 0.9);
    // More images than are looked at change nothing about that.
    let options = ChooseOptions {
        images: 100,
        ..ChooseOptions::default()
    };
    let few = choose(&features, &labels, classes, &groups, &sets, &options).unwrap();
    assert_eq!((few.chosen, few.images), (1, 100));
}

#[test]
fn constant_columns_scale_and_shift_change_nothing() {
    let rows = 60;
    let features = signal(rows, 6, 3, 0.6);
    let widened: Vec<f32> = features
        .chunks(6)
        .flat_map(|row| [&[0.1f32][..], row, &[-7.0]].concat())
        .collect();
    let moved: Vec<f32> = features
        .iter()
        .map(|value| 250.0 * value + 1000.0)
        .collect();
    let labels = labels(rows, 3);
    let plain = solved(&features, &labels, 3);
    for (other, width) in [(&widened, 8), (&moved, 6)] {
        let solved = solved(other, &labels, 3);
        assert!((solved.judgement.loss - plain.judgement.loss).abs() < 1e-3);
        let outputs = solved.linear.outputs(other);
        let expected = plain.linear.outputs(&features);
        let pairs = outputs.iter().zip(&expected);
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let range = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert!(off < 0.02 * range, "{width} columns: {off} of {range}");
    }
}

#[test]
fn sums_are_the_same_however_images_come() {
    let (rows, width, classes) = (90, 7, 3);
    let features = signal(rows, width, classes, 0.4);
    let targets: Vec<f32> = (0..rows * classes)
        .map(|at| f32::from(u8::from(at % classes == at / classes % classes)))
        .collect();
    let weights = vec![1.0; rows];
    let mut whole = Sums::new(width, classes);
    whole.add(&features, &targets, &weights).unwrap();
    let mut joined = Sums::new(width, classes);
    for part in [0..20, 20..21, 21..90] {
        let mut own = Sums::new(width, classes);
        let columns = part.start * width..part.end * width;
        let outputs = part.start * classes..part.end * classes;
        own.add(&features[columns], &targets[outputs], &weights[part])
            .unwrap();
        joined.join(&own).unwrap();
    }
    let groups = [0..3, 3..7];
    let (a, b) = (
        whole.solve(0.1, &groups).unwrap(),
        joined.solve(0.1, &groups).unwrap(),
    );
    for (a, b) in a
        .weights
        .iter()
        .zip(&b.weights)
        .chain(a.bias.iter().zip(&b.bias))
    {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn sums_solve_as_the_reference_does() {
    // From tests/ridge_reference.py: twelve images, six features in two groups, one of them constant.
    let (rows, width, classes) = (12, 6, 3);
    let features: Vec<f32> = (0..rows * width)
        .map(|at| (at / width, at % width))
        .map(|(i, j)| match j {
            1 => 2.5,
            _ => ((i * 37 + j * 101 + i * j * 13) % 17) as f32 / 4.0,
        })
        .collect();
    let labels = labels(rows, classes);
    let entries = |of: &dyn Fn(usize, usize) -> usize| -> Vec<usize> {
        let entry = |at: usize| of(at / classes, at % classes);
        (0..rows * classes).map(entry).collect()
    };
    let parts = entries(&|i, c| (i * 11 + c * 7 + i * c) % 5 + 1);
    let soft: Vec<f32> = parts
        .chunks(classes)
        .flat_map(|row| {
            row.iter()
                .map(|part| *part as f32 / row.iter().sum::<usize>() as f32)
        })
        .collect();
    let truths = entries(&|i, c| usize::from((i * 5 + c * 3 + i * c * c) % 7 < 3));
    let truths: Vec<bool> = truths.into_iter().map(|truth| truth == 1).collect();
    for (kind, strength, expected) in REFERENCE {
        let targets = match kind {
            "Labels" => Targets::Labels(&labels),
            "Soft" => Targets::Soft(&soft),
            _ => Targets::MultiLabel(&truths),
        };
        let mut sums = Sums::new(width, classes);
        sums.add_targets(&features, targets, &vec![1.0; rows])
            .unwrap();
        let linear = sums.solve(strength, &[0..4, 4..6]).unwrap();
        let outputs = linear.outputs(&features[..3 * width]);
        for (found, expected) in outputs.iter().zip(expected.iter().flatten()) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{kind}: {found} {expected}"
            );
        }
    }
}

/// Targets, a strength, and outputs for the first three images.
type Case = (&'static str, f64, [[f64; 3]; 3]);

const REFERENCE: [Case; 6] = include!("../ridge_reference.in");

#[test]
fn few_images_of_many_classes_and_one_image_alone_are_sound() {
    // A class with one image, and two classes in all.
    let features = signal(7, 5, 2, 2.0);
    let one_alone = [0, 0, 0, 0, 0, 0, 1];
    let judged = solved(&features, &one_alone, 2).judgement;
    assert!((0.0..=1.0).contains(&judged.accuracy) && judged.loss.is_finite());
    // Many classes with three images each.
    let (rows, classes) = (1500, 500);
    let many = solved(
        &signal(rows, 600, classes, 3.0),
        &labels(rows, classes),
        classes,
    );
    assert!(many.judgement.accuracy > 0.9, "{}", many.judgement.accuracy);
    assert_eq!(many.linear.bias.len(), classes);
    // A class without images is never said.
    let features = signal(60, 8, 3, 2.0);
    let twice: Vec<usize> = labels(60, 3).into_iter().map(|label| 2 * label).collect();
    let spread = solved(&features, &twice, 5);
    assert_eq!(spread.linear.bias.len(), 5);
    assert_eq!(accuracy(&spread.linear.outputs(&features), &twice, 5), 1.0);
}

#[test]
fn copies_of_an_image_are_left_out_together() {
    // Every image four times, and labels that nothing tells: only its copies know an image's label.
    let (objects, width) = (40, 100);
    let once = noise(objects, width, 3);
    let features: Vec<f32> = (0..4 * objects)
        .flat_map(|row| once[row % objects * width..][..width].to_vec())
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let of_object: Vec<usize> = (0..objects).map(|_| random.random_range(0..4)).collect();
    let labels: Vec<usize> = (0..4 * objects)
        .map(|row| of_object[row % objects])
        .collect();
    let object: Vec<usize> = (0..4 * objects).map(|row| row % objects).collect();
    let judged = |objects: Option<&[usize]>| {
        let options = SolveOptions {
            objects,
            ..SolveOptions::default()
        };
        let solved = solve(&features, &labels, 4, &[0..width], &options).unwrap();
        solved.judgement.accuracy
    };
    assert!(judged(None) > 0.8);
    assert!(judged(Some(&object)) < 0.5);
}

#[test]
fn a_rare_class_counts_as_much_as_others_where_asked() {
    let (rows, width) = (600, 6);
    let labels: Vec<usize> = (0..rows).map(|row| usize::from(row % 20 == 0)).collect();
    let mut features = noise(rows, width, 8);
    for (row, label) in labels.iter().enumerate() {
        features[row * width] += 0.5 * *label as f32;
    }
    let found = |balanced: bool, weights: Option<&[f32]>| {
        let options = SolveOptions {
            balanced,
            weights,
            ..SolveOptions::default()
        };
        let solved = solve(&features, &labels, 2, &[0..width], &options).unwrap();
        let outputs = solved.linear.outputs(&features);
        let rare = outputs
            .chunks(2)
            .zip(&labels)
            .filter(|(_, label)| **label == 1);
        let (mut said, mut all) = (0u32, 0u32);
        for (row, _) in rare {
            said += u32::from(row[1] > row[0]);
            all += 1;
        }
        f64::from(said) / f64::from(all)
    };
    let [plain, balanced] = [false, true].map(|balanced| found(balanced, None));
    assert!(balanced > plain + 0.3, "{balanced} {plain}");
    // By hand, image by image: 570 and 30 images.
    let by_hand: Vec<f32> = labels
        .iter()
        .map(|label| if *label == 1 { 19.0 } else { 1.0 })
        .collect();
    assert!(found(false, Some(&by_hand)) > plain + 0.3);
}

#[test]
fn neighbours_are_counted() {
    let features = [0.0, 0.1, 0.2, 5.0, 5.1, 5.2, 0.15, 9.0];
    let labels = [0, 0, 0, 1, 1, 1, 1, 1];
    // With one neighbour the seventh image is taken for the first class, and it makes two of that class wrong.
    assert_eq!(
        nearest_neighbours(&features, &labels, 2, 1).unwrap(),
        5.0 / 8.0
    );
    // With three it is alone among them.
    assert_eq!(
        nearest_neighbours(&features, &labels, 2, 3).unwrap(),
        7.0 / 8.0
    );
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let features = signal(300, 500, 5, 0.2);
    let labels = labels(300, 5);
    let groups = [0..200, 200..500];
    let sets = [vec![0], vec![1], vec![0, 1]];
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let choice = chosen(&features, &labels, 5, &groups, &sets);
            let solved = solve(&features, &labels, 5, &groups, &SolveOptions::default());
            (choice, solved.unwrap())
        })
    };
    let one = with(1);
    for threads in [2, 4, 7] {
        assert!(with(threads) == one, "{threads} threads");
    }
}

#[test]
fn nonsense_is_refused_by_name() {
    let options = SolveOptions::default();
    let refused = |features: &[f32], labels: &[usize], classes: usize| {
        solve(features, labels, classes, &[0..1], &options).unwrap_err()
    };
    assert!(matches!(refused(&[], &[], 2), Error::Length { .. }));
    assert!(matches!(
        refused(&[1.0, 2.0, 3.0], &[0, 1], 2),
        Error::Length { .. }
    ));
    assert!(matches!(
        refused(&[1.0, 2.0], &[0, 5], 2),
        Error::Label {
            row: 1,
            label: 5,
            classes: 2
        }
    ));
    assert!(matches!(
        refused(&[1.0, 2.0], &[0, 0], 2),
        Error::TooFewClasses { present: 1, .. }
    ));
    assert!(matches!(
        refused(&[1.0, f32::NAN], &[0, 1], 2),
        Error::NotFinite {
            row: 1,
            column: 0,
            ..
        }
    ));
    assert!(matches!(
        refused(&[3.0, 3.0, 3.0], &[0, 1, 0], 2),
        Error::Constant
    ));
    let none = choose(
        &[1.0, 2.0],
        &[0, 1],
        2,
        &[0..1],
        &[],
        &ChooseOptions::default(),
    );
    assert!(matches!(none, Err(Error::NoCandidates)));
}

proptest! {
    #[test]
    fn any_finite_input_is_solved_or_refused_and_twice_the_same(
        rows in 2usize..40,
        columns in 1usize..12,
        classes in 2usize..5,
        seed in any::<u64>(),
        scale in prop::sample::select(vec![1e-20f32, 1e-3, 1.0, 1e6, 1e18]),
    ) {
        let features: Vec<f32> = noise(rows, columns, seed).iter().map(|v| v * scale).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<usize> = (0..rows).map(|_| random.random_range(0..classes)).collect();
        let run = || solve(&features, &labels, classes, &[0..columns], &SolveOptions::default());
        let first = run();
        prop_assert_eq!(&first, &run());
        if let Ok(solved) = first {
            prop_assert!((0.0..=1.0).contains(&solved.judgement.accuracy));
            prop_assert!(solved.linear.outputs(&features).iter().all(|v| v.is_finite()));
        }
    }
}
