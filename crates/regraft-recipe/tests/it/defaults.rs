//! What the values mean, and what is meant where they are left out.

use regraft_freeze::FreezeConfig;
use regraft_recipe::{
    ClassWeights, EarlyStopping, FeatureCache, Head, HeadKind, Optimizer, PartialPreprocess,
    Precision, PreprocessSpec, Recipe, Schedule, ScheduleKind, Start, StopMetric, Taps,
};
use regraft_spec::{Augment, Channels, Crop, ImageSize, Interpolation, OnBadImage};

use crate::parse;

/// Every key, with the values of the documentation's example.
const EXAMPLE: &str = r#"
[model]
source = "resnet18-v1-7"         # a zoo name, a path, or a run folder
head = { kind = "linear" }
dropout = 0.0

[data]
source = "data/flowers"
validation = 0.2
preprocess = { size = 224, resize = 256, crop = "center", interpolation = "bilinear", channels = "rgb", scale = 0.00392156862745098, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }
augment = "standard"
on_bad_image = "error"

[freeze]
policy = "auto"
batch_norm = "auto"

[train]
epochs = 10
batch_size = 32
optimizer = { name = "sgd", momentum = 0.9, weight_decay = 1e-4 }
lr = 0.01
schedule = "one-cycle"
label_smoothing = 0.0
grad_clip = 0.0
micro_batches = 1
ema = 0.0
early_stopping = { patience = 5 }
seed = 42
shuffle = true
feature_cache = "auto"

[device]
name = "flex"
threads = 0
"#;

#[test]
fn the_example_is_the_default_but_for_what_it_names() {
    let example = Recipe::parse(EXAMPLE, "recipe.toml").unwrap();
    let mut expected = Recipe::new("resnet18-v1-7", "data/flowers");
    expected.data.preprocess = PreprocessSpec::Partial(PartialPreprocess {
        size: Some(ImageSize::square(224)),
        resize: Some(256),
        crop: Some(Crop::Center),
        interpolation: Some(Interpolation::Bilinear),
        channels: Some(Channels::Rgb),
        scale: Some(1.0 / 255.0),
        mean: Some(vec![0.485, 0.456, 0.406]),
        std: Some(vec![0.229, 0.224, 0.225]),
    });
    expected.data.augment = Augment::Standard;
    expected.train.optimizer = Optimizer::sgd();
    expected.train.lr = Some(0.01);
    expected.train.early_stopping = Some(EarlyStopping {
        patience: 5,
        metric: StopMetric::Accuracy,
    });
    expected.device.name = "flex".to_owned();
    expected.model.head.kind = HeadKind::Linear;
    expected.freeze.policy = example.freeze.policy.clone();
    assert_eq!(example, expected);
}

#[test]
fn two_sources_are_a_recipe() {
    let recipe = parse("").unwrap();
    assert_eq!(recipe, Recipe::new("m", "d"));

    assert_eq!(
        recipe.model.head,
        Head {
            kind: HeadKind::Auto,
            at: None,
            taps: Taps::Auto,
        }
    );
    assert_eq!(recipe.model.start, Start::Random);
    assert_eq!(recipe.model.dropout, 0.0);
    assert_eq!((recipe.data.classes, recipe.data.per_class), (None, None));
    assert_eq!(recipe.data.validation, 0.2);
    assert_eq!(recipe.data.preprocess, PreprocessSpec::Auto);
    assert_eq!(recipe.data.augment, Augment::None);
    assert_eq!(recipe.data.on_bad_image, OnBadImage::Error);
    assert_eq!(recipe.freeze, FreezeConfig::default());
    assert_eq!(
        (
            recipe.train.epochs,
            recipe.train.batch_size,
            recipe.train.lr
        ),
        (10, 32, None)
    );
    assert_eq!(recipe.train.optimizer, Optimizer::adamw());
    assert_eq!(
        recipe.train.schedule,
        Schedule {
            kind: ScheduleKind::OneCycle,
            warmup_epochs: None
        }
    );
    assert_eq!(
        (recipe.train.label_smoothing, recipe.train.grad_clip),
        (0.0, 0.0)
    );
    assert_eq!(recipe.train.early_stopping, None);
    assert_eq!(
        (
            recipe.train.seed,
            recipe.train.shuffle,
            recipe.train.checkpoint_every
        ),
        (42, true, 1)
    );
    assert_eq!(recipe.train.feature_cache, FeatureCache::Auto);
    assert_eq!(recipe.train.trunk_precision, Precision::F32);
    assert_eq!(
        (recipe.device.name.as_str(), recipe.device.threads),
        ("auto", 0)
    );
}

