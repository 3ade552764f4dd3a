//! A phase as optimizers take it: groups of parameters with one learning rate and one weight decay.

use std::collections::BTreeMap;

use crate::plan::Phase;

/// Parameters that an optimizer treats alike.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGroup<'a> {
    /// Factor on the learning rate, more than 0.
    pub lr_multiplier: f64,
    /// Whether weight decay applies.
    pub weight_decay: bool,
    /// Canonical names, in the outline's order.
    pub names: Vec<&'a str>,
}

impl Phase {
    /// Every parameter that trains in exactly one group, the groups from the lowest learning rate to the highest.
    pub fn groups(&self) -> Vec<ParameterGroup<'_>> {
        // The bits of positive numbers are in the order of the numbers.
        let mut groups: BTreeMap<(u64, bool), Vec<&str>> = BTreeMap::new();
        for parameter in self.parameters.iter().filter(|p| p.trained) {
            let alike = (parameter.lr_multiplier.to_bits(), parameter.weight_decay);
            groups.entry(alike).or_default().push(&parameter.name);
        }
        groups
            .into_iter()
            .map(|((lr_multiplier, weight_decay), names)| ParameterGroup {
                lr_multiplier: f64::from_bits(lr_multiplier),
                weight_decay,
                names,
            })
            .collect()
    }
}
