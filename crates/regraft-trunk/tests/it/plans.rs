//! What becomes of small networks: which nodes are left, how much memory they take, and what they compute for other
//! batches.

use regraft_onnx::{Graph, ValueId};
use regraft_trunk::{Buffers, Plan};

use crate::build::Builder;

fn named(graph: &Graph, name: &str) -> ValueId {
    let node = graph
        .nodes
        .iter()
        .find(|node| graph.value(node.output).name == name);
    node.unwrap().output
}

fn images(plan: &Plan, count: usize) -> Vec<f32> {
    (0..count * plan.input_len())
        .map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0)
        .collect()
}

fn run(plan: &Plan, buffers: &mut Buffers, input: &[f32]) -> Vec<f32> {
    let mut output = vec![f32::NAN; input.len() / plan.input_len() * plan.output_len()];
    plan.run(buffers, input, &mut output).unwrap();
    output
}

/// The kinds of the steps up to a value, what only changes the layout left out.
fn kinds(graph: &Graph, target: &str) -> Vec<&'static str> {
    let mut kinds = all_kinds(graph, target);
    kinds.retain(|kind| *kind != "reorder");
    kinds
}

fn all_kinds(graph: &Graph, target: &str) -> Vec<&'static str> {
    let plan = Plan::compile(graph, named(graph, target)).unwrap();
    let input = images(&plan, 1);
    let mut output = vec![0.0; plan.output_len()];
    let times = plan
        .profile(&mut Buffers::new(), &input, &mut output)
        .unwrap();
    times.iter().map(|step| step.kind).collect()
}

fn close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (a, b) in ours.iter().zip(theirs) {
        assert!(
            (a - b).abs() <= 1e-5 * largest,
            "{a} is not {b}, largest {largest}"
        );
    }
}

/// A residual block with a convolution in its other branch.
fn block() -> Builder {
    let mut net = Builder::new([4, 7, 5]);
    net.conv("x", [4, 8], "conv1")
        .batch_norm("conv1", 8, "bn1")
        .node("Relu", &["bn1"], "relu1")
        .conv("relu1", [8, 8], "conv2")
        .batch_norm("conv2", 8, "bn2")
        .conv("x", [4, 8], "other")
        .batch_norm("other", 8, "bn3")
        .node("Add", &["bn2", "bn3"], "sum")
        .node("Relu", &["sum"], "relu2");
    net
}

#[test]
fn a_residual_block_is_its_convolutions() {
    let graph = block().classify("relu2", 8);
    assert_eq!(kinds(&graph, "relu2"), ["convolution"; 3]);
}

#[test]
fn a_fused_block_computes_what_its_nodes_do() {
    let graph = block().classify("relu2", 8);
    let at = |name: &str| {
        let plan = Plan::compile(&graph, named(&graph, name)).unwrap();
        run(&plan, &mut Buffers::new(), &images(&plan, 2))
    };
    // Each on its own is a target, so nothing after it is fused.
    let sum: Vec<f32> = at("bn2")
        .iter()
        .zip(at("bn3"))
        .map(|(a, b)| (a + b).max(0.0))
        .collect();
    close(&at("relu2"), &sum);
    let (conv, norm) = (at("conv1"), at("bn1"));
    let parameter = |name: &str| {
        let found = graph
            .parameters
            .iter()
            .find(|p| p.initializer.as_deref() == Some(name));
        found.unwrap().data.to_vec()
    };
    let [scale, shift, mean, variance] =
        ["bn1.weight", "bn1.bias", "bn1.mean", "bn1.var"].map(parameter);
    let expected: Vec<f32> = conv
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let c = i / 35 % 8;
            (x - mean[c]) / (variance[c] + 1e-5).sqrt() * scale[c] + shift[c]
        })
        .collect();
    close(&norm, &expected);
}

#[test]
fn a_value_that_is_read_twice_stays() {
    let mut net = Builder::new([4, 6, 6]);
    net.conv("x", [4, 4], "conv1")
        .node("Relu", &["conv1"], "relu")
        .node("Tanh", &["conv1"], "tanh")
        .node("Add", &["relu", "tanh"], "sum");
    let graph = net.classify("sum", 4);
    let expected = ["convolution", "function", "function", "binary"];
    assert_eq!(kinds(&graph, "sum"), expected);
}

#[test]
fn batch_norm_before_its_convolution_takes_the_activation_along() {
    let mut net = Builder::new([4, 6, 6]);
    net.batch_norm("x", 4, "bn")
        .node("Relu", &["bn"], "relu")
        .conv("relu", [4, 4], "conv1");
    let graph = net.classify("conv1", 4);
    assert_eq!(kinds(&graph, "conv1"), ["scale", "convolution"]);
}

