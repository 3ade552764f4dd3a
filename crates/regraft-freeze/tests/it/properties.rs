//! What is true of every policy on every network.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;
use regraft_freeze::*;

use crate::{any_policy, facts};

/// What a block of a made-up network holds.
#[derive(Debug, Clone, Copy)]
struct Contents {
    weight: bool,
    bias: bool,
    norm: Norm,
    fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Norm {
    None,
    /// Running statistics alone.
    Plain,
    /// Running statistics, scale and shift.
    Affine,
}

fn any_contents() -> impl Strategy<Value = Contents> {
    let norm = prop_oneof![Just(Norm::None), Just(Norm::Plain), Just(Norm::Affine)];
    let fresh = prop::bool::weighted(0.1);
    (any::<bool>(), any::<bool>(), norm, fresh).prop_map(|(weight, bias, norm, fresh)| Contents {
        weight,
        bias,
        norm,
        fresh,
    })
}

/// Blocks with any mixture of parameters, some with none, below a head of no block, one or two.
fn any_network() -> impl Strategy<Value = Outline> {
    let body = prop::collection::vec(any_contents(), 0..7);
    let head = prop::collection::vec(any_contents(), 0..3);
    (body, head, any::<bool>()).prop_map(|(body, head, untrained)| {
        let mut outline = Outline {
            untrained,
            ..Outline::default()
        };
        for contents in &body {
            let name = format!("layer{}", outline.blocks.len());
            add_block(&mut outline, name, contents, false);
        }
        for contents in &head {
            let name = format!("head{}", outline.blocks.len());
            add_block(&mut outline, name, contents, true);
        }
        outline
    })
}

fn add_block(outline: &mut Outline, name: String, contents: &Contents, head: bool) {
    let block = outline.blocks.len();
    let affine = contents.norm == Norm::Affine;
    for (listed, part, kind) in [
        (contents.weight, "conv.weight", ParameterKind::Weight),
        (contents.bias, "conv.bias", ParameterKind::Bias),
        (affine, "bn.weight", ParameterKind::NormScale),
        (affine, "bn.bias", ParameterKind::NormShift),
    ] {
        if listed {
            outline.parameters.push(ParameterOutline {
                name: format!("{name}.{part}"),
                kind,
                shape: vec![4],
                block,
                fresh: contents.fresh,
            });
        }
    }
    if contents.norm != Norm::None {
        let affine = ["weight", "bias"].map(|part| format!("{name}.bn.{part}"));
        outline.norms.push(NormOutline {
            name: format!("{name}.bn"),
            block,
            affine: if contents.norm == Norm::Affine {
                affine.into()
            } else {
                vec![]
            },
        });
    }
    outline.blocks.push(BlockOutline {
        name,
        head,
        ..BlockOutline::default()
    });
}

/// A rule that matches something in every network: by a parameter's name, its block, its last part, or everything.
#[derive(Debug, Clone)]
struct AnyRule {
    train: bool,
    by: usize,
    parameter: Index,
}

fn any_rules() -> impl Strategy<Value = Vec<AnyRule>> {
    let rule = (any::<bool>(), 0usize..4, any::<Index>());
    let rule = rule.prop_map(|(train, by, parameter)| AnyRule {
        train,
        by,
        parameter,
    });
    prop::collection::vec(rule, 0..6)
}

/// The rule in a network, and by plain text which of its parameters match.
fn written(outline: &Outline, rule: &AnyRule) -> (Rule, Vec<bool>) {
    let parameters = &outline.parameters;
    let of = &parameters[rule.parameter.index(parameters.len())];
    let block = &outline.blocks[of.block].name;
    let last = of.name.rsplit('.').next().unwrap();
    let (glob, matches): (String, Vec<bool>) = match rule.by {
        0 => (
            of.name.clone(),
            parameters.iter().map(|p| p.name == of.name).collect(),
        ),
        1 => (
            format!("{block}.**"),
            parameters.iter().map(|p| p.block == of.block).collect(),
        ),
        2 => (
            format!("**.{last}"),
            parameters
                .iter()
                .map(|p| p.name.ends_with(&format!(".{last}")))
                .collect(),
        ),
        _ => ("**".to_owned(), vec![true; parameters.len()]),
    };
    let rule = if rule.train {
        Rule::Train(glob)
    } else {
        Rule::Freeze(glob)
    };
    (rule, matches)
}

fn any_config() -> impl Strategy<Value = FreezeConfig> {
    let batch_norm = prop_oneof![
        Just(BatchNorm::Auto),
        Just(BatchNorm::Frozen),
        Just(BatchNorm::Updated),
        Just(BatchNorm::AffineOnly),
    ];
    let decay = prop::option::of(0.01f64..1.0);
    (any_policy(), decay, batch_norm).prop_map(|(policy, layer_decay, batch_norm)| FreezeConfig {
        policy,
        layer_decay,
        batch_norm,
        ..FreezeConfig::default()
    })
}

/// The lowest block in which something trains.
fn lowest(outline: &Outline, phase: &Phase) -> Option<usize> {
    let parameters = outline.parameters.iter().zip(&phase.parameters);
    let trained = parameters.filter(|(_, plan)| plan.trained);
    trained.map(|(parameter, _)| parameter.block).min()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_phase_decides_every_parameter_once_and_trains_something(
        outline in any_network(),
        config in any_config(),
        images in prop_oneof![Just(500), Just(50_000)],
    ) {
        let measured = RelativeGradients::new();
        let Ok(plan) = resolve_measured(&outline, &facts(images), &config, Some(&measured)) else {
            return Ok(());
        };
        prop_assert_eq!(plan.check(&outline), Ok(()));
        prop_assert!(!plan.phases.is_empty());
        let names: Vec<&str> = outline.parameters.iter().map(|p| p.name.as_str()).collect();
        let norms: Vec<&str> = outline.norms.iter().map(|norm| norm.name.as_str()).collect();
        for (index, phase) in plan.phases.iter().enumerate() {
            let decided: Vec<&str> = phase.parameters.iter().map(|p| p.name.as_str()).collect();
            prop_assert_eq!(&decided, &names);
            let decided: Vec<&str> = phase.norms.iter().map(|norm| norm.name.as_str()).collect();
            prop_assert_eq!(&decided, &norms);
            prop_assert_eq!(Some(phase.frozen_blocks), lowest(&outline, phase));
            prop_assert_eq!(phase.epochs.is_none(), index + 1 == plan.phases.len());

            let grouped: Vec<&str> = phase.groups().into_iter().flat_map(|group| group.names).collect();
            let once: HashSet<&str> = grouped.iter().copied().collect();
            prop_assert_eq!(once.len(), grouped.len());
            for plan in &phase.parameters {
                prop_assert!(plan.lr_multiplier > 0.0 && plan.lr_multiplier <= 1.0);
                prop_assert_eq!(phase.trains(&plan.name), Ok(plan.trained));
                prop_assert_eq!(once.contains(plan.name.as_str()), plan.trained);
                let rate = if plan.trained { plan.lr_multiplier } else { 0.0 };
                prop_assert_eq!(phase.learning_rate(&plan.name, 1.0), Ok(rate));
            }
        }
    }

    #[test]
    fn policies_in_phases_never_close_what_they_opened(
        outline in any_network(),
        policy in prop_oneof![
            (1usize..4).prop_map(|every| Policy::Gradual { every }),
            (0usize..4).prop_map(|probe_epochs| Policy::ProbeThenTune { probe_epochs }),
        ],
        batch_norm in prop_oneof![Just(BatchNorm::Auto), Just(BatchNorm::Frozen), Just(BatchNorm::Updated)],
    ) {
        let config = FreezeConfig { policy, batch_norm, ..FreezeConfig::default() };
        let Ok(plan) = resolve(&outline, &facts(500), &config) else {
            return Ok(());
        };
        for pair in plan.phases.windows(2) {
            prop_assert!(pair[1].frozen_blocks <= pair[0].frozen_blocks);
            for (before, after) in pair[0].parameters.iter().zip(&pair[1].parameters) {
                prop_assert!(!before.trained || after.trained, "{} closes", before.name);
                prop_assert_eq!(before.lr_multiplier, after.lr_multiplier);
            }
            for (before, after) in pair[0].norms.iter().zip(&pair[1].norms) {
                prop_assert!(before.statistics == Statistics::Frozen || after.statistics == Statistics::Updated);
            }
        }
        // At the end everything is open that batch norm lets train.
        let open = |p: &ParameterOutline| {
            let norm = matches!(p.kind, ParameterKind::NormScale | ParameterKind::NormShift);
            batch_norm != BatchNorm::Frozen || p.fresh || !norm
        };
        let last = plan.phases.last().unwrap();
        let trained: Vec<bool> = last.parameters.iter().map(|p| p.trained).collect();
        prop_assert_eq!(trained, outline.parameters.iter().map(open).collect::<Vec<_>>());
    }

    #[test]
    fn of_the_rules_that_match_the_last_one_wins(outline in any_network(), rules in any_rules()) {
        prop_assume!(!outline.parameters.is_empty());
        let rules: Vec<(Rule, Vec<bool>)> = rules.iter().map(|rule| written(&outline, rule)).collect();
        let expected: Vec<bool> = (0..outline.parameters.len())
            .map(|p| match rules.iter().rev().find(|(_, matches)| matches[p]) {
                Some((Rule::Train(_), _)) => true,
                Some((Rule::Freeze(_), _)) => false,
                None => outline.parameters[p].fresh,
            })
            .collect();
        let policy = Policy::Rules(rules.into_iter().map(|(rule, _)| rule).collect());
        let plan = policy.resolve(&outline, &facts(500));
        if expected.contains(&true) {
            let plan = plan.unwrap();
            let trained: Vec<bool> = plan.phases[0].parameters.iter().map(|p| p.trained).collect();
            prop_assert_eq!(trained, expected);
        } else {
            prop_assert_eq!(plan, Err(Error::NothingTrains));
        }
    }
}
