//! A recipe that is written and read again is the same recipe.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use regraft_freeze::{BatchNorm, FreezeConfig, Policy};
use regraft_recipe::*;
use regraft_spec::{Augment, Channels, Crop, ImageSize, Interpolation, OnBadImage, Sampling};

fn below_one() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..1.0, Just(1e-300)]
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![1e-12..1.0, Just(f64::MIN_POSITIVE), Just(f64::MAX)]
}

fn count() -> impl Strategy<Value = usize> {
    1..=65_536usize
}

/// Any text but none, line breaks included.
fn text() -> &'static str {
    "(?s).+"
}

fn taps() -> impl Strategy<Value = Taps> {
    prop_oneof![
        Just(Taps::Auto),
        (1usize..1_000_000).prop_map(Taps::Last),
        prop::collection::vec("[a-z0-9.:]{1,9}", 1..4).prop_map(Taps::Named),
    ]
}

fn model() -> impl Strategy<Value = ModelSection> {
    let kind = prop_oneof![
        Just(HeadKind::Linear),
        (count(), below_one()).prop_map(|(hidden, dropout)| HeadKind::Mlp { hidden, dropout }),
    ];
    let head = (kind, option::of(text()), below_one()).prop_map(|(kind, at, dropout)| {
        let taps = Taps::Auto;
        (Head { kind, at, taps }, dropout)
    });
    let solved = (option::of(text()), taps()).prop_map(|(at, taps)| {
        let kind = HeadKind::Solved;
        (Head { kind, at, taps }, 0.0)
    });
    let head = prop_oneof![
        head,
        solved,
        Just((
            Head {
                kind: HeadKind::Keep,
                at: None,
                taps: Taps::Auto,
            },
            0.0
        ))
    ];
    let start = prop_oneof![Just(Start::Random), Just(Start::Solved)];
    let source = (text(), option::of(text()));
    (source, head, start).prop_map(|((source, output), (head, dropout), start)| ModelSection {
        source,
        output,
        head,
        start,
        dropout,
    })
}

fn preprocess() -> impl Strategy<Value = PreprocessSpec> {
    let number = prop_oneof![-10f32..10.0, Just(0.485f32)];
    let positive = prop_oneof![1e-6f32..10.0, Just(1.0f32 / 255.0)];
    let channels = select(vec![1, 3]).prop_flat_map(move |n| {
        (
            option::of(prop::collection::vec(number.clone(), n)),
            option::of(prop::collection::vec(positive.clone(), n)),
            option::of(positive.clone()),
        )
    });
    let words = (
        option::of(select(vec![Crop::Center, Crop::Squash])),
        option::of(select(vec![
            Interpolation::Nearest,
            Interpolation::Bilinear,
            Interpolation::Bicubic,
            Interpolation::Lanczos,
        ])),
        option::of(select(vec![Channels::Rgb, Channels::Bgr, Channels::Grey])),
    );
    let table = (
        option::of((1..500u32, 1..500u32, any::<bool>())),
        option::of(500..900u32),
        words,
        channels,
    )
        .prop_map(
            |(size, resize, (crop, interpolation, channels), (mean, std, scale))| {
                PreprocessSpec::Partial(PartialPreprocess {
                    size: size.map(|(height, width, square)| ImageSize {
                        height,
                        width: if square { height } else { width },
                    }),
                    resize,
                    crop,
                    interpolation,
                    channels,
                    scale,
                    mean,
                    std,
                })
            },
        );
    prop_oneof![Just(PreprocessSpec::Auto), table]
}

fn data() -> impl Strategy<Value = DataSection> {
    (
        (text(), proptest::option::of(text())),
        (
            proptest::option::of(proptest::collection::vec(text(), 2..5)),
            proptest::option::of(count()),
        ),
        below_one(),
        preprocess(),
        select(vec![Augment::None, Augment::Light, Augment::Standard]),
        select(vec![OnBadImage::Error, OnBadImage::Skip]),
    )
        .prop_map(
            |(
                (source, shifted),
                (classes, per_class),
                validation,
                preprocess,
                augment,
                on_bad_image,
            )| {
                DataSection {
                    source,
                    shifted,
                    classes,
                    per_class,
                    validation,
                    preprocess,
                    augment,
                    on_bad_image,
                }
            },
        )
}

