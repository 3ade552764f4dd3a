//! The engine from outside: policies on a made-up residual network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auto;

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

fn unreadable(toml: &str) -> String {
    toml::from_str::<FreezeConfig>(toml)
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
            "policy = \"surgical\"",
            "freeze policy `surgical` is not available yet",
        ),
        (
            "policy = { gradual = { every = 1 } }",
            "freeze policy `gradual` is not available yet",
        ),
        (
            "policy = { l2-sp = 0.1 }",
            "freeze policy `l2-sp` is not available yet",
        ),
        (
            "policy = \"auto\"",
            "freeze policy `auto` decides by scores",
        ),
    ] {
        let message = refusal(&outline, toml);
        assert!(message.contains(expected), "{toml}: {message}");
    }
}

#[test]
fn policies_that_cannot_be_read_say_what_would_work() {
    for (toml, expected) in [
        (
            "policy = \"feature-extracter\"",
            "did you mean `feature-extractor`",
        ),
        (
            "policy = { last-blocks = 2, from = \"layer3\" }",
            "`last-blocks` and `from` both say",
        ),
        (
            "policy = { layer-decay = 1.5 }",
            "expected more than 0 and at most 1",
        ),
        ("policy = { last-block = 2 }", "unknown field `last-block`"),
        ("policy = {}", "an empty policy table"),
        ("batch_norm = \"thawed\"", "unknown variant `thawed`"),
        ("polcy = \"full\"", "unknown field `polcy`"),
    ] {
        let message = unreadable(toml);
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
fn batch_norm_follows_the_data_unless_told() {
    let outline = network(4);
    let statistics = |images: usize, toml: &str| {
        let plan = resolve(&outline, &facts(images), &config(toml)).unwrap();
        plan.phases[0]
            .norms
            .iter()
            .map(|n| n.statistics == Statistics::Updated)
            .collect::<Vec<_>>()
    };
    let half = [false, false, true, true];
    assert_eq!(statistics(50_000, "policy = { last-blocks = 2 }"), half);
    assert_eq!(statistics(200, "policy = { last-blocks = 2 }"), [false; 4]);
    assert_eq!(
        statistics(
            200,
            "policy = { last-blocks = 2 }\nbatch_norm = \"updated\""
        ),
        half
    );
    assert_eq!(
        statistics(50_000, "policy = \"full\"\nbatch_norm = \"affine-only\""),
        [false; 4]
    );
    let frozen = trained(&outline, "policy = \"full\"\nbatch_norm = \"frozen\"");
    assert!(
        frozen.iter().all(|name| !name.contains(".bn.")),
        "{frozen:?}"
    );
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
    insta::assert_snapshot!(table(&outline, &plan, &facts));
}

fn any_policy() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::FeatureExtractor),
        Just(Policy::Full),
        Just(Policy::NormOnly),
        Just(Policy::BiasOnly),
        Just(Policy::Surgical),
        Just(Policy::Auto),
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
        (1usize..5).prop_map(|every| Policy::Gradual { every }),
        (1usize..5).prop_map(|probe_epochs| Policy::ProbeThenTune { probe_epochs }),
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
