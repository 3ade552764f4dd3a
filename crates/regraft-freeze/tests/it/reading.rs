//! What a section that cannot be read is answered with.

use regraft_freeze::*;

/// The message alone, without the line of the file.
fn unreadable(toml: &str) -> String {
    match toml::from_str::<FreezeConfig>(toml) {
        Ok(config) => panic!("{toml} was read as {config:?}"),
        Err(error) => error.message().to_owned(),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (toml, expected) in cases {
        assert_eq!(unreadable(toml), *expected, "{toml}");
    }
}

#[test]
fn a_misspelt_policy_leads_to_the_one_meant() {
    for (word, meant) in [
        ("feature-extracter", "feature-extractor"),
        ("Full", "full"),
        ("norm_only", "norm-only"),
        ("last-block", "{ last-blocks = 2 }"),
        ("lastblocks", "{ last-blocks = 2 }"),
        ("last", "{ last-blocks = 2 }"),
        ("frm", r#"{ from = "layer3" }"#),
        ("untill", r#"{ until = "layer2" }"#),
        ("rule", r#"{ rules = [{ train = "layer4.**" }] }"#),
        ("layer_decay", "{ layer-decay = 0.65 }"),
    ] {
        assert_eq!(
            unreadable(&format!("policy = '{word}'")),
            format!("unknown freeze policy `{word}`; did you mean `{meant}`?")
        );
    }
}

#[test]
fn a_policy_that_is_a_table_says_what_it_takes() {
    for (word, takes) in [
        (
            "last-blocks",
            "a whole number from 0; write it as a table: { last-blocks = 2 }",
        ),
        (
            "from",
            r#"the name of a block; write it as a table: { from = "layer3" }"#,
        ),
        (
            "until",
            r#"the name of a block; write it as a table: { until = "layer2" }"#,
        ),
        (
            "rules",
            r#"an array of rules; write it as a table: { rules = [{ train = "layer4.**" }] }"#,
        ),
        (
            "layer-decay",
            "a number above 0 and at most 1; write it as a table: { layer-decay = 0.65 }",
        ),
    ] {
        for written in [
            word.to_owned(),
            format!("{word}=3"),
            format!("{{ {word} = 3 }}"),
        ] {
            assert_eq!(
                unreadable(&format!("policy = '{written}'")),
                format!("`{word}` takes {takes}")
            );
        }
    }
}

#[test]
fn the_words_of_other_tools_lead_to_the_policy_meant() {
    let either = "`full` (everything trains) or `feature-extractor` (only the head does)";
    for (word, meant) in [
        ("freeze", "`feature-extractor`"),
        ("frozen", "`feature-extractor`"),
        ("head", "`feature-extractor`"),
        ("linear-probe", "`feature-extractor`"),
        ("finetune", "`full`"),
        ("fine-tune", "`full`"),
        ("none", either),
        ("all", either),
        ("everything", either),
    ] {
        assert_eq!(
            unreadable(&format!("policy = '{word}'")),
            format!("unknown freeze policy `{word}`; did you mean {meant}?")
        );
    }
}

#[test]
fn a_policy_unlike_all_others_is_answered_with_their_names() {
    for word in ["lottery", "layer3", "", "\u{1F600}"] {
        assert_eq!(
            unreadable(&format!("policy = '{word}'")),
            format!(
                "unknown freeze policy `{word}`; expected `feature-extractor`, `full`, `norm-only`, `bias-only`, \
                 `gradual`, `probe-then-tune`, `surgical`, `auto`, or a table: {{ last-blocks = 2 }}, {{ from = \"layer3\" }}, {{ until = \"layer2\" }}, \
                 {{ rules = [{{ train = \"layer4.**\" }}] }}, {{ layer-decay = 0.65 }}, {{ full = true, l2-sp = 0.01 }}"
            )
        );
    }
}

#[test]
fn an_unknown_key_leads_to_the_one_meant() {
    check(&[
        (
            "policy = { last-block = 2 }",
            "unknown key `last-block`; did you mean `last-blocks`?",
        ),
        (
            "policy = { last_blocks = 2 }",
            "unknown key `last_blocks`; did you mean `last-blocks`?",
        ),
        (
            "policy = { layer_decay = 0.5 }",
            "unknown key `layer_decay`; did you mean `layer-decay`?",
        ),
        (
            "policy = { freeze = 'layer1.**' }",
            r#"unknown key `freeze`; did you mean `{ rules = [{ freeze = "layer4.**" }] }`?"#,
        ),
        (
            "policy = { none = true }",
            "unknown key `none`; did you mean `full` or `feature-extractor`?",
        ),
        (
            "policy = { full = true, batch-norm = 'auto' }",
            "`batch_norm` stands beside `policy`, not inside it",
        ),
        (
            "policy = { lottery = 1 }",
            "unknown key `lottery` in a policy; expected one of `last-blocks`, `from`, `until`, `rules`, \
             `layer-decay`, `l2-sp`, `feature-extractor`, `full`, `norm-only`, `bias-only`, `gradual`, \
             `probe-then-tune`, `surgical`, `auto`",
        ),
        (
            "policy = { gradual = { every = 0 } }",
            "`gradual`: expected true, or a table with `every`, a whole number from 1, such as { gradual = { every = 2 } }, not 0",
        ),
        (
            "policy = { probe-then-tune = { epochs = 2 } }",
            "unknown key `epochs` in `probe-then-tune`; expected `probe_epochs`, such as { probe-then-tune = { probe_epochs = 3 } }",
        ),
        (
            "policy = { full = true, l2-sp = -1 }",
            "`l2-sp`: expected a number of at least 0, such as { full = true, l2-sp = 0.01 }, not -1",
        ),
        (
            "policy = { rules = [{ trian = 'a' }] }",
            r#"rule 1: unknown key `trian`; a rule is { train = "layer4.**" } or { freeze = "**.bn*.*" }"#,
        ),
        (
            "polcy = 'full'",
            "unknown key `polcy`; did you mean `policy`?",
        ),
        (
            "batch-norm = 'auto'",
            "unknown key `batch-norm`; did you mean `batch_norm`?",
        ),
        (
            "last-blocks = 2",
            "unknown key `last-blocks`; did you mean `policy = { last-blocks = 2 }`?",
        ),
        (
            "full = true",
            r#"unknown key `full`; did you mean `policy = "full"`?"#,
        ),
        (
            "epochs = 2",
            "unknown key `epochs`; expected `policy` or `batch_norm`",
        ),
    ]);
}

#[test]
fn a_value_of_the_wrong_kind_says_what_was_expected() {
    let policy = r#"expected a policy name such as "full", or a table such as { last-blocks = 2 }"#;
    let last_blocks = "`last-blocks`: expected a whole number from 0, such as { last-blocks = 2 }";
    let decay =
        "`layer-decay`: expected a number above 0 and at most 1, such as { layer-decay = 0.65 }";
    let rules =
        r#"`rules`: expected an array of rules, such as { rules = [{ train = "layer4.**" }] }"#;
    let rule = r#"a rule is { train = "layer4.**" } or { freeze = "**.bn*.*" }"#;
    for (toml, expected) in [
        ("policy = 5", format!("{policy}, not 5")),
        ("policy = ['full']", format!("{policy}, not an array")),
        ("policy = 1979-05-27", format!("{policy}, not a date")),
        ("policy = { last-blocks = -1 }", format!("{last_blocks}, not -1")),
        ("policy = { last-blocks = 2.5 }", format!("{last_blocks}, not 2.5")),
        (
            "policy = { last-blocks = 99999999999999999999 }",
            format!("{last_blocks}, not 99999999999999999999"),
        ),
        ("policy = { last-blocks = '2' }", format!("{last_blocks}, not \"2\"")),
        ("policy = { last-blocks = 1979-05-27 }", format!("{last_blocks}, not a date")),
        ("policy = { last-blocks = { a = 1 } }", format!("{last_blocks}, not a table")),
        (
            "policy = { from = 3 }",
            r#"`from`: expected the name of a block, such as { from = "layer3" }, not 3"#.to_owned(),
        ),
        ("policy = { layer-decay = 1.5 }", format!("{decay}, not 1.5")),
        ("policy = { layer-decay = 0 }", format!("{decay}, not 0")),
        ("policy = { layer-decay = nan }", format!("{decay}, not NaN")),
        (
            "policy = { full = 1 }",
            "`full`: expected true, such as { full = true, layer-decay = 0.65 }, not 1".to_owned(),
        ),
        ("policy = { rules = 'a.**' }", format!("{rules}, not \"a.**\"")),
        ("policy = { rules = { train = 'a' } }", format!("{rules}, not a table")),
        (
            "policy = { rules = [{ train = 'a' }, 'b'] }",
            format!("rule 2: {rule}, not \"b\""),
        ),
        ("policy = { rules = [{}] }", format!("rule 1: {rule}, not an empty table")),
        (
            "policy = { rules = [{ train = 'a', freeze = 'b' }] }",
            format!("rule 1: {rule}, not both; split it in two"),
        ),
        (
            "policy = { rules = [{ train = 1 }] }",
            "rule 1: `train`: expected a pattern of parameter names, such as { train = \"layer4.**\" }, not 1".to_owned(),
        ),
        (
            "policy = {}",
            "an empty policy table; write for example { last-blocks = 2 } or \"full\"".to_owned(),
        ),
        (
            "policy = { last-blocks = 2, from = 'layer3' }",
            "`last-blocks` and `from` both say how deep to train; keep one".to_owned(),
        ),
        (
            "batch_norm = true",
            r#"expected "auto", "frozen", "updated" or "affine-only", not true"#.to_owned(),
        ),
    ] {
        assert_eq!(unreadable(toml), expected, "{toml}");
    }
}

#[test]
fn a_misspelt_batch_norm_setting_leads_to_the_one_meant() {
    for (word, meant) in [
        ("freeze", "frozen"),
        ("Frozen", "frozen"),
        ("affine_only", "affine-only"),
        ("affine", "affine-only"),
        ("update", "updated"),
        ("train", "updated"),
        ("eval", "affine-only"),
    ] {
        assert_eq!(
            unreadable(&format!("batch_norm = '{word}'")),
            format!("unknown batch norm setting `{word}`; did you mean `{meant}`?")
        );
    }
    assert_eq!(
        unreadable("batch_norm = 'thawed'"),
        r#"unknown batch norm setting `thawed`; expected "auto", "frozen", "updated" or "affine-only""#
    );
}

#[test]
fn an_error_has_the_place_of_the_value_at_fault() {
    for (toml, at_fault) in [
        ("[policy]\nlayer-decay = 0.5\nlast-block = 2", "last-block"),
        ("[policy]\nlayer-decay = 0.5\nlast-blocks = -2", "-2"),
        (
            "[[policy.rules]]\ntrain = 'a'\n[[policy.rules]]\ntrain = 1",
            "1",
        ),
        ("policy = { rules = [\n{ train = 'a' },\n'b',\n] }", "'b'"),
        ("policy = 'auto'\nbatch_norm = 1", "1"),
    ] {
        let error = toml::from_str::<FreezeConfig>(toml).unwrap_err();
        assert_eq!(&toml[error.span().unwrap()], at_fault, "{toml}: {error}");
    }
}

#[test]
fn a_key_that_json_gives_twice_is_refused() {
    let json = r#"{"policy": {"last-blocks": 1, "last-blocks": 2}}"#;
    let error = serde_json::from_str::<FreezeConfig>(json).unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("`last-blocks` is given twice; keep one"),
        "{message}"
    );
}

/// Short, and without the words of Rust and of its readers, which say nothing to whoever wrote the file.
fn is_plain(message: &str, input: &str) {
    for word in [
        "struct",
        "enum",
        "tuple",
        "untagged",
        "variant",
        "map",
        "sequence",
        "field",
        "unit",
        "invalid type",
        "Policy",
        "Rule",
        "Section",
        "usize",
        "i64",
        "u64",
        "f64",
        "128",
    ] {
        assert!(!message.contains(word), "{input}: {message}");
    }
    assert!(message.chars().count() < 400, "{input}: {message}");
}

#[test]
fn no_message_names_a_type_or_grows_with_the_file() {
    let long = "x".repeat(10_000);
    let (text, table) = (format!("\"{long}\""), format!("{{ {long} = 1 }}"));
    let scalars = "5 -5 18446744073709551615 340282366920938463463374607431768211455 1e300 nan true 1979-05-27 07:32:00";
    let values: Vec<&str> = scalars
        .split(' ')
        .chain([
            "\"x\"",
            "[]",
            "[1]",
            "[[[]]]",
            "[\"x\"]",
            "{}",
            "{ a = 1 }",
            "{ a = { b = [] } }",
            &text,
            &table,
        ])
        .collect();
    for place in [
        "policy = V",
        "batch_norm = V",
        "policy = { last-blocks = V }",
        "policy = { from = V }",
        "policy = { until = V }",
        "policy = { full = V }",
        "policy = { layer-decay = V }",
        "policy = { rules = V }",
        "policy = { rules = [V] }",
        "policy = { rules = [{ train = V }] }",
        "policy = { rules = [{ train = 'a', freeze = V }] }",
        "policy = { last-blok = V }",
        "policy = { full = true, auto = true, layer-decay = V }",
        "other = V",
    ] {
        for value in &values {
            let toml = place.replace('V', value);
            if let Err(error) = toml::from_str::<FreezeConfig>(&toml) {
                is_plain(error.message(), &toml);
            }
        }
    }
    for place in [
        "V",
        r#"{"policy": V}"#,
        r#"{"batch_norm": V}"#,
        r#"{"policy": {"last-blocks": V}}"#,
        r#"{"policy": {"from": V}}"#,
        r#"{"policy": {"auto": V}}"#,
        r#"{"policy": {"layer-decay": V}}"#,
        r#"{"policy": {"rules": V}}"#,
        r#"{"policy": {"rules": [V]}}"#,
        r#"{"policy": {"rules": [{"freeze": V}]}}"#,
    ] {
        for value in [
            "null",
            "5",
            "-5",
            "1e300",
            "true",
            "\"x\"",
            "[]",
            "[1]",
            r#"["full", "auto"]"#,
            "{}",
            r#"{"a": [1]}"#,
        ] {
            let json = place.replace('V', value);
            if let Err(error) = serde_json::from_str::<FreezeConfig>(&json) {
                is_plain(&error.to_string(), &json);
            }
        }
    }
}

#[test]
fn what_says_the_same_is_read_the_same() {
    for (toml, policy) in [
        (
            "policy = { full = false, last-blocks = 2 }",
            Policy::LastBlocks(2),
        ),
        ("policy = { layer-decay = 1 }", Policy::Full),
        ("policy = { norm-only = true }", Policy::NormOnly),
        ("policy = { rules = [] }", Policy::Rules(vec![])),
        ("", Policy::FeatureExtractor),
    ] {
        let config: FreezeConfig = toml::from_str(toml).unwrap();
        assert_eq!(config.policy, policy, "{toml}");
    }
    let rule: Rule = serde_json::from_str(r#"{"freeze": "a.*"}"#).unwrap();
    assert_eq!(rule, Rule::Freeze("a.*".into()));
}
