//! What a plan says of one parameter or normalisation layer, and in groups.

use regraft_freeze::*;

use crate::{config, facts, network};

fn phase() -> Phase {
    let toml = "policy = { last-blocks = 1, layer-decay = 0.5 }";
    let plan = resolve(&network(3), &facts(50_000), &config(toml)).unwrap();
    plan.phases[0].clone()
}

#[test]
fn a_phase_answers_by_name() {
    let phase = phase();
    for (name, trains, rate) in [
        ("layer1.1.conv.weight", false, 0.0),
        ("layer2.0.bn.bias", true, 0.05),
        ("head.fc.weight", true, 0.1),
    ] {
        assert_eq!(phase.trains(name), Ok(trains), "{name}");
        assert_eq!(phase.learning_rate(name, 0.1), Ok(rate), "{name}");
    }
    assert_eq!(phase.statistics("layer1.1.bn"), Ok(Statistics::Frozen));
    assert_eq!(phase.statistics("layer2.0.bn"), Ok(Statistics::Updated));
}

#[test]
fn a_name_that_the_plan_lacks_is_an_error_and_not_frozen() {
    let phase = phase();
    for message in [
        phase.trains("layer2.0.conv.wieght").unwrap_err(),
        phase
            .learning_rate("layer2.0.conv.wieght", 1.0)
            .unwrap_err(),
    ] {
        let expected =
            "the plan has no parameter `layer2.0.conv.wieght`; near: `layer2.0.conv.weight`";
        assert!(message.to_string().starts_with(expected), "{message}");
    }
    let message = phase.statistics("layer2.0.conv").unwrap_err().to_string();
    let expected = "the plan has no normalisation layer `layer2.0.conv`; near: `layer2.0.bn`";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn groups_are_what_an_optimizer_takes() {
    let phase = phase();
    let group = |lr_multiplier, weight_decay, names: &[&'static str]| ParameterGroup {
        lr_multiplier,
        weight_decay,
        names: names.to_vec(),
    };
    assert_eq!(
        phase.groups(),
        [
            group(
                0.5,
                false,
                &[
                    "layer2.0.conv.bias",
                    "layer2.0.bn.weight",
                    "layer2.0.bn.bias"
                ]
            ),
            group(0.5, true, &["layer2.0.conv.weight"]),
            group(1.0, false, &["head.fc.bias"]),
            group(1.0, true, &["head.fc.weight"]),
        ]
    );
}
