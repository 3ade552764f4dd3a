//! The engine from outside: policies on a made-up residual network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod batch_norm;
mod by_name;
mod other_network;
mod phases;
mod properties;
mod reading;

use proptest::prelude::*;
use regraft_freeze::*;

/// `blocks` blocks of a convolution with batch norm and bias, then a head.
fn network(blocks: usize) -> Outline {
    let mut outline = Outline::default();
    for index in 0..blocks {
        let name = format!("layer{}.{}", index / 2 + 1, index % 2);
        outline.blocks.push(BlockOutline {
            name: name.clone(),
            head: false,
            macs: 1_000_000,
            activations: 1000,
            largest: 400,
            output_values: 100,
        });
        for (part, kind) in [
            ("conv.weight", ParameterKind::Weight),
            ("conv.bias", ParameterKind::Bias),
            ("bn.weight", ParameterKind::NormScale),
            ("bn.bias", ParameterKind::NormShift),
        ] {
            outline.parameters.push(ParameterOutline {
                name: format!("{name}.{part}"),
                kind,
                shape: if kind == ParameterKind::Weight {
                    vec![8, 8, 3, 3]
                } else {
                    vec![8]
                },
                block: index,
                fresh: false,
            });
        }
        outline.norms.push(NormOutline {
            name: format!("{name}.bn"),
            block: index,
            affine: vec![format!("{name}.bn.weight"), format!("{name}.bn.bias")],
        });
    }
    outline.blocks.push(BlockOutline {
        name: "head.fc".into(),
        head: true,
        macs: 80,
        activations: 10,
        largest: 5,
        output_values: 10,
    });
    for (part, kind) in [
        ("weight", ParameterKind::Weight),
        ("bias", ParameterKind::Bias),
    ] {
        outline.parameters.push(ParameterOutline {
            name: format!("head.fc.{part}"),
            kind,
            shape: if kind == ParameterKind::Weight {
                vec![10, 8]
            } else {
                vec![10]
            },
            block: blocks,
            fresh: true,
        });
    }
    outline
}

fn facts(train_images: usize) -> DataFacts {
    DataFacts {
        train_images,
        classes: 10,
        batch_size: 32,
    }
}

fn config(toml: &str) -> FreezeConfig {
    toml::from_str(toml).unwrap()
}

fn trained(outline: &Outline, toml: &str) -> Vec<String> {
    let plan = resolve(outline, &facts(50_000), &config(toml)).unwrap();
    plan.phases[0]
        .parameters
        .iter()
        .filter(|p| p.trained)
        .map(|p| p.name.clone())
        .collect()
}