#[test]
fn the_learning_rate_follows_the_optimizer() {
    let lr = |text: &str| parse(text).unwrap().train.learning_rate();
    assert_eq!(lr(""), 0.001);
    assert_eq!(lr("train.optimizer = 'sgd'"), 0.01);
    assert_eq!(lr("train.optimizer = 'adamw'"), 0.001);
    assert_eq!(lr("train = { optimizer = 'sgd', lr = 0.1 }"), 0.1);
}

#[test]
fn each_optimizer_has_its_own_defaults() {
    let adamw = Optimizer::Adamw {
        betas: (0.9, 0.999),
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    let check = |value: &str, expected: Optimizer| {
        let recipe = parse(&format!("train.optimizer = {value}")).unwrap();
        assert_eq!(recipe.train.optimizer, expected, "{value}");
    };
    check("'sgd'", Optimizer::sgd());
    check("{}", Optimizer::adamw());
    check(
        "{ name = 'sgd', nesterov = true }",
        Optimizer::Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: true,
        },
    );
    check("'lion'", Optimizer::lion());
    check("'lamb'", Optimizer::lamb());
    check("'adamw'", adamw);
    check("{ name = 'adamw' }", adamw);
    check(
        "{ name = 'adamw', betas = [0.8, 0.9], weight_decay = 0 }",
        Optimizer::Adamw {
            betas: (0.8, 0.9),
            epsilon: 1e-8,
            weight_decay: 0.0,
        },
    );
}

#[test]
fn one_cycle_warms_up_for_three_tenths_of_the_training() {
    let check = |lines: &str, kind, warmup: f64| {
        let train = parse(lines).unwrap().train;
        assert_eq!(train.schedule.kind, kind, "{lines}");
        assert_eq!(train.schedule.warmup(train.epochs), warmup, "{lines}");
    };
    check("train.epochs = 7", ScheduleKind::OneCycle, 2.1);
    check("train.schedule = 'one-cycle'", ScheduleKind::OneCycle, 3.0);
    check(
        "train.schedule = { warmup_epochs = 1 }",
        ScheduleKind::OneCycle,
        1.0,
    );
    check("train.schedule = 'constant'", ScheduleKind::Constant, 0.0);
    check("train.schedule = 'step'", ScheduleKind::step(), 0.0);
    check(
        "train.schedule = { name = 'cosine-restarts', first = 10, grow = 2, warmup_epochs = 1 }",
        ScheduleKind::CosineRestarts { first: 10, grow: 2 },
        1.0,
    );
    check(
        "train.schedule = { name = 'cosine', warmup_epochs = 0.5 }",
        ScheduleKind::Cosine,
        0.5,
    );
}

#[test]
fn a_recipe_holds_only_what_was_asked_for_until_it_is_resolved() {
    let check = |lines: &str, asked, resolved| {
        let recipe = parse(lines).unwrap();
        let values = |recipe: &Recipe| (recipe.train.lr, recipe.train.schedule.warmup_epochs);
        assert_eq!(values(&recipe), asked, "{lines}");
        assert_eq!(values(&recipe.resolve_alone()), resolved, "{lines}");
    };
    check("", (None, None), (Some(0.001), Some(3.0)));
    check(
        "train = { optimizer = 'sgd', schedule = 'cosine' }",
        (None, None),
        (Some(0.01), Some(0.0)),
    );
    check(
        "train = { lr = 0.5, schedule = { warmup_epochs = 1 } }",
        (Some(0.5), Some(1.0)),
        (Some(0.5), Some(1.0)),
    );
}