fn freeze() -> impl Strategy<Value = FreezeConfig> {
    let policy = prop_oneof![
        Just(Policy::Full),
        Just(Policy::FeatureExtractor),
        count().prop_map(Policy::LastBlocks),
        text().prop_map(Policy::From),
    ];
    let batch_norm = select(vec![
        BatchNorm::Auto,
        BatchNorm::Frozen,
        BatchNorm::Updated,
        BatchNorm::AffineOnly,
    ]);
    (policy, batch_norm).prop_map(|(policy, batch_norm)| FreezeConfig {
        policy,
        batch_norm,
        ..FreezeConfig::default()
    })
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    prop_oneof![
        (below_one(), positive(), any::<bool>()).prop_map(|(momentum, weight_decay, nesterov)| {
            Optimizer::Sgd {
                momentum,
                weight_decay,
                nesterov,
            }
        }),
        ((below_one(), below_one()), positive(), positive()).prop_map(
            |(betas, epsilon, weight_decay)| Optimizer::Adamw {
                betas,
                epsilon,
                weight_decay
            }
        ),
        ((below_one(), below_one()), positive()).prop_map(|(betas, weight_decay)| {
            Optimizer::Lion {
                betas,
                weight_decay,
            }
        }),
        ((below_one(), below_one()), positive(), positive()).prop_map(
            |(betas, epsilon, weight_decay)| Optimizer::Lamb {
                betas,
                epsilon,
                weight_decay
            }
        ),
    ]
}

fn class_weights() -> impl Strategy<Value = ClassWeights> {
    prop_oneof![
        Just(ClassWeights::Equal),
        Just(ClassWeights::Balanced),
        prop::collection::btree_map(text(), positive(), 1..4).prop_map(ClassWeights::Named),
    ]
}

fn train() -> impl Strategy<Value = TrainSection> {
    let kinds = vec![
        ScheduleKind::Constant,
        ScheduleKind::Cosine,
        ScheduleKind::OneCycle,
        ScheduleKind::Step {
            every: 7,
            factor: 0.3,
        },
        ScheduleKind::CosineRestarts { first: 4, grow: 3 },
    ];
    let stopping = (
        count(),
        select(vec![StopMetric::Accuracy, StopMetric::Loss]),
    )
        .prop_map(|(patience, metric)| EarlyStopping { patience, metric });
    let time = (
        1..=1_000_000usize,
        select(kinds),
        option::of(below_one()),
        option::of(stopping),
        count(),
        option::of(1.0..8.64e6f64),
    );
    let step = (
        count(),
        optimizer(),
        option::of(positive()),
        below_one(),
        positive(),
        (class_weights(), positive(), below_one()),
    );
    let rest = (
        0..=i64::MAX as u64,
        (
            any::<bool>(),
            select(vec![Sampling::Shuffle, Sampling::Balanced]),
        ),
        select(vec![
            FeatureCache::Auto,
            FeatureCache::Off,
            FeatureCache::Memory,
            FeatureCache::Disk,
        ]),
        select(vec![Precision::F32, Precision::Bf16]),
        1..=65_536usize,
        (0.0..1.0f64, 0.0..1.0f64),
    );
    (time, step, rest).prop_map(
        |(
            (epochs, kind, share, early_stopping, checkpoint_every, budget),
            (batch_size, optimizer, lr, label_smoothing, grad_clip, (class_weights, mixup, cutmix)),
            (seed, (shuffle, sampling), feature_cache, trunk_precision, micro_batches, (ema, swa)),
        )| TrainSection {
            epochs,
            budget,
            batch_size,
            optimizer,
            lr,
            schedule: Schedule {
                kind,
                warmup_epochs: share.map(|share| share * epochs as f64),
            },
            label_smoothing,
            mixup,
            cutmix,
            class_weights,
            grad_clip,
            micro_batches,
            ema,
            swa,
            early_stopping,
            seed,
            shuffle,
            sampling,
            feature_cache,
            trunk_precision,
            checkpoint_every,
        },
    )
}

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    let device = (text(), 0..1000usize).prop_map(|(name, threads)| DeviceSection { name, threads });
    (model(), data(), freeze(), train(), device).prop_map(|(model, data, freeze, train, device)| {
        Recipe {
            model,
            data,
            freeze,
            train,
            device,
        }
    })
}

