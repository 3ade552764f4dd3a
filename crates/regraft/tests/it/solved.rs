//! Heads that are solved: from images to a network like any other.

use regraft::onnx::{Graph, ImportOptions, Model};
use regraft::{
    Classifier, Error, ResumeOptions, RunFile, RunFiles, RunOptions, Silent, prepare, resume, train,
};

use crate::{images, recipe, resnet, root, run, squeezenet};

const SOLVED: &str = "model.head=solved";

#[test]
fn a_solved_head_is_served_inspected_and_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = root().join("models/emoji");
    let out = folder.path().join("run");
    let (_, summary) = run(&recipe(&squeezenet(), &data, &[SOLVED]), &out);
    let head = summary.head.clone().unwrap();
    assert_eq!(head.images, 296);
    assert!(head.taps.len() > 1, "{:?}", head.taps);
    assert!(head.accuracy > 0.6, "{}", head.accuracy);
    assert_eq!(summary.epochs, 0);
    let test = summary.test.unwrap();
    assert!((test.accuracy - head.accuracy).abs() < 0.15);

    let files = RunFiles::open(&out).unwrap();
    let predictions = files.predictions().unwrap();
    assert_eq!(predictions.len(), 296 + 137);
    let plan = files.plan().unwrap();
    assert_eq!(plan.head, Some(head.clone()));
    let classifier = Classifier::open(out.to_str().unwrap(), "auto").unwrap();
    let report = classifier
        .evaluate_held_out(32, Default::default(), &mut Silent)
        .unwrap();
    assert_eq!(report.accuracy, test.accuracy);

    // Where nothing was held out, evaluation shows what was left out.
    let alone = folder.path().join("alone");
    let train = data.join("train");
    let (_, summary) = run(&recipe(&squeezenet(), &train, &[SOLVED]), &alone);
    let classifier = Classifier::open(alone.to_str().unwrap(), "auto").unwrap();
    let report = classifier
        .evaluate_held_out(32, Default::default(), &mut Silent)
        .unwrap();
    assert_eq!(report.images, 296);
    assert_eq!(report.accuracy, summary.validation.unwrap().accuracy);
    assert!((report.loss - summary.validation.unwrap().loss).abs() < 1e-3);

    // The same taps again, by name, are the same head.
    let names: Vec<String> = head.taps.iter().map(|tap| format!("{tap:?}")).collect();
    let named = format!("model.head.taps=[{}]", names.join(", "));
    let (_, again) = run(
        &recipe(&squeezenet(), &data, &[SOLVED, &named]),
        &folder.path().join("again"),
    );
    assert_eq!(again.head.unwrap().accuracy, head.accuracy);
    let bytes = |run: &str| std::fs::read(folder.path().join(run).join("model.onnx")).unwrap();
    assert!(bytes("run") == bytes("again"), "the same model to the byte");

    // Trained on from there: the blocks are what they were, and the last of them is tuned.
    let tuned = folder.path().join("tuned");
    let small = images(folder.path());
    let (planned, summary) = run(
        &recipe(&out, &small, &["freeze.policy={ last-blocks = 1 }"]),
        &tuned,
    );
    assert!(
        planned
            .graph
            .blocks
            .iter()
            .any(|block| block.name == "features.12")
    );
    assert!(summary.frozen_unchanged > 0);
}

#[test]
fn a_solved_head_is_tuned_with_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let overrides = [
        "freeze.policy=probe-then-tune",
        "train.epochs=2",
        "data.validation=0.25",
    ];
    for (model, out) in [(squeezenet(), "squeezenet"), (resnet(), "resnet")] {
        let out = folder.path().join(out);
        let (_, summary) = run(&recipe(&model, &data, &overrides), &out);
        assert!(summary.head.is_some());
        assert_eq!(summary.epochs, 2);
        // It is never worse than it began.
        let [before, after] = [summary.validation_before, summary.validation].map(Option::unwrap);
        assert!(after.accuracy >= before.accuracy);
        assert!(RunFiles::open(&out).unwrap().has(RunFile::Start));
        let model = Model::open(&out.join("last.onnx")).unwrap();
        let graph = Graph::import(&model, &ImportOptions::default()).unwrap();
        assert_eq!(graph.classes(), 5);
        let done = resume(&out, &ResumeOptions::default(), &mut Silent).unwrap();
        assert!(!done.trained);
    }
}

#[test]
fn a_head_may_begin_solved_and_train_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let overrides = [
        "model.head=linear",
        "model.start=solved",
        "data.validation=0.25",
    ];
    let (planned, summary) = run(
        &recipe(&squeezenet(), &data, &overrides),
        &folder.path().join("run"),
    );
    assert_eq!(summary.head.unwrap().taps, ["features.12"]);
    assert_eq!(planned.facts.train_images, 15);
}