#[test]
fn heads() {
    let check = |value: &str, kind, at: Option<&str>| {
        let recipe = parse(&format!("model.head = {value}")).unwrap();
        assert_eq!(
            recipe.model.head,
            Head {
                kind,
                at: at.map(str::to_owned),
                taps: Taps::Auto,
            },
            "{value}"
        );
    };
    check("'linear'", HeadKind::Linear, None);
    check(
        "{ at = '/layer3/Add' }",
        HeadKind::Auto,
        Some("/layer3/Add"),
    );
    check(
        "'mlp'",
        HeadKind::Mlp {
            hidden: 512,
            dropout: 0.0,
        },
        None,
    );
    check(
        "{ kind = 'mlp', hidden = 64, dropout = 0.5 }",
        HeadKind::Mlp {
            hidden: 64,
            dropout: 0.5,
        },
        None,
    );
    check("{ kind = 'keep' }", HeadKind::Keep, None);
}

#[test]
fn taps_are_auto_a_number_or_names() {
    let taps =
        |value: &str| parse(&format!("model.head.taps = {value}")).map(|r| r.model.head.taps);
    assert_eq!(taps("'auto'").unwrap(), Taps::Auto);
    assert_eq!(taps("3").unwrap(), Taps::Last(3));
    let names = ["layer3.1", "layer4.1:grid2"].map(str::to_owned).to_vec();
    assert_eq!(
        taps("['layer3.1', 'layer4.1:grid2']").unwrap(),
        Taps::Named(names)
    );
    for wrong in ["0", "[]", "'three'", "[1]"] {
        let message = taps(wrong).unwrap_err().to_string();
        assert!(message.contains("names of blocks in brackets"), "{message}");
    }
}

#[test]
fn a_head_is_solved_where_nothing_else_can_be_meant() {
    let kind = |lines: &str| parse(lines).unwrap().head_kind();
    assert_eq!(kind(""), HeadKind::Solved);
    assert_eq!(kind("model.head = 'linear'"), HeadKind::Linear);
    assert_eq!(kind("model.dropout = 0.2"), HeadKind::Linear);
    assert_eq!(kind("data.augment = 'light'"), HeadKind::Linear);
    assert_eq!(kind("train.epochs = 20"), HeadKind::Linear);
    assert_eq!(kind("train.sampling = 'balanced'"), HeadKind::Linear);
    assert_eq!(kind("train.mixup = 0.2"), HeadKind::Linear);
    assert_eq!(kind("train.seed = 7"), HeadKind::Solved);
    assert_eq!(kind("freeze.policy = 'full'"), HeadKind::Linear);
    assert_eq!(
        kind("freeze.policy = 'full'\nmodel.head.taps = 2"),
        HeadKind::Solved
    );
    let full = parse("freeze.policy = 'full'\nmodel.start = 'solved'").unwrap();
    assert!(full.solves() && !full.only_solves());
}

#[test]
fn class_weights_are_by_name_or_balanced() {
    let check = |value: &str, expected: ClassWeights| {
        let recipe = parse(&format!("train.class_weights = {value}")).unwrap();
        assert_eq!(recipe.train.class_weights, expected, "{value}");
        // A solved head has a use for them.
        assert_eq!(recipe.head_kind(), HeadKind::Solved, "{value}");
    };
    check("'none'", ClassWeights::Equal);
    check("'balanced'", ClassWeights::Balanced);
    let named = [("cat".to_owned(), 2.0), ("a dog".to_owned(), 0.5)];
    check(
        "{ cat = 2, 'a dog' = 0.5 }",
        ClassWeights::Named(named.into()),
    );
}

#[test]
fn early_stopping_is_a_table_or_none() {
    let check = |value: &str, expected| {
        let recipe = parse(&format!("train.early_stopping = {value}")).unwrap();
        assert_eq!(recipe.train.early_stopping, expected, "{value}");
    };
    check("'none'", None);
    check(
        "{}",
        Some(EarlyStopping {
            patience: 5,
            metric: StopMetric::Accuracy,
        }),
    );
    check(
        "{ patience = 2, metric = 'loss' }",
        Some(EarlyStopping {
            patience: 2,
            metric: StopMetric::Loss,
        }),
    );
}

#[test]
fn sections_may_be_headers_or_dotted_keys() {
    let headers = "[model]\nsource = 'm'\n[data]\nsource = 'd'\n[data.preprocess]\nsize = 96\n[train.optimizer]\nname = 'adamw'";
    let headers = Recipe::parse(headers, "recipe.toml").unwrap();
    let dotted = parse("train.optimizer.name = 'adamw'\ndata.preprocess.size = 96").unwrap();
    assert_eq!(headers, dotted);
}
