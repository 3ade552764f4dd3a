//! What lies on this machine: complete files, damaged ones, folders, files put by hand.

use regraft_zoo::{Digest, Error, Labels, Source};

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
fn mirrors_come_before_sources_in_order() {
    let mut scene = Scene::new();
    let server = Server::new(&content(), &[Answer::Well]);
    let stick = scene.folder.path().join("stick");
    std::fs::create_dir(&stick).unwrap();
    std::fs::write(stick.join("net.onnx"), content()).unwrap();
    let bad = Server::new(&content(), &[Answer::Status(404, "")]);
    scene.options.mirrors = vec![
        Source::Local("/no/such/folder".into()),
        Source::Http(bad.address("")),
        Source::Local(stick),
    ];
    assert_right(&scene.from(&server).unwrap(), &content());
    assert_eq!((bad.requests(), server.requests()), (1, 0));
}

#[test]
fn manifests_of_ones_own_are_registered_once_and_found_again() {
    let scene = Scene::new();
    let folder = scene.folder.path();
    std::fs::write(folder.join("net.onnx"), content()).unwrap();
    let path = folder.join("own.toml");
    let text = format!(
        "[[model]]\nname = \"net\"\nbytes = {}\nsha256 = \"{}\"\nsources = [\"net.onnx\"]\n",
        content().len(),
        Digest::of(&content())
    );
    std::fs::write(&path, text).unwrap();
    let cache = &scene.options.cache;
    assert!(cache.manifest().unwrap().get("net").is_err());
    for _ in 0..2 {
        assert_eq!(cache.register(&path).unwrap().len(), 1);
    }
    assert_eq!(cache.registered().unwrap().len(), 1);
    let manifest = cache.manifest().unwrap();
    assert!(manifest.get("resnet18").is_ok());
    assert_right(
        &scene.fetch(manifest.get("net").unwrap()).unwrap(),
        &content(),
    );

    std::fs::write(&path, "[[model]]\nname = 3\n").unwrap();
    let message = cache.manifest().unwrap_err().to_string();
    assert!(message.contains("own.toml"), "{message}");
    assert!(cache.register(&path).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(
        cache.manifest().is_err(),
        "a manifest that is gone is told of"
    );
}

#[test]
fn known_label_sets_have_their_names() {
    let names = Labels::Set("imagenet".to_owned()).names().unwrap();
    assert_eq!(
        (names.len(), names[0].as_str(), names[999].as_str()),
        (1000, "tench", "toilet tissue")
    );
    assert!(Labels::Set("of nobody".to_owned()).names().is_none());
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
