//! Col2Im and ConvTranspose: windows are added up into an image, by a product with a fixed matrix for each of its sides.

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use super::layers::{Part, linear_part};
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Binary, Linear, Op};
use crate::ir::parameter::Role;
use crate::proto::attributes::Attributes;
use crate::proto::nodes::{fault, unsupported};

/// Most numbers of a matrix that adds windows up.
const MOST_NUMBERS: usize = 1 << 26;

/// How windows lie along one side of an image.
#[derive(Clone, Copy)]
struct Side {
    /// Places of a window.
    kernel: usize,
    /// Windows.
    count: usize,
    stride: usize,
    dilation: usize,
    /// Rows that lie before the image, and are left off.
    before: usize,
    /// Rows of the image.
    extent: usize,
}

impl Side {
    /// `[kernel * count, extent]`: 1 where a place of a window falls on a row.
    fn matrix(&self) -> Vec<f32> {
        let mut matrix = vec![0.0; self.kernel * self.count * self.extent];
        for place in 0..self.kernel {
            for window in 0..self.count {
                let row = window * self.stride + place * self.dilation;
                if let Some(row) = row
                    .checked_sub(self.before)
                    .filter(|&row| row < self.extent)
                {
                    matrix[(place * self.count + window) * self.extent + row] = 1.0;
                }
            }
        }
        matrix
    }
}

/// `[N, C, kh, kw, rows of windows, columns of windows]` added up into `[N, C, H, W]`.
fn added_up(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    [down, across]: [Side; 2],
) -> Result<ValueId, Error> {
    let shape = steps.shape(value);
    let (batch, channels) = (shape[0], shape[1]);
    // Columns first: [N, C, kw, columns, kh, rows] with the last two as one.
    let value = steps.transpose(value, &[0, 1, 3, 5, 2, 4])?;
    let wide = Dim::Fixed(across.kernel * across.count);
    let tall = Dim::Fixed(down.kernel * down.count);
    let value = steps.reshape(value, vec![batch, channels, wide, tall])?;
    let value = product(steps, value, down)?;
    let value = steps.transpose(value, &[0, 1, 3, 2])?;
    product(steps, value, across)
}

/// The last axis times the side's matrix.
fn product(steps: &mut Steps<'_, '_, '_>, value: ValueId, side: Side) -> Result<ValueId, Error> {
    let inner = side.kernel * side.count;
    if inner.saturating_mul(side.extent) > MOST_NUMBERS {
        return Err(unsupported(steps.node, "of windows over so large an image"));
    }
    let matrix = steps.numbers(vec![inner, side.extent], side.matrix());
    let mut shape = steps.shape(value);
    let rows: usize = shape[..3].iter().map(|dim| dim.per_image()).product();
    shape[3] = Dim::Fixed(side.extent);
    steps.layer(Part {
        op: Op::Linear(Linear {
            weight_transposed: false,
        }),
        inputs: vec![Input::Value(value), matrix],
        shape,
        macs: (rows * inner) as u64 * side.extent as u64,
    })
}

/// Col2Im, opset 18, of two sides: what PyTorch calls fold.
pub(super) fn col2im(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let input = importer.activation(node, 0)?;
    let pair = |importer: &mut Importer<'_>, index: usize| -> Result<[usize; 2], Error> {
        let numbers = importer.integers(node, index)?.unwrap_or_default();
        match numbers[..] {
            [a, b] if (1..=1 << 16).contains(&a) && (1..=1 << 16).contains(&b) => {
                Ok([a as usize, b as usize])
            }
            _ => Err(unsupported(node, format!("onto a grid of {numbers:?}"))),
        }
    };
    let (image, kernel) = (pair(importer, 1)?, pair(importer, 2)?);
    let attributes = Attributes(node);
    let stride = attributes.pair("strides", [1, 1])?;
    let dilation = attributes.pair("dilations", [1, 1])?;
    let pads = super::layers::pads(&attributes, image, kernel, stride, dilation)?;
    let count = |axis: usize| {
        let padded = image[axis] + pads[axis] + pads[axis + 2];
        let window = dilation[axis] * (kernel[axis] - 1) + 1;
        Some(padded.checked_sub(window)? / stride[axis] + 1)
    };
    let shape = importer.shape(input).to_vec();
    let places = kernel[0] * kernel[1];
    let (&[batch, Dim::Fixed(rows), Dim::Fixed(windows)], Some(down), Some(across)) =
        (&shape[..], count(0), count(1))
    else {
        return Err(fault(node, format!("its input is {}", show(&shape))));
    };
    if down * across != windows || rows % places != 0 {
        return Err(fault(
            node,
            format!(
                "its input is {}, its windows are {down} x {across}",
                show(&shape)
            ),
        ));
    }
    let counts = [down, across];
    let side = |axis: usize| Side {
        kernel: kernel[axis],
        count: counts[axis],
        stride: stride[axis],
        dilation: dilation[axis],
        before: pads[axis],
        extent: image[axis],
    };
    let mut apart = vec![batch];
    apart.extend([rows / places, kernel[0], kernel[1], down, across].map(Dim::Fixed));
    let mut steps = Steps::new(importer, node);
    let value = steps.reshape(input, apart)?;
    let value = added_up(&mut steps, value, [side(0), side(1)])?;
    steps.end(value)
}