fn refusal(outline: &Outline, toml: &str) -> String {
    resolve(outline, &facts(50_000), &config(toml))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_feature_extractor_trains_only_the_head() {
    assert_eq!(
        trained(&network(6), "policy = \"feature-extractor\""),
        ["head.fc.weight", "head.fc.bias"]
    );
    assert_eq!(trained(&network(6), ""), ["head.fc.weight", "head.fc.bias"]);
    assert_eq!(
        trained(&network(6), "policy = { last-blocks = 0 }"),
        ["head.fc.weight", "head.fc.bias"]
    );
}

#[test]
fn from_and_until_name_whole_stages_and_never_a_longer_name() {
    let outline = network(22);
    let above = trained(&outline, "policy = { from = \"layer1\" }");
    assert_eq!(above.len(), 22 * 4 + 2, "layer1 is the lowest stage");
    let from_eleven = trained(&outline, "policy = { from = \"layer11\" }");
    assert_eq!(from_eleven.len(), 2 * 4 + 2);
    let until_one = trained(&outline, "policy = { until = \"layer1\" }");
    assert_eq!(
        until_one.len(),
        20 * 4 + 2,
        "only layer1.0 and layer1.1 are frozen, not layer10"
    );
}

#[test]
fn the_last_rule_that_matches_wins() {
    let names = trained(
        &network(4),
        "policy = { rules = [{ train = \"layer2.**\" }, { freeze = \"**.bn.*\" }, { train = \"layer2.1.bn.weight\" }] }",
    );
    assert_eq!(
        names,
        [
            "layer2.0.conv.weight",
            "layer2.0.conv.bias",
            "layer2.1.conv.weight",
            "layer2.1.conv.bias",
            "layer2.1.bn.weight",
            "head.fc.weight",
            "head.fc.bias"
        ]
    );
}

#[test]
fn policies_that_cannot_be_met_say_what_would_work() {
    let outline = network(4);
    for (toml, expected) in [
        (
            "policy = { last-blocks = 9 }",
            "the network has 4 blocks below its head",
        ),
        ("policy = { from = \"layr2\" }", "near: `layer2.0`"),
        (
            "policy = { rules = [{ train = \"layer9.**\" }] }",
            "rule `layer9.**` matches no parameter; near: `layer",
        ),
        (
            "policy = { rules = [{ freeze = \"**\" }] }",
            "leaves no parameter to train",
        ),
        (
            "policy = \"auto\"",
            "freeze policy `auto` is decided by trying several",
        ),
    ] {
        let message = refusal(&outline, toml);
        assert!(message.contains(expected), "{toml}: {message}");
    }
}

#[test]
fn a_network_without_normalisation_refuses_norm_only_with_the_reason() {
    let mut outline = network(2);
    outline.norms.clear();
    outline
        .parameters
        .retain(|p| !matches!(p.kind, ParameterKind::NormScale | ParameterKind::NormShift));
    let message = refusal(&outline, "policy = \"norm-only\"");
    assert!(message.contains("may have folded batch norm"), "{message}");
}

#[test]
fn a_policy_is_written_as_a_word_where_a_word_says_it_all() {
    for (toml, json) in [
        (
            "policy = 'full'",
            r#"{"policy":"full","batch_norm":"auto"}"#,
        ),
        (
            "policy = { norm-only = true }\nbatch_norm = 'affine-only'",
            r#"{"policy":"norm-only","batch_norm":"affine-only"}"#,
        ),
        (
            "policy = { layer-decay = 0.5, last-blocks = 2 }",
            r#"{"policy":{"last-blocks":2,"layer-decay":0.5},"batch_norm":"auto"}"#,
        ),
        (
            "policy = { layer-decay = 0.5 }",
            r#"{"policy":{"full":true,"layer-decay":0.5},"batch_norm":"auto"}"#,
        ),
        (
            "policy = { rules = [{ train = 'a' }, { freeze = 'b' }] }",
            r#"{"policy":{"rules":[{"train":"a"},{"freeze":"b"}]},"batch_norm":"auto"}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&config(toml)).unwrap(), json);
    }
}

#[test]
fn no_message_grows_with_the_network_or_with_what_was_asked_for() {
    let long = "é".repeat(10_000);
    let mut outline = network(6);
    for block in &mut outline.blocks {
        block.name.insert_str(0, &long);
    }
    for parameter in &mut outline.parameters {
        parameter.name.insert_str(0, &long);
    }
    let nested = "{".repeat(300) + &"}".repeat(300);
    for toml in [
        format!("policy = {{ from = \"{long}\" }}"),
        format!("policy = {{ until = \"{long}\" }}"),
        format!("policy = {{ rules = [{{ train = \"{long}\" }}] }}"),
        format!(
            "policy = {{ rules = [{{ freeze = \"a{}\" }}] }}",
            "?".repeat(900)
        ),
        format!(
            "policy = {{ rules = [{{ freeze = \"[{}\" }}] }}",
            "x".repeat(900)
        ),
        format!("policy = {{ rules = [{{ train = \"{nested}\" }}] }}"),
    ] {
        let message = refusal(&outline, &toml);
        assert!(message.chars().count() < 500, "{message}");
        assert!(message.contains('…'), "{message}");
    }
    let name = &outline.blocks[4].name;
    let toml = format!("policy = {{ from = \"{name}\", layer-decay = 1e-300 }}");
    let plan = resolve(&outline, &facts(500), &config(&toml)).unwrap();
    assert!(plan.policy.chars().count() < 100, "{}", plan.policy);
    assert!(plan.reason.chars().count() < 200, "{}", plan.reason);
}

#[test]
fn the_plan_reads_as_a_table() {
    let outline = network(3);
    let facts = facts(50_000);
    let plan = resolve(
        &outline,
        &facts,
        &config("policy = { last-blocks = 1, layer-decay = 0.5 }"),
    )
    .unwrap();
    insta::assert_snapshot!(table(&outline, &plan, &facts, &Footprint::default()));
}

#[test]
fn a_plan_in_phases_reads_as_tables() {
    let outline = network(2);
    let config =
        config("policy = { gradual = { every = 2 }, layer-decay = 0.5 }\nbatch_norm = \"updated\"");
    let plan = resolve(&outline, &facts(500), &config).unwrap();
    insta::assert_snapshot!(plan.table(&outline).unwrap());
}

#[test]
fn a_policy_resolves_with_the_defaults_of_everything_else() {
    let outline = network(3);
    let plan = Policy::LastBlocks(2).resolve(&outline, &facts(500));
    let config = config("policy = { last-blocks = 2 }");
    assert_eq!(plan, resolve(&outline, &facts(500), &config));
}

#[test]
fn an_outline_of_no_network_is_refused() {
    let mut twice = network(2);
    twice.parameters[5].name = "layer1.0.conv.weight".into();
    let mut outside = network(2);
    outside.norms[1].block = 3;
    for (outline, expected) in [
        (
            twice,
            "the outline lists parameter `layer1.0.conv.weight` twice",
        ),
        (
            outside,
            "`layer1.1.bn` lies in block 3, counted from 0, and the outline has 3 blocks",
        ),
    ] {
        assert_eq!(refusal(&outline, "policy = \"full\""), expected);
    }
}

#[test]
fn a_network_without_parameters_has_nothing_to_train() {
    let mut outline = network(3);
    outline.parameters.clear();
    for policy in ["feature-extractor", "full", "gradual", "probe-then-tune"] {
        let message = refusal(&outline, &format!("policy = \"{policy}\""));
        assert!(
            message.contains("leaves no parameter to train"),
            "{policy}: {message}"
        );
    }
}

#[test]
fn the_rate_of_what_trains_is_never_0() {
    let config = config("policy = { full = true, layer-decay = 1e-300 }");
    let plan = resolve(&network(9), &facts(500), &config).unwrap();
    assert!(
        plan.phases[0]
            .parameters
            .iter()
            .all(|p| p.lr_multiplier > 0.0)
    );
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::FeatureExtractor),
        Just(Policy::Full),
        Just(Policy::NormOnly),
        Just(Policy::BiasOnly),
        Just(Policy::Surgical),
        Just(Policy::Auto),
        (1usize..9).prop_map(|every| Policy::Gradual { every }),
        (0usize..9).prop_map(|probe_epochs| Policy::ProbeThenTune { probe_epochs }),
        (0usize..9).prop_map(Policy::LastBlocks),
        "[a-z0-9.]{1,12}".prop_map(Policy::From),
        "[a-z0-9.]{1,12}".prop_map(Policy::Until),
        prop::collection::vec(
            prop_oneof![
                "[a-z.*]{1,9}".prop_map(Rule::Train),
                "[a-z.*]{1,9}".prop_map(Rule::Freeze)
            ],
            0..4
        )
        .prop_map(Policy::Rules),
    ]
}

