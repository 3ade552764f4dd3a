//! Where two recipes differ.

use regraft_recipe::{Difference, Recipe, differences};

use crate::parse;

fn check(before: &str, after: &str, expected: &[(&str, &str, &str)]) {
    let found = differences(&parse(before).unwrap(), &parse(after).unwrap());
    let expected: Vec<Difference> = expected
        .iter()
        .map(|&(key, before, after)| Difference {
            key: key.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_recipe_does_not_differ_from_itself() {
    check("", "", &[]);
    check(
        "train.optimizer = 'sgd'",
        "train.optimizer.name = 'sgd'",
        &[],
    );
}

#[test]
fn each_key_of_a_section_that_differs_is_listed_once() {
    check(
        "train.epochs = 5",
        "freeze.policy = { last-blocks = 2 }\ntrain = { lr = 0.5, schedule = { warmup_epochs = 1 } }",
        &[
            (
                "freeze.policy",
                "\"feature-extractor\"",
                "{ last-blocks = 2 }",
            ),
            ("train.epochs", "5", "10"),
            ("train.lr", "default", "0.5"),
            (
                "train.schedule",
                "{ name = \"one-cycle\" }",
                "{ name = \"one-cycle\", warmup_epochs = 1.0 }",
            ),
        ],
    );
}

#[test]
fn sources_are_keys_like_any_other() {
    let found = differences(&Recipe::new("a\nb", "d"), &Recipe::new("a", "d"));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].key.as_str(), found[0].before.as_str()),
        ("model.source", "\"a\\nb\"")
    );
}