#[test]
fn gates_are_activations_of_their_convolution() {
    let mut net = Builder::new([4, 6, 6]);
    net.conv("x", [4, 4], "conv1")
        .batch_norm("conv1", 4, "bn")
        .node("Sigmoid", &["bn"], "gate")
        .node("Mul", &["bn", "gate"], "silu");
    let graph = net.classify("silu", 4);
    assert_eq!(kinds(&graph, "silu"), ["convolution"]);
}

#[test]
fn five_nodes_are_a_gelu() {
    let mut net = Builder::new([4, 6, 6]);
    net.conv("x", [4, 4], "conv1")
        .values("root", &[], |_| std::f32::consts::SQRT_2)
        .values("one", &[], |_| 1.0)
        .values("half", &[], |_| 0.5)
        .node("Div", &["conv1", "root"], "scaled")
        .node("Erf", &["scaled"], "erf")
        .node("Add", &["erf", "one"], "upper")
        .node("Mul", &["conv1", "upper"], "product")
        .node("Mul", &["product", "half"], "gelu");
    let graph = net.classify("gelu", 4);
    assert_eq!(kinds(&graph, "gelu"), ["convolution", "function"]);
    let at = |name: &str| {
        let plan = Plan::compile(&graph, named(&graph, name)).unwrap();
        run(&plan, &mut Buffers::new(), &images(&plan, 1))
    };
    let (x, upper) = (at("conv1"), at("upper"));
    let expected: Vec<f32> = x.iter().zip(upper).map(|(x, u)| x * u * 0.5).collect();
    close(&at("gelu"), &expected);
}

#[test]
fn a_chain_takes_two_tensors() {
    let mut net = Builder::new([4, 8, 8]);
    net.conv("x", [4, 4], "a")
        .conv("a", [4, 4], "b")
        .conv("b", [4, 4], "c")
        .conv("c", [4, 4], "d");
    let graph = net.classify("d", 4);
    let plan = Plan::compile(&graph, named(&graph, "flat")).unwrap();
    assert_eq!(plan.activation_bytes(1), 2 * 4 * 256);
    assert_eq!(plan.activation_bytes(3), 3 * 2 * 4 * 256);
}

#[test]
fn a_residual_block_takes_three_tensors() {
    let mut net = Builder::new([4, 8, 8]);
    net.conv("x", [4, 4], "a")
        .conv("a", [4, 4], "b")
        .conv("b", [4, 4], "c")
        .node("Add", &["a", "c"], "sum")
        .conv("sum", [4, 4], "d");
    let graph = net.classify("d", 4);
    let plan = Plan::compile(&graph, named(&graph, "flat")).unwrap();
    assert_eq!(plan.activation_bytes(1), 3 * 4 * 256);
}

#[test]
fn elementwise_work_takes_no_memory_of_its_own() {
    let mut net = Builder::new([4, 8, 8]);
    net.conv("x", [4, 4], "a")
        .node("Tanh", &["a"], "b")
        .node("Exp", &["b"], "c");
    let graph = net.classify("c", 4);
    let plan = Plan::compile(&graph, named(&graph, "flat")).unwrap();
    // The image with its channels last, and what is made of it.
    assert_eq!(plan.activation_bytes(1), 2 * 4 * 256);
}

#[test]
fn layouts_change_at_the_ends_only() {
    let mut net = Builder::new([4, 8, 8]);
    net.conv("x", [4, 4], "a")
        .node("Tanh", &["a"], "b")
        .conv("b", [4, 4], "c")
        .node("Add", &["b", "c"], "sum")
        .node("MaxPool", &["sum"], "pool")
        .ints("kernel_shape", &[2, 2]);
    let graph = net.classify("pool", 4);
    let all = all_kinds(&graph, "pool");
    assert_eq!(
        all.iter().filter(|kind| **kind == "reorder").count(),
        2,
        "{all:?}"
    );
    assert_eq!((all[0], all[all.len() - 1]), ("reorder", "reorder"));
}

#[test]
fn groups_bound_the_memory_of_wide_stretches() {
    let mut net = Builder::new([4, 16, 16]);
    net.conv("x", [4, 4], "a")
        .conv("a", [4, 4], "b")
        .conv("b", [4, 4], "c");
    let graph = net.classify("c", 4);
    let whole = Plan::compile(&graph, graph.logits).unwrap();
    let grouped = Plan::with_working_set(&graph, graph.logits, 1).unwrap();
    assert!(grouped.activation_bytes(8) * 3 < whole.activation_bytes(8));
    let input = images(&whole, 5);
    let (a, b) = (
        run(&whole, &mut Buffers::new(), &input),
        run(&grouped, &mut Buffers::new(), &input),
    );
    close(&a, &b);
}

