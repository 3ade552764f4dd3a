//! The recipe of a run folder, which tells what was asked for from what it came to.

use proptest::prelude::*;
use regraft_freeze::Policy;
use regraft_recipe::{Optimizer, Recipe, ResolvedRecipe, annotated, read};
use regraft_spec::{ImageSize, Preprocess};

use crate::parse;
use crate::round_trip::recipe;

/// What the recipe comes to on an ImageNet model.
fn resolved(asked: &Recipe) -> ResolvedRecipe {
    let mut freeze = asked.freeze.clone();
    if freeze.policy == Policy::Auto {
        freeze.policy = Policy::LastBlocks(2);
    }
    asked.resolve(
        freeze,
        asked.data.preprocess.resolve(&Preprocess::default()),
    )
}

fn run(lines: &str) -> String {
    let asked = parse(lines).unwrap();
    annotated(&asked, &resolved(&asked))
}

#[test]
fn only_what_was_asked_for_is_a_plain_line() {
    let expected = r#"# Lines without `#` are what was asked for. The comments give the other values of this run: defaults, and what followed
# from the model, the data or other keys.

[model]
source = "m"
# output = "auto"
# head = { kind = "linear" }
# start = "random"
# dropout = 0.0

[data]
source = "d"
# shifted = "none"
# classes = "all"
# per_class = "all"
# validation = 0.2
preprocess = { size = 96 }
# came to: { size = 96, resize = 96, crop = "center", interpolation = "bilinear", channels = "rgb", scale = 0.003921569, mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }
# augment = "none"
# on_bad_image = "error"

[freeze]
policy = "auto"
# came to: { last-blocks = 2 }
# batch_norm = "auto"

[train]
# epochs = 10
# budget = "none"
# batch_size = 32
optimizer = { name = "sgd", momentum = 0.9, nesterov = false, weight_decay = 0.0001 }
# lr = 0.01
schedule = { name = "cosine" }
# came to: { name = "cosine", warmup_epochs = 0.0 }
# label_smoothing = 0.0
# mixup = 0.0
# cutmix = 0.0
# class_weights = "none"
# grad_clip = 0.0
# micro_batches = 1
# ema = 0.0
# swa = 0.0
# early_stopping = "none"
# seed = 42
# shuffle = true
# sampling = "shuffle"
# feature_cache = "auto"
# trunk_precision = "f32"
# checkpoint_every = 1

[device]
# name = "auto"
# threads = 0
"#;
    let lines = "data.preprocess.size = 96\nfreeze.policy = 'auto'\ntrain = { optimizer = 'sgd', schedule = 'cosine' }";
    assert_eq!(run(lines), expected);
}

#[test]
fn a_derived_value_is_plain_only_when_it_was_asked_for() {
    let text = run("");
    for line in [
        "# lr = 0.001",
        "# schedule = { name = \"one-cycle\", warmup_epochs = 3.0 }",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{text}");
    }
    assert!(
        text.contains("\n# preprocess = { size = 224, resize = 256, "),
        "{text}"
    );
    assert!(run("train.lr = 0.001").contains("\nlr = 0.001\n"));
}

#[test]
fn a_source_that_came_to_another_says_so() {
    let asked = Recipe::new("m", "d");
    let text = annotated(&asked, &Recipe::new("/models/m.onnx", "d").resolve_alone());
    assert!(
        text.contains("source = \"m\"\n# came to: \"/models/m.onnx\"\n"),
        "{text}"
    );
    assert!(text.contains("source = \"d\"\n# shifted"), "{text}");
}

#[test]
fn an_override_takes_the_derived_values_along() {
    let text = run("data.preprocess.size = 96");
    let with = |text: &str, overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        read(Some(("recipe.toml", text)), &overrides).unwrap()
    };
    let recipe = with(
        &text,
        &[
            "train.epochs=2",
            "train.optimizer=sgd",
            "data.preprocess.size=32",
        ],
    );
    assert_eq!(recipe.train.schedule.warmup(recipe.train.epochs), 0.6);
    assert_eq!(recipe.train.optimizer, Optimizer::sgd());
    assert_eq!(recipe.train.learning_rate(), 0.01);
    let preprocess = recipe.data.preprocess.resolve(&Preprocess::default());
    let size = (preprocess.size, preprocess.resize);
    assert_eq!(size, (ImageSize::square(32), 32));

    let again = with(
        &run("train.optimizer = 'sgd'"),
        &["train.optimizer.name=adamw"],
    );
    assert_eq!(again.train.optimizer, Optimizer::adamw());
}

proptest! {
    #[test]
    fn reading_it_gives_what_was_asked_for(asked in recipe(), other in recipe()) {
        for resolved in [&other.resolve_alone(), &resolved(&asked)] {
            let text = annotated(&asked, resolved);
            let read = Recipe::parse(&text, "recipe.toml")
                .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(&read, &asked);
        }
    }
}
