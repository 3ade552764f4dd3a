//! Paths in a recipe file are relative to the file, paths in overrides to the working directory.

use std::path::Path;

use regraft_recipe::Recipe;
use tempfile::TempDir;

/// A recipe with these sources in a folder of its own, which holds a file `net` and a folder `run`.
fn folder(model: &str, data: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = format!("model.source = '{model}'\ndata.source = '{data}'");
    std::fs::write(folder.path().join("recipe.toml"), text).unwrap();
    std::fs::write(folder.path().join("net"), "").unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    folder
}

fn load(folder: &Path, overrides: &[&str]) -> (String, String) {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    let recipe = Recipe::load_with(&folder.join("recipe.toml"), &overrides).unwrap();
    (recipe.model.source, recipe.data.source)
}

fn beside(folder: &Path, source: &str) -> String {
    folder.join(source).to_str().unwrap().to_owned()
}

#[test]
fn the_images_are_found_beside_the_recipe() {
    for data in ["flowers", "data/flowers", "../flowers", "."] {
        let folder = folder("m", data);
        assert_eq!(load(folder.path(), &[]).1, beside(folder.path(), data));
    }
}

#[test]
fn an_absolute_path_stays() {
    let elsewhere = std::env::temp_dir().join("flowers");
    let elsewhere = elsewhere.to_str().unwrap();
    let folder = folder(elsewhere, elsewhere);
    assert_eq!(
        load(folder.path(), &[]),
        (elsewhere.to_owned(), elsewhere.to_owned())
    );
}

#[test]
fn a_model_that_looks_like_a_path_is_found_beside_the_recipe() {
    for model in [
        "models/net",
        "./net",
        "../x.onnx",
        "net.onnx",
        "NET.ONNX",
        "net",
        "run",
    ] {
        let folder = folder(model, "d");
        assert_eq!(load(folder.path(), &[]).0, beside(folder.path(), model));
    }
}

#[test]
fn a_model_that_looks_like_a_name_stays_a_name() {
    for model in ["resnet18-v1-7", "squeezenet1.1", "onnx", "net2"] {
        let folder = folder(model, "d");
        assert_eq!(load(folder.path(), &[]).0, model);
    }
}

#[test]
fn an_override_is_relative_to_the_working_directory() {
    let folder = folder("a.onnx", "a");
    let path = folder.path();
    for (model, data) in [
        ("model.source=b.onnx", "data.source=b"),
        ("model={ source = 'b.onnx' }", "data={ source = 'b' }"),
    ] {
        let (b_onnx, b) = ("b.onnx".to_owned(), "b".to_owned());
        assert_eq!(load(path, &[model, data]), (b_onnx.clone(), b.clone()));
        assert_eq!(load(path, &[model]), (b_onnx, beside(path, "a")));
        assert_eq!(load(path, &[data]), (beside(path, "a.onnx"), b));
    }
    assert_eq!(
        load(path, &["data.validation=0", "model.dropout=0"]),
        (beside(path, "a.onnx"), beside(path, "a"))
    );
}

#[test]
fn every_way_to_write_a_section_counts_as_the_file() {
    for text in [
        "[model]\nsource = 'a/b'\n[data]\nsource = 'c'",
        "model = { source = 'a/b' }\ndata = { source = 'c' }",
        "model.source = \"\"\"a/b\"\"\"\ndata.source = 'c'",
    ] {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("recipe.toml"), text).unwrap();
        let found = load(folder.path(), &["data.validation=0", "model.dropout=0"]);
        let expected = (beside(folder.path(), "a/b"), beside(folder.path(), "c"));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn text_that_is_no_file_keeps_its_paths() {
    let recipe = Recipe::parse(
        "model.source = 'a/b.onnx'\ndata.source = 'c'",
        "x/recipe.toml",
    );
    let recipe = recipe.unwrap();
    assert_eq!(
        (recipe.model.source.as_str(), recipe.data.source.as_str()),
        ("a/b.onnx", "c")
    );
}
