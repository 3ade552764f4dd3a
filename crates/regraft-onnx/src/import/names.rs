//! Canonical dotted names for parameters, whatever the exporter called its initializers.
//!
//! An initializer's own name is kept when it is already a dotted path (`layer1.0.conv1.weight`). Exporters that fold batch
//! norm number their initializers (`onnx::Conv_193`), others write paths with slashes
//! (`block1_conv1/convolution/ReadVariableOp:0`); there the name comes from the node's scope and the parameter's role.

use std::collections::HashSet;

use onnx_ir::NodeProto;

use crate::ir::parameter::Role;

/// The canonical name of a parameter: unique among `taken`, to which it is added.
///
/// `scope` is the module of the node that uses it, where the file tells.
pub(crate) fn canonical(
    initializer: &str,
    scope: Option<String>,
    role: Role,
    taken: &mut HashSet<String>,
) -> String {
    let name = if let Some(module) = module_by_convention(initializer, role) {
        format!("{module}.{}", leaf(role))
    } else if is_dotted_path(initializer) {
        initializer.to_owned()
    } else {
        match scope {
            Some(scope) => format!("{scope}.{}", leaf(role)),
            None => sanitise(initializer),
        }
    };
    let name = if name.is_empty() {
        leaf(role).to_owned()
    } else {
        name
    };
    unique(name, taken)
}

/// The module that an exporter's way of naming initializers gives away; `None` where it is none of these.
fn module_by_convention(initializer: &str, role: Role) -> Option<String> {
    if role == Role::Constant {
        return None;
    }
    // torch.export's optimiser calls the bias that it folds out of a batch norm after the weight.
    let folded_bias = || {
        initializer
            .strip_suffix(".weight_bias")
            .filter(|_| role == Role::Bias)
            .map(str::to_owned)
    };
    folded_bias()
        .or_else(|| keras(initializer))
        .or_else(|| caffe2(initializer))
        .or_else(|| paddle(initializer))
        .or_else(|| gluon(initializer))
        .filter(|module| !module.is_empty())
}

/// Keras: `block1_conv1/kernel:0`.
fn keras(initializer: &str) -> Option<String> {
    const LEAVES: [&str; 7] = [
        "kernel",
        "depthwise_kernel",
        "bias",
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    ];
    let (module, last) = initializer.trim_end_matches(":0").rsplit_once('/')?;
    LEAVES.contains(&last).then(|| sanitise(module))
}

/// Caffe2: `gpu_0/res2_0_branch2a_w_0`, `inception_3a/1x1_b_0`; norms have `s`, `b`, `rm` and `riv`.
fn caffe2(initializer: &str) -> Option<String> {
    let module = ["_w_0", "_b_0", "_s_0", "_rm_0", "_riv_0"]
        .iter()
        .find_map(|suffix| initializer.strip_suffix(suffix))?;
    Some(sanitise(module.strip_prefix("gpu_0/").unwrap_or(module)))
}

/// Paddle: `conv2d_0.w_0`, `batch_norm_0.w_1`.
fn paddle(initializer: &str) -> Option<String> {
    let (module, leaf) = initializer.rsplit_once('.')?;
    matches!(leaf, "w_0" | "b_0" | "w_1" | "w_2").then(|| sanitise(module))
}

/// Gluon: `resnetv15_stage1_conv0_weight`, where every scope is a word with a number.
fn gluon(initializer: &str) -> Option<String> {
    let module = [
        "_weight",
        "_bias",
        "_gamma",
        "_beta",
        "_running_mean",
        "_running_var",
        "_moving_mean",
        "_moving_var",
    ]
    .iter()
    .find_map(|suffix| initializer.strip_suffix(suffix))?;
    let word = |part: &str| {
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let numbered = module.ends_with(|c: char| c.is_ascii_digit());
    (numbered && module.split('_').all(word)).then(|| module.replace('_', "."))
}

/// `a.b.c` of identifiers (RegNet's have hyphens); one word alone (`fc_weight`) or a tool's counter (`onnx::Conv_193`, `val_12`) is none.
pub(crate) fn is_dotted_path(name: &str) -> bool {
    name.contains('.')
        && name.split('.').all(|part| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        })
}

/// The module that uses a node's weights: noted by PyTorch's dynamo exporter, else told by the node's or its output's name.
pub(crate) fn module(node: &NodeProto) -> Option<String> {
    noted_module(node).or_else(|| {
        scope(informative(
            &node.name,
            node.output.first().map_or("", String::as_str),
        ))
    })
}

