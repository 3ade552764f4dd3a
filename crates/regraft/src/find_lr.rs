//! A learning rate for a recipe, from a range test on a network that is thrown away.

use std::path::Path;
use std::sync::Arc;

use regraft_freeze::Policy;
use regraft_recipe::{HeadKind, Recipe, Taps};
use regraft_train::{Observer, RangeCurve, RangeTest, Stop};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::prepare::prepare;
use crate::train::{solved, trainer_in};

/// What a range test of a recipe came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundRates {
    /// The losses and what they suggest.
    #[serde(flatten)]
    pub curve: RangeCurve,
    /// The peak learning rate that the recipe has now.
    pub recipe_lr: f64,
    /// What the test did otherwise than training would, and warnings to show the user.
    pub notes: Vec<String>,
}

/// Trains a recipe's network in memory with a growing learning rate, and says which rates serve. No file is written.
///
/// A recipe whose head would be solved is tried with a linear head that trains. Of several phases the longest is tried.
///
/// # Errors
/// As [`prepare`]; when the policy is `auto`, which chooses its learning rates itself; and when training fails.
pub fn find_lr(
    recipe: &Recipe,
    test: &RangeTest,
    observer: &mut dyn Observer,
) -> Result<FoundRates, Error> {
    if recipe.freeze.policy == Policy::Auto {
        return Err(Error::Setting {
            key: "freeze.policy",
            reason: "\"auto\" chooses learning rates itself, so that there is none to find; name what is to train, such as \"full\" or { last-blocks = 2 }"
                .to_owned(),
        });
    }
    let mut recipe = recipe.clone();
    let mut notes = Vec::new();
    if recipe.only_solves() {
        recipe.model.head.kind = HeadKind::Linear;
        recipe.model.head.taps = Taps::Auto;
        notes.push(
            "the recipe's head would be solved, without a learning rate; a linear head that trains is tried instead"
                .to_owned(),
        );
    }
    let mut planned = prepare(&recipe)?;
    notes.extend(planned.warnings.iter().cloned());
    if planned.recipe.solves() {
        planned = solved(&planned, &Stop::default(), observer)?.0;
    }
    let trainer = trainer_in(
        &planned,
        Path::new(""),
        &|_, _| Ok(()),
        &Arc::default(),
        false,
    )?;
    let curve = trainer.range_test(test, observer)?;
    if planned.plan.phases.len() > 1 {
        notes.push(format!(
            "of {} phases the longest is tried: {}",
            planned.plan.phases.len(),
            curve.phase
        ));
    }
    Ok(FoundRates {
        curve,
        recipe_lr: planned.recipe.train.learning_rate(),
        notes,
    })
}
