//! A run folder that is replaced: whatever moment a process ends at, the earlier run is somewhere, and comes back.

use std::path::Path;

use regraft::RunFolder;

const FILES: [&str; 4] = ["recipe.toml", "plan.json", "model.onnx", "summary.json"];

/// A folder that holds a run, and a file of somebody's own.
fn run(folder: &Path) {
    for name in FILES.iter().chain(&["run.lock", "notes.txt"]) {
        std::fs::write(folder.join(name), format!("old {name}")).unwrap();
    }
}

fn holds_the_old_run(folder: &Path) {
    for name in FILES {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(text, format!("old {name}"));
    }
}

fn replace(folder: &Path) -> RunFolder {
    RunFolder::create(Some(folder), "run", true, Path::new("nowhere.onnx")).unwrap()
}

#[test]
fn a_run_that_is_replaced_waits_until_the_new_one_has_a_model() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    run(path);
    // Dropped without a conclusion: the process was killed.
    drop(replace(path));
    assert!(!path.join("model.onnx").exists());
    holds_the_old_run(&path.join("replaced"));
    // A second try takes the place of the first, not of the run that waits.
    std::fs::write(path.join("recipe.toml"), "half").unwrap();
    let second = replace(path);
    holds_the_old_run(&path.join("replaced"));
    assert!(!path.join("recipe.toml").exists());
    // Interrupted, it can go on; failed, it gives way.
    second.conclude(true).unwrap();
    holds_the_old_run(&path.join("replaced"));
    second.conclude(false).unwrap();
    holds_the_old_run(path);
    assert!(!path.join("replaced").exists());
    drop(second);
    // With a model, the earlier run goes.
    let third = replace(path);
    std::fs::write(path.join("model.onnx"), "new").unwrap();
    third.conclude(false).unwrap();
    assert!(!path.join("replaced").exists());
    assert_eq!(
        std::fs::read_to_string(path.join("model.onnx")).unwrap(),
        "new"
    );
    assert!(path.join("notes.txt").exists());
}

#[test]
fn a_move_that_was_cut_off_is_undone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    run(path);
    let moving = path.join("replaced.partial");
    std::fs::create_dir(&moving).unwrap();
    for name in &FILES[..3] {
        std::fs::rename(path.join(name), moving.join(name)).unwrap();
    }
    drop(RunFolder::open(path).unwrap());
    holds_the_old_run(path);
    assert!(!moving.exists());
}
