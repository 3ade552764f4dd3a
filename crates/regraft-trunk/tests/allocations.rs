//! A run that has run before allocates no memory for values. A binary of its own: it counts what all threads take.
#![allow(unsafe_code, clippy::unwrap_used, missing_docs)]

#[path = "it/build.rs"]
#[allow(dead_code)]
mod build;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use regraft_trunk::{Buffers, Plan};

struct Counting;

static LARGE: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Above the lists of taps that the kernels make, and what rayon's queue grows by.
const LARGE_BYTES: usize = 4096;

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGE.fetch_add(usize::from(layout.size() >= LARGE_BYTES), Ordering::Relaxed);
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_second_run_allocates_no_values() {
    let mut net = build::Builder::new([8, 40, 40]);
    net.conv("x", [8, 16], "a")
        .batch_norm("a", 16, "bn")
        .node("Relu", &["bn"], "relu")
        .conv("relu", [16, 16], "b")
        .node("Add", &["relu", "b"], "sum")
        .node("Tanh", &["sum"], "tanh")
        .node("MaxPool", &["tanh"], "pool")
        .ints("kernel_shape", &[2, 2]);
    let graph = net.classify("pool", 16);
    let plan = Plan::with_working_set(&graph, graph.logits, 1 << 19).unwrap();
    let input = vec![0.5; 6 * plan.input_len()];
    let mut output = vec![0.0; 6 * plan.output_len()];
    let mut buffers = Buffers::new();
    // Threads' scratch memory grows in the first runs, whoever gets which task.
    for _ in 0..20 {
        plan.run(&mut buffers, &input, &mut output).unwrap();
    }
    let before = (LARGE.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    for _ in 0..10 {
        plan.run(&mut buffers, &input, &mut output).unwrap();
        plan.run(
            &mut buffers,
            &input[..plan.input_len()],
            &mut output[..plan.output_len()],
        )
        .unwrap();
    }
    let (large, bytes) = (LARGE.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    assert_eq!(
        large - before.0,
        0,
        "allocations of {LARGE_BYTES} bytes and more"
    );
    assert!(
        bytes - before.1 < 20 * 8192,
        "{} bytes in 20 runs",
        bytes - before.1
    );
}
