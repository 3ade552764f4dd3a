//! A step in two halves: gradients, and what is made of them.

use std::collections::BTreeMap;

use regraft_freeze::Policy;
use regraft_train::{Session, Settings};

use crate::{batch, features, options, phases, sgd};

fn session(settings: Settings, policy: Policy) -> Session {
    Session::new(options(settings), &phases(&[(policy, None)])[0]).unwrap()
}

#[test]
fn gradients_of_parts_add_up_to_those_summed_by_hand_bit_for_bit() {
    let session = session(sgd(), Policy::LastBlocks(1));
    let (_, _, targets) = batch(8);
    let learner = session.learner();
    let part = |rows: std::ops::Range<usize>| {
        let targets = &targets[rows.clone()];
        learner
            .gradients(features(&session, rows), targets, 8.0, 0)
            .unwrap()
    };
    let cuts = [0..3, 3..6, 6..8];
    let by_hand = cuts
        .clone()
        .map(part)
        .map(|gradients| learner.values(&gradients).unwrap());
    let sum = learner.sum(cuts.map(part).into()).unwrap();
    assert_eq!(sum.images, 8);
    let values = learner.values(&sum).unwrap();
    assert!(values.len() > 4);
    for (name, sum) in &values {
        let [a, b, c] = by_hand.each_ref().map(|part| &part[name]);
        for (index, sum) in sum.iter().enumerate() {
            let expected = (a[index] + b[index]) + c[index];
            assert_eq!(sum.to_bits(), expected.to_bits(), "{name}[{index}]");
        }
    }
}

/// Where batch norm keeps its statistics, the parts of a batch say together what the batch says.
#[test]
fn gradients_of_parts_are_those_of_the_whole_batch() {
    let session = session(sgd(), Policy::FeatureExtractor);
    let (_, _, targets) = batch(8);
    let learner = session.learner();
    let part = |rows: std::ops::Range<usize>| {
        let targets = &targets[rows.clone()];
        learner
            .gradients(features(&session, rows), targets, 8.0, 0)
            .unwrap()
    };
    let whole = part(0..8);
    let sum = learner.sum(vec![part(0..4), part(4..8)]).unwrap();
    assert!((whole.loss - sum.loss).abs() < 1e-6);
    assert_eq!(whole.right, sum.right);
    let (whole, sum) = (
        learner.values(&whole).unwrap(),
        learner.values(&sum).unwrap(),
    );
    for (name, whole) in &whole {
        let largest = whole.iter().fold(0f32, |most, v| most.max(v.abs()));
        for (a, b) in whole.iter().zip(&sum[name]) {
            assert!((a - b).abs() <= 1e-5 * largest, "{name}: {a} and {b}");
        }
    }
}

#[test]
fn gradients_of_parts_are_those_of_the_whole_batch_where_classes_have_weights() {
    let weights = vec![0.5, 3.0, 1.0, 2.0, 0.25];
    let settings = Settings {
        class_weights: weights,
        ..sgd()
    };
    let session = session(settings, Policy::FeatureExtractor);
    let (_, _, targets) = batch(8);
    let learner = session.learner();
    let total = learner.objective.total(&targets);
    assert_ne!(total, 8.0);
    let part = |rows: std::ops::Range<usize>| {
        let targets = &targets[rows.clone()];
        learner
            .gradients(features(&session, rows), targets, total, 0)
            .unwrap()
    };
    let whole = part(0..8);
    let sum = learner.sum(vec![part(0..3), part(3..8)]).unwrap();
    assert!((whole.loss - sum.loss).abs() < 1e-6);
    let (whole, sum) = (
        learner.values(&whole).unwrap(),
        learner.values(&sum).unwrap(),
    );
    for (name, whole) in &whole {
        let largest = whole.iter().fold(0f32, |most, v| most.max(v.abs()));
        for (a, b) in whole.iter().zip(&sum[name]) {
            assert!((a - b).abs() <= 1e-5 * largest, "{name}: {a} and {b}");
        }
    }
}

#[test]
fn clipping_is_by_the_norm_of_all_gradients_together() {
    let limit = 0.05;
    let lr = 0.5;
    let settings = Settings {
        optimizer: regraft_spec::Optimizer::Sgd {
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
        },
        grad_clip: limit,
        ..sgd()
    };
    let mut session = session(settings, Policy::LastBlocks(1));
    let (_, _, targets) = batch(8);
    let features = features(&session, 0..8);
    let gradients = session
        .learner()
        .gradients(features, &targets, 8.0, 0)
        .unwrap();
    let values = session.learner().values(&gradients).unwrap();
    let square = |v: f32| f64::from(v) * f64::from(v);
    let norm = values
        .values()
        .flatten()
        .map(|v| square(*v))
        .sum::<f64>()
        .sqrt();
    assert!(norm > 2.0 * limit, "{norm} is too small to be clipped");
    let before = session.values().unwrap().state;
    session.learner_mut().apply(gradients, lr);
    let after = session.values().unwrap().state;
    for (name, gradient) in &values {
        let (before, after) = (before.get(name).unwrap(), after.get(name).unwrap());
        for ((g, old), new) in gradient.iter().zip(before).zip(after) {
            let expected = f64::from(*old) - lr * f64::from(*g) * limit / norm;
            let off = (f64::from(*new) - expected).abs();
            assert!(off < 1e-6, "{name}: {new} and {expected}");
        }
    }
}

