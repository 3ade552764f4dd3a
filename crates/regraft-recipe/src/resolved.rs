//! What a recipe comes to: the same keys, with no value left to others.

use std::ops::Deref;

use regraft_freeze::FreezeConfig;
use regraft_spec::Preprocess;

use crate::error::Error;
use crate::preprocess::PreprocessSpec;
use crate::recipe::Recipe;

/// A recipe with every choice made: what its model, its data and its other keys left open has a value.
///
/// It reads as a [`Recipe`]. As one it trains the same run again.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRecipe(Recipe);

impl Recipe {
    /// What the recipe comes to, given the policy that was chosen and the preprocessing that was found.
    pub fn resolve(&self, freeze: FreezeConfig, preprocess: Preprocess) -> ResolvedRecipe {
        let mut recipe = self.clone();
        recipe.freeze = freeze;
        recipe.data.preprocess = PreprocessSpec::Partial(preprocess.into());
        recipe.resolve_alone()
    }

    /// What the recipe comes to where policy and preprocessing stay as they are: the values that follow from its own keys.
    pub fn resolve_alone(mut self) -> ResolvedRecipe {
        self.model.head.kind = self.head_kind();
        let train = &mut self.train;
        train.lr = Some(train.learning_rate());
        train.schedule.warmup_epochs = Some(train.schedule.warmup(train.epochs));
        ResolvedRecipe(self)
    }
}

impl ResolvedRecipe {
    /// Reads one that was written by [`Recipe::to_toml`].
    ///
    /// # Errors
    /// As [`Recipe::parse`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, Error> {
        Ok(Recipe::parse(text, origin)?.resolve_alone())
    }

    /// With other values for some keys, and for those that follow from them.
    #[must_use]
    pub fn change(self, change: impl FnOnce(&mut Recipe)) -> Self {
        let mut recipe = self.0;
        change(&mut recipe);
        recipe.resolve_alone()
    }
}

impl Deref for ResolvedRecipe {
    type Target = Recipe;

    fn deref(&self) -> &Recipe {
        &self.0
    }
}
