//! Policies in several phases, and policies that go by measured gradients.

use proptest::prelude::*;
use regraft_freeze::*;

use crate::{facts, network};

fn plan(outline: &Outline, policy: Policy) -> FreezePlan {
    let config = FreezeConfig {
        policy,
        ..FreezeConfig::default()
    };
    resolve(outline, &facts(500), &config).unwrap()
}

#[test]
fn gradual_opens_a_block_at_a_time_from_the_top() {
    let outline = network(3);
    let plan = plan(&outline, Policy::Gradual { every: 2 });
    let cuts: Vec<usize> = plan.phases.iter().map(|p| p.frozen_blocks).collect();
    assert_eq!(cuts, [3, 2, 1, 0]);
    let epochs: Vec<Option<usize>> = plan.phases.iter().map(|p| p.epochs).collect();
    assert_eq!(epochs, [Some(2), Some(2), Some(2), None]);
    let names: Vec<&str> = plan.phases.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "the head",
            "from layer2.0",
            "from layer1.1",
            "from layer1.0"
        ]
    );
    assert_eq!(plan.policy, "gradual = { every = 2 }");
}

#[test]
fn a_probe_comes_before_everything() {
    let outline = network(4);
    let with_epochs = plan(&outline, Policy::ProbeThenTune { probe_epochs: 3 });
    let [probe, tune] = &with_epochs.phases[..] else {
        panic!("{} phases", with_epochs.phases.len());
    };
    assert_eq!((probe.epochs, probe.frozen_blocks), (Some(3), 4));
    assert_eq!((tune.epochs, tune.frozen_blocks), (None, 0));
    // Where the head is solved there is nothing to wait for.
    let solved = plan(&outline, Policy::ProbeThenTune { probe_epochs: 0 });
    assert_eq!(solved.phases.len(), 1);
    assert_eq!(solved.phases[0].frozen_blocks, 0);
}

#[test]
fn surgical_rates_follow_relative_gradients() {
    let outline = network(2);
    let config = FreezeConfig {
        policy: Policy::Surgical,
        ..FreezeConfig::default()
    };
    let refused = resolve(&outline, &facts(500), &config).unwrap_err();
    assert!(
        refused.to_string().contains("goes by gradients"),
        "{refused}"
    );
    let gradients: RelativeGradients = outline
        .parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| (parameter.name.clone(), index as f64))
        .collect();
    let plan = resolve_measured(&outline, &facts(500), &config, Some(&gradients)).unwrap();
    let rates: Vec<f64> = plan.phases[0]
        .parameters
        .iter()
        .map(|p| p.lr_multiplier)
        .collect();
    // Eight pretrained parameters, the last with the largest; none below a thousandth; the head at the full rate.
    assert_eq!(
        rates[..8],
        [
            0.001,
            1.0 / 7.0,
            2.0 / 7.0,
            3.0 / 7.0,
            4.0 / 7.0,
            5.0 / 7.0,
            6.0 / 7.0,
            1.0
        ]
    );
    assert_eq!(rates[8..], [1.0, 1.0]);
}

#[test]
fn a_pull_stands_in_the_plan() {
    let config = FreezeConfig {
        l2_sp: Some(0.25),
        policy: Policy::Full,
        ..FreezeConfig::default()
    };
    let plan = resolve(&network(1), &facts(500), &config).unwrap();
    assert_eq!(plan.l2_sp, Some(0.25));
    assert_eq!(plan.policy, "full, l2-sp = 0.25");
}

proptest! {
    #[test]
    fn gradual_never_closes_what_it_opened(blocks in 1usize..12, every in 1usize..5, decay in prop::option::of(0.1f64..1.0)) {
        let outline = network(blocks);
        let config = FreezeConfig { policy: Policy::Gradual { every }, layer_decay: decay, ..FreezeConfig::default() };
        let plan = resolve(&outline, &facts(500), &config).unwrap();
        prop_assert_eq!(plan.phases.len(), blocks + 1);
        for pair in plan.phases.windows(2) {
            prop_assert!(pair[1].frozen_blocks < pair[0].frozen_blocks);
            for (before, after) in pair[0].parameters.iter().zip(&pair[1].parameters) {
                prop_assert!(!before.trained || after.trained);
                prop_assert_eq!(before.lr_multiplier, after.lr_multiplier);
            }
        }
        for phase in &plan.phases {
            // Every parameter is decided once.
            let names: Vec<&str> = phase.parameters.iter().map(|p| p.name.as_str()).collect();
            let expected: Vec<&str> = outline.parameters.iter().map(|p| p.name.as_str()).collect();
            prop_assert_eq!(names, expected);
        }
    }
}