#[test]
fn a_running_mean_of_weights_is_its_formula_and_is_what_is_written() {
    let settings = Settings { ema: 0.3, ..sgd() };
    let mut session = session(settings, Policy::FeatureExtractor);
    let name = "head.fc.weight";
    let weight = |session: &mut Session| {
        let state = session.values().unwrap().state;
        state.get(name).unwrap().to_vec()
    };
    let mut mean = weight(&mut session);
    let (_, _, targets) = batch(8);
    for step in 1..=4 {
        let features = features(&session, 0..8);
        let gradients = session
            .learner()
            .gradients(features, &targets, 8.0, 0)
            .unwrap();
        session.learner_mut().apply(gradients, 0.1);
        let kept = 0.3f64.min((1.0 + f64::from(step)) / (10.0 + f64::from(step)));
        for (mean, now) in mean.iter_mut().zip(weight(&mut session)) {
            *mean = (kept * f64::from(*mean) + (1.0 - kept) * f64::from(now)) as f32;
        }
    }
    let values = session.values().unwrap();
    let written = values.written().get(name).unwrap().to_vec();
    assert_ne!(written, values.state.get(name).unwrap());
    for (found, expected) in written.iter().zip(&mean) {
        assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
    }
}

/// The mean of the weights, and of the running statistics of batch norm, after each step that was to count.
#[test]
fn an_equal_mean_of_weights_is_their_mean_and_is_what_is_written() {
    let settings = Settings { swa: 0.5, ..sgd() };
    let mut session = session(settings, Policy::LastBlocks(1));
    let (_, _, targets) = batch(8);
    let mut sums: Option<BTreeMap<String, Vec<f64>>> = None;
    for step in 0..5 {
        let features = features(&session, 0..8);
        let learner = session.learner_mut();
        learner.set_averaging(step >= 2);
        let gradients = learner.gradients(features, &targets, 8.0, 0).unwrap();
        learner.apply(gradients, 0.1);
        let values = session.values().unwrap();
        assert_eq!(values.average.is_some(), step >= 2);
        if step < 2 {
            assert_eq!(*values.written(), values.state);
            continue;
        }
        let now = values.state.values().iter();
        let now = now.map(|(name, v)| (name.clone(), v.iter().map(|v| f64::from(*v)).collect()));
        let now: BTreeMap<String, Vec<f64>> = now.collect();
        match &mut sums {
            None => sums = Some(now),
            Some(sums) => {
                for (name, sum) in sums {
                    sum.iter_mut().zip(&now[name]).for_each(|(a, b)| *a += b);
                }
            }
        }
    }
    let values = session.values().unwrap();
    let sums = sums.unwrap();
    assert!(sums.keys().any(|name| name.ends_with("running_mean")));
    for (name, sum) in &sums {
        let written = values.written();
        let written = written.get(name).unwrap();
        let largest = sum.iter().fold(0f64, |most, v| most.max(v.abs())) / 3.0;
        for (found, sum) in written.iter().zip(sum) {
            let off = (f64::from(*found) - sum / 3.0).abs();
            assert!(off <= 1e-6 * largest, "{name}: {found} and {}", sum / 3.0);
        }
    }
    // Its own weights are back after that look, and a saved session has both.
    let again = Session::resume(
        options(Settings { swa: 0.5, ..sgd() }),
        &phases(&[(Policy::LastBlocks(1), None)])[0],
        session.save().unwrap(),
    );
    assert_eq!(again.unwrap().values().unwrap(), values);
}

/// With a pull of 1 / lr every step ends where it began; with half of that half-way between.
#[test]
fn weights_are_drawn_back_to_what_they_began_with() {
    let step = |l2_sp: f64| {
        let mut session = session(Settings { l2_sp, ..sgd() }, Policy::LastBlocks(1));
        let (_, _, targets) = batch(8);
        let rows = features(&session, 0..8);
        let learner = session.learner_mut();
        let before = learner.network().rest_values().unwrap();
        let gradients = learner.gradients(rows, &targets, 8.0, 0).unwrap();
        learner.apply(gradients, 0.1);
        (before, learner.network().rest_values().unwrap())
    };
    let (start, free) = step(0.0);
    let (_, half) = step(5.0);
    let (_, held) = step(10.0);
    let mut moved = 0;
    // Running statistics are no weights.
    let weights = start.iter().filter(|(name, _)| !name.contains("running"));
    for (name, start) in weights {
        for (index, start) in start.iter().enumerate() {
            let [free, half, held] = [&free, &half, &held].map(|values| values[name][index]);
            moved += usize::from(free != *start);
            assert!((held - start).abs() <= 1e-6, "{name}");
            assert!((half - (start + free) / 2.0).abs() <= 1e-6, "{name}");
        }
    }
    assert!(moved > 100);
}
