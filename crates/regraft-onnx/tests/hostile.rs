//! A thousand damaged files: whatever a user can do with one ends in a value or an error; never in a panic, a hang or
//! an allocation that the file's size does not justify.
//!
//! A binary of its own, because its allocator counts. `HOSTILE_FILES=100000 cargo test --release --test hostile` tries
//! more of them; `HOSTILE_FIRST=n` starts at the n-th.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "hostile/allocator.rs"]
mod allocator;
mod build;
#[path = "hostile/everything.rs"]
mod everything;
#[path = "hostile/mutate.rs"]
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use everything::use_fully;
use mutate::Source;

/// Longest that one file may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Memory a file may take besides a multiple of its size.
const FREE_MEMORY: usize = 24 << 20;
/// Memory a file may take for each of its bytes.
const MEMORY_PER_BYTE: usize = 8;

fn goldens() -> Vec<Vec<u8>> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../regraft-conformance/goldens"
    );
    [
        "resnet18.kept-7",
        "squeezenet.dynamo",
        "densenet.folded-9",
        "shufflenet_v2.kept-11",
        "vgg11_bn.kept-8",
        "vgg16.dynamo",
        "convnext.dynamo",
        "vit.kept-17",
        "mobilenet_v3.kept-14",
        "efficientnet.kept-18",
        "swin.kept-17",
        "group_norm.dynamo",
        "eca.kept-17",
        "hf_vit.dynamo",
    ]
    .iter()
    .map(|name| std::fs::read(format!("{folder}/{name}.onnx")).unwrap())
    .collect()
}

