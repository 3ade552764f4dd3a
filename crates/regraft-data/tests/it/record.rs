//! What a data set held, compared with what it holds; and the bounds that keep loading within what there is.

use std::path::Path;

use regraft_data::*;

use crate::{folder, small};

const DRAW: OpenOptions = OpenOptions {
    validation: 0.2,
    seed: 1,
};

fn recorded(root: &Path) -> (Dataset, Vec<ImageRecord>) {
    let data = open(root, &DRAW).unwrap();
    let records = records(&data, root, &mut |_, _| {});
    (data, records)
}

fn names(set: &ImageSet, root: &Path) -> Vec<String> {
    let key = |sample| ImageRecord::key(sample, root);
    set.samples.iter().map(key).collect()
}

#[test]
fn a_record_survives_being_written_and_read() {
    let root = folder(&["a, \"quoted\"", "b"], 5);
    let (_, records) = recorded(root.path());
    assert_eq!(records.len(), 10);
    assert!(records.iter().all(|record| record.sha256.len() == 64));
    // The SHA-256 that any other program computes of the file.
    let file = root.path().join("b/00.png");
    let first = records.iter().find(|r| r.image == "b/00.png").unwrap();
    let copy = root.path().join("b/copy.png");
    std::fs::copy(file, copy).unwrap();
    let again = recorded(root.path()).1;
    let copied = again.iter().find(|r| r.image == "b/copy.png").unwrap();
    assert_eq!(first.sha256, copied.sha256);

    let path = root.path().join("split.csv");
    std::fs::write(&path, write_records(&records).unwrap()).unwrap();
    assert_eq!(read_records(&path).unwrap(), records);
    std::fs::write(&path, "image,class\na,b\n").unwrap();
    let message = read_records(&path).unwrap_err().to_string();
    assert!(message.contains("split.csv"), "{message}");
}

#[test]
fn every_kind_of_change_is_named() {
    let root = folder(&["a", "b"], 5);
    let (_, before) = recorded(root.path());
    let at = |name: &str| root.path().join(name);
    assert!(changes(&before, &recorded(root.path()).1).is_empty());
    std::fs::rename(at("a/00.png"), at("a/new.png")).unwrap();
    std::fs::copy(at("b/03.png"), at("b/02.png")).unwrap();
    let found = changes(&before, &recorded(root.path()).1);
    assert_eq!(found.added, ["a/new.png"]);
    assert_eq!(found.removed, ["a/00.png"]);
    assert_eq!(found.changed, ["b/02.png"]);
    let text = found.to_string();
    assert!(text.contains("1 image added (a/new.png)"), "{text}");
}

/// A data set that grew keeps every image in its split; what is new trains or is left out.
#[test]
fn recorded_splits_stay_whatever_is_added() {
    let root = folder(&["a", "b"], 10);
    let (drawn, record) = recorded(root.path());
    let path = root.path();
    let undrawn = || {
        let options = OpenOptions {
            validation: 0.0,
            ..DRAW
        };
        open(path, &options).unwrap()
    };
    let same = with_recorded_splits(undrawn(), path, &record, Unknown::Train);
    assert_eq!(same.train, drawn.train);
    assert_eq!(same.validation, drawn.validation);
    for index in 0..7 {
        std::fs::copy(path.join("a/00.png"), path.join(format!("a/x{index}.png"))).unwrap();
    }
    let grown = with_recorded_splits(undrawn(), path, &record, Unknown::Train);
    assert_eq!(grown.validation, drawn.validation);
    assert_eq!(grown.train.samples.len(), drawn.train.samples.len() + 7);
    let left_out = with_recorded_splits(undrawn(), path, &record, Unknown::LeftOut);
    assert_eq!(names(&left_out.train, path), names(&drawn.train, path));
}

#[test]
fn a_split_without_images_is_none() {
    let root = folder(&["a", "b"], 1);
    let data = open(root.path(), &DRAW).unwrap();
    assert!(data.validation.is_none());
    let warnings = data.warnings.join("\n");
    assert!(
        warnings.contains("2 classes have a single image"),
        "{warnings}"
    );
    assert!(warnings.contains("there is no validation"), "{warnings}");
}

#[test]
fn a_label_outside_the_classes_is_an_error() {
    let root = folder(&["a", "b"], 2);
    let mut set = open_split(root.path(), None).unwrap();
    set.samples[1].label = 2;
    let message = Loader::new(set, LoaderOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("label 2") && message.contains("2 classes"),
        "{message}"
    );
}

#[test]
fn the_rest_of_an_epoch_is_that_of_the_whole_one() {
    let root = folder(&["a", "b"], 7);
    let set = open_split(root.path(), None).unwrap();
    let options = LoaderOptions {
        preprocess: small(),
        augment: Augment::Light,
        batch_size: 4,
        shuffle: true,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(set, options).unwrap();
    let whole: Vec<Batch> = loader.epoch(3).map(Result::unwrap).collect();
    for first in 0..=whole.len() {
        let rest: Vec<Batch> = loader.epoch_from(3, first).map(Result::unwrap).collect();
        assert_eq!(rest, whole[first..]);
    }
}

#[test]
fn absurd_numbers_cost_nothing() {
    let root = folder(&["a", "b"], 3);
    let set = open_split(root.path(), None).unwrap();
    let options = LoaderOptions {
        preprocess: small(),
        batch_size: usize::MAX,
        prefetch: usize::MAX,
        threads: usize::MAX,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(set, options).unwrap();
    assert_eq!(loader.batches_per_epoch(), 1);
    assert_eq!(loader.epoch(0).next().unwrap().unwrap().shape[0], 6);
    assert!(usable_threads(usize::MAX) < 1 << 16);
    assert_eq!(usable_threads(1), 1);
}
