//! Classes with more and fewer images, and what is done about it.

use std::path::Path;
use std::sync::atomic::Ordering;

use regraft::onnx::{Graph, ImportOptions, Model};
use regraft::{
    Classifier, Error, Event, Recipe, ResumeOptions, RunOptions, Silent, prepare, resume, train,
};

use crate::{images, recipe, run, squeezenet};

/// The values of a run's classifier.
fn classifier(recipe: &Recipe, folder: &Path) -> Vec<f32> {
    run(recipe, folder);
    values(folder)
}

fn values(folder: &Path) -> Vec<f32> {
    let model = Model::open(&folder.join("last.onnx")).unwrap();
    let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
    graph.parameters.last().unwrap().data.to_vec()
}

/// Stops a run after so many steps, goes on with it, and gives the values of its classifier.
fn interrupted(recipe: &Recipe, folder: &Path, steps: usize) -> (bool, Vec<f32>) {
    let options = RunOptions {
        out: Some(folder.to_owned()),
        ..RunOptions::default()
    };
    let stop = options.stop.clone();
    let mut done = 0;
    let planned = prepare(recipe).unwrap();
    let cut = train(&planned, &options, &mut |event: &Event<'_>| {
        done += usize::from(matches!(event, Event::Step(_)));
        stop.store(done >= steps, Ordering::Relaxed);
    });
    let cut = cut.is_err_and(|error| error.is_interruption());
    resume(folder, &ResumeOptions::default(), &mut Silent).unwrap();
    (cut, values(folder))
}

#[test]
fn class_weights_change_what_is_trained_and_what_is_solved() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    for class in ["flag", "meal"] {
        let some = std::fs::read_dir(data.join(class)).unwrap().take(2);
        some.for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    }
    for head in ["linear", "solved"] {
        let values = |weights: &str| {
            let overrides = [
                format!("model.head={head}"),
                format!("train.class_weights={weights}"),
            ];
            let overrides = overrides.each_ref().map(String::as_str);
            let out = tempfile::tempdir().unwrap();
            classifier(&recipe(&squeezenet(), &data, &overrides), out.path())
        };
        let (plain, balanced) = (values("none"), values("balanced"));
        assert_ne!(plain, balanced, "{head}");
        // 16 images of five classes.
        let by_hand = "{ animal = 0.8, flag = 1.6, meal = 1.6, person = 0.8, vehicle = 0.8 }";
        assert_eq!(values(by_hand), balanced, "{head}");
    }
}

#[test]
fn a_weight_of_a_class_that_there_is_not_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let refused = |name: &str| {
        let weights = format!("train.class_weights={{ {name} = 2 }}");
        let error = prepare(&recipe(&squeezenet(), &data, &[&weights])).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }) && error.is_usage());
        error.to_string()
    };
    assert_eq!(
        refused("persn"),
        "`train.class_weights`: the images have no class `persn`; did you mean `person`?"
    );
    let unlike = refused("zzz");
    assert!(unlike.contains("there are animal, flag"), "{unlike}");
}

#[test]
fn balanced_sampling_goes_with_stored_features_and_resumes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let some = std::fs::read_dir(data.join("flag")).unwrap().take(3);
    some.for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap());
    let recipe = |more: &[&str]| {
        let balanced = ["train.sampling=balanced", "train.epochs=3"];
        recipe(&squeezenet(), &data, &[&balanced, more].concat())
    };
    let whole = classifier(&recipe(&[]), &folder.path().join("whole"));
    let shuffled = classifier(
        &recipe(&["train.sampling=shuffle"]),
        &folder.path().join("shuffled"),
    );
    assert_ne!(whole, shuffled);
    let images = classifier(
        &recipe(&["train.feature_cache=off"]),
        &folder.path().join("pixels"),
    );
    for (a, b) in whole.iter().zip(&images) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
    let (cut, resumed) = interrupted(&recipe(&[]), &folder.path().join("cut"), 4);
    assert_eq!((cut, resumed), (true, whole));
}

#[test]
fn what_contradicts_balanced_sampling_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    for (other, word) in [
        ("train.shuffle=false", "`train.shuffle` is false"),
        ("train.class_weights=balanced", "`train.class_weights"),
        ("model.head=solved", "a solved head takes no steps"),
    ] {
        let overrides = ["train.sampling=balanced", other];
        let error = prepare(&recipe(&squeezenet(), &data, &overrides)).unwrap_err();
        let message = error.to_string();
        assert!(error.is_usage() && message.starts_with("`train.sampling`: "));
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn keys_of_training_are_refused_where_nothing_trains_and_so_are_two_averages() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let refused = |overrides: &[&str], key: &str, word: &str| {
        let error = prepare(&recipe(&squeezenet(), &data, overrides)).unwrap_err();
        let message = error.to_string();
        assert!(error.is_usage() && message.starts_with(&format!("`{key}`: ")));
        assert!(message.contains(word), "{message}");
    };
    for (key, value) in [("swa", "0.5"), ("mixup", "0.2"), ("cutmix", "1")] {
        let key = format!("train.{key}");
        let set = format!("{key}={value}");
        refused(&["model.head=solved", &set], &key, "takes no steps");
    }
    let both = ["train.swa=0.5", "train.ema=0.9"];
    refused(&both, "train.swa", "`train.ema` keeps a mean");
}

#[test]
fn a_family_with_numbers_of_its_own_is_known_by_its_names() {
    let goldens = "../regraft-conformance/goldens";
    let told = |file: &str| {
        let path = format!("{}/{goldens}/{file}", env!("CARGO_MANIFEST_DIR"));
        let classifier = Classifier::open(&path, "auto").unwrap();
        classifier.warnings().join("\n")
    };
    let vit = told("hf_vit.kept-17.onnx");
    assert!(vit.contains("Hugging Face's ViT"), "{vit}");
    let resnet = told("resnet18.kept-13.onnx");
    assert!(resnet.contains("ImageNet's usual numbers"), "{resnet}");
}
