//! The policy `auto`: the classic advice as cases, and what must hold whatever the numbers.

use proptest::prelude::*;
use regraft_freeze::*;

use super::{config, facts, network};

fn score(block: usize, score: f64, error: f64) -> DepthScore {
    DepthScore {
        block,
        score,
        error,
    }
}

/// Scores that rise to `peak` and fall behind it, by more than their errors.
fn peaking(blocks: usize, peak: usize) -> Vec<DepthScore> {
    (0..blocks)
        .map(|block| score(block, 0.9 - 0.05 * block.abs_diff(peak) as f64, 0.01))
        .collect()
}

fn choose(blocks: usize, images: usize, scores: &[DepthScore]) -> AutoChoice {
    choose_auto(&network(blocks), &facts(images), scores).unwrap()
}

/// How many blocks below the head train.
fn opened(outline: &Outline, facts: &DataFacts, choice: &AutoChoice) -> usize {
    let plan = resolve_auto(outline, facts, &FreezeConfig::default(), choice).unwrap();
    let head = outline.blocks.iter().filter(|block| !block.head).count();
    head.saturating_sub(plan.phases[0].frozen_blocks)
}

#[test]
fn the_classic_advice_in_cases() {
    use AutoRule::*;
    use Policy::*;
    // Twelve blocks, ten classes.
    for (images, peak, policy, rule) in [
        (190, 11, FeatureExtractor, LittleDataAlike),
        (200, 11, LastBlocks(2), SomeDataAlike),
        (1_000, 11, LastBlocks(4), SomeDataAlike),
        (3_000, 11, LastBlocks(6), SomeDataAlike),
        (10_000, 11, Full, MuchData),
        (190, 5, LastBlocks(2), LittleDataUnlike),
        (190, 10, LastBlocks(1), LittleDataUnlike),
        (200, 5, LastBlocks(7), SomeDataUnlike),
        (1_000, 5, LastBlocks(8), SomeDataUnlike),
        (3_000, 5, LastBlocks(9), SomeDataUnlike),
        (3_000, 0, Full, SomeDataUnlike),
        (10_000, 5, Full, MuchData),
    ] {
        let choice = choose(12, images, &peaking(12, peak));
        assert_eq!(
            (choice.policy, choice.rule),
            (policy, rule),
            "{images} {peak}"
        );
    }
    // Many classes with few images each.
    let many = DataFacts {
        train_images: 50_000,
        classes: 10_000,
        batch_size: 32,
    };
    assert_eq!(choose_auto(&network(12), &many, &[]).unwrap().policy, Full);
}

#[test]
fn the_deepest_within_one_standard_error_of_the_best_is_the_peak() {
    let close = [score(1, 0.90, 0.02), score(3, 0.89, 0.02)];
    assert_eq!(choose(4, 100, &close).rule, AutoRule::LittleDataAlike);
    let apart = [score(1, 0.90, 0.02), score(3, 0.87, 0.02)];
    assert_eq!(choose(4, 100, &apart).rule, AutoRule::LittleDataUnlike);
    let backwards = [apart[1], apart[0]];
    assert_eq!(choose(4, 100, &backwards), choose(4, 100, &apart));
}

#[test]
fn the_plan_says_that_auto_chose_and_by_which_numbers() {
    let outline = network(4);
    let scores = [
        score(0, 0.6, 0.03),
        score(1, 0.9125, 0.02),
        score(3, 0.85, 0.025),
    ];
    let choice = choose_auto(&outline, &facts(455), &scores).unwrap();
    let plan = resolve_auto(
        &outline,
        &facts(455),
        &config("policy = { auto = true, layer-decay = 0.5 }"),
        &choice,
    )
    .unwrap();
    assert_eq!(plan.policy, "auto: last-blocks = 3, layer-decay = 0.5");
    assert_eq!(
        plan.reason,
        "455 images, 45.5 a class; the probe scores 0.912 ± 0.020 after `layer1.1`, the best depth, and 0.850 ± 0.025 \
         after `layer2.1`, the last: enough data, unlike what the network knows: keep only the early layers and \
         retrain the rest; the head and the last 3 blocks train; batch norm keeps its statistics (455 images are \
         fewer than 10000)"
    );
    let plain = resolve_auto(&outline, &facts(455), &config("policy = \"auto\""), &choice).unwrap();
    assert!(
        plain.phases[0]
            .parameters
            .iter()
            .all(|p| p.lr_multiplier == 1.0)
    );
}