/// ConvTranspose of images in one group: of every pixel a window, and the windows added up.
pub(super) fn conv_transpose(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let input = importer.activation(node, 0)?;
    let [channels, height, width] = importer.image(node, input)?;
    let batch = importer.shape(input)[0];
    if attributes.int("group").unwrap_or(1) != 1 {
        return Err(unsupported(node, "in several groups"));
    }
    let weight = importer.constant(node, 1)?;
    let weight = weight.ok_or_else(|| fault(node, "its weight is missing"))?;
    let &[from, outputs, kernel_height, kernel_width] = &weight.shape[..] else {
        return Err(unsupported(
            node,
            format!("its weight has shape {:?}", weight.shape),
        ));
    };
    if from != channels || weight.len() == 0 {
        return Err(fault(
            node,
            format!(
                "its weight {:?} does not fit {channels} channels",
                weight.shape
            ),
        ));
    }
    let kernel = [kernel_height, kernel_width];
    let stride = attributes.pair("strides", [1, 1])?;
    let dilation = attributes.pair("dilations", [1, 1])?;
    let counts = [height, width];
    let sides = sides(&attributes, kernel, counts, stride, dilation)?;
    let places = kernel_height * kernel_width;
    let shape = [channels, outputs * places];
    let parameter = importer.parameter_as(node, 1, Role::Weight, &shape)?;
    let mut steps = Steps::new(importer, node);
    let value = steps.transpose(input, &[0, 2, 3, 1])?;
    let part = linear_part(steps.importer, node, value, parameter, None, false)?;
    let value = steps.layer(part)?;
    let mut apart = vec![batch];
    apart.extend([height, width, outputs, kernel_height, kernel_width].map(Dim::Fixed));
    let value = steps.reshape(value, apart)?;
    let value = steps.transpose(value, &[0, 3, 4, 5, 1, 2])?;
    let mut value = added_up(&mut steps, value, sides)?;
    if steps.importer.operand(node, 2)?.is_some() {
        let shape = [outputs, 1, 1];
        let bias = steps.importer.parameter_as(node, 2, Role::Bias, &shape)?;
        value = steps.combine(Binary::Add, Input::Value(value), Input::Parameter(bias))?;
    }
    steps.end(value)
}

/// Where a transposed convolution's windows lie (ONNX operators, ConvTranspose 1 to 22).
fn sides(
    attributes: &Attributes<'_>,
    kernel: [usize; 2],
    counts: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<[Side; 2], Error> {
    let numbers = |name: &str, count: usize| -> Result<Option<Vec<usize>>, Error> {
        let Some(given) = attributes.ints(name).filter(|given| !given.is_empty()) else {
            return Ok(None);
        };
        let small = |&n: &i64| usize::try_from(n).ok().filter(|&n| n <= 1 << 16);
        let numbers: Option<Vec<usize>> = given.iter().map(small).collect();
        let numbers = numbers.filter(|numbers| numbers.len() == count);
        let numbers =
            numbers.ok_or_else(|| attributes.fault(format!("attribute `{name}` is {given:?}")))?;
        Ok(Some(numbers))
    };
    let more = numbers("output_padding", 2)?.unwrap_or(vec![0; 2]);
    let asked = numbers("output_shape", 2)?;
    let explicit = numbers("pads", 4)?.unwrap_or(vec![0; 4]);
    let automatic = attributes.string("auto_pad").unwrap_or_default();
    let side = |axis: usize| {
        let window = dilation[axis] * (kernel[axis] - 1) + 1;
        let whole = (counts[axis] - 1) * stride[axis] + window + more[axis];
        let same = counts[axis] * stride[axis];
        let wanted = match (&asked, automatic.as_str()) {
            (Some(asked), _) => Some(asked[axis]),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(same),
            _ => None,
        };
        let (before, extent) = match wanted {
            None => {
                let pads = explicit[axis] + explicit[axis + 2];
                (explicit[axis], whole.checked_sub(pads))
            }
            Some(extent) => {
                let total = whole.saturating_sub(extent);
                let before = match automatic.as_str() {
                    "SAME_UPPER" => total / 2,
                    _ => total - total / 2,
                };
                (before, Some(extent))
            }
        };
        let extent = extent.filter(|&extent| (1..=1 << 16).contains(&extent));
        Ok(Side {
            kernel: kernel[axis],
            count: counts[axis],
            stride: stride[axis],
            dilation: dilation[axis],
            before,
            extent: extent.ok_or_else(|| attributes.fault("its pads leave nothing"))?,
        })
    };
    Ok([side(0)?, side(1)?])
}
