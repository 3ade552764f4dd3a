//! Pooling over windows, over whole images, and over axes.

use onnx_ir::NodeProto;

use super::importer::Importer;
use super::layers::{self, Part, Windowed};
use super::reductions::reduced_axes;
use crate::error::Error;
use crate::ir::dim::Dim;
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Op, Pool};
use crate::proto::attributes::Attributes;

/// MaxPool, opsets 1 to 22; the indices output is not supported where used.
pub(super) fn max_pool(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    Windowed::new(importer, node)?.emit(importer, node, |importer, node, input| {
        let (pool, shape) = window(importer, node, input)?;
        Ok(part(Op::MaxPool(pool), input, shape))
    })
}

fn part(op: Op, input: ValueId, shape: Vec<Dim>) -> Part {
    Part {
        op,
        inputs: vec![Input::Value(input)],
        shape,
        macs: 0,
    }
}

/// AveragePool, opsets 1 to 22.
pub(super) fn average_pool(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    Windowed::new(importer, node)?.emit(importer, node, average_pool_of_images)
}

fn average_pool_of_images(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
) -> Result<Part, Error> {
    let count_include_pad = Attributes(node).int("count_include_pad").unwrap_or(0) != 0;
    let (pool, shape) = window(importer, node, input)?;
    let [_, height, width] = importer.image(node, input)?;
    // One window over the whole image is a global pool, whose kernel is quicker everywhere.
    let whole = pool.kernel == [height, width] && pool.pads == [0; 4] && pool.dilation == [1, 1];
    let op = if whole {
        Op::GlobalAveragePool
    } else {
        Op::AveragePool {
            pool,
            count_include_pad,
        }
    };
    Ok(part(op, input, shape))
}

/// GlobalAveragePool and GlobalMaxPool.
pub(super) fn global(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    Windowed::new(importer, node)?.emit(importer, node, |importer, node, input| {
        let [channels, ..] = importer.image(node, input)?;
        let op = match node.op_type.as_str() {
            "GlobalMaxPool" => Op::GlobalMaxPool,
            _ => Op::GlobalAveragePool,
        };
        let batch = importer.shape(input)[0];
        let shape = vec![batch, Dim::Fixed(channels), Dim::Fixed(1), Dim::Fixed(1)];
        Ok(part(op, input, shape))
    })
}

/// ReduceMean; axes are an attribute up to opset 17 and an input from 18.
pub(super) fn reduce_mean(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let input = importer.activation(node, 0)?;
    let shape = importer.shape(input).to_vec();
    let axes = reduced_axes(importer, node, &shape)?;
    let keep_dims = attributes.int("keepdims").unwrap_or(1) != 0;
    let reduced = shape
        .iter()
        .enumerate()
        .filter_map(|(index, &dim)| match (axes.contains(&index), keep_dims) {
            (false, _) => Some(dim),
            (true, true) => Some(Dim::Fixed(1)),
            (true, false) => None,
        })
        .collect();
    importer.emit(
        node,
        0,
        Op::ReduceMean { axes, keep_dims },
        vec![Input::Value(input)],
        reduced,
        0,
    )
}

fn window(
    importer: &mut Importer<'_>,
    node: &NodeProto,
    input: ValueId,
) -> Result<(Pool, Vec<Dim>), Error> {
    let attributes = Attributes(node);
    let [channels, height, width] = importer.image(node, input)?;
    let kernel = attributes.pair("kernel_shape", [0, 0])?;
    if kernel == [0, 0] {
        return Err(attributes.fault("attribute `kernel_shape` is missing"));
    }
    let stride = attributes.pair("strides", [1, 1])?;
    let dilation = attributes.pair("dilations", [1, 1])?;
    let pads = layers::pads(&attributes, [height, width], kernel, stride, dilation)?;
    let ceil_mode = attributes.int("ceil_mode").unwrap_or(0) != 0;
    // Rounded up, a window that reaches beyond the image on both sides is one over all of it.
    let mut kernel = kernel;
    for (axis, extent) in [(0, height), (1, width)] {
        let padded = extent + pads[axis] + pads[axis + 2];
        if ceil_mode && dilation[axis] == 1 && pads[axis] + pads[axis + 2] == 0 {
            kernel[axis] = kernel[axis].min(padded);
        }
    }
    let pool = Pool {
        kernel,
        stride,
        pads,
        dilation,
        ceil_mode,
    };
    let (Some(out_height), Some(out_width)) = (pool.output(0, height), pool.output(1, width))
    else {
        return Err(attributes.fault(format!(
            "a window of {} x {} does not fit an input of {height} x {width}; the image is too small for this network",
            kernel[0], kernel[1]
        )));
    };
    if (0..4).any(|side| pads[side] > dilation[side % 2] * (kernel[side % 2] - 1)) {
        return Err(attributes.fault("padding is as large as the window"));
    }
    let shape = vec![
        importer.shape(input)[0],
        Dim::Fixed(channels),
        Dim::Fixed(out_height),
        Dim::Fixed(out_width),
    ];
    Ok((pool, shape))
}
