//! How long a network takes from its file to a graph: VGG-16's 553 MB, and the embedded SqueezeNet's 5.
//!
//! Peak memory is printed first: what the process holds after reading VGG-16, over the size of its file.
#![allow(clippy::panic)]

use std::path::Path;

use criterion::{Criterion, Throughput};
use regraft_onnx::{Graph, ImportOptions, Model};

fn import(path: &Path) -> Graph {
    let imported =
        Model::open(path).and_then(|model| Graph::import(&model, &ImportOptions::default()));
    imported.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The most memory this process has held, in bytes; `None` where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let vgg16 = folder.path().join("vgg16.onnx");
    // Another process writes it, so that this one's peak is the reading.
    if let Some(path) = std::env::var_os("REGRAFT_BENCH_WRITE") {
        return benches::write_vgg16(Path::new(&path));
    }
    let written = std::process::Command::new(std::env::current_exe()?)
        .env("REGRAFT_BENCH_WRITE", &vgg16)
        .status()?;
    anyhow::ensure!(written.success(), "VGG-16 could not be written");
    let bytes = std::fs::metadata(&vgg16)?.len();
    let graph = import(&vgg16);
    if let Some(peak) = peak_memory() {
        let ratio = peak as f64 / bytes as f64;
        println!(
            "VGG-16, {} nodes: {:.0} MB of file, peak memory {ratio:.2} x",
            graph.nodes.len(),
            bytes as f64 / 1e6
        );
    }
    drop(graph);
    let mut criterion = Criterion::default().configure_from_args();
    let squeezenet =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/squeezenet1.1-imagenet.onnx");
    let mut group = criterion.benchmark_group("import");
    group.sample_size(10);
    for (name, path) in [("vgg16", &vgg16), ("squeezenet1.1", &squeezenet)] {
        group.throughput(Throughput::Bytes(std::fs::metadata(path)?.len()));
        group.bench_function(name, |bencher| bencher.iter(|| import(path)));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
