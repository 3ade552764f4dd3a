//! The probe from outside: what it must find, and what it must refuse.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft_score::{Error, ProbeOptions, ProbeScore, linear_probe};

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

fn probe(features: &[f32], labels: &[usize], classes: usize) -> ProbeScore {
    linear_probe(features, labels, classes, &ProbeOptions::default()).unwrap()
}

#[test]
fn separable_classes_score_one() {
    for columns in [4, 30, 300] {
        let score = probe(&signal(120, columns, 4, 3.0), &labels(120, 4), 4);
        assert_eq!(score.accuracy, 1.0, "{columns} columns");
        assert_eq!((score.folds, score.validated), (5, 120));
        assert!(score.error > 0.0 && score.error < 0.03, "{}", score.error);
    }
}

#[test]
fn noise_scores_as_guessing_does() {
    for columns in [8, 1200] {
        let score = probe(&noise(600, columns, 4), &labels(600, 4), 4);
        // Of seven strengths the luckiest is taken: a little above 1/4, within 4 standard errors of 0.018.
        assert!((score.accuracy - 0.25).abs() < 0.075, "{}", score.accuracy);
    }
}

#[test]
fn the_best_of_several_strengths_is_taken_and_of_equals_the_strongest() {
    let features = signal(200, 150, 2, 0.06);
    let labels = labels(200, 2);
    let at = |strengths: &[f64]| {
        let options = ProbeOptions {
            strengths: strengths.to_vec(),
            ..ProbeOptions::default()
        };
        linear_probe(&features, &labels, 2, &options).unwrap()
    };
    let (weak, strong) = (at(&[1e-6]), at(&[1.0]));
    let best = at(&[1e-6, 1.0]);
    assert!(weak.accuracy < strong.accuracy, "{weak:?} {strong:?}");
    assert_eq!(best, strong);
    assert_eq!(at(&[1.0, 1.0 + 1e-12]).strength, 1.0 + 1e-12);
}

#[test]
fn constant_columns_change_nothing() {
    let rows = 50;
    let features = signal(rows, 6, 3, 0.4);
    let widened: Vec<f32> = features
        .chunks(6)
        .flat_map(|row| [&[0.1f32][..], row, &[-7.0, f32::MAX]].concat())
        .collect();
    let labels = labels(rows, 3);
    assert_eq!(probe(&widened, &labels, 3), probe(&features, &labels, 3));
    // Nothing but constants: the largest class is guessed.
    let mut uneven = vec![0; 40];
    uneven.extend([1; 10]);
    assert_eq!(probe(&vec![1.0; 150], &uneven, 2).accuracy, 0.8);
}

#[test]
fn repeated_columns_and_rows_do_no_harm() {
    let features = signal(60, 5, 3, 3.0);
    let twice: Vec<f32> = features
        .chunks(5)
        .flat_map(|row| [row, row].concat())
        .collect();
    assert_eq!(probe(&twice, &labels(60, 3), 3).accuracy, 1.0);
    let rows: Vec<f32> = [features.as_slice(), &features].concat();
    assert_eq!(probe(&rows, &labels(120, 3), 3).accuracy, 1.0);
}

#[test]
fn scale_and_shift_of_columns_do_not_matter() {
    let features = signal(80, 6, 2, 0.5);
    // Powers of two are exact in f32.
    let scaled: Vec<f32> = features
        .iter()
        .enumerate()
        .map(|(index, value)| value * [1.0, 1024.0, 1.0 / 4096.0][index % 3])
        .collect();
    let labels = labels(80, 2);
    assert_eq!(probe(&scaled, &labels, 2), probe(&features, &labels, 2));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (features, labels) = (signal(150, 200, 5, 0.1), labels(150, 5));
    let score = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| probe(&features, &labels, 5))
    };
    assert_eq!(score(1), score(3));
}

