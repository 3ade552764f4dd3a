//! Which pixels a network wants, where it says so: by whole numbers at its input, or by arithmetic ahead of its first layer.

use crate::ir::graph::{Graph, Input, Node};
use crate::ir::ids::ValueId;
use crate::ir::op::{Binary, Op};

/// The range of the pixels that a network is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelRange {
    /// 0 to 255, as decoders give them.
    Bytes,
    /// 0 to 1.
    Unit,
}

impl Graph {
    /// The range of pixels that the network turns into what its layers want; none where it leaves that to whoever feeds it.
    pub fn pixel_range(&self) -> Option<PixelRange> {
        let mut value = self.input;
        // What the first layer gets is `scale * pixel + shift`, for the channel with the largest of each.
        let (mut scale, mut shift, mut changes) = (1f32, 0f32, false);
        loop {
            let readers = self.readers(value);
            // Channels in another order are slices that are joined again.
            let parts: Vec<&Node> = match readers
                .iter()
                .all(|node| matches!(node.op, Op::Slice { .. }))
            {
                true => readers
                    .iter()
                    .flat_map(|node| self.readers(node.output))
                    .collect(),
                false => readers,
            };
            let Some(node) = parts.first().filter(|first| {
                let joined = matches!(first.op, Op::Concat { .. });
                (parts.len() == 1 || joined) && parts.iter().all(|part| part.output == first.output)
            }) else {
                break;
            };
            match (&node.op, &node.inputs[..]) {
                (Op::Transpose { .. } | Op::Reshape | Op::Pad { .. } | Op::Concat { .. }, _) => {}
                // A resize is a product with a fixed matrix, which keeps the range.
                (Op::Linear(_), &[Input::Value(_), Input::Parameter(by)])
                    if !self.parameter(by).role.trainable() => {}
                (Op::Binary(operator), &[Input::Value(_), Input::Parameter(by)]) => {
                    let numbers = self.parameter(by).data.to_vec();
                    let largest = numbers
                        .iter()
                        .copied()
                        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
                    let number = largest.unwrap_or(0.0);
                    match operator {
                        Binary::Add => shift += number,
                        Binary::Sub => shift -= number,
                        Binary::Mul => (scale, shift) = (scale * number, shift * number),
                        Binary::Div => (scale, shift) = (scale / number, shift / number),
                        _ => break,
                    }
                    changes = true;
                }
                _ => break,
            }
            value = node.output;
        }
        if !changes {
            return self.whole_pixels.then_some(PixelRange::Bytes);
        }
        // Layers want numbers of the size of 1. Where only a mean is taken, it says how large the pixels are.
        let bytes = scale.abs() < 0.1 || (scale.abs() <= 1.0 && shift.abs() > 10.0);
        Some(match bytes || self.whole_pixels {
            true => PixelRange::Bytes,
            false => PixelRange::Unit,
        })
    }

    /// The nodes that read a value.
    fn readers(&self, value: ValueId) -> Vec<&Node> {
        let reads = |node: &&Node| node.inputs.contains(&Input::Value(value));
        self.nodes.iter().filter(reads).collect()
    }
}
