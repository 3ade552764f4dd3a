//! Keys of a recipe that do not go together, each with the reason.

use regraft_recipe::Recipe;
use regraft_spec::{ClassWeights, Sampling};

use crate::error::Error;

/// Refuses keys that contradict each other, and keys of training where the head is solved and nothing trains.
pub(crate) fn check(recipe: &Recipe) -> Result<(), Error> {
    let train = &recipe.train;
    let refused = |key: &'static str, reason: &str| {
        Err(Error::Setting {
            key,
            reason: reason.to_owned(),
        })
    };
    let only_trained = [
        ("train.sampling", train.sampling != Sampling::Shuffle),
        ("train.swa", train.swa > 0.0),
        ("train.mixup", train.mixup > 0.0),
        ("train.cutmix", train.cutmix > 0.0),
    ];
    if let Some((key, _)) = only_trained.iter().find(|(_, set)| *set)
        && recipe.only_solves()
    {
        return refused(
            key,
            "a solved head takes no steps of training; leave it out, or set `model.head` to \"linear\"",
        );
    }
    if train.swa > 0.0 && train.ema > 0.0 {
        return refused(
            "train.swa",
            "`train.ema` keeps a mean of weights already, and one alone can be written; leave one of them out",
        );
    }
    if train.sampling == Sampling::Balanced {
        if !train.shuffle {
            return refused(
                "train.sampling",
                "\"balanced\" draws the images of every epoch anew, and `train.shuffle` is false; leave one of them out",
            );
        }
        if train.class_weights == ClassWeights::Balanced {
            return refused(
                "train.sampling",
                "\"balanced\" shows rare classes more often, and `train.class_weights = \"balanced\"` would make up for them a second time; leave one of them out",
            );
        }
    }
    Ok(())
}
