//! What batch norm does beside each policy, and the pairs that contradict each other.

use proptest::prelude::*;
use regraft_freeze::*;

use super::{any_policy, config, facts, network, refusal, trained};

/// Which norms update their statistics, bottom to top.
fn updated(outline: &Outline, images: usize, toml: &str) -> Vec<bool> {
    let plan = resolve(outline, &facts(images), &config(toml)).unwrap();
    plan.phases[0]
        .norms
        .iter()
        .map(|norm| norm.statistics == Statistics::Updated)
        .collect()
}

#[test]
fn batch_norm_follows_the_data_unless_told() {
    let outline = network(4);
    let statistics = |images: usize, toml: &str| updated(&outline, images, toml);
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
fn a_frozen_norm_keeps_its_statistics() {
    let outline = network(4);
    for (policy, expected) in [
        (
            r#"{ rules = [{ train = "**" }, { freeze = "layer1.*.bn.*" }] }"#,
            [false, false, true, true],
        ),
        (
            r#"{ rules = [{ train = "layer2.**" }, { freeze = "layer2.1.bn.*" }] }"#,
            [false, false, true, false],
        ),
        // One of scale and shift is enough.
        (
            r#"{ rules = [{ train = "**" }, { freeze = "**.bn.bias" }] }"#,
            [true; 4],
        ),
        (r#""norm-only""#, [true; 4]),
    ] {
        for batch_norm in ["auto", "updated"] {
            let toml = format!("policy = {policy}\nbatch_norm = \"{batch_norm}\"");
            assert_eq!(updated(&outline, 50_000, &toml), expected, "{toml}");
        }
    }
    for toml in [
        r#"policy = { rules = [{ train = "**" }, { freeze = "**.bn.*" }] }"#,
        r#"policy = "bias-only""#,
        r#"policy = "feature-extractor""#,
    ] {
        assert_eq!(updated(&outline, 50_000, toml), [false; 4], "{toml}");
        let plan = resolve(&outline, &facts(50_000), &config(toml)).unwrap();
        let why = "batch norm keeps its statistics (none of its layers trains)";
        assert!(plan.reason.ends_with(why), "{}", plan.reason);
    }
}

#[test]
fn a_norm_without_scale_and_shift_follows_its_block() {
    let mut outline = network(4);
    outline
        .parameters
        .retain(|p| !matches!(p.kind, ParameterKind::NormScale | ParameterKind::NormShift));
    // Whether the norms still name them or not.
    for _ in 0..2 {
        for (toml, expected) in [
            ("policy = { last-blocks = 2 }", [false, false, true, true]),
            (
                "policy = \"bias-only\"\nbatch_norm = \"updated\"",
                [true; 4],
            ),
        ] {
            assert_eq!(updated(&outline, 50_000, toml), expected, "{toml}");
        }
        for norm in &mut outline.norms {
            norm.affine.clear();
        }
    }
}

#[test]
fn policies_that_contradict_batch_norm_say_what_would_work() {
    let outline = network(4);
    for (policy, batch_norm, instead) in [
        (r#""norm-only""#, "frozen", "affine-only"),
        (r#""bias-only""#, "updated", "auto"),
        (
            r#"{ rules = [{ train = "**.bn.*" }] }"#,
            "frozen",
            "affine-only",
        ),
        (
            r#"{ rules = [{ train = "layer2.**" }, { train = "layer1.0.bn.weight" }] }"#,
            "frozen",
            "affine-only",
        ),
        (
            r#"{ rules = [{ train = "**" }, { freeze = "**.bn.*" }] }"#,
            "updated",
            "auto",
        ),
        (
            r#"{ rules = [{ train = "layer2.0.conv.*" }] }"#,
            "updated",
            "auto",
        ),
    ] {
        let toml = |setting: &str| format!("policy = {policy}\nbatch_norm = \"{setting}\"");
        let message = refusal(&outline, &toml(batch_norm));
        assert!(message.contains("contradict each other"), "{message}");
        assert!(message.starts_with("`policy = "), "{message}");
        for setting in [batch_norm, instead] {
            let key = format!("`batch_norm = \"{setting}\"`");
            assert!(message.contains(&key), "{message}");
        }
        assert!(message.chars().count() < 300, "{message}");
        resolve(&outline, &facts(50_000), &config(&toml(instead))).unwrap();
    }
    let glob = format!("**.bn.{{weight,{}}}", "x".repeat(900));
    let message = refusal(
        &outline,
        &format!("policy = {{ rules = [{{ train = \"{glob}\" }}] }}\nbatch_norm = \"frozen\""),
    );
    assert!(
        message.contains('…') && message.chars().count() < 400,
        "{message}"
    );
}

#[test]
fn what_still_has_a_meaning_is_no_contradiction() {
    let mut outline = network(4);
    // Nothing below the head trains, so that no norm is asked for.
    for policy in ["\"feature-extractor\"", "{ rules = [] }"] {
        let toml = format!("policy = {policy}\nbatch_norm = \"updated\"");
        assert_eq!(updated(&outline, 50_000, &toml), [false; 4], "{toml}");
    }
    for (rules, expected) in [
        // The rule trains more than norms.
        (r#"[{ train = "layer2.1.**" }]"#, 4),
        // Another rule freezes the norms again.
        (r#"[{ train = "**.bn.*" }, { freeze = "layer*.**" }]"#, 2),
    ] {
        let toml = format!("policy = {{ rules = {rules} }}\nbatch_norm = \"frozen\"");
        assert_eq!(trained(&outline, &toml).len(), expected, "{toml}");
    }
    // A new head's own norm has nothing pretrained to keep.
    for (part, kind) in [
        ("weight", ParameterKind::NormScale),
        ("bias", ParameterKind::NormShift),
    ] {
        outline.parameters.push(ParameterOutline {
            name: format!("head.bn.{part}"),
            kind,
            shape: vec![8],
            block: 4,
            fresh: true,
        });
    }
    outline.norms.push(NormOutline {
        name: "head.bn".into(),
        block: 4,
        affine: vec!["head.bn.weight".into(), "head.bn.bias".into()],
    });
    assert_eq!(
        updated(
            &outline,
            500,
            "policy = \"bias-only\"\nbatch_norm = \"updated\""
        ),
        [false, false, false, false, true]
    );
    assert_eq!(
        trained(
            &outline,
            "policy = { rules = [{ train = \"head.bn.*\" }] }\nbatch_norm = \"frozen\""
        )
        .len(),
        4
    );
}

proptest! {
    #[test]
    fn auto_never_contradicts_a_policy(policy in any_policy(), images in 0usize..100_000, untrained in any::<bool>()) {
        let mut outline = network(4);
        outline.untrained = untrained;
        let config = FreezeConfig { policy, ..FreezeConfig::default() };
        let plan = resolve(&outline, &facts(images), &config);
        prop_assert!(!matches!(plan, Err(Error::Contradiction { .. })), "{:?}", plan);
    }

    #[test]
    fn statistics_move_only_where_a_norm_trains(
        rules in prop::collection::vec((any::<bool>(), prop::sample::select(vec![
            "**", "layer1.**", "layer2.0.**", "**.bn.*", "**.bn.weight", "**.conv.*", "layer1.1.bn.*", "**.bias",
        ])), 0..5),
        images in 9_000usize..11_000,
    ) {
        let outline = network(4);
        let rules = rules.into_iter().map(|(train, glob)| match train {
            true => Rule::Train(glob.to_owned()),
            false => Rule::Freeze(glob.to_owned()),
        });
        let config = FreezeConfig { policy: Policy::Rules(rules.collect()), ..FreezeConfig::default() };
        let Ok(plan) = resolve(&outline, &facts(images), &config) else {
            return Ok(());
        };
        let phase = &plan.phases[0];
        for (norm, plan) in outline.norms.iter().zip(&phase.norms) {
            let trains = phase.parameters.iter().any(|p| p.trained && norm.affine.contains(&p.name));
            prop_assert_eq!(plan.statistics == Statistics::Updated, trains && images >= SMALL_DATA_IMAGES);
        }
    }
}
