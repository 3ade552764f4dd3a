//! Soft targets, several classes an image, and images that count differently.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft_probe::{
    ChooseOptions, Error, SolveOptions, Solved, Sums, Targets, choose, multi_label_scores, sample,
    solve,
};

use crate::{labels, noise, signal};

fn solve_all(features: &[f32], targets: Targets<'_>, classes: usize) -> Result<Solved, Error> {
    let images = match targets {
        Targets::Labels(labels) => labels.len(),
        Targets::Soft(values) => values.len() / classes,
        Targets::MultiLabel(truths) => truths.len() / classes,
    };
    let width = features.len() / images;
    let options = SolveOptions::default();
    solve(features, targets, classes, &[0..width], &options)
}

fn one_hot(labels: &[usize], classes: usize) -> Vec<f32> {
    Targets::from(labels).rows(classes).unwrap()
}

/// Truths of `[rows, classes]`: of each class about one image in four, by a direction of its own in the features.
fn truths(features: &[f32], columns: usize, classes: usize) -> Vec<bool> {
    let directions = noise(classes, columns, 77);
    let spread = (columns as f32).sqrt() / 12.0;
    let rows = features.chunks(columns);
    rows.flat_map(|row| {
        directions.chunks(columns).map(move |direction| {
            let along: f32 = row.iter().zip(direction).map(|(a, b)| a * b).sum();
            along > 0.7 * spread
        })
    })
    .collect()
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|logit| f64::from(*logit).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

fn sigmoid(logit: f32) -> f64 {
    1.0 / (1.0 + f64::from(-logit).exp())
}

fn finite(solved: &Solved) -> bool {
    let linear = &solved.linear;
    let numbers = [&linear.weights, &linear.bias, &solved.left_out];
    let judged = solved.judgement;
    judged.loss.is_finite()
        && judged.accuracy_error.is_finite()
        && numbers
            .iter()
            .all(|values| values.iter().all(|value| value.is_finite()))
}

#[test]
fn one_hot_distributions_give_the_bytes_that_labels_give() {
    for (rows, columns, classes) in [(90, 200, 3), (1600, 40, 4), (300, 50, 140)] {
        let features = signal(rows, columns, classes, 0.6);
        let labels = labels(rows, classes);
        let soft = one_hot(&labels, classes);
        let soft = Targets::Soft(&soft);
        let objects: Vec<usize> = (0..rows).map(|row| row / 2).collect();
        for balanced in [false, true] {
            let options = SolveOptions {
                balanced,
                objects: balanced.then_some(&objects),
                ..SolveOptions::default()
            };
            let groups = [0..columns];
            let solved = solve(&features, &labels, classes, &groups, &options).unwrap();
            let softly = solve(&features, soft, classes, &groups, &options).unwrap();
            assert!(solved == softly, "{rows} x {columns}");
        }
        let groups = [0..columns / 2, columns / 2..columns];
        let sets = [vec![0], vec![0, 1]];
        let options = ChooseOptions::default();
        let choice = choose(&features, &labels, classes, &groups, &sets, &options).unwrap();
        let softly = choose(&features, soft, classes, &groups, &sets, &options).unwrap();
        assert_eq!(choice, softly);
        assert_eq!(
            sample(&labels, classes, 80, 1),
            sample(soft, classes, 80, 1)
        );
    }
}

#[test]
fn distributions_are_learnt_and_not_only_their_largest_class() {
    let (rows, columns, classes) = (1500, 12, 4);
    let features = noise(2 * rows, columns, 21);
    let directions = noise(classes, columns, 22);
    let soft: Vec<f32> = features
        .chunks(columns)
        .flat_map(|row| {
            let logits: Vec<f32> = directions
                .chunks(columns)
                .map(|own| 2.0 * row.iter().zip(own).map(|(a, b)| a * b).sum::<f32>())
                .collect();
            softmax(&logits).into_iter().map(|share| share as f32)
        })
        .collect();
    let (train, test) = features.split_at(rows * columns);
    let (known, hidden) = soft.split_at(rows * classes);
    let solved = solve_all(train, Targets::Soft(known), classes).unwrap();
    let outputs = solved.linear.outputs(test);
    let mut furthest = 0f64;
    for (logits, truth) in outputs.chunks(classes).zip(hidden.chunks(classes)) {
        for (said, truth) in softmax(logits).into_iter().zip(truth) {
            furthest = furthest.max((said - f64::from(*truth)).abs());
        }
    }
    assert!(furthest < 0.05, "{furthest}");
    // The least loss against distributions is their mean entropy.
    let nats = known.iter().map(|p| -f64::from(*p) * f64::from(*p).ln());
    let above = solved.judgement.loss - nats.sum::<f64>() / rows as f64;
    assert!((0.0..2e-3).contains(&above), "{above}");
    let accuracy = solved.judgement.accuracy;
    assert!(accuracy > 0.9, "{accuracy}");
}

#[test]
fn several_classes_are_told_apart_and_known_to_be() {
    for (rows, columns, classes) in [(400, 20, 5), (1000, 60, 8), (6000, 10, 3), (600, 20, 1)] {
        let features = noise(rows + 2000, columns, 31);
        let truths = truths(&features, columns, classes);
        let (train, test) = features.split_at(rows * columns);
        let (known, hidden) = truths.split_at(rows * classes);
        let solved = solve_all(train, Targets::MultiLabel(known), classes).unwrap();
        let outputs = solved.linear.outputs(test);
        let found = multi_label_scores(&outputs, hidden, classes).unwrap();
        let said = solved.scores.unwrap();
        let precision = (said.mean_average_precision, found.mean_average_precision);
        for (name, (said, found), least) in [
            ("mAP", precision, 0.9),
            ("micro F1", (said.micro_f1, found.micro_f1), 0.8),
            ("macro F1", (said.macro_f1, found.macro_f1), 0.8),
        ] {
            let case = format!("{rows} x {columns}: {name} {said} said, {found} found");
            assert!((said - found).abs() < 0.06 && found > least, "{case}");
        }
        let judged = solved.judgement;
        let pairs = outputs.iter().zip(hidden);
        let right = pairs.filter(|(logit, truth)| (**logit > 0.0) == **truth);
        let right = right.count() as f64 / hidden.len() as f64;
        let error = judged.accuracy_error;
        assert!(error > 0.0 && error < 0.02, "{error}");
        let away = (right - judged.accuracy).abs();
        assert!(away < 4.0 * error + 0.005, "{right} {judged:?}");
    }
}

#[test]
fn noise_about_several_classes_is_judged_as_their_frequencies_are() {
    let (rows, classes) = (600, 4);
    let known = noise(rows, classes, 41)
        .into_iter()
        .map(|value| value > 0.3);
    let known: Vec<bool> = known.collect();
    let entropy = |class: usize| -> f64 {
        let own = known[class..].iter().step_by(classes);
        let p = own.filter(|truth| **truth).count() as f64 / rows as f64;
        -p * p.ln() - (1.0 - p) * (1.0 - p).ln()
    };
    let expected = (0..classes).map(entropy).sum::<f64>() / classes as f64;
    for columns in [8, 1200] {
        let features = noise(rows, columns, 42);
        let solved = solve_all(&features, Targets::MultiLabel(&known), classes).unwrap();
        let loss = solved.judgement.loss;
        assert!((loss - expected).abs() < 0.02, "{loss} {expected}");
    }
}

#[test]
fn of_sets_the_one_that_tells_several_classes_is_chosen() {
    let (rows, columns, classes) = (500, 20, 3);
    let useful = noise(rows, columns, 51);
    let truths = truths(&useful, columns, classes);
    let useless = noise(rows, columns, 52);
    let pairs = useless.chunks(columns).zip(useful.chunks(columns));
    let features: Vec<f32> = pairs
        .flat_map(|(a, b)| a.iter().chain(b).copied())
        .collect();
    let groups = [0..columns, columns..2 * columns];
    let sets = [vec![0], vec![1], vec![0, 1]];
    let options = ChooseOptions {
        images: 300,
        ..ChooseOptions::default()
    };
    let targets = Targets::MultiLabel(&truths);
    let choice = choose(&features, targets, classes, &groups, &sets, &options).unwrap();
    assert_eq!(choice.chosen, 1, "{choice:?}");
    assert!((300..=306).contains(&choice.images), "{}", choice.images);
    assert!(choice.candidates[1].loss < choice.candidates[0].loss / 2.0);
}

#[test]
fn what_is_true_of_an_image_tells_what_else_is() {
    // The second class is true between the first and none: its own output alone does not tell it.
    let rows = 600;
    let along = noise(rows, 1, 61);
    let features: Vec<f32> = along
        .iter()
        .flat_map(|value| [*value, value.max(0.0)])
        .collect();
    let known = along
        .iter()
        .flat_map(|value| [*value > 0.2, (0.0..0.2).contains(value)]);
    let known: Vec<bool> = known.collect();
    let solved = solve_all(&features, Targets::MultiLabel(&known), 2).unwrap();
    assert!(solved.pull.is_some());
    assert!(solved.judgement.accuracy > 0.8, "{:?}", solved.judgement);
}

#[test]
fn a_class_that_is_never_or_always_true_has_a_finite_probability() {
    let (rows, columns) = (60, 8);
    let features = noise(rows, columns, 71);
    let own = truths(&features, columns, 1);
    let known: Vec<bool> = own.iter().flat_map(|truth| [false, *truth, true]).collect();
    let solved = solve_all(&features, Targets::MultiLabel(&known), 3).unwrap();
    assert!(finite(&solved));
    for row in solved.linear.outputs(&features).chunks(3) {
        assert!((sigmoid(row[0]) - 1.0 / 62.0).abs() < 1e-6);
        assert!((sigmoid(row[2]) - 61.0 / 62.0).abs() < 1e-6);
    }
    let nothing = [false, true].repeat(rows);
    let refused = solve_all(&features, Targets::MultiLabel(&nothing), 2);
    assert_eq!(refused, Err(Error::NoClassVaries { classes: 2 }));
    // Of one image, and of half.
    let single = (0..rows).flat_map(|row| [row == 3, row % 2 == 0]);
    let single: Vec<bool> = single.collect();
    let solved = solve_all(&features, Targets::MultiLabel(&single), 2).unwrap();
    assert!(finite(&solved));
    // Soft targets in which a class has no share: as labels.
    let soft: Vec<f32> = own
        .iter()
        .map(|truth| if *truth { 0.5 } else { 0.0 })
        .flat_map(|share| [0.0, 0.5, share, 0.5 - share])
        .collect();
    let solved = solve_all(&features, Targets::Soft(&soft), 4).unwrap();
    assert!(finite(&solved) && solved.linear.bias[0] == -20.0);
}

#[test]
fn a_thousand_classes_with_three_images_each_are_sound() {
    let (rows, columns, classes) = (3000, 30, 1000);
    let features = signal(rows, columns, classes, 2.0);
    let labels = labels(rows, classes);
    let solved = solve_all(&features, Targets::Labels(&labels), classes).unwrap();
    let chance = (classes as f64).ln();
    assert!(finite(&solved) && solved.judgement.loss <= chance + 0.1);
    let known: Vec<bool> = one_hot(&labels, classes)
        .iter()
        .map(|value| *value > 0.0)
        .collect();
    let solved = solve_all(&features, Targets::MultiLabel(&known), classes).unwrap();
    assert!(finite(&solved));
    assert!(solved.judgement.accuracy >= 0.998, "{:?}", solved.judgement);
}

#[test]
fn copies_of_an_image_with_several_classes_are_left_out_together() {
    let (objects, width, classes) = (60, 100, 3);
    let features = noise(objects, width, 81).repeat(4);
    // Nothing tells the classes but having seen the object.
    let own: Vec<bool> = noise(objects, classes, 82)
        .iter()
        .map(|value| *value > 0.1)
        .collect();
    let known = own.repeat(4);
    let object: Vec<usize> = (0..4 * objects).map(|row| row % objects).collect();
    let precision = |objects: Option<&[usize]>| {
        let options = SolveOptions {
            objects,
            ..SolveOptions::default()
        };
        let targets = Targets::MultiLabel(&known);
        let solved = solve(&features, targets, classes, &[0..width], &options).unwrap();
        solved.scores.unwrap().mean_average_precision
    };
    assert!(precision(None) > 0.9);
    assert!(precision(Some(&object)) < 0.6);
}

#[test]
fn rare_classes_count_as_much_as_others_where_asked() {
    let (rows, width) = (600, 6);
    let rare: Vec<bool> = (0..rows).map(|row| row % 20 == 0).collect();
    let mut features = noise(rows, width, 8);
    for (row, truth) in rare.iter().enumerate() {
        features[row * width] += if *truth { 0.5 } else { 0.0 };
    }
    let known = rare
        .iter()
        .enumerate()
        .flat_map(|(row, truth)| [*truth, row % 2 == 0]);
    let known: Vec<bool> = known.collect();
    // Almost sure of the class.
    let sure = |truth: &bool| if *truth { [0.97, 0.03] } else { [0.01, 0.99] };
    let soft: Vec<f32> = rare.iter().flat_map(sure).collect();
    let found = |targets: Targets<'_>, balanced: bool| {
        let options = SolveOptions {
            balanced,
            ..SolveOptions::default()
        };
        let solved = solve(&features, targets, 2, &[0..width], &options).unwrap();
        let outputs = solved.linear.outputs(&features);
        let several = matches!(targets, Targets::MultiLabel(_));
        let said = |row: &[f32]| row[0] > if several { 0.0 } else { row[1] };
        let own = outputs.chunks(2).zip(&rare).filter(|(_, truth)| **truth);
        own.filter(|(row, _)| said(row)).count()
    };
    for targets in [Targets::MultiLabel(&known), Targets::Soft(&soft)] {
        let (with, without) = (found(targets, true), found(targets, false));
        assert!(with > without + 9, "{with} {without} of 30: {targets:.0?}");
    }
}

