//! The network's input: which of the file's is the image, how it lies, and how large it is.

use onnx_ir::ValueInfoProto;

use super::importer::Importer;
use super::known::Known;
use super::options::ImportOptions;
use crate::error::Error;
use crate::file::metadata;
use crate::file::model::Model;
use crate::ir::dim::Dim;
use crate::ir::graph::InputLayout;
use crate::ir::ids::ValueId;
use crate::proto::attributes::Attributes;
use crate::proto::element;
use crate::proto::nodes::reads;

/// Makes the image input the first value; gives it and its layout. `order` holds the nodes that are needed.
pub(super) fn add(
    importer: &mut Importer<'_>,
    options: &ImportOptions,
    order: &[usize],
) -> Result<(ValueId, InputLayout), Error> {
    let graph = importer.model.graph();
    // What no needed node reads, such as Keras' old learning phase, is no input.
    let is_read = |name: &String| {
        let mut nodes = order.iter().map(|&index| &graph.node[index]);
        nodes.any(|node| reads(node).contains(&name.as_str()))
    };
    let mut inputs = graph
        .input
        .iter()
        .filter(|input| importer.model.initializer(&input.name).is_none() && is_read(&input.name));
    let input = inputs.next().ok_or_else(|| Error::Graph {
        reason: "the graph has no input besides its weights; expected one image tensor".to_owned(),
    })?;
    if let Some(second) = inputs.next() {
        return Err(Error::Graph {
            reason: format!(
                "the graph has several inputs (`{}`, `{}`); expected one image tensor",
                input.name, second.name
            ),
        });
    }
    let dims = declared_dims(input);
    let [batch, a, b, c] = dims[..] else {
        return Err(Error::Graph {
            reason: format!(
                "input `{}` has {} dimensions; expected an image tensor [N, C, H, W] or [N, H, W, C]",
                input.name,
                dims.len()
            ),
        });
    };
    importer.fixed_batch = batch;
    let is_channels = |dim: Option<i64>| matches!(dim, Some(1 | 3 | 4));
    let (layout, channels, height, width) = if is_channels(a) || !is_channels(c) {
        (InputLayout::ChannelsFirst, a, b, c)
    } else {
        (InputLayout::ChannelsLast, c, a, b)
    };
    let fallback = options
        .image_size
        .or_else(|| metadata::image_size(importer.model))
        .unwrap_or([224, 224]);
    let extent = |dim: Option<i64>, otherwise: usize| match dim {
        Some(extent) => usize::try_from(extent)
            .ok()
            .filter(|e| (1..=1 << 16).contains(e)),
        None => Some(otherwise),
    };
    let (Some(channels), Some(height), Some(width)) = (
        extent(channels, open_channels(importer.model, &input.name, order)),
        extent(height, fallback[0]),
        extent(width, fallback[1]),
    ) else {
        return Err(Error::Graph {
            reason: format!("input `{}` has an impossible shape {dims:?}", input.name),
        });
    };
    let shape = match layout {
        InputLayout::ChannelsFirst => {
            vec![
                Dim::Batch(1),
                Dim::Fixed(channels),
                Dim::Fixed(height),
                Dim::Fixed(width),
            ]
        }
        InputLayout::ChannelsLast => {
            vec![
                Dim::Batch(1),
                Dim::Fixed(height),
                Dim::Fixed(width),
                Dim::Fixed(channels),
            ]
        }
    };
    let id = importer.add_value(&input.name, shape)?;
    importer
        .known
        .insert(input.name.clone(), Known::Activation(id));
    Ok((id, layout))
}

/// Whether neither the file nor the options say how large images are.
pub(super) fn leaves_size_open(model: &Model, options: &ImportOptions) -> bool {
    let mut images = model
        .graph()
        .input
        .iter()
        .map(declared_dims)
        .filter(|dims| dims.len() == 4);
    options.image_size.is_none()
        && metadata::image_size(model).is_none()
        && images.any(|dims| dims[1..].iter().filter(|dim| dim.is_none()).count() >= 2)
}

/// Channels of an image whose file leaves them open: as many as the first convolution takes, else 3.
fn open_channels(model: &Model, image: &str, order: &[usize]) -> usize {
    let nodes = order.iter().map(|&index| &model.graph().node[index]);
    let mut convolutions = nodes.filter(|node| {
        node.op_type == "Conv" && node.input.first().is_some_and(|name| name == image)
    });
    let weight = convolutions.next().and_then(|node| {
        let groups = Attributes(node).int("group").unwrap_or(1);
        let weight = model.initializer(node.input.get(1)?)?;
        weight.dims.get(1)?.checked_mul(groups)
    });
    weight
        .and_then(|channels| usize::try_from(channels).ok())
        .filter(|channels| (1..=1 << 16).contains(channels))
        .unwrap_or(3)
}

/// Whether an input takes whole numbers of 8 bits.
pub(super) fn is_whole(model: &Model, name: &str) -> bool {
    let mut inputs = model.graph().input.iter();
    inputs.any(|input| {
        let element = input.type_.tensor_type().elem_type;
        input.name == name && matches!(element, element::UINT8 | element::INT8)
    })
}

/// The extents a graph input declares; `None` for symbolic ones.
pub(crate) fn declared_dims(input: &ValueInfoProto) -> Vec<Option<i64>> {
    input
        .type_
        .tensor_type()
        .shape
        .dim
        .iter()
        .map(|dim| (dim.has_dim_value() && dim.dim_value() > 0).then(|| dim.dim_value()))
        .collect()
}