#[test]
fn taps_that_the_network_has_not_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    for (taps, parts) in [
        (
            "[\"features.13\"]",
            &["no block `features.13`", "features.12"][..],
        ),
        ("[\"features.12:middle\"]", &["`middle` is no pooling"]),
        ("[\"features.12:grid4\"]", &["`features.12` has no `grid4`"]),
        ("[\"features.9\", \"features.9:mean\"]", &["named twice"]),
        ("99", &["99 places asked for", "has 9"]),
    ] {
        let taps = format!("model.head.taps={taps}");
        let planned = prepare(&recipe(&squeezenet(), &data, &[SOLVED, &taps])).unwrap();
        let options = RunOptions {
            out: Some(folder.path().join("run")),
            overwrite: true,
            ..RunOptions::default()
        };
        let error = train(&planned, &options, &mut Silent).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Setting {
                    key: "model.head.taps",
                    ..
                }
            ),
            "{error}"
        );
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn policies_in_phases_train_what_they_open() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    for (policy, phases) in [
        ("{ probe-then-tune = { probe_epochs = 1 } }", 2),
        ("{ gradual = { every = 1 }, layer-decay = 0.5 }", 10),
        ("surgical", 1),
        ("{ last-blocks = 1, l2-sp = 5.0 }", 1),
    ] {
        let policy = format!("freeze.policy={policy}");
        let recipe = recipe(&squeezenet(), &data, &[&policy, "train.epochs=3"]);
        let (planned, summary) = run(
            &recipe,
            &folder.path().join(format!("run{phases}{}", policy.len())),
        );
        assert_eq!(planned.plan.phases.len(), phases, "{policy}");
        assert_eq!(summary.epochs, 3, "{policy}");
    }
}

#[test]
fn a_race_keeps_to_its_time_and_says_what_each_candidate_came_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = root().join("models/emoji/train");
    let out = folder.path().join("run");
    let overrides = [
        "freeze.policy=auto",
        "train.budget=\"20s\"",
        "data.validation=0.2",
        "train.batch_size=32",
    ];
    // So few images are judged in folds, every one of them.
    let start = std::time::Instant::now();
    let (_, summary) = run(&recipe(&squeezenet(), &data, &overrides), &out);
    // Other tests run beside this one: the tenth that it promises on an idle machine is not held here.
    assert!(
        start.elapsed().as_secs_f64() < 40.0,
        "{:?}",
        start.elapsed()
    );
    let files = RunFiles::open(&out).unwrap();
    let race = files.plan().unwrap().race.unwrap();
    assert_eq!((race.budget, race.folds), (20.0, 4));
    assert_eq!(
        race.candidates
            .iter()
            .filter(|candidate| candidate.chosen)
            .count(),
        1
    );
    assert_eq!(race.candidates[0].epochs, 0);
    assert!(
        race.candidates
            .iter()
            .all(|candidate| candidate.accuracy.is_some())
    );
    assert!(!files.path(RunFile::Race).exists());
    assert!(summary.validation.unwrap().accuracy > 0.5);
    let done = resume(&out, &ResumeOptions::default(), &mut Silent).unwrap();
    assert!(!done.trained);
}

/// Images that the user held out, and time for several candidates.
#[test]
fn candidates_of_a_race_are_averaged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (split, first, count) in [("train", 0, 4), ("val", 4, 10)] {
        for class in ["flag", "meal", "person"] {
            let source = root().join("models/emoji/train").join(class);
            let mut files: Vec<_> = std::fs::read_dir(source)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            let target = data.join(split).join(class);
            std::fs::create_dir_all(&target).unwrap();
            for file in files.iter().skip(first).take(count) {
                std::fs::copy(file, target.join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    let out = folder.path().join("run");
    let overrides = ["freeze.policy=auto", "train.budget=\"25s\""];
    let (_, summary) = run(&recipe(&squeezenet(), &data, &overrides), &out);
    let race = RunFiles::open(&out).unwrap().plan().unwrap().race.unwrap();
    assert_eq!(race.folds, 1);
    let candidates = &race.candidates;
    assert!(candidates.len() > 3, "{candidates:?}");
    assert!(candidates.iter().any(|candidate| candidate.share == 0.5));
    let chosen = candidates.iter().find(|candidate| candidate.chosen);
    // What was judged is what was written, averages included.
    let accuracy = chosen.unwrap().accuracy.unwrap();
    if chosen.unwrap().epochs > 0 {
        assert!((summary.validation.unwrap().accuracy - accuracy).abs() < 1e-9);
    }
}

/// A head is chosen to be good on images of another style too, and what is written says how good.
#[test]
fn images_of_another_style_are_scored_and_decide_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = root().join("models/emoji");
    let shifted = format!("data.shifted={}", data.join("shifted").display());
    let plain = run(
        &recipe(&squeezenet(), &data, &[SOLVED]),
        &folder.path().join("plain"),
    );
    assert_eq!(plain.1.shifted, None);
    let out = folder.path().join("run");
    let (_, summary) = run(&recipe(&squeezenet(), &data, &[SOLVED, &shifted]), &out);
    let score = summary.shifted.unwrap();
    assert!(score.images > 50 && score.accuracy > 0.4, "{score:?}");
    let before = plain.1.head.unwrap();
    let head = summary.head.unwrap();
    assert_eq!(head.tried, before.tried);
    // The score is that of the written model.
    let classifier = Classifier::open(out.to_str().unwrap(), "auto").unwrap();
    let report = classifier
        .evaluate(&data.join("shifted"), 32, Default::default(), &mut Silent)
        .unwrap();
    assert_eq!(report.accuracy, score.accuracy);

    let nowhere = recipe(
        &squeezenet(),
        &data,
        &[SOLVED, "data.shifted=/nowhere/at/all"],
    );
    let error = prepare(&nowhere).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
}