#[test]
fn images_count_as_their_weights_say() {
    let (rows, columns, classes, kept) = (300, 40, 3, 200);
    let features = signal(rows, columns, classes, 0.4);
    let labels = labels(rows, classes);
    let soft = one_hot(&labels, classes);
    let known: Vec<bool> = soft.iter().map(|value| *value > 0.5).collect();
    let solve_with = |features: &[f32], targets: Targets<'_>, weights: Option<&[f32]>| {
        let options = SolveOptions {
            weights,
            ..SolveOptions::default()
        };
        solve(features, targets, classes, &[0..columns], &options).unwrap()
    };
    let of_rest = |weight: f32| -> Vec<f32> {
        (0..rows)
            .map(|row| if row < kept { 1.0 } else { weight })
            .collect()
    };
    let part = kept * classes;
    for (all, part) in [
        (Targets::Labels(&labels), Targets::Labels(&labels[..kept])),
        (Targets::Soft(&soft), Targets::Soft(&soft[..part])),
        (
            Targets::MultiLabel(&known),
            Targets::MultiLabel(&known[..part]),
        ),
    ] {
        // Alike, at any scale, they change nothing.
        let usual = solve_with(&features, all, None);
        assert!(solve_with(&features, all, Some(&vec![7.0; rows])) == usual);
        // Images of weight 0 might as well not be there, and are predicted all the same.
        let some = solve_with(&features, all, Some(&of_rest(0.0)));
        let alone = solve_with(&features[..kept * columns], part, None);
        assert!(some.linear == alone.linear && some.judgement == alone.judgement);
        let (own, rest) = some.left_out.split_at(kept * classes);
        assert!(own == alone.left_out);
        assert!(rest == alone.linear.outputs(&features[kept * columns..]));
        // Nearly 0 is as good.
        let some = solve_with(&features, all, Some(&of_rest(1e-30)));
        assert!(finite(&some));
        let away = some.judgement.accuracy - alone.judgement.accuracy;
        assert!(away.abs() < 0.05, "{away}");
    }
    // Wrong labels that hardly count do little harm.
    let wrong: Vec<usize> = (0..rows)
        .map(|row| {
            if row < kept {
                labels[row]
            } else {
                (row + 1) % classes
            }
        })
        .collect();
    let accuracy = |weights: Option<&[f32]>| {
        let solved = solve_with(&features, Targets::Labels(&wrong), weights);
        crate::accuracy(&solved.linear.outputs(&features), &labels, classes)
    };
    let (blind, warned) = (accuracy(None), accuracy(Some(&of_rest(0.01))));
    assert!(warned > blind + 0.02, "{warned} {blind}");
    // In ridge regression twice the weight is twice the image.
    let add = |sums: &mut Sums, weight: f32| {
        let weights = vec![weight; rows];
        sums.add_targets(&features, &labels, &weights).unwrap();
    };
    let [mut twice, mut again] = [(); 2].map(|()| Sums::new(columns, classes));
    add(&mut twice, 2.0);
    add(&mut again, 1.0);
    add(&mut again, 1.0);
    let weights = |sums: &Sums| sums.solve(0.1, &[0..columns]).unwrap().weights;
    let (a, b) = (weights(&twice), weights(&again));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn no_number_of_threads_changes_a_bit_of_any_targets() {
    let (rows, columns, classes) = (300, 400, 5);
    let features = noise(rows, columns, 91);
    let known = truths(&features, columns, classes);
    let soft: Vec<f32> = noise(rows, classes, 92)
        .chunks(classes)
        .flat_map(|row| softmax(row).into_iter().map(|share| share as f32))
        .collect();
    let weights: Vec<f32> = (0..rows).map(|row| (row % 3) as f32).collect();
    let objects: Vec<usize> = (0..rows).map(|row| row / 2).collect();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            [Targets::Soft(&soft), Targets::MultiLabel(&known)].map(|targets| {
                let groups = [0..150, 150..400];
                let options = ChooseOptions {
                    images: 200,
                    objects: Some(&objects),
                    ..ChooseOptions::default()
                };
                let sets = [vec![0], vec![0, 1]];
                let choice = choose(&features, targets, classes, &groups, &sets, &options);
                let options = SolveOptions {
                    balanced: true,
                    weights: Some(&weights),
                    objects: Some(&objects),
                    seed: 3,
                };
                let solved = solve(&features, targets, classes, &groups, &options);
                (choice.unwrap(), solved.unwrap())
            })
        })
    };
    let one = with(1);
    assert!(one == with(1));
    for threads in [2, 3, 7] {
        assert!(with(threads) == one, "{threads} threads");
    }
}

