//! What a recipe may say but regraft cannot do yet. A feature that arrives takes its line away.

use regraft_data::Augment;

use crate::error::Error;
use crate::names::Named;
use crate::recipe::{ClassWeights, FeatureCache, Recipe, Sampler, ScheduleKind};
use crate::write;

/// A value that a later version will understand.
struct Later {
    key: &'static str,
    /// The value, where the recipe asks for it.
    asked: fn(&Recipe) -> Option<String>,
    feature: &'static str,
    instead: &'static str,
}

const LATER: &[Later] = &[
    Later {
        key: "data.augment",
        asked: |recipe| match &recipe.data.augment {
            Augment::None | Augment::Light | Augment::Standard => None,
            later => Some(write::foreign(later).to_string()),
        },
        feature: "strong or custom augmentation",
        instead: "set it to \"standard\"",
    },
    Later {
        key: "data.sampler",
        asked: |recipe| word(&recipe.data.sampler, |it| matches!(it, Sampler::Balanced)),
        feature: "balanced sampling",
        instead: "set it to \"uniform\"",
    },
    Later {
        key: "train.schedule",
        asked: |recipe| {
            word(&recipe.train.schedule.kind, |it| {
                matches!(it, ScheduleKind::Step)
            })
        },
        feature: "the step schedule",
        instead: "set it to \"cosine\"",
    },
    Later {
        key: "train.mixup",
        asked: |recipe| above_zero(recipe.train.mixup),
        feature: "mixup",
        instead: "set it to 0",
    },
    Later {
        key: "train.ema",
        asked: |recipe| above_zero(recipe.train.ema),
        feature: "weight averaging",
        instead: "set it to 0",
    },
    Later {
        key: "train.class_weights",
        asked: |recipe| {
            word(&recipe.train.class_weights, |it| {
                matches!(it, ClassWeights::Balanced)
            })
        },
        feature: "class weighting",
        instead: "set it to \"none\"",
    },
    Later {
        key: "train.feature_cache",
        asked: |recipe| {
            word(&recipe.train.feature_cache, |it| {
                matches!(it, FeatureCache::Disk)
            })
        },
        feature: "the feature cache on disk",
        instead: "set it to \"auto\" or \"memory\"",
    },
];

/// Refuses a recipe that asks for what is not implemented yet. The freeze policies that are not, `regraft-freeze`
/// refuses itself.
///
/// # Errors
/// [`Error::NotAvailable`], for the first such key.
pub fn check_available(recipe: &Recipe) -> Result<(), Error> {
    for later in LATER {
        if let Some(found) = (later.asked)(recipe) {
            let Later {
                key,
                feature,
                instead,
                ..
            } = *later;
            return Err(Error::NotAvailable {
                key,
                found,
                feature,
                instead,
            });
        }
    }
    Ok(())
}

fn above_zero(number: f64) -> Option<String> {
    (number > 0.0).then(|| number.to_string())
}

fn word<T: Named>(choice: &T, is_later: fn(&T) -> bool) -> Option<String> {
    is_later(choice).then(|| quoted(choice.name()))
}

fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}
