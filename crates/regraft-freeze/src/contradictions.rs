//! Policies that leave no meaning to what `batch_norm` asks for.

use crate::error::Error;
use crate::globs::Pattern;
use crate::outline::{Outline, is_norm};
use regraft_spec::Statistics;

use crate::plan::NormPlan;
use crate::policy::{Policy, Rule};
use crate::text::{NAME, cut};

/// Refuses, beside `batch_norm = "frozen"`, a policy or a rule that trains nothing but norms.
///
/// `trained` is what the policy alone would train, in outline order.
pub(crate) fn refuse_training_frozen_norms(
    outline: &Outline,
    policy: &Policy,
    trained: &[bool],
) -> Result<(), Error> {
    match policy {
        Policy::NormOnly => Err(Error::Contradiction {
            policy: "\"norm-only\"".to_owned(),
            batch_norm: "frozen",
            problem: "the policy trains the scale and shift of norms, which `frozen` forbids",
            instead: "use `batch_norm = \"affine-only\"`, or another policy",
        }),
        Policy::Rules(rules) => rules.iter().try_for_each(|rule| match rule {
            Rule::Train(glob) if trains_only_norms(outline, glob, trained)? => {
                Err(Error::Contradiction {
                    policy: format!("{{ rules = [{{ train = \"{}\" }}] }}", cut(glob, NAME)),
                    batch_norm: "frozen",
                    problem: "the rule trains nothing but the scale and shift of norms, which `frozen` forbids",
                    instead: "use `batch_norm = \"affine-only\"`, or drop the rule",
                })
            }
            Rule::Train(_) | Rule::Freeze(_) => Ok(()),
        }),
        _ => Ok(()),
    }
}

/// Whether all that the glob matches are pretrained norms, and no later rule freezes them all again.
fn trains_only_norms(outline: &Outline, glob: &str, trained: &[bool]) -> Result<bool, Error> {
    let pattern = Pattern::new(glob)?;
    let mut trains = false;
    for (parameter, trained) in outline.parameters.iter().zip(trained) {
        if !pattern.matches(&parameter.name) {
            continue;
        }
        if parameter.fresh || !is_norm(parameter) {
            return Ok(false);
        }
        trains |= *trained;
    }
    Ok(trains)
}

/// Refuses, beside `batch_norm = "updated"`, a policy that freezes every norm whose statistics could be updated.
///
/// `in_training_block` and `norms` have an entry a norm, in outline order.
pub(crate) fn refuse_updating_nothing(
    policy: &Policy,
    in_training_block: &[bool],
    norms: &[NormPlan],
) -> Result<(), Error> {
    if norms
        .iter()
        .any(|norm| norm.statistics == Statistics::Updated)
    {
        return Ok(());
    }
    match policy {
        Policy::BiasOnly => Err(Error::Contradiction {
            policy: "\"bias-only\"".to_owned(),
            batch_norm: "updated",
            problem: "the policy freezes the norms, and frozen norms keep their statistics",
            instead: "use `batch_norm = \"auto\"`, or a policy that trains norms, such as { last-blocks = 2 }",
        }),
        Policy::Rules(_) if in_training_block.contains(&true) => Err(Error::Contradiction {
            policy: "{ rules = […] }".to_owned(),
            batch_norm: "updated",
            problem: "the rules freeze every norm of the blocks that train, and frozen norms keep their statistics",
            instead: "use `batch_norm = \"auto\"`, or let a rule train the scale or shift of a norm",
        }),
        _ => Ok(()),
    }
}