proptest! {
    #[test]
    fn a_written_recipe_reads_as_itself(recipe in recipe()) {
        let text = recipe.to_toml();
        prop_assert_eq!(Recipe::parse(&text, "recipe.toml").map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?, recipe);
    }

    #[test]
    fn any_text_is_a_recipe_or_an_error(text in ".*", value in ".*") {
        let _ = Recipe::parse(&text, "recipe.toml");
        let _ = read(Some(("recipe.toml", "train.lr = 1")), &[format!("train.{value}"), text]);
    }

    #[test]
    fn any_value_under_a_known_key_is_read_or_refused(
        key in select(KEYS.iter().map(|info| info.key).collect::<Vec<_>>()),
        value in "(-?[0-9]{1,20}(\\.[0-9])?|[a-z-]{0,8}|\\[[0-9.]{0,4}\\]|\\{[a-z]{1,4}=[0-9]\\}|nan|1979-05-27)",
    ) {
        let _ = Recipe::parse(&format!("{key} = {value}"), "recipe.toml");
        let _ = read(None, &[format!("{key}={value}")]);
    }
}

#[test]
fn a_written_recipe_is_tidy() {
    let mut recipe = Recipe::new("resnet18-v1-7", "data/flowers");
    recipe.freeze = FreezeConfig {
        policy: Policy::LastBlocks(2),
        batch_norm: BatchNorm::Frozen,
        ..FreezeConfig::default()
    };
    recipe.data.preprocess = PreprocessSpec::Partial(PartialPreprocess {
        size: Some(ImageSize::square(96)),
        scale: Some(1.0 / 255.0),
        mean: Some(vec![0.485, 0.456, 0.406]),
        ..Default::default()
    });
    recipe.train.early_stopping = Some(EarlyStopping::default());
    recipe.model.head.kind = HeadKind::Linear;
    let expected = r#"[model]
source = "resnet18-v1-7"
output = "auto"
head = { kind = "linear" }
start = "random"
dropout = 0.0

[data]
source = "data/flowers"
shifted = "none"
classes = "all"
per_class = "all"
validation = 0.2
preprocess = { size = 96, scale = 0.003921569, mean = [0.485, 0.456, 0.406] }
augment = "none"
on_bad_image = "error"

[freeze]
policy = { last-blocks = 2 }
batch_norm = "frozen"

[train]
epochs = 10
budget = "none"
batch_size = 32
optimizer = { name = "adamw", betas = [0.9, 0.999], epsilon = 0.00000001, weight_decay = 0.01 }
schedule = { name = "one-cycle" }
label_smoothing = 0.0
mixup = 0.0
cutmix = 0.0
class_weights = "none"
grad_clip = 0.0
micro_batches = 1
ema = 0.0
swa = 0.0
early_stopping = { patience = 5, metric = "accuracy" }
seed = 42
shuffle = true
sampling = "shuffle"
feature_cache = "auto"
trunk_precision = "f32"
checkpoint_every = 1

[device]
name = "auto"
threads = 0
"#;
    assert_eq!(recipe.to_toml(), expected);
    let resolved = expected.replace(
        "schedule = { name = \"one-cycle\" }",
        "lr = 0.001\nschedule = { name = \"one-cycle\", warmup_epochs = 3.0 }",
    );
    assert_eq!(recipe.resolve_alone().to_toml(), resolved);
}
