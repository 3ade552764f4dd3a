//! Range tests of recipes: what they find, what they leave alone, and what they refuse.

use regraft::training::RangeTest;
use regraft::{Event, FoundRates, Silent, find_lr};

use crate::{images, recipe, resnet, squeezenet};

/// A rate that a few epochs of training serve from: neither frozen nor blown up.
fn is_sensible(found: &FoundRates) {
    let curve = &found.curve;
    let [steepest, tenth] = [curve.steepest, curve.minimum_tenth].map(Option::unwrap);
    for rate in [steepest, tenth] {
        assert!((1e-6..3.0).contains(&rate), "{rate}");
    }
    assert!(curve.points.windows(2).all(|pair| pair[0].lr < pair[1].lr));
    assert!(curve.points.iter().all(|point| point.loss.is_finite()));
}

#[test]
fn a_rate_is_found_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let test = RangeTest {
        steps: 60,
        ..RangeTest::default()
    };
    for (model, policy) in [(squeezenet(), "feature-extractor"), (resnet(), "full")] {
        let policy = format!("freeze.policy={policy}");
        let recipe = recipe(&model, &data, &[&policy, "train.optimizer=sgd"]);
        let mut steps = 0;
        let mut count = |event: &Event<'_>| steps += usize::from(matches!(event, Event::Step(_)));
        let found = find_lr(&recipe, &test, &mut count).unwrap();
        is_sensible(&found);
        assert_eq!(found.curve.points.len(), steps);
        assert_eq!(found.recipe_lr, 0.01);
        // The same again, to the last digit.
        assert_eq!(find_lr(&recipe, &test, &mut Silent).unwrap(), found);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the images alone");
}

#[test]
fn a_head_that_would_be_solved_is_tried_as_one_that_trains() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let recipe = recipe(&squeezenet(), &data, &["model.head=solved"]);
    let found = find_lr(&recipe, &RangeTest::default(), &mut Silent).unwrap();
    assert!(
        found.notes[0].contains("would be solved"),
        "{:?}",
        found.notes
    );
    is_sensible(&found);
}

#[test]
fn a_head_that_is_solved_first_is_tuned_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let overrides = ["freeze.policy=probe-then-tune", "train.optimizer=sgd"];
    let recipe = recipe(&squeezenet(), &data, &overrides);
    let test = RangeTest {
        steps: 20,
        ..RangeTest::default()
    };
    let found = find_lr(&recipe, &test, &mut Silent).unwrap();
    // A fresh head begins at ln 5.
    assert!(found.curve.points[0].loss < 1.0);
}

#[test]
fn what_has_no_learning_rate_to_find_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let recipe = recipe(&squeezenet(), &data, &["freeze.policy=auto"]);
    let error = find_lr(&recipe, &RangeTest::default(), &mut Silent).unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().contains("chooses learning rates itself"));
}