#[test]
fn a_strength_too_small_to_count_is_refused_or_harmless() {
    let options = ProbeOptions {
        strengths: vec![f64::MIN_POSITIVE, 1e-300],
        ..ProbeOptions::default()
    };
    for columns in [2, 30, 80] {
        let row = |row: usize| vec![(row * row % 7) as f32; columns];
        let alike: Vec<f32> = (0..40).flat_map(row).collect();
        match linear_probe(&alike, &labels(40, 2), 2, &options) {
            Ok(score) => assert!((0.0..=1.0).contains(&score.accuracy)),
            Err(error) => assert!(matches!(error, Error::Singular { .. }), "{error}"),
        }
    }
}

#[test]
fn the_only_image_of_a_class_is_never_validated() {
    let mut features = signal(40, 8, 2, 3.0);
    let mut labels = labels(40, 2);
    features.extend([9.0; 8]);
    labels.push(5);
    let score = probe(&features, &labels, 6);
    assert_eq!((score.accuracy, score.validated), (1.0, 40));
}

#[test]
fn few_images_make_few_folds() {
    let score = probe(&[0.0, 0.1, 1.0], &[0, 0, 1], 2);
    assert_eq!((score.folds, score.validated), (2, 2));
    let score = probe(&[0.0, 0.1, 1.0, 1.1], &[0, 0, 1, 1], 2);
    assert_eq!((score.folds, score.validated, score.accuracy), (4, 4, 1.0));
}

#[test]
fn nonsense_is_refused_by_name() {
    let options = ProbeOptions::default;
    let refusal = |features: &[f32], labels: &[usize], classes, options: &ProbeOptions| {
        linear_probe(features, labels, classes, options)
            .unwrap_err()
            .to_string()
    };
    let good = [0.0, 0.1, 1.0, 1.1];
    let two = [0, 0, 1, 1];
    for (message, expected) in [
        (
            refusal(&good, &[0, 1, 1], 2, &options()),
            "4 feature values for 3 labels",
        ),
        (
            refusal(&[], &[], 2, &options()),
            "0 feature values for 0 labels",
        ),
        (
            refusal(&[], &two, 2, &options()),
            "0 feature values for 4 labels",
        ),
        (
            refusal(&good, &[0, 0, 1, 2], 2, &options()),
            "label 2 of row 3: there are 2 classes",
        ),
        (
            refusal(&good, &[3; 4], usize::MAX, &options()),
            "1 of 18446744073709551615 classes have images",
        ),
        (
            refusal(&good, &[0, 1, 2, 3], 4, &options()),
            "every class has a single image",
        ),
        (
            refusal(&[0.0, 1.0, 2.0, f32::NAN], &[0, 1], 2, &options()),
            "feature 1 of row 1 is NaN",
        ),
        (
            refusal(&[f32::NEG_INFINITY; 4], &two, 2, &options()),
            "feature 0 of row 0 is -inf",
        ),
        (
            refusal(
                &good,
                &two,
                2,
                &ProbeOptions {
                    folds: 1,
                    ..options()
                },
            ),
            "1 folds: cross-validation needs at least 2",
        ),
        (
            refusal(
                &good,
                &two,
                2,
                &ProbeOptions {
                    strengths: vec![],
                    ..options()
                },
            ),
            "give at least one",
        ),
        (
            refusal(
                &good,
                &two,
                2,
                &ProbeOptions {
                    strengths: vec![1.0, 0.0],
                    ..options()
                },
            ),
            "regularisation strength 0: expected",
        ),
    ] {
        assert!(message.contains(expected), "{message}");
    }
}

proptest! {
    #[test]
    fn any_finite_input_gives_a_share_or_an_error_and_twice_the_same(
        rows in 1usize..14,
        columns in 1usize..8,
        values in prop::collection::vec(prop_oneof![any::<f32>(), -1.0f32..1.0, Just(0.0)], 112),
        labels in prop::collection::vec(0usize..4, 14),
        seed in any::<u64>(),
    ) {
        let options = ProbeOptions { seed, ..ProbeOptions::default() };
        let score = || linear_probe(&values[..rows * columns], &labels[..rows], 4, &options);
        match score() {
            Ok(found) => {
                prop_assert!((0.0..=1.0).contains(&found.accuracy) && found.error > 0.0);
                prop_assert_eq!(Ok(found), score());
            }
            Err(error) => prop_assert!(!matches!(error, Error::Singular { .. }), "{}", error),
        }
    }
}
