//! Paths of a recipe file, which are relative to the file's folder.

use std::path::{Path, is_separator};

/// The path of the images, from what a recipe file in `folder` says.
pub(crate) fn data(folder: &Path, source: &str) -> String {
    beside(folder, source)
}

/// The path of the model, from what a recipe file in `folder` says; a name stays a name.
pub(crate) fn model(folder: &Path, source: &str) -> String {
    let looks_like_a_path =
        source.contains(is_separator) || source.to_ascii_lowercase().ends_with(".onnx");
    if looks_like_a_path || folder.join(source).exists() {
        beside(folder, source)
    } else {
        source.to_owned()
    }
}

/// A folder's name that is not Unicode becomes one that says so where the file is not found: a recipe is text.
fn beside(folder: &Path, source: &str) -> String {
    if folder.as_os_str().is_empty() || Path::new(source).is_absolute() {
        return source.to_owned();
    }
    folder.join(source).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_in_the_working_directory_keeps_its_paths() {
        assert_eq!(data("".as_ref(), "flowers"), "flowers");
        assert_eq!(model("".as_ref(), "models/net.onnx"), "models/net.onnx");
    }
}
