//! From the file's nodes to typed ones: attributes resolved, shapes inferred for any batch, shape arithmetic folded.
//!
//! The graph is walked once in execution order. Every value of the file is known as one of three things: an activation
//! that depends on the image, a constant, or numbers that hold the batch (what `Shape` gives), which stays symbolic. Nodes
//! whose operands are all of the latter two are computed (`fold`) and leave no node.

mod attention;
mod branch;
mod columns;
mod composed;
mod constants;
mod einsum;
mod elementwise;
mod fold;
mod importer;
mod indices;
mod input;
mod known;
mod layers;
mod layout;
pub(crate) mod names;
mod options;
mod order;
mod pooling;
mod reductions;
mod refusals;
mod resize;
mod table;

use onnx_ir::NodeProto;

use self::importer::{Draft, Importer};
use self::known::Known;
use crate::error::Error;
use crate::file::model::Model;
use crate::ir::graph::{Graph, InputLayout};
use crate::ir::ids::ValueId;
use crate::ir::output::OutputKind;
use crate::ir::value::Value;
use crate::proto::nodes::unsupported;

pub(crate) use self::input::declared_dims;
pub use self::options::ImportOptions;

/// What a file may do with what a network says, after which nothing can be trained: it is left off.
const AFTERWARDS: &[&str] = &["ArgMax", "ArgMin", "Hardmax", "TopK", "ZipMap"];

/// The file's nodes, values and parameters as graphs without blocks, whose heads are still to be looked for and whose logits
/// are their outputs: one for each output of the file, the likeliest to tell classes first.
pub(crate) fn walks<'m>(
    model: &'m Model,
    options: &'m ImportOptions,
) -> impl Iterator<Item = Result<Graph, Error>> + 'm {
    let mut outputs: Vec<&str> = model
        .graph()
        .output
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    outputs.sort_by_key(|name| likelihood(name));
    outputs
        .into_iter()
        .map(move |output| walk_at_its_size(model, options, output))
}

/// The graph of one output. Where the file leaves the size of images open and nothing else says it, at the first of the usual
/// sizes that the network takes: a table of positions is made for one.
fn walk_at_its_size(model: &Model, options: &ImportOptions, output: &str) -> Result<Graph, Error> {
    const USUAL: &[usize] = &[
        256, 384, 192, 128, 96, 64, 32, 288, 320, 448, 512, 518, 299, 336, 240, 160, 48, 28,
    ];
    let graph = walk(model, options, output);
    if graph.is_ok() || !input::leaves_size_open(model, options) {
        return graph;
    }
    let at = |size: &usize| {
        let options = ImportOptions {
            image_size: Some([*size; 2]),
            ..options.clone()
        };
        walk(model, &options, output).ok()
    };
    USUAL.iter().find_map(at).map_or(graph, Ok)
}

/// How likely an output of that name tells classes; less is likelier.
fn likelihood(name: &str) -> usize {
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    match () {
        () if has(&["aux", "hidden", "feat", "embed"]) => 3,
        () if has(&["logit"]) => 0,
        () if has(&["prob", "score", "class", "pred", "output", "label"]) => 1,
        () => 2,
    }
}

/// The graph of one output of the file.
fn walk(model: &Model, options: &ImportOptions, output: &str) -> Result<Graph, Error> {
    let (target, left_off) = before(model, output);
    let order = order::execution_order(model, target)?;
    refusals::check(model, &order)?;
    let mut importer = Importer::new(model, options.most_generated);
    let (input, layout) = input::add(&mut importer, options, &order)?;
    let whole_pixels = input::is_whole(model, &importer.values[input.0].name);
    for index in order {
        import(&mut importer, &model.graph().node[index])?;
    }
    let graph = finish(importer, input, layout, target, left_off)?;
    Ok(Graph {
        whole_pixels,
        ..graph
    })
}

/// Computes the node or adds what it stands for.
fn import(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    if fold::fold(importer, node)? {
        return Ok(());
    }
    let import = table::importer(&node.op_type).ok_or_else(|| {
        unsupported(
            node,
            "is supported on constants alone, and its input depends on the image",
        )
    })?;
    import(importer, node)
}

/// The value that a file's output is made of by operators that end a network, and the first of these.
fn before<'m>(model: &'m Model, output: &'m str) -> (&'m str, Option<String>) {
    let (mut value, mut left_off) = (output, None);
    while let Some(node) = model
        .graph()
        .node
        .iter()
        .find(|node| node.output.iter().any(|name| name == value))
        .filter(|node| AFTERWARDS.contains(&node.op_type.as_str()))
        && let Some(input) = node.input.first()
    {
        (value, left_off) = (input, Some(node.op_type.clone()));
    }
    (value, left_off)
}

/// What the walk found, less what the output does not need.
fn finish(
    importer: Importer<'_>,
    input: ValueId,
    layout: InputLayout,
    target: &str,
    left_off: Option<String>,
) -> Result<Graph, Error> {
    let Some(Known::Activation(id)) = importer.known.get(target) else {
        return Err(Error::Graph {
            reason: format!("output `{target}` does not depend on the image"),
        });
    };
    let id = *id;
    let input_name = importer.values[input.0].name.clone();
    let (nodes, parameters) = order::live(importer.nodes, importer.parameters, id);
    if nodes.is_empty() {
        return Err(Error::Graph {
            reason: "the output is the input itself".to_owned(),
        });
    }
    let value = |draft: Draft| Value {
        name: draft.name,
        shape: draft.shape,
    };
    Ok(Graph {
        nodes,
        values: importer.values.into_iter().map(value).collect(),
        parameters,
        input,
        layout,
        whole_pixels: false,
        output: id,
        logits: id,
        output_kind: OutputKind::Classes,
        left_off,
        blocks: Vec::new(),
        head: Err(String::new()),
        input_name,
        output_name: target.to_owned(),
    })
}