/// The dynamo exporter's note is a Python list of nested scopes, the operation last:
/// `['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']`.
fn noted_module(node: &NodeProto) -> Option<String> {
    let note = node
        .metadata_props
        .iter()
        .find(|prop| prop.key == "pkg.torch.onnx.name_scopes")?;
    let scopes: Vec<&str> = note
        .value
        .trim_matches(['[', ']'])
        .split(',')
        .map(|scope| scope.trim().trim_matches('\''))
        .collect();
    let [.., module, _operation] = scopes.as_slice() else {
        return None;
    };
    let module = sanitise(module);
    (!module.is_empty()).then_some(module)
}

/// A module path from a node's name: `/layer1/layer1.0/conv1/Conv` is `layer1.0.conv1`,
/// `functional_1/block1_conv1_1/BiasAdd` is `functional_1.block1_conv1_1`.
///
/// `None` where the name says nothing: empty, or an operator with a counter (`Conv_12`).
pub(crate) fn scope(node: &str) -> Option<String> {
    // TensorFlow numbers a node's outputs: `scope/BiasAdd:0`.
    let node = node
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .strip_suffix(':')
        .unwrap_or(node);
    let parts: Vec<&str> = node
        .split(['/', ':'])
        .filter(|part| !part.is_empty())
        .collect();
    let (last, scopes) = parts.split_last()?;
    // TensorFlow's saved models wrap everything in one call.
    let scopes = scopes
        .strip_prefix(&["StatefulPartitionedCall"])
        .unwrap_or(scopes);
    let mut path: Vec<String> = Vec::new();
    if scopes.is_empty() {
        return (!is_counter(last)).then(|| sanitise(last));
    }
    for part in scopes {
        // PyTorch repeats the parents: `conv`, then `conv.0`, then `conv.0.0`; a part that extends what it repeats adds
        // only the rest.
        let added = (0..path.len()).find_map(|start| {
            let repeated = format!("{}.", path[start..].join("."));
            part.strip_prefix(repeated.as_str())
        });
        path.extend(added.unwrap_or(part).split('.').map(str::to_owned));
    }
    Some(
        path.iter()
            .map(|part| sanitise(part))
            .collect::<Vec<_>>()
            .join("."),
    )
}

/// Whichever of a node's name and its output's name tells more: the name, unless it is an operator with a counter
/// and the output is a path.
fn informative<'a>(node: &'a str, output: &'a str) -> &'a str {
    let anonymous = node.is_empty() || (!node.contains('/') && is_counter(node));
    if anonymous && output.contains('/') {
        output
    } else {
        node
    }
}

/// `Conv`, `Conv_12`, `Conv__440`, `node_Conv_3`: an operator and a number, no scope.
fn is_counter(name: &str) -> bool {
    let stem = name
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches('_');
    let stem = stem.strip_prefix("node_").unwrap_or(stem);
    const OPERATORS: [&str; 14] = [
        "Conv",
        "Expand",
        "expand",
        "Concat",
        "cat",
        "add",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "Add",
        "Mul",
        "conv2d",
        "linear",
        "Sub",
    ];
    OPERATORS.contains(&stem)
}

fn leaf(role: Role) -> &'static str {
    match role {
        Role::Weight | Role::NormScale => "weight",
        Role::Bias | Role::NormShift => "bias",
        Role::RunningMean => "running_mean",
        Role::RunningVariance => "running_var",
        Role::Constant => "constant",
    }
}

/// Letters, digits, `_` and `.` stay; a path separator becomes a dot, anything else an underscore.
fn sanitise(name: &str) -> String {
    let mapped: String = name
        .chars()
        .map(|c| match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
            '/' => '.',
            _ => '_',
        })
        .collect();
    let parts: Vec<&str> = mapped.split('.').filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

/// Parameters of one name up to which their numbers have no gaps.
const FEW: usize = 100;

