//! The recipe that `regraft recipe init` writes.

use regraft_recipe::{KEYS, Recipe, template};

fn defaults() -> Recipe {
    Recipe::new("squeezenet1.1", "data/flowers")
}

/// The key of a comment line `# key = value`, and whether the value is TOML.
fn commented(line: &str) -> Option<(&str, bool)> {
    let (key, value) = line.strip_prefix("# ")?.split_once(" = ")?;
    let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_key.then(|| (key, value.parse::<toml_edit::Value>().is_ok()))
}

/// The key of a line about a key inside a table; the lines it goes on with stand further in.
fn inner(line: &str) -> Option<&str> {
    let (key, _) = line.strip_prefix("#   ")?.split_once(": ")?;
    (!key.starts_with(' ')).then_some(key)
}

#[test]
fn the_template_is_the_default_recipe() {
    assert_eq!(
        Recipe::parse(&template(), "recipe.toml").unwrap(),
        defaults()
    );
}

#[test]
fn the_template_is_still_that_with_every_default_uncommented() {
    let mut uncommented = 0;
    let lines: Vec<String> = template()
        .lines()
        .map(|line| match commented(line) {
            Some((_, true)) => {
                uncommented += 1;
                line[2..].to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    let recipe = Recipe::parse(&lines.join("\n"), "recipe.toml").unwrap();
    assert_eq!(recipe, defaults());
    assert!(uncommented > 15);
}

#[test]
fn the_template_names_and_explains_every_key() {
    let text = template();
    let mut section = "";
    let mut named = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = commented(line) {
            named.push(format!("{section}.{key}"));
        } else if let Some(key) = inner(line) {
            named.push(format!("{section}.{key}"));
        } else if line.starts_with("source = ") {
            named.push(format!("{section}.source"));
        }
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert_eq!(named, KEYS.iter().map(|info| info.key).collect::<Vec<_>>());

    let words: Vec<&str> = text
        .split_whitespace()
        .filter(|&word| word != "#")
        .collect();
    let words = words.join(" ");
    for info in KEYS {
        let explained = format!("{} Takes {}.", info.about, info.takes());
        assert!(words.contains(&explained), "{explained}");
    }
}

#[test]
fn the_template_reads_well() {
    let text = template();
    let start = "\
# A recipe of regraft: which network to start from, which images to train it on, and how.
# Only the two sources must be given. A line such as `# epochs = 10` shows a default: take the `# `
# away and change the value. Paths are relative to this file.

[model]
# The network to start from: a zoo name, the path of an ONNX file, or a run folder. Takes a string
# that is not empty.
source = \"squeezenet1.1\"

# Which of the network's outputs counts, where it has several: its name in the file. With auto it is
# the one that most likely tells classes. Takes \"auto\" or a string that is not empty.
# output = \"auto\"

# What comes after the features. Takes `auto`, `solved`, `linear`, `mlp` or `keep`, or a table with
# `kind`.
# head = \"auto\"
";
    assert!(text.starts_with(start), "{text}");
}
