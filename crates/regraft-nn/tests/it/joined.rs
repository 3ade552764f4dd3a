//! What the trainable part computes in one step, against the trunk, which computes it otherwise.

use std::sync::Arc;

use regraft_freeze::{DataFacts, FreezeConfig, Policy, resolve};
use regraft_nn::{Activation, Network, outline};
use regraft_onnx::Graph;

use crate::build::Builder;

const SHAPE: [usize; 4] = [2, 3, 9, 7];

/// A convolution and its norm, `n`, then what `grow` makes of that up to `a`.
fn grown(grow: impl FnOnce(&mut Builder) -> &mut Builder) -> Graph {
    let mut builder = Builder::new([3, 9, 7]);
    builder.conv("x", [3, 4], "c").batch_norm("c", 4, "n");
    grow(&mut builder).classify("a", 4)
}

fn assert_agrees(graph: Graph) {
    let graph = Arc::new(graph);
    let facts = DataFacts {
        train_images: 100,
        classes: 3,
        batch_size: 2,
    };
    let config = FreezeConfig {
        policy: Policy::Full,
        ..FreezeConfig::default()
    };
    let plan = resolve(&outline(&graph, |_| false), &facts, &config).unwrap();
    let pixels: Vec<f32> = (0..SHAPE.iter().product::<usize>())
        .map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0)
        .collect();
    for backend in regraft_backend::built() {
        let device = regraft_backend::open(backend).unwrap();
        let whole = Network::inference(graph.clone(), &device).unwrap();
        let trained = Network::new(graph.clone(), &plan.phases[0], &[], &device).unwrap();
        let [expected, found] = [whole, trained].map(|network| {
            let features = network.features(pixels.clone(), SHAPE).unwrap();
            let logits = Activation::R2(network.logits(features).unwrap());
            logits.into_values().unwrap()
        });
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-4, "{found:?} is not {expected:?}");
        }
    }
}

#[test]
fn activations_behind_norms() {
    for function in ["Relu", "HardSwish"] {
        assert_agrees(grown(|b| b.node(function, &["n"], "a")));
    }
    // The second, with ONNX's own slope, is a gate without a name.
    for gate in ["Sigmoid", "HardSigmoid"] {
        assert_agrees(grown(|b| {
            b.node(gate, &["n"], "g").node("Mul", &["g", "n"], "a")
        }));
    }
}

#[test]
fn sums_of_norms() {
    // With what came before; with itself; with another norm, as where a residual block changes its size.
    for other in ["c", "n"] {
        assert_agrees(grown(|b| {
            b.node("Add", &["n", other], "s").node("Relu", &["s"], "a")
        }));
    }
    assert_agrees(grown(|b| {
        b.conv("x", [3, 4], "d").batch_norm("d", 4, "m");
        b.node("Add", &["n", "m"], "s").node("Relu", &["s"], "a")
    }));
}