/// Odd sizes, branches of several kinds joined by channels, large enough to be written in place.
fn branches() -> Graph {
    let mut net = Builder::new([3, 33, 35]);
    net.conv("x", [3, 8], "stem")
        .conv("stem", [8, 5], "left")
        .node("MaxPool", &["stem"], "middle")
        .ints("kernel_shape", &[3, 3])
        .ints("pads", &[1, 1, 1, 1])
        .node("Tanh", &["stem"], "right")
        .node("Concat", &["left", "middle", "right"], "joined")
        .int("axis", 1)
        .node("AveragePool", &["joined"], "halved")
        .ints("kernel_shape", &[3, 2])
        .ints("strides", &[2, 2])
        .ints("pads", &[1, 0, 1, 1]);
    net.classify("halved", 21)
}

#[test]
fn batches_of_any_size_share_buffers() {
    let graph = branches();
    for working_set in [1, 100_000, 1 << 30] {
        let plan = Plan::with_working_set(&graph, named(&graph, "halved"), working_set).unwrap();
        let mut buffers = Buffers::new();
        let input = images(&plan, 7);
        let all = run(&plan, &mut buffers, &input);
        for count in [1, 3, 7, 2] {
            let some = run(&plan, &mut buffers, &input[..count * plan.input_len()]);
            close(&some, &all[..some.len()]);
        }
    }
}

#[test]
fn parts_lie_where_they_are_joined() {
    let graph = branches();
    let at = |name: &str| {
        let plan = Plan::compile(&graph, named(&graph, name)).unwrap();
        run(&plan, &mut Buffers::new(), &images(&plan, 2))
    };
    let pixels = 33 * 35;
    let parts = [(at("left"), 5), (at("middle"), 8), (at("right"), 8)];
    let expected: Vec<f32> = (0..2)
        .flat_map(|image| {
            parts.iter().flat_map(move |(part, channels)| {
                part[image * channels * pixels..][..channels * pixels]
                    .iter()
                    .copied()
            })
        })
        .collect();
    close(&at("joined"), &expected);
    assert_eq!(
        kinds(&graph, "joined"),
        [
            "convolution",
            "convolution",
            "max pool",
            "function",
            "concat"
        ]
    );
}

#[test]
fn the_same_images_give_the_same_bytes() {
    let graph = branches();
    let plan = Plan::compile(&graph, graph.logits).unwrap();
    let input = images(&plan, 6);
    let first = run(&plan, &mut Buffers::new(), &input);
    for _ in 0..5 {
        assert_eq!(run(&plan, &mut Buffers::new(), &input), first);
    }
}

#[test]
fn the_input_itself_is_a_target() {
    let graph = branches();
    let plan = Plan::compile(&graph, graph.input).unwrap();
    let input = images(&plan, 2);
    assert_eq!(run(&plan, &mut Buffers::new(), &input), input);
}

#[test]
fn half_an_image_is_an_error() {
    let graph = branches();
    let plan = Plan::compile(&graph, graph.logits).unwrap();
    let input = images(&plan, 1);
    let mut output = vec![0.0; plan.output_len()];
    let mut buffers = Buffers::new();
    assert!(plan.run(&mut buffers, &input[1..], &mut output).is_err());
    assert!(plan.run(&mut buffers, &[], &mut []).is_err());
    assert!(plan.run(&mut buffers, &input, &mut output[1..]).is_err());
}

#[test]
fn the_node_that_cannot_run_is_named() {
    let mut net = Builder::new([4, 6, 6]);
    net.conv("x", [4, 4], "conv1")
        .node("ReduceMean", &["conv1"], "odd")
        .ints("axes", &[1, 3]);
    let graph = net.node("Tanh", &["odd"], "tanh").classify("conv1", 4);
    assert!(
        Plan::compile(&graph, graph.logits).is_ok(),
        "nobody needs the odd one"
    );
    let mut net = Builder::new([4, 6, 6]);
    net.conv("x", [4, 4], "conv1")
        .node("ReduceMean", &["conv1"], "odd")
        .ints("axes", &[1, 3]);
    let graph = net
        .node("Mul", &["conv1", "odd"], "product")
        .classify("product", 4);
    let refused = Plan::compile(&graph, graph.logits).unwrap_err();
    assert_eq!(refused.node, "odd");
    assert!(refused.why.contains("[1, 3]"), "{}", refused.why);
}