/// A small file for each operator that is imported in steps, and for branches, functions and sparse weights.
fn operators() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../regraft-nn/tests/operators");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == "onnx"))
        .collect();
    files.sort();
    assert!(files.len() > 60);
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// What is wrong with how the crate took a file; `None` where nothing is.
fn complaint(bytes: &[u8], outcomes: &mut [usize; 2]) -> Option<String> {
    let started = Instant::now();
    allocator::start();
    let outcome = catch_unwind(AssertUnwindSafe(|| use_fully(bytes)));
    let peak = allocator::peak();
    match outcome {
        Err(_) => return Some("panics".to_owned()),
        Ok(Ok(())) => outcomes[0] += 1,
        Ok(Err(error)) => {
            assert!(!error.to_string().is_empty());
            outcomes[1] += 1;
        }
    }
    if started.elapsed() > PATIENCE {
        return Some(format!("takes {:?}", started.elapsed()));
    }
    let allowed = MEMORY_PER_BYTE * bytes.len() + FREE_MEMORY;
    (peak > allowed).then(|| format!("takes {peak} bytes of memory; {} in the file", bytes.len()))
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[test]
fn a_damaged_file_is_a_value_or_an_error() {
    let source = Source::new([goldens(), operators()].concat());
    let (first, files) = (setting("HOSTILE_FIRST", 0), setting("HOSTILE_FILES", 1000));
    let mut outcomes = [0; 2];
    let mut complaints = Vec::new();
    for seed in first..first + files {
        let (attack, bytes) = source.mutated(seed);
        if let Some(complaint) = complaint(&bytes, &mut outcomes) {
            complaints.push(format!("file {seed} ({attack}) {complaint}"));
        }
    }
    println!("{} files were taken, {} refused", outcomes[0], outcomes[1]);
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
    // Attacks that never get past the decoder, or that change nothing, would test little.
    assert!(
        outcomes.iter().all(|&n| n * 20 > files as usize),
        "{outcomes:?}"
    );
}

#[test]
fn undamaged_files_are_taken() {
    for bytes in goldens() {
        use_fully(&bytes).unwrap();
    }
}

/// Checks a file made by hand, which must be refused with `reason`.
fn check_refused(bytes: &[u8], reason: &str) {
    assert_eq!(complaint(bytes, &mut [0; 2]), None);
    let message = use_fully(bytes).unwrap_err().to_string();
    assert!(message.contains(reason), "{message}");
}

#[test]
fn a_list_that_doubles_at_every_node_is_refused() {
    let mut nodes = vec![build::node("Shape", &["x"], "list0")];
    for step in 0..40 {
        let (from, to) = (format!("list{step}"), format!("list{}", step + 1));
        let join = build::node("Concat", &[&from, &from], &to);
        nodes.push(build::with_int(join, "axis", 0));
    }
    nodes.push(build::node("Reshape", &["x", "list40"], "y"));
    let file = build::bytes(&build::model(nodes, vec![]));
    check_refused(&file, "constant");
}

#[test]
fn constants_that_multiply_are_refused() {
    let length = build::integers("length", &[1 << 16]);
    let mut nodes = vec![build::node("Flatten", &["x"], "flat0")];
    for step in 0..500 {
        let (zeros, sum) = (format!("zeros{step}"), format!("picked{step}"));
        nodes.push(build::node("ConstantOfShape", &["length"], &zeros));
        nodes.push(build::node("Gather", &[&zeros, "first"], &sum));
        let (from, to) = (format!("flat{step}"), format!("flat{}", step + 1));
        nodes.push(build::node("Add", &[&from, &zeros], &to));
    }
    nodes.push(build::node("Identity", &["flat500"], "y"));
    let file = build::bytes(&build::model(nodes, vec![length]));
    assert_eq!(complaint(&file, &mut [0; 2]), None);
    assert!(use_fully(&file).is_err());
}

#[test]
fn a_weight_in_a_thousand_shapes_is_held_once() {
    let weight = build::floats("shift", &[1 << 18], &vec![0.5; 1 << 18]);
    let mut shapes = vec![build::integers("line", &[-1]), weight];
    shapes.push(build::floats("fc.weight", &[32, 3], &[0.1; 96]));
    let mut nodes = Vec::new();
    let mut from = "shift".to_owned();
    for step in 0..1000 {
        let to = format!("shape{step}");
        nodes.push(build::node("Reshape", &[&from, "line"], &to));
        from = to;
    }
    nodes.push(build::node("Flatten", &["x"], "flat"));
    nodes.push(build::node("MatMul", &["flat", "fc.weight"], "fc"));
    nodes.push(build::node("Expand", &["fc", &from], "y"));
    let file = build::bytes(&build::model(nodes, shapes));
    assert_eq!(complaint(&file, &mut [0; 2]), None);
}

#[test]
fn a_packed_list_that_lies_about_its_length_reserves_nothing() {
    // Model.graph { initializer { dims: a packed list of 9,000,000 bytes } }, of which none is there.
    let file = [0x3a, 7, 0x2a, 5, 0x0a, 0xc0, 0xa8, 0xa5, 0x04];
    check_refused(&file, "9000000 bytes");
}

#[test]
fn parts_of_two_bytes_that_become_hundreds_are_refused() {
    let nodes: Vec<u8> = [0x0a, 0].repeat(1 << 20);
    let mut file = vec![0x3a, 0x80, 0x80, 0x80, 0x01];
    file.extend(nodes);
    check_refused(&file, "many times its size");
}

#[test]
fn a_cycle_is_refused_by_name() {
    let nodes = vec![
        build::node("Add", &["x", "b"], "a"),
        build::node("Relu", &["a"], "b"),
        build::node("Relu", &["b"], "y"),
    ];
    check_refused(
        &build::bytes(&build::model(nodes, vec![])),
        "cycle through node `node of a`",
    );
}

#[test]
fn thousands_of_layers_of_one_name_are_quick() {
    let mut nodes = vec![build::node("Flatten", &["x"], "/a/0")];
    let mut weights = Vec::new();
    for step in 0..8000 {
        let weight = format!("onnx::MatMul_{step}");
        let (from, to) = (format!("/a/{step}"), format!("/a/{}", step + 1));
        let mut layer = build::node("Mul", &[&from, &weight], &to);
        layer.name = "/a/Mul".to_owned();
        nodes.push(layer);
        weights.push(build::floats(&weight, &[1], &[1.0]));
    }
    nodes.push(build::node("Relu", &["/a/8000"], "y"));
    let file = build::bytes(&build::model(nodes, weights));
    assert_eq!(complaint(&file, &mut [0; 2]), None);
}