#[test]
fn scores_are_needed_unless_size_decides() {
    let outline = network(4);
    assert!(needs_scores(&outline, &facts(9_999)));
    assert!(!needs_scores(&outline, &facts(10_000)));
    assert!(!needs_scores(&network(0), &facts(10)));
    assert_eq!(
        choose_auto(&network(0), &facts(10), &[]).unwrap().policy,
        Policy::FeatureExtractor
    );
    assert_eq!(
        choose_auto(&outline, &facts(10), &[]),
        Err(Error::NeedsScores)
    );
    for bad in [
        score(4, 0.5, 0.1),
        score(0, f64::NAN, 0.1),
        score(0, 0.5, -0.1),
        score(0, 0.5, f64::INFINITY),
    ] {
        let message = choose_auto(&outline, &facts(10), &[score(1, 0.5, 0.1), bad])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("one of the 4 blocks below the head"),
            "{message}"
        );
    }
}

#[test]
fn blocks_without_parameters_are_not_counted() {
    // Blocks 1 and 3 are poolings, as in a VGG.
    let mut outline = network(4);
    outline.parameters.retain(|p| p.block != 1 && p.block != 3);
    let choice = choose_auto(&outline, &facts(500), &peaking(4, 3)).unwrap();
    assert_eq!(choice.policy, Policy::LastBlocks(2));
    // The features before the last pooling are the best: still no weights above them.
    let choice = choose_auto(&outline, &facts(100), &peaking(4, 2)).unwrap();
    assert_eq!(choice.rule, AutoRule::LittleDataAlike);
}

/// A network with some blocks that have no parameters, and perhaps a head that has none.
fn any_network() -> impl Strategy<Value = Outline> {
    let bare = prop::collection::vec(any::<bool>(), 1..24);
    (bare, any::<bool>()).prop_filter_map("something must be able to train", |(bare, bare_head)| {
        let blocks = bare.len();
        let mut outline = network(blocks);
        outline.parameters.retain(|p| match bare.get(p.block) {
            Some(bare) => !bare,
            None => !bare_head,
        });
        outline.norms.retain(|norm| !bare[norm.block]);
        (!outline.parameters.is_empty()).then_some(outline)
    })
}

fn any_scores() -> impl Strategy<Value = Vec<DepthScore>> {
    let one = (0usize..1000, 0.0f64..1.0, 0.0f64..0.1)
        .prop_map(|(block, value, error)| score(block, value, error));
    prop::collection::vec(one, 1..9)
}

proptest! {
    #[test]
    fn every_choice_resolves_and_gives_its_numbers(
        outline in any_network(),
        mut scores in any_scores(),
        train_images in 0usize..60_000,
        classes in 0usize..300,
    ) {
        let blocks = outline.blocks.len() - 1;
        for score in &mut scores {
            score.block %= blocks;
        }
        let facts = DataFacts { train_images, classes, batch_size: 32 };
        let choice = choose_auto(&outline, &facts, &scores).unwrap();
        let plan = resolve_auto(&outline, &facts, &FreezeConfig::default(), &choice).unwrap();
        prop_assert!(plan.policy.starts_with("auto: "));
        let count = format!("{train_images} images");
        prop_assert!(plan.reason.contains(&count), "{}", plan.reason);
        if needs_scores(&outline, &facts) {
            let best = scores.iter().map(|score| score.score).fold(0.0, f64::max);
            let best = format!("{best:.3} ±");
            prop_assert!(choice.reason.contains(&best), "{}", choice.reason);
        }
    }

    #[test]
    fn more_images_never_open_less(
        outline in any_network(),
        mut scores in any_scores(),
        images in 0usize..60_000,
        more in 0usize..60_000,
        classes in 1usize..300,
    ) {
        let blocks = outline.blocks.len() - 1;
        for score in &mut scores {
            score.block %= blocks;
        }
        let open = |train_images| {
            let facts = DataFacts { train_images, classes, batch_size: 32 };
            opened(&outline, &facts, &choose_auto(&outline, &facts, &scores).unwrap())
        };
        prop_assert!(open(images) <= open(images + more));
    }

    #[test]
    fn a_deeper_peak_never_opens_more(outline in any_network(), images in 0usize..12_000) {
        let blocks = outline.blocks.len() - 1;
        let open: Vec<usize> = (0..blocks)
            .map(|peak| opened(&outline, &facts(images), &choose_auto(&outline, &facts(images), &peaking(blocks, peak)).unwrap()))
            .collect();
        prop_assert!(open.windows(2).all(|pair| pair[0] >= pair[1]), "{:?}", open);
    }
}
