//! Whether a plan that was kept in a file, or made elsewhere, is one for the network at hand.

use std::collections::HashSet;

use regraft_spec::Statistics;

use crate::error::Error;
use crate::outline::Outline;
use crate::plan::{FreezePlan, Phase};

impl FreezePlan {
    /// Checks that the plan is for this network: parameters and normalisation layers have the same names in the same order,
    /// and in every phase the same number of lowest blocks stays frozen.
    ///
    /// # Errors
    /// When the plan is for another network, with the first name that differs.
    pub fn check(&self, outline: &Outline) -> Result<(), Error> {
        outline.check()?;
        if self.phases.is_empty() {
            return Err(Error::NoPhases);
        }
        self.phases
            .iter()
            .try_for_each(|phase| check_phase(phase, outline))
    }
}

fn check_phase(phase: &Phase, outline: &Outline) -> Result<(), Error> {
    same_names(
        phase,
        "parameter",
        phase.parameters.iter().map(|p| p.name.as_str()),
        outline.parameters.iter().map(|p| p.name.as_str()),
    )?;
    same_names(
        phase,
        "normalisation layer",
        phase.norms.iter().map(|norm| norm.name.as_str()),
        outline.norms.iter().map(|norm| norm.name.as_str()),
    )?;
    let trained = outline
        .parameters
        .iter()
        .zip(&phase.parameters)
        .filter(|(_, plan)| plan.trained)
        .map(|(parameter, _)| parameter.block);
    let updated = outline
        .norms
        .iter()
        .zip(&phase.norms)
        .filter(|(_, plan)| plan.statistics == Statistics::Updated)
        .map(|(norm, _)| norm.block);
    let training_blocks: HashSet<usize> = trained.chain(updated).collect();
    let found = outline.blocks_below(|block| training_blocks.contains(&block));
    if found != phase.frozen_blocks {
        return Err(Error::OtherBlocks {
            phase: phase.name.clone(),
            planned: phase.frozen_blocks,
            found,
        });
    }
    Ok(())
}

fn same_names<'a>(
    phase: &Phase,
    what: &'static str,
    mut planned: impl Iterator<Item = &'a str>,
    mut found: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let mut position = 0;
    loop {
        position += 1;
        match (planned.next(), found.next()) {
            (None, None) => return Ok(()),
            (planned, found) if planned == found => {}
            (planned, found) => {
                return Err(Error::OtherNetwork {
                    phase: phase.name.clone(),
                    what,
                    position,
                    planned: planned.map(str::to_owned),
                    found: found.map(str::to_owned),
                });
            }
        }
    }
}
