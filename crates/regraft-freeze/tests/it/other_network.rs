//! Plans that were kept as JSON, beside a network that is not theirs.

use proptest::prelude::*;
use proptest::sample::Index;
use regraft_freeze::*;

use crate::{config, facts, network};

/// A plan as it comes back from a file.
fn kept(outline: &Outline, toml: &str) -> FreezePlan {
    let plan = resolve(outline, &facts(500), &config(toml)).unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    let read = serde_json::from_str(&json).unwrap();
    assert_eq!(plan, read);
    read
}

fn fault(plan: &FreezePlan, outline: &Outline) -> String {
    let fault = plan.check(outline).unwrap_err();
    assert_eq!(plan.table(outline), Err(fault.clone()));
    fault.to_string()
}

#[test]
fn a_plan_for_another_network_names_what_differs_first() {
    let outline = network(3);
    let plan = kept(&outline, "policy = { last-blocks = 1 }");
    assert_eq!(plan.check(&outline), Ok(()));

    let mut renamed = outline.clone();
    renamed.parameters[4].name = "layer1.1.conv2.weight".into();
    assert_eq!(
        fault(&plan, &renamed),
        "the plan is for another network: parameter 5 of phase `train` is `layer1.1.conv.weight`, and this network's is `layer1.1.conv2.weight`"
    );
    assert_eq!(
        fault(&plan, &network(4)),
        "the plan is for another network: parameter 13 of phase `train` is `head.fc.weight`, and this network's is `layer2.1.conv.weight`"
    );
    let mut shorter = outline.clone();
    shorter.parameters.pop();
    assert_eq!(
        fault(&plan, &shorter),
        "the plan is for another network: parameter 14 of phase `train` is `head.fc.bias`, and this network's is none"
    );
    let mut without_norm = outline.clone();
    without_norm.norms.remove(2);
    assert_eq!(
        fault(&plan, &without_norm),
        "the plan is for another network: normalisation layer 3 of phase `train` is `layer2.0.bn`, and this network's is none"
    );
}

#[test]
fn a_trunk_that_ends_elsewhere_is_another_network() {
    let outline = network(3);
    let plan = kept(&outline, "policy = \"gradual\"");
    // The same names, with the first two blocks as one.
    let mut merged = outline.clone();
    merged.blocks.remove(0);
    for block in merged.parameters.iter_mut().map(|p| &mut p.block) {
        *block = block.saturating_sub(1);
    }
    for block in merged.norms.iter_mut().map(|norm| &mut norm.block) {
        *block = block.saturating_sub(1);
    }
    assert_eq!(
        fault(&plan, &merged),
        "the plan is for another network: phase `the head` freezes the lowest 3 blocks, and in this network nothing of the lowest 2 trains"
    );
}

#[test]
fn a_plan_without_phases_is_none() {
    let outline = network(1);
    let mut plan = kept(&outline, "");
    plan.phases.clear();
    assert_eq!(
        fault(&plan, &outline),
        "the plan has no phases; resolve the policy again"
    );
}

proptest! {
    #[test]
    fn of_any_two_networks_the_first_name_that_differs_is_told(
        blocks in 1usize..8,
        toml in prop_oneof![Just("policy = \"full\""), Just("policy = \"gradual\""), Just("policy = \"probe-then-tune\"")],
        place in any::<Index>(),
        edit in 0..4,
    ) {
        let outline = network(blocks);
        let plan = kept(&outline, toml);
        let mut other = outline.clone();
        let index = place.index(other.parameters.len());
        match edit {
            0 => other.parameters[index].name.push_str("_of_another"),
            1 => { other.parameters.remove(index); }
            2 => {
                let mut more = other.parameters[index].clone();
                more.name.push_str("_of_another");
                other.parameters.insert(index, more);
            }
            _ => other.parameters.reverse(),
        }
        let first = (0..).find(|&p| outline.parameters.get(p).map(|p| &p.name) != other.parameters.get(p).map(|p| &p.name)).unwrap();
        let expected = Error::OtherNetwork {
            phase: plan.phases[0].name.clone(),
            what: "parameter",
            position: first + 1,
            planned: outline.parameters.get(first).map(|p| p.name.clone()),
            found: other.parameters.get(first).map(|p| p.name.clone()),
        };
        prop_assert_eq!(plan.check(&other), Err(expected));
    }
}
