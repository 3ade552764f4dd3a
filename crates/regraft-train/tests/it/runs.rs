//! Whole runs of two phases: cut off at every step and gone on with, ended early, from images and from stored features.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use regraft_data::Mix;
use regraft_freeze::{Phase, Policy};
use regraft_spec::{EarlyStopping, FeatureCache, Schedule, ScheduleKind, StopMetric};
use regraft_train::{
    Error, Event, Kept, Outcome, Settings, Silent, Source, StateDict, Stop, Trainer,
};

use crate::{device, images, loader, phases, resnet, sgd};

/// What a run kept.
#[derive(Default)]
struct Networks {
    best: Option<StateDict>,
    last: Option<StateDict>,
}

/// Trains in `run`, asked to stop once `stop_at` says so; gives what was kept.
fn train(
    run: &Path,
    phases: &[Phase],
    settings: &Settings,
    stop_at: impl Fn(&Event<'_>) -> bool,
) -> (Result<Outcome, Error>, Networks, Vec<String>) {
    let networks = Mutex::new(Networks::default());
    let flag = Arc::new(AtomicBool::new(false));
    let (train, validation) = images();
    let trainer = Trainer {
        graph: resnet(),
        phases,
        dropout: &[],
        train: loader(train, true),
        validation: Some(loader(validation, false)),
        settings: settings.clone(),
        device: device(),
        run: run.to_owned(),
        keep: &|kept, state| {
            let mut networks = networks.lock().unwrap();
            match kept {
                Kept::Best => networks.best = Some(state.clone()),
                Kept::Last => networks.last = Some(state.clone()),
            }
            Ok(())
        },
        keep_start: false,
        stop: Stop::new(flag.clone(), run),
    };
    let mut heard = Vec::new();
    let outcome = trainer.run(&mut |event: &Event<'_>| {
        if let Event::Phase { phase, epoch, .. } = event {
            heard.push(format!("phase {phase} from epoch {epoch}"));
        }
        if let Event::Note(note) = event {
            heard.push((*note).to_owned());
        }
        if stop_at(event) {
            flag.store(true, Ordering::Relaxed);
        }
    });
    (outcome, networks.into_inner().unwrap(), heard)
}

fn two_phases() -> Vec<Phase> {
    phases(&[
        (Policy::FeatureExtractor, Some(1)),
        (Policy::LastBlocks(1), None),
    ])
}

#[test]
fn a_run_that_is_stopped_on_either_side_of_a_phase_change_ends_with_the_same_bytes() {
    let ema = Settings { ema: 0.5, ..sgd() };
    // The last five of nine steps: from the middle of the second epoch on.
    let swa = Settings { swa: 0.5, ..sgd() };
    let mix = Mix {
        mixup: 0.4,
        cutmix: 1.0,
    };
    let mixed = Settings { mix, ..sgd() };
    for settings in [ema, swa, mixed] {
        is_resumed_to_the_same_bytes(
            &two_phases(),
            &Settings {
                epochs: 3,
                ..settings
            },
        );
    }
}

