//! What lies on this machine: complete files, damaged ones, folders, files put by hand.

use regraft_zoo::Error;

use crate::scene::{Scene, assert_right, content, entry, reason};
use crate::server::{Answer, Server};

#[test]
fn a_damaged_file_is_found_and_fetched_again() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    let path = scene.fetch(&entry).unwrap();
    let mut damaged = content();
    damaged[299_999] ^= 1;
    for bytes in [damaged, content()[..5].to_vec()] {
        std::fs::write(&path, bytes).unwrap();
        let found = scene.options.cache.verify(&entry).unwrap_err();
        assert!(
            matches!(found, Error::WrongDigest { .. } | Error::WrongSize { .. }),
            "{found}"
        );
        assert_right(&scene.fetch(&entry).unwrap(), &content());
        assert!(scene.options.cache.verify(&entry).is_ok());
    }
}

#[test]
fn a_damaged_file_stays_until_a_right_one_is_there() {
    let (scene, server) = (
        Scene::new(),
        Server::new(&content(), &[Answer::Well, Answer::Status(404, "")]),
    );
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    let path = scene.fetch(&entry).unwrap();
    std::fs::write(&path, b"half").unwrap();
    scene.fetch(&entry).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), b"half");
}

#[test]
fn an_absent_file_says_so() {
    let scene = Scene::new();
    let entry = entry(&content(), &[]);
    assert!(scene.options.cache.complete(&entry).is_none());
    assert!(matches!(
        scene.options.cache.verify(&entry),
        Err(Error::Absent { .. })
    ));
}

#[test]
fn a_file_put_by_hand_is_checked_and_taken_in() {
    let scene = Scene::new();
    let entry = entry(&content(), &[]);
    let place = scene.options.cache.by_hand(&entry);
    std::fs::create_dir_all(scene.options.cache.root()).unwrap();

    std::fs::write(&place, [7; 300_000]).unwrap();
    assert!(matches!(
        reason(scene.fetch(&entry)),
        Error::WrongDigest { .. }
    ));
    assert!(place.exists());

    std::fs::write(&place, content()).unwrap();
    let path = scene.fetch(&entry).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), content());
    assert!(!place.exists());
}

#[test]
fn local_sources_are_files_or_folders() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("net.onnx");
    std::fs::write(&file, content()).unwrap();
    let folder = elsewhere.path().display().to_string();
    let file = file.display().to_string();
    for source in [
        &folder,
        &file,
        &format!("file://{file}"),
        &format!("file://{folder}"),
    ] {
        let mut scene = Scene::new();
        scene.options.offline = true;
        assert_right(
            &scene.fetch(&entry(&content(), &[source])).unwrap(),
            &content(),
        );
    }
}

#[test]
fn a_wrong_local_file_leaves_the_part_alone() {
    let scene = Scene::new();
    let wrong = scene.folder.path().join("wrong.onnx");
    std::fs::write(&wrong, [7; 300_000]).unwrap();
    let server = Server::new(&content(), &[Answer::Well]);
    let entry = entry(
        &content(),
        &[&wrong.display().to_string(), &server.address("net.onnx")],
    );
    scene.leave_part(&entry, &content()[..9]);
    assert_right(&scene.fetch(&entry).unwrap(), &content());
    assert_eq!(server.ranges(), [Some(9)]);
}

#[test]
fn folders_come_before_sources() {
    let mut scene = Scene::new();
    let server = Server::new(&content(), &[Answer::Well]);
    let stick = scene.folder.path().join("stick");
    std::fs::create_dir(&stick).unwrap();
    std::fs::write(stick.join("net.onnx"), content()).unwrap();
    scene.options.folders = vec!["/no/such/folder".into(), stick];
    assert_right(&scene.from(&server).unwrap(), &content());
    assert_eq!(server.requests(), 0);
}

#[test]
fn offline_asks_nobody() {
    let (mut scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
    scene.options.offline = true;
    scene.options.python = "/no/such/program".to_owned();
    let sources = [&server.address("net.onnx"), "pip:a==1#b", "npm:a@1#b"];
    match scene.fetch(&entry(&content(), &sources)) {
        Err(Error::Unavailable { failures, .. }) => {
            assert_eq!(failures.len(), 3);
            assert!(
                failures
                    .iter()
                    .all(|failure| matches!(*failure.reason, Error::Offline))
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error_at_once() {
    let (mut scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
    let file = scene.folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    scene.options.cache = regraft_zoo::Cache::new(&file);
    assert!(matches!(scene.from(&server), Err(Error::Io { .. })));
    assert_eq!(server.requests(), 0);
}