#[test]
fn nonsense_about_any_targets_is_refused_by_name() {
    let options = SolveOptions::default();
    let refused = |features: &[f32], targets: Targets<'_>, options: &SolveOptions<'_>| {
        solve(features, targets, 2, &[0..1], options).unwrap_err()
    };
    let (soft, known) = ([0.5, 0.5, 1.0, 0.0], [true, false, false, true]);
    let kinds = [
        Targets::Labels(&[0, 1]),
        Targets::Soft(&soft),
        Targets::MultiLabel(&known),
    ];
    for targets in kinds {
        let length = refused(&[1.0, 2.0, 3.0], targets, &options);
        assert!(matches!(
            length,
            Error::Length {
                values: 3,
                images: 2
            }
        ));
        let nan = refused(&[1.0, f32::NAN], targets, &options);
        assert!(matches!(
            nan,
            Error::NotFinite {
                row: 1,
                column: 0,
                ..
            }
        ));
        assert_eq!(refused(&[3.0, 3.0], targets, &options), Error::Constant);
        let beyond = solve(&[1.0, 2.0], targets, 2, &[0..1, 1..2], &options).unwrap_err();
        assert!(matches!(
            beyond,
            Error::Group {
                group: 1,
                end: 2,
                width: 1
            }
        ));
        let weighted = |weights| SolveOptions {
            weights: Some(weights),
            ..options
        };
        for (weights, message) in [
            (
                &[1.0][..],
                "1 weights for 2 images; expected one for every image",
            ),
            (
                &[1.0, -1.0],
                "the weight of row 1 is -1; weights are finite and not negative",
            ),
            (
                &[f32::NAN, 1.0],
                "the weight of row 0 is NaN; weights are finite and not negative",
            ),
            (
                &[0.0, 0.0],
                "the weights of all images are 0; at least one must be more",
            ),
        ] {
            let error = refused(&[1.0, 2.0], targets, &weighted(weights));
            assert_eq!(error.to_string(), message);
        }
        let short = Error::PerImage {
            what: "objects",
            given: 1,
            images: 2,
        };
        for (objects, error) in [(&[5, 5][..], Error::OneObject), (&[5], short)] {
            let objects = Some(objects);
            let solving = SolveOptions { objects, ..options };
            assert_eq!(refused(&[1.0, 2.0], targets, &solving), error);
            let choosing = ChooseOptions {
                objects,
                ..ChooseOptions::default()
            };
            let chosen = choose(&[1.0, 2.0], targets, 2, &[0..1], &[vec![0]], &choosing);
            assert_eq!(chosen, Err(error));
        }
    }
    // No image, and one.
    for none in [
        Targets::Labels(&[]),
        Targets::Soft(&[]),
        Targets::MultiLabel(&[]),
    ] {
        let error = refused(&[], none, &options);
        assert!(matches!(
            error,
            Error::Length {
                values: 0,
                images: 0
            }
        ));
    }
    let one = |targets| refused(&[1.0], targets, &options);
    let alone = Error::TooFewClasses {
        present: 1,
        classes: 2,
    };
    assert_eq!(one(Targets::Labels(&[1])), alone);
    assert_eq!(one(Targets::Soft(&[0.0, 1.0])), alone);
    assert_eq!(one(Targets::Soft(&[0.5, 0.5])), Error::Constant);
    let same = Error::NoClassVaries { classes: 2 };
    assert_eq!(one(Targets::MultiLabel(&[true, false])), same);
    assert!(matches!(
        one(Targets::Soft(&[0.5, 0.2])),
        Error::Sum { row: 0, .. }
    ));
    let mut sums = Sums::new(1, 2);
    assert_eq!(sums.solve(1.0, &[0..1]), Err(Error::Constant));
    let infinite = sums.add(&[1.0], &[0.0, f32::INFINITY], &[1.0]).unwrap_err();
    assert!(matches!(
        infinite,
        Error::TargetNotFinite {
            row: 0,
            output: 1,
            ..
        }
    ));
    let negative = sums.add_targets(&[1.0], &[1], &[-1.0]).unwrap_err();
    assert!(matches!(negative, Error::Weight { row: 0, .. }));
    let other = sums.join(&Sums::new(2, 2)).unwrap_err();
    assert!(matches!(other, Error::Join { .. }));
}