fn unique(name: String, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.clone()) {
        return name;
    }
    let mut count = 2usize;
    loop {
        let candidate = format!("{name}_{count}");
        if taken.insert(candidate.clone()) {
            return candidate;
        }
        // Thousands of one name would otherwise count up from 2 each time.
        count = if count < FEW {
            count + 1
        } else {
            count.max(taken.len()) + 1
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(initializer: &str, node: &str, role: Role, expected: &str) {
        assert_eq!(
            canonical(initializer, scope(node), role, &mut HashSet::new()),
            expected
        );
    }

    #[test]
    fn a_dotted_initializer_keeps_its_name() {
        check(
            "layer1.0.conv1.weight",
            "/layer1/layer1.0/conv1/Conv",
            Role::Weight,
            "layer1.0.conv1.weight",
        );
    }

    #[test]
    fn a_numbered_initializer_takes_its_nodes_scope() {
        check(
            "onnx::Conv_193",
            "/layer1/layer1.0/conv1/Conv",
            Role::Weight,
            "layer1.0.conv1.weight",
        );
        check(
            "onnx::Conv_194",
            "/layer1/layer1.0/conv1/Conv",
            Role::Bias,
            "layer1.0.conv1.bias",
        );
        check(
            "onnx::Conv_1",
            "/features/features.0/Conv",
            Role::Weight,
            "features.0.weight",
        );
        check(
            "onnx::Conv_9",
            "/Mixed_5b/branch1x1/conv/Conv",
            Role::Weight,
            "Mixed_5b.branch1x1.conv.weight",
        );
    }

    #[test]
    fn nested_sequences_are_named_once() {
        check(
            "onnx::Conv_541",
            "/features/features.1/conv/conv.0/conv.0.0/Conv",
            Role::Weight,
            "features.1.conv.0.0.weight",
        );
    }

    #[test]
    fn a_bias_out_of_a_folded_norm_belongs_to_its_layer() {
        check(
            "layer1.0.conv1.weight_bias",
            "node_Conv_294",
            Role::Bias,
            "layer1.0.conv1.bias",
        );
        check(
            "trunk_output.block1.block1-0.f.a.0.weight",
            "/trunk_output/block1/block1-0/f/a/a.0/Conv",
            Role::Weight,
            "trunk_output.block1.block1-0.f.a.0.weight",
        );
    }

    #[test]
    fn tensorflow_scopes_become_dots() {
        check(
            "functional_1/block1_conv1_1/convolution/ReadVariableOp:0",
            "functional_1/block1_conv1_1/BiasAdd",
            Role::Weight,
            "functional_1.block1_conv1_1.weight",
        );
    }

    #[test]
    fn a_node_without_a_scope_leaves_the_initializer_its_name() {
        check(
            "Conv__440_weights_fused_bn",
            "Conv__440",
            Role::Weight,
            "Conv__440_weights_fused_bn",
        );
        check(
            "StatefulPartitionedCall/resnet50/conv1_conv/Conv2D/ReadVariableOp:0",
            "StatefulPartitionedCall/resnet50/conv1_conv/Conv2D",
            Role::Weight,
            "resnet50.conv1_conv.weight",
        );
        check("class_token", "/Expand", Role::Weight, "class_token");
        check("pos_embed", "node_add", Role::Bias, "pos_embed");
        check("conv2d_1.w", "Conv_1", Role::Weight, "conv2d_1.w");
    }

    #[test]
    fn each_exporters_way_of_naming_is_understood() {
        let cases = [
            ("block1_conv1/kernel:0", Role::Weight, "block1_conv1.weight"),
            (
                "bn/moving_variance:0",
                Role::RunningVariance,
                "bn.running_var",
            ),
            (
                "gpu_0/res2_0_branch2a_w_0",
                Role::Weight,
                "res2_0_branch2a.weight",
            ),
            ("inception_3a/1x1_b_0", Role::Bias, "inception_3a.1x1.bias"),
            (
                "batch_norm_0.w_1",
                Role::RunningMean,
                "batch_norm_0.running_mean",
            ),
            (
                "resnetv15_stage1_conv0_weight",
                Role::Weight,
                "resnetv15.stage1.conv0.weight",
            ),
            (
                "mobilenetv20_features_linearbottleneck0_batchnorm0_gamma",
                Role::NormScale,
                "mobilenetv20.features.linearbottleneck0.batchnorm0.weight",
            ),
        ];
        for (initializer, role, expected) in cases {
            check(initializer, "Conv_0", role, expected);
        }
    }

    #[test]
    fn the_dynamo_exporters_note_names_the_module() {
        let mut node = NodeProto::new();
        node.name = "node_MatMul_97".to_owned();
        node.metadata_props.push(Default::default());
        let note = &mut node.metadata_props[0];
        note.key = "pkg.torch.onnx.name_scopes".to_owned();
        note.value = "['', 'encoder', 'encoder.mlp', 'encoder.mlp.0', 'linear_2']".to_owned();
        assert_eq!(module(&node).as_deref(), Some("encoder.mlp.0"));
    }

    #[test]
    fn two_parameters_never_share_a_name() {
        let mut taken = HashSet::new();
        let first = canonical("onnx::Conv_1", scope("/a/b/Conv"), Role::Weight, &mut taken);
        let second = canonical("onnx::Conv_2", scope("/a/b/Conv"), Role::Weight, &mut taken);
        assert_eq!(
            (first.as_str(), second.as_str()),
            ("a.b.weight", "a.b.weight_2")
        );
    }
}