fn is_resumed_to_the_same_bytes(phases: &[Phase], settings: &Settings) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let (outcome, expected, heard) = train(&whole, phases, settings, |_| false);
    assert_eq!(outcome.unwrap().epochs, 3);
    assert_eq!(heard, ["phase 1 from epoch 1", "phase 2 from epoch 2"]);
    let state = expected.last.unwrap();
    assert!(state.get("head.fc.weight").is_some() && state.len() > 4);
    let metrics = |run: &Path| {
        let text = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
        let losses = text.lines().map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            fields[..6].join(",")
        });
        losses.collect::<Vec<_>>()
    };
    // Three steps an epoch: before, at and after the change, and in the middle of either phase.
    for (epoch, step) in [(1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1)] {
        let run = folder.path().join(format!("cut-{epoch}-{step}"));
        std::fs::create_dir(&run).unwrap();
        let here = |event: &Event<'_>| matches!(event, Event::Step(report) if (report.epoch, report.step) == (epoch, step));
        let (cut, _, _) = train(&run, phases, settings, here);
        assert!(matches!(cut, Err(Error::Interrupted { .. })));
        let (resumed, networks, _) = train(&run, phases, settings, |_| false);
        resumed.unwrap();
        assert_eq!(networks.last.unwrap(), state, "cut at {epoch}, {step}");
        assert_eq!(metrics(&run), metrics(&whole), "cut at {epoch}, {step}");
    }
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_gives_the_same_bytes() {
    let phases = two_phases();
    let settings = Settings { epochs: 3, ..sgd() };
    let folder = tempfile::tempdir().unwrap();
    let (_, expected, _) = train(folder.path(), &phases, &settings, |_| false);
    let newest = folder.path().join("checkpoints/epoch-0003.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    let (outcome, networks, heard) = train(folder.path(), &phases, &settings, |_| false);
    assert_eq!(outcome.unwrap().epochs, 3);
    assert_eq!(networks.last, expected.last);
    let told = heard
        .iter()
        .any(|line| line.contains("epoch-0003") && line.contains("section `"));
    assert!(told, "{heard:?}");
}

#[test]
fn early_stopping_stops_and_the_first_phase_is_not_cut_short() {
    // A rate that changes no weight: nothing ever gets better.
    let settings = Settings {
        epochs: 9,
        lr: 1e-30,
        early_stopping: Some(EarlyStopping {
            patience: 2,
            metric: StopMetric::Accuracy,
        }),
        ..sgd()
    };
    let one = phases(&[(Policy::FeatureExtractor, None)]);
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _, _) = train(folder.path(), &one, &settings, |_| false);
    let outcome = outcome.unwrap();
    assert_eq!((outcome.epochs, outcome.best_epoch), (3, 1));
    let two = phases(&[
        (Policy::FeatureExtractor, Some(4)),
        (Policy::FeatureExtractor, None),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let (outcome, _, _) = train(folder.path(), &two, &settings, |_| false);
    assert_eq!(outcome.unwrap().epochs, 6);
}

#[test]
fn stored_features_train_the_same_weights_as_images() {
    let phases = phases(&[(Policy::FeatureExtractor, None)]);
    let settings = |cache| Settings {
        epochs: 2,
        feature_cache: cache,
        ..sgd()
    };
    let session =
        regraft_train::Session::new(crate::options(settings(FeatureCache::Memory)), &phases[0])
            .unwrap();
    for (mode, stored) in [(FeatureCache::Memory, true), (FeatureCache::Off, false)] {
        let loader = loader(images().0, true);
        let source = Source::new(
            session.network(),
            loader,
            mode,
            None,
            &Stop::default(),
            &mut Silent,
        );
        assert_eq!(source.unwrap().is_stored(), stored);
    }
    let run = |cache| {
        let folder = tempfile::tempdir().unwrap();
        let (outcome, networks, _) = train(folder.path(), &phases, &settings(cache), |_| false);
        outcome.unwrap();
        networks.last.unwrap()
    };
    let (stored, images) = (run(FeatureCache::Memory), run(FeatureCache::Off));
    let graph = resnet();
    let start = graph.parameters.iter().find(|p| p.name == "head.fc.weight");
    let start = start.unwrap().data.to_vec();
    let (a, b) = (
        stored.get("head.fc.weight").unwrap(),
        images.get("head.fc.weight").unwrap(),
    );
    assert!(a.iter().zip(&start).any(|(a, start)| a != start), "trained");
    let largest = b.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 1e-5 * largest, "{x} and {y}");
    }
}

#[test]
fn parts_of_a_batch_train_nearly_what_the_batch_trains() {
    let phases = phases(&[(Policy::FeatureExtractor, None)]);
    let run = |micro_batches| {
        let settings = Settings {
            epochs: 2,
            micro_batches,
            schedule: Schedule::new(ScheduleKind::OneCycle),
            ..sgd()
        };
        let folder = tempfile::tempdir().unwrap();
        let (outcome, networks, _) = train(folder.path(), &phases, &settings, |_| false);
        outcome.unwrap();
        networks.last.unwrap()
    };
    let (whole, parts, again) = (run(1), run(3), run(3));
    assert_eq!(parts, again);
    let largest = |values: &[f32]| values.iter().fold(0f32, |most, v| most.max(v.abs()));
    let (a, b) = (
        whole.get("head.fc.weight").unwrap(),
        parts.get("head.fc.weight").unwrap(),
    );
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 1e-4 * largest(a), "{x} and {y}");
    }
}

#[test]
fn mixed_batches_train_from_images_and_their_parts_as_the_whole() {
    let phases = phases(&[(Policy::FeatureExtractor, None)]);
    let run = |mix, micro_batches, lr| {
        let settings = Settings {
            epochs: 2,
            micro_batches,
            mix,
            lr,
            ..sgd()
        };
        let folder = tempfile::tempdir().unwrap();
        let stored = std::cell::Cell::new(0);
        let (outcome, networks, _) = train(folder.path(), &phases, &settings, |event| {
            if let Event::Features { total, .. } = event {
                stored.set(stored.get().max(*total));
            }
            false
        });
        outcome.unwrap();
        let metrics = std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
        let columns = |line: &str| line.split(',').take(5).map(str::to_owned).collect();
        let lines: Vec<Vec<String>> = metrics.lines().map(columns).collect();
        let weights = networks
            .last
            .unwrap()
            .get("head.fc.weight")
            .unwrap()
            .to_vec();
        (weights, lines[2].clone(), stored.get())
    };
    let mix = Mix {
        mixup: 1.0,
        cutmix: 1.0,
    };
    let ((whole, _, stored), (parts, ..), (plain, ..)) = (
        run(mix, 1, 0.01),
        run(mix, 3, 0.01),
        run(Mix::default(), 1, 0.01),
    );
    assert_eq!(
        stored, 10,
        "features of the validation images alone are kept"
    );
    assert_ne!(whole, plain);
    let largest = whole.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (x, y) in whole.iter().zip(&parts) {
        assert!((x - y).abs() <= 1e-4 * largest, "{x} and {y}");
    }
    // Where no weight changes, validation is the same to the last digit, and training is not: it alone is mixed.
    let ((_, mixed, _), (_, plain, stored)) = (run(mix, 1, 1e-30), run(Mix::default(), 1, 1e-30));
    assert_eq!(stored, 20);
    assert_eq!(mixed[3..5], plain[3..5]);
    assert_ne!(mixed[1], plain[1]);
}
