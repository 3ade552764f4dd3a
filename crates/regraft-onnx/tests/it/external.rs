//! Weights in files beside the model, and models that point elsewhere.

use std::path::Path;

use onnx_ir::{ModelProto, TensorProto};
use regraft_onnx::Model;
use tempfile::TempDir;

use crate::build;

/// `TensorProto.DataLocation.EXTERNAL` on the wire: field 14, varint 1.
const EXTERNAL: [u8; 2] = [14 << 3, 1];

/// A folder with `weights.bin` (384 bytes: 96 floats of 0.25), and beside the folder `secret.bin`.
fn folder() -> TempDir {
    let outer = tempfile::tempdir().unwrap();
    let model = outer.path().join("model");
    std::fs::create_dir_all(model.join("data")).unwrap();
    let bytes: Vec<u8> = [0.25f32; 96].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(model.join("weights.bin"), &bytes).unwrap();
    std::fs::write(model.join("data/weights.bin"), &bytes).unwrap();
    std::fs::write(outer.path().join("secret.bin"), &bytes).unwrap();
    outer
}

fn external(entries: &[(&str, &str)]) -> ModelProto {
    use onnx_ir::Message;
    let mut weight = TensorProto {
        name: "fc.weight".to_owned(),
        dims: vec![32, 3],
        data_type: 1,
        ..TensorProto::default()
    };
    for (key, value) in entries {
        weight.external_data.push(Default::default());
        let entry = weight.external_data.last_mut().unwrap();
        (entry.key, entry.value) = ((*key).to_owned(), (*value).to_owned());
    }
    let mut bytes = weight.write_to_bytes().unwrap();
    bytes.extend(EXTERNAL);
    build::linear(TensorProto::parse_from_bytes(&bytes).unwrap())
}

fn open(outer: &Path, model: &ModelProto) -> Result<Model, String> {
    let path = outer.join("model/model.onnx");
    std::fs::write(&path, build::bytes(model)).unwrap();
    Model::open(&path).map_err(|error| error.to_string())
}

fn check_refused(entries: &[(&str, &str)], reason: &str) {
    let outer = folder();
    let message = open(outer.path(), &external(entries)).unwrap_err();
    assert!(message.contains("`fc.weight`"), "{message}");
    assert!(message.contains(reason), "{message}");
}

#[test]
fn weights_beside_the_model_are_read_and_written_into_it() {
    let outer = folder();
    for entries in [
        &[("location", "weights.bin")][..],
        &[
            ("location", "./weights.bin"),
            ("offset", "0"),
            ("length", "384"),
        ],
        &[("location", "data/weights.bin"), ("checksum", "unused")],
    ] {
        let model = open(outer.path(), &external(entries)).unwrap();
        let whole = Model::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(whole.weights("fc.weight").unwrap(), [0.25; 96]);
    }
}

#[test]
fn bytes_alone_have_no_folder() {
    let model = external(&[("location", "weights.bin")]);
    let message = Model::from_bytes(&build::bytes(&model))
        .unwrap_err()
        .to_string();
    assert!(message.contains("open the model by its path"), "{message}");
}

#[test]
fn a_path_out_of_the_folder_is_refused() {
    let outer = folder();
    let absolute = outer.path().join("secret.bin");
    for location in [
        "../secret.bin",
        "data/../../secret.bin",
        "data/../weights.bin",
        absolute.to_str().unwrap(),
        "C:\\secret.bin",
        "..\\secret.bin",
        "",
        "weights.bin\0",
    ] {
        check_refused(
            &[("location", location)],
            "only relative paths below the model's folder",
        );
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_folder_is_refused() {
    use std::os::unix::fs::symlink;
    let outer = folder();
    let model = outer.path().join("model");
    symlink(outer.path().join("secret.bin"), model.join("file-link")).unwrap();
    symlink(outer.path(), model.join("folder-link")).unwrap();
    symlink(model.join("weights.bin"), model.join("inner-link")).unwrap();
    for location in ["file-link", "folder-link/secret.bin"] {
        let message = open(outer.path(), &external(&[("location", location)])).unwrap_err();
        assert!(
            message.contains("a link out of the model's folder"),
            "{message}"
        );
    }
    open(outer.path(), &external(&[("location", "inner-link")])).unwrap();
}

#[test]
fn ranges_that_lie_are_refused() {
    let there = ("location", "weights.bin");
    let end = u64::MAX.to_string();
    for (entry, reason) in [
        (("offset", "1"), "beyond the end"),
        (("offset", end.as_str()), "beyond the end"),
        (("offset", "-1"), "not a whole number"),
        (("length", "383"), "wants 384 bytes"),
        (("length", end.as_str()), "wants 384 bytes"),
        (("length", "many"), "not a whole number"),
        (("location", "weights.bin"), "twice"),
    ] {
        check_refused(&[there, entry], reason);
    }
}

#[test]
fn what_is_no_file_is_refused() {
    check_refused(&[("location", "absent.bin")], "`absent.bin`");
    check_refused(&[("location", "data")], "no regular file");
    check_refused(&[("offset", "0")], "does not name the file");
}

#[test]
fn tensors_that_share_a_range_cannot_multiply_it() {
    let outer = folder();
    let mut model = external(&[("location", "weights.bin")]);
    let graph = model.graph.mut_or_insert_default();
    let mut twin = graph.initializer[0].clone();
    twin.name = "twin".to_owned();
    graph.initializer.push(twin);
    let message = open(outer.path(), &model).unwrap_err();
    assert!(message.contains("overlap"), "{message}");
}

#[test]
fn a_shape_beyond_the_file_is_refused_before_it_is_read() {
    let outer = folder();
    let mut model = external(&[("location", "weights.bin")]);
    model.graph.mut_or_insert_default().initializer[0].dims = vec![1 << 40, 1 << 20];
    let message = open(outer.path(), &model).unwrap_err();
    assert!(message.contains("beyond the end"), "{message}");
}