#[test]
fn constant_columns_change_nothing_for_any_targets() {
    let (rows, columns, classes) = (120, 6, 3);
    let features = noise(rows, columns, 95);
    let known = truths(&features, columns, classes);
    let soft = one_hot(&labels(rows, classes), classes);
    let longer = features
        .chunks(columns)
        .flat_map(|row| row.iter().copied().chain([4.5]));
    let longer: Vec<f32> = longer.collect();
    for targets in [Targets::Soft(&soft), Targets::MultiLabel(&known)] {
        let without = solve_all(&features, targets, classes).unwrap();
        let with = solve_all(&longer, targets, classes).unwrap();
        assert_eq!(with.left_out, without.left_out);
        let mut weights = with.linear.weights.chunks(columns + 1);
        assert!(weights.all(|row| row[columns] == 0.0));
    }
}

proptest! {
    #[test]
    fn any_finite_input_is_solved_or_refused_whatever_the_targets(
        rows in 1usize..40,
        columns in 1usize..12,
        classes in 1usize..5,
        seed in any::<u64>(),
        scale in prop::sample::select(vec![1e-20f32, 1.0, 1e18]),
        balanced in any::<bool>(),
        grouped in any::<bool>(),
    ) {
        let features: Vec<f32> = noise(rows, columns, seed).iter().map(|v| v * scale).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let known: Vec<bool> = (0..rows * classes).map(|_| random.random::<f64>() < 0.2).collect();
        let logits: Vec<f32> = (0..rows * classes).map(|_| random.random::<f32>() * 20.0).collect();
        let soft: Vec<f32> = logits
            .chunks(classes)
            .flat_map(|row| softmax(row).into_iter().map(|share| share as f32))
            .collect();
        let weights: Vec<f32> = (0..rows).map(|_| random.random_range(0..3) as f32).collect();
        let objects: Vec<usize> = (0..rows).map(|_| random.random_range(0..6)).collect();
        let options = SolveOptions {
            balanced,
            weights: Some(&weights),
            objects: grouped.then_some(&objects),
            seed,
        };
        let all = 0..columns;
        let groups = std::slice::from_ref(&all);
        for targets in [Targets::Soft(&soft), Targets::MultiLabel(&known)] {
            let run = || solve(&features, targets, classes, groups, &options);
            let first = run();
            prop_assert_eq!(&first, &run());
            if let Ok(solved) = first {
                prop_assert!(finite(&solved), "{:?}", solved);
                prop_assert!((0.0..=1.0).contains(&solved.judgement.accuracy));
            }
        }
    }
}