proptest! {
    #[test]
    fn every_policy_survives_toml_and_json(
        policy in any_policy(),
        decay in prop::option::of(0.01f64..1.0),
        pull in prop::option::of(0.0f64..1.0),
        batch_norm in prop_oneof![Just(BatchNorm::Auto), Just(BatchNorm::Frozen), Just(BatchNorm::Updated), Just(BatchNorm::AffineOnly)],
    ) {
        let config = FreezeConfig { policy, layer_decay: decay, l2_sp: pull, batch_norm };
        let toml = toml::to_string(&config).unwrap();
        prop_assert_eq!(&toml::from_str::<FreezeConfig>(&toml).unwrap(), &config, "{}", toml);
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(&serde_json::from_str::<FreezeConfig>(&json).unwrap(), &config, "{}", json);
    }

    #[test]
    fn last_blocks_trains_exactly_the_parameters_of_those_blocks(blocks in 1usize..12, asked in 0usize..12) {
        let outline = network(blocks);
        let asked = asked.min(blocks);
        let names = trained(&outline, &format!("policy = {{ last-blocks = {asked} }}"));
        let expected: Vec<String> = outline.parameters.iter().filter(|p| p.block >= blocks - asked).map(|p| p.name.clone()).collect();
        prop_assert_eq!(names, expected);
    }

    #[test]
    fn the_trunk_holds_nothing_that_trains_and_ends_where_something_does(blocks in 1usize..12, asked in 0usize..12, images in 0usize..3000) {
        let outline = network(blocks);
        let config = FreezeConfig { policy: Policy::LastBlocks(asked.min(blocks)), ..FreezeConfig::default() };
        let plan = resolve(&outline, &facts(images), &config).unwrap();
        let phase = &plan.phases[0];
        for (parameter, plan) in outline.parameters.iter().zip(&phase.parameters) {
            prop_assert!(!plan.trained || parameter.block >= phase.frozen_blocks);
        }
        for (norm, plan) in outline.norms.iter().zip(&phase.norms) {
            prop_assert!(plan.statistics == Statistics::Frozen || norm.block >= phase.frozen_blocks);
        }
        prop_assert!(outline.parameters.iter().zip(&phase.parameters).any(|(p, plan)| plan.trained && p.block == phase.frozen_blocks));
    }

    #[test]
    fn layer_decay_never_rises_towards_the_input(blocks in 1usize..12, decay in 0.1f64..1.0) {
        let outline = network(blocks);
        let config = FreezeConfig { policy: Policy::Full, layer_decay: Some(decay), ..FreezeConfig::default() };
        let plan = resolve(&outline, &facts(5000), &config).unwrap();
        let rates: Vec<f64> = plan.phases[0].parameters.iter().map(|p| p.lr_multiplier).collect();
        prop_assert!(rates.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert_eq!(rates.last().copied(), Some(1.0));
        prop_assert!((rates[0] - decay.powi(blocks as i32)).abs() < 1e-12);
    }
}

#[test]
fn memory_counts_what_the_optimizer_keeps_and_the_file() {
    let (outline, facts) = (network(3), facts(500));
    let plan = resolve(&outline, &facts, &config("policy = \"full\"")).unwrap();
    let cost = |optimizer_values, model_bytes| {
        let footprint = Footprint {
            model_bytes,
            image_values: 1000,
            optimizer_values,
        };
        estimate(&outline, &plan.phases[0], &facts, &footprint)
    };
    let trained = cost(0, 0).trained_values;
    assert!(trained > 0);
    // AdamW keeps two moments of every trained value and momentum one, in four bytes each, and again for a checkpoint.
    let step = |values| cost(values, 0).memory_bytes;
    assert_eq!(step(2) - step(1), 2 * 4 * trained);
    assert_eq!(cost(1, 7000).memory_bytes - step(1), 7000);
}
