//! The engine's answer: for every phase of training, what each parameter and normalisation layer does, by name.

use std::collections::HashSet;

use regraft_spec::Statistics;
use regraft_spec::similar::nearest;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What trains when. Made by [`crate::resolve`]; [`FreezePlan::check`] tells whether one that was kept in a file fits a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FreezePlan {
    /// The policy in words, as its recipe writes it.
    pub policy: String,
    /// Why this came out.
    pub reason: String,
    /// As [`crate::FreezeConfig::l2_sp`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub l2_sp: Option<f64>,
    /// Phases in order; at least one.
    pub phases: Vec<Phase>,
}

/// A stretch of epochs under one assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// What the phase is about.
    pub name: String,
    /// How many epochs; `None`: to the end.
    pub epochs: Option<usize>,
    /// Number of lowest blocks in which nothing trains and no statistics are updated: the trunk. The cut lies above them.
    pub frozen_blocks: usize,
    /// One entry a parameter, in the outline's order.
    pub parameters: Vec<ParameterPlan>,
    /// One entry a normalisation layer, in the outline's order.
    pub norms: Vec<NormPlan>,
}

/// What one parameter does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterPlan {
    /// Canonical name.
    pub name: String,
    /// Whether it trains.
    pub trained: bool,
    /// Factor on the learning rate, more than 0.
    pub lr_multiplier: f64,
    /// Whether weight decay applies: to weights, not to biases and normalisation.
    pub weight_decay: bool,
}

/// What one normalisation layer's running statistics do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormPlan {
    /// Canonical name of the layer.
    pub name: String,
    /// Frozen or updated.
    pub statistics: Statistics,
}

impl FreezePlan {
    /// Names of the parameters that train in any phase.
    pub fn trained(&self) -> HashSet<&str> {
        self.phases
            .iter()
            .flat_map(|phase| &phase.parameters)
            .filter(|parameter| parameter.trained)
            .map(|parameter| parameter.name.as_str())
            .collect()
    }

    /// Of each normalisation layer, in the outline's order, whether any phase updates its running statistics.
    pub fn updates(&self) -> Vec<bool> {
        let norms = self.phases.first().map_or(0, |phase| phase.norms.len());
        let updated = |phase: &Phase, norm: usize| {
            let norm = phase.norms.get(norm);
            norm.is_some_and(|norm| norm.statistics == Statistics::Updated)
        };
        (0..norms)
            .map(|norm| self.phases.iter().any(|phase| updated(phase, norm)))
            .collect()
    }
}

impl Phase {
    /// Whether a parameter trains.
    ///
    /// # Errors
    /// When the plan has no parameter of that name.
    pub fn trains(&self, parameter: &str) -> Result<bool, Error> {
        Ok(self.parameter(parameter)?.trained)
    }

    /// A parameter's learning rate where that of the optimizer is `base`; 0 where the parameter is frozen.
    ///
    /// # Errors
    /// When the plan has no parameter of that name.
    pub fn learning_rate(&self, parameter: &str, base: f64) -> Result<f64, Error> {
        let plan = self.parameter(parameter)?;
        Ok(match plan.trained {
            true => base * plan.lr_multiplier,
            false => 0.0,
        })
    }

    /// What a normalisation layer's running statistics do.
    ///
    /// # Errors
    /// When the plan has no normalisation layer of that name.
    pub fn statistics(&self, norm: &str) -> Result<Statistics, Error> {
        let known = self.norms.iter().find(|known| known.name == norm);
        known
            .map(|known| known.statistics)
            .ok_or_else(|| Error::NoSuchNorm {
                name: norm.to_owned(),
                near: nearest(norm, self.norms.iter().map(|norm| norm.name.as_str())),
            })
    }

    fn parameter(&self, name: &str) -> Result<&ParameterPlan, Error> {
        let known = self.parameters.iter().find(|known| known.name == name);
        known.ok_or_else(|| Error::NoSuchParameter {
            name: name.to_owned(),
            near: nearest(name, self.parameters.iter().map(|p| p.name.as_str())),
        })
    }
}
