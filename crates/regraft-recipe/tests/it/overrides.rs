//! `--set` over a file, and without one.

use regraft_freeze::{BatchNorm, Policy};
use regraft_recipe::{
    HeadKind, Optimizer, PartialPreprocess, PreprocessSpec, Recipe, Schedule, ScheduleKind, read,
};
use regraft_spec::{Augment, ImageSize};

use crate::set;

fn check_error(lines: &str, overrides: &[&str], expected: &str) {
    match set(lines, overrides) {
        Ok(_) => panic!("no error in {overrides:?}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

#[test]
fn values_are_toml_or_bare_words() {
    let recipe = set(
        "[train]\nlr = 1.0\nepochs = 3",
        &[
            "train.lr=1e-3",
            "train.shuffle=false",
            "data.augment=light",
            "freeze.policy={last-blocks=2}",
            "freeze.batch_norm = frozen",
            "data.preprocess.mean=[0.5]",
            "device.name=cuda:0",
        ],
    )
    .unwrap();
    assert_eq!(
        (recipe.train.lr, recipe.train.epochs, recipe.train.shuffle),
        (Some(1e-3), 3, false)
    );
    assert_eq!(recipe.data.augment, Augment::Light);
    assert_eq!(recipe.freeze.policy, Policy::LastBlocks(2));
    assert_eq!(recipe.freeze.batch_norm, BatchNorm::Frozen);
    assert_eq!(recipe.device.name, "cuda:0");
    assert_eq!(
        set("", &["freeze.policy=feature-extractor"])
            .unwrap()
            .freeze
            .policy,
        Policy::FeatureExtractor
    );
}

#[test]
fn a_recipe_may_be_overrides_alone() {
    let overrides = ["model.source=resnet18-v1-7", "data.source=data/flowers"].map(str::to_owned);
    assert_eq!(
        read(None, &overrides).unwrap(),
        Recipe::new("resnet18-v1-7", "data/flowers")
    );
}

#[test]
fn paths_need_no_quotes_whatever_they_look_like() {
    for path in [
        "2024",
        "2024-01-01",
        "1e3",
        "true",
        "C:\\data",
        "a=b",
        "{x}",
        "[1]",
        "with space",
    ] {
        let recipe = set("", &[&format!("data.source={path}")]).unwrap();
        assert_eq!(recipe.data.source, path);
    }
    assert_eq!(
        set("", &["data.source='2024'"]).unwrap().data.source,
        "2024"
    );
}

#[test]
fn a_later_override_wins() {
    assert_eq!(
        set("", &["train.lr=1", "train.lr=2"]).unwrap().train.lr,
        Some(2.0)
    );
}

#[test]
fn a_key_inside_auto_makes_it_a_table() {
    let size = |pixels| {
        PreprocessSpec::Partial(PartialPreprocess {
            size: Some(ImageSize::square(pixels)),
            ..Default::default()
        })
    };
    for lines in [
        "",
        "data.preprocess = 'auto'",
        "data.preprocess = { size = 8 }",
    ] {
        assert_eq!(
            set(lines, &["data.preprocess.size=96"])
                .unwrap()
                .data
                .preprocess,
            size(96),
            "{lines}"
        );
    }
    let strip = set("", &["data.preprocess.size=[32, 64]"]).unwrap();
    let PreprocessSpec::Partial(strip) = strip.data.preprocess else {
        panic!("a table was set");
    };
    assert_eq!(strip.size.unwrap().sides(), [32, 64]);
    let back = set("data.preprocess = { size = 8 }", &["data.preprocess=auto"]).unwrap();
    assert_eq!(back.data.preprocess, PreprocessSpec::Auto);
}

#[test]
fn a_new_optimizer_brings_its_own_defaults() {
    let lines = "train.optimizer = { name = 'sgd', momentum = 0.5, weight_decay = 0.5 }";
    let check = |lines: &str, overrides: &[&str], expected| {
        assert_eq!(
            set(lines, overrides).unwrap().train.optimizer,
            expected,
            "{lines} {overrides:?}"
        );
    };
    let decay = |weight_decay| Optimizer::Adamw {
        betas: (0.9, 0.999),
        epsilon: 1e-8,
        weight_decay,
    };
    let kept = Optimizer::Sgd {
        momentum: 0.5,
        weight_decay: 0.5,
        nesterov: false,
    };
    check(lines, &["train.optimizer=adamw"], Optimizer::adamw());
    check(lines, &["train.optimizer.name=adamw"], Optimizer::adamw());
    check(
        lines,
        &[
            "train.optimizer.weight_decay=0.3",
            "train.optimizer.name=adamw",
        ],
        decay(0.3),
    );
    check(
        lines,
        &[
            "train.optimizer.name=adamw",
            "train.optimizer.weight_decay=0.3",
        ],
        decay(0.3),
    );
    check(lines, &["train.optimizer.name=sgd"], kept);
    check(
        "train.optimizer = { name = 'sgd', momentum = 0.5, weight_decay = 0.5 }",
        &["train.optimizer.name=sgd"],
        kept,
    );
    check(
        "train.optimizer = 'adamw'",
        &["train.optimizer.weight_decay=0.3"],
        decay(0.3),
    );
    check("", &["train.optimizer.name=adamw"], Optimizer::adamw());
}

#[test]
fn a_new_schedule_or_head_does_too() {
    let schedule = |lines, text| set(lines, &[text]).unwrap().train.schedule;
    let lines = "train.schedule = { name = 'one-cycle', warmup_epochs = 1 }";
    let constant = Schedule::new(ScheduleKind::Constant);
    assert_eq!(schedule(lines, "train.schedule.name=constant"), constant);
    assert_eq!(schedule(lines, "train.schedule=constant"), constant);
    assert_eq!(
        schedule(
            "train.schedule = 'cosine'",
            "train.schedule.warmup_epochs=2"
        ),
        Schedule {
            kind: ScheduleKind::Cosine,
            warmup_epochs: Some(2.0)
        }
    );

    let head = set(
        "model.head = { kind = 'mlp', hidden = 9, at = 'x' }",
        &["model.head.kind=linear"],
    )
    .unwrap()
    .model
    .head;
    assert_eq!(
        (head.kind, head.at.as_deref()),
        (HeadKind::Linear, Some("x"))
    );
}

#[test]
fn early_stopping_is_switched_on_and_off() {
    let on = set(
        "train.early_stopping = 'none'",
        &["train.early_stopping.patience=3"],
    )
    .unwrap();
    assert_eq!(on.train.early_stopping.unwrap().patience, 3);
    let off = set(
        "train.early_stopping = { patience = 3 }",
        &["train.early_stopping=none"],
    )
    .unwrap();
    assert_eq!(off.train.early_stopping, None);
}

#[test]
fn errors_name_the_override() {
    check_error(
        "",
        &["train.lrr=1"],
        "--set train.lrr=1: unknown key `train.lrr`; did you mean `train.lr`?",
    );
    check_error(
        "",
        &["trian.lr=1"],
        "--set trian.lr=1: unknown key `trian`; did you mean `train`?",
    );
    check_error(
        "train.epochs = 3",
        &["train.epochs=0"],
        "--set train.epochs=0: `train.epochs` = 0: expected a whole number from 1 to 1000000",
    );
    check_error(
        "",
        &["train.optimizer={name='sgd', momentum=2}"],
        "--set train.optimizer={name='sgd', momentum=2}: `train.optimizer.momentum` = 2: expected a number from 0 to below 1",
    );
    check_error(
        "",
        &["train.lr=fast"],
        "--set train.lr=fast: `train.lr` = \"fast\": expected a number above 0",
    );
    check_error(
        "",
        &["train=1"],
        "--set train=1: `train` = 1: expected a table",
    );
}

#[test]
fn an_override_that_says_nothing_is_an_error() {
    check_error(
        "",
        &["train.lr"],
        "--set train.lr: expected `key=value`, such as `train.lr=0.01`",
    );
    check_error(
        "train.lr = 1",
        &["train.lr.x=1"],
        "--set train.lr.x=1: `train.lr` is a plain value and has no keys inside",
    );
    for text in [
        "=1",
        "train.=1",
        "a b=1",
        "freeze.policy={from=layer3}",
        "train.lr='x",
        "train.x=[1",
    ] {
        let message = set("", &[text]).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("--set {text}: the ")),
            "{message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn nesting_without_end_is_an_error() {
    for deep in [
        "train.".repeat(100_000) + "lr=1",
        "freeze.policy=".to_owned() + &"[".repeat(100_000),
    ] {
        set("", &[&deep]).unwrap_err();
        set(&deep, &[]).unwrap_err();
    }
    set(&format!("[{}a]", "a.".repeat(100_000)), &[]).unwrap_err();
}
