//! Folders of real image files, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod idx;
mod planes;
mod record;

use std::path::Path;

use image::{Rgb, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;
use regraft_data::*;

/// `count` images of each class, each of its own colour.
fn folder(classes: &[&str], count: u8) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (label, class) in classes.iter().enumerate() {
        fill(&root.path().join(class), label as u8, count);
    }
    root
}

fn fill(folder: &Path, label: u8, count: u8) {
    std::fs::create_dir_all(folder).unwrap();
    for index in 0..count {
        let pixel = Rgb([label * 40, index * 10, 99]);
        RgbImage::from_pixel(9, 7, pixel)
            .save(folder.join(format!("{index:02}.png")))
            .unwrap();
    }
}

fn small() -> Preprocess {
    Preprocess {
        size: regraft_data::ImageSize::square(4),
        resize: 4,
        ..Preprocess::default()
    }
}

fn refusal(path: &Path) -> String {
    open(
        path,
        &OpenOptions {
            validation: 0.2,
            seed: 1,
        },
    )
    .unwrap_err()
    .to_string()
}

#[test]
fn a_stratified_split_keeps_the_shares_of_classes() {
    let root = folder(&["a", "b", "c"], 10);
    let data = open(
        root.path(),
        &OpenOptions {
            validation: 0.2,
            seed: 1,
        },
    )
    .unwrap();
    assert_eq!(data.train.counts(), [8, 8, 8]);
    assert_eq!(data.validation.unwrap().counts(), [2, 2, 2]);
}

#[test]
fn folders_that_are_laid_out_otherwise_say_what_is_expected() {
    let root = folder(&["a"], 2);
    assert!(refusal(root.path()).contains("one class, `a`"));
    assert!(refusal(&root.path().join("a")).contains("2 images but no class folders"));
    assert!(refusal(&root.path().join("nowhere")).contains("there is no such folder"));
    std::fs::create_dir(root.path().join("b")).unwrap();
    assert!(refusal(root.path()).contains("class `b`"));
}

#[test]
fn a_test_class_that_training_lacks_is_named() {
    let root = tempfile::tempdir().unwrap();
    for (label, class) in ["train/a", "train/b", "test/a", "test/zebra"]
        .into_iter()
        .enumerate()
    {
        fill(&root.path().join(class), label as u8, 2);
    }
    let message = refusal(root.path());
    assert!(
        message.contains("class `zebra`") && message.contains("a, b"),
        "{message}"
    );
}

#[test]
fn a_broken_image_is_an_error_or_left_out() {
    let root = folder(&["a", "b"], 3);
    std::fs::write(root.path().join("a/01.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    let data = open(
        root.path(),
        &OpenOptions {
            validation: 0.0,
            seed: 1,
        },
    )
    .unwrap();
    let load = |on_bad_image| {
        let options = LoaderOptions {
            preprocess: small(),
            on_bad_image,
            ..LoaderOptions::default()
        };
        Loader::new(data.train.clone(), options)
            .unwrap()
            .epoch(0)
            .collect::<Result<Vec<_>, _>>()
    };
    assert!(
        load(OnBadImage::Error)
            .unwrap_err()
            .to_string()
            .contains("01.png")
    );
    let batches = load(OnBadImage::Skip).unwrap();
    assert_eq!((batches[0].shape[0], batches[0].skipped.len()), (5, 1));
}

#[test]
fn transparency_lies_on_white() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("clear.png");
    RgbaImage::from_pixel(2, 2, Rgba([0, 0, 0, 0]))
        .save(&path)
        .unwrap();
    assert_eq!(decode(&path).unwrap().rgb, [255; 12]);
}

#[test]
fn an_image_that_a_balanced_epoch_repeats_is_varied_otherwise_each_time() {
    let root = folder(&["a", "b"], 6);
    for file in ["a/01.png", "a/02.png", "a/03.png", "a/04.png", "a/05.png"] {
        std::fs::remove_file(root.path().join(file)).unwrap();
    }
    let options = OpenOptions {
        validation: 0.0,
        seed: 1,
    };
    let set = open(root.path(), &options).unwrap().train;
    let options = LoaderOptions {
        preprocess: small(),
        augment: Augment::Standard,
        sampling: Sampling::Balanced,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(set, options).unwrap();
    let batch = loader.epoch(3).next().unwrap().unwrap();
    assert_eq!(batch.indices, loader.order(3));
    let ones: usize = batch.labels.iter().sum();
    assert!(ones == 3 || ones == 4, "{:?}", batch.labels);
    let [_, c, h, w] = batch.shape;
    let alone = batch.labels.iter().zip(batch.pixels.chunks(c * h * w));
    let alone: Vec<_> = alone.filter(|(label, _)| **label == 0).collect();
    assert!(alone.windows(2).all(|pair| pair[0] != pair[1]));
    // Every image once, in order, where features are computed.
    let indices: Vec<_> = loader.in_order().next().unwrap().unwrap().indices;
    assert_eq!(indices, (0..7).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn batches_are_the_same_for_any_number_of_threads(seed in any::<u64>(), epoch in 0usize..4, batch_size in 1usize..7) {
        let root = folder(&["a", "b"], 6);
        let data = open(root.path(), &OpenOptions { validation: 0.0, seed: 1 }).unwrap();
        let load = |threads, prefetch| {
            let options = LoaderOptions { preprocess: small(), augment: Augment::Standard, batch_size, seed, shuffle: true, threads, prefetch, ..LoaderOptions::default() };
            Loader::new(data.train.clone(), options).unwrap().epoch(epoch).collect::<Result<Vec<_>, _>>().unwrap()
        };
        prop_assert!(load(1, 1) == load(4, 3));
    }

    #[test]
    fn an_order_is_a_permutation(len in 0usize..200, seed in any::<u64>(), epoch in 0usize..9) {
        let mut shuffled = order(len, seed, epoch, true);
        shuffled.sort_unstable();
        prop_assert_eq!(shuffled, (0..len).collect::<Vec<_>>());
    }
}
