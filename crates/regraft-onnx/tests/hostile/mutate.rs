//! Damage to ONNX files, each kind decided by a seed: to the bytes, to lengths and numbers on the wire, to the graph.

use onnx_ir::{GraphProto, Message, ModelProto};

/// Numbers that programs stumble over.
const NUMBERS: [i64; 14] = [
    i64::MAX,
    i64::MIN,
    -1,
    0,
    1,
    2,
    -2,
    i64::MAX - 1,
    i32::MAX as i64,
    i32::MIN as i64,
    1 << 16,
    1 << 24,
    1 << 40,
    u32::MAX as i64 + 1,
];

/// The sound files that damage starts from.
pub struct Source {
    files: Vec<Vec<u8>>,
    models: Vec<ModelProto>,
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which may be 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

impl Source {
    pub fn new(files: Vec<Vec<u8>>) -> Self {
        let models = files
            .iter()
            .map(|bytes| ModelProto::parse_from_bytes(bytes).unwrap())
            .collect();
        Self { files, models }
    }

    /// The `seed`-th damaged file, and what was done to it.
    pub fn mutated(&self, seed: u64) -> (&'static str, Vec<u8>) {
        let mut random = Random(seed);
        let which = random.below(self.files.len());
        let file = &self.files[which];
        match random.below(10) {
            0 => ("truncated", file[..random.below(file.len())].to_vec()),
            1 => ("flipped", flipped(&mut random, file)),
            2 => {
                let other = random.pick(&self.files);
                let mut bytes = file[..random.below(file.len())].to_vec();
                bytes.extend_from_slice(&other[random.below(other.len())..]);
                ("spliced", bytes)
            }
            3 => ("wire numbers", wire_numbers(&mut random, file)),
            _ => {
                let mut model = self.models[which].clone();
                let graph = model.graph.mut_or_insert_default();
                let mut attack = "";
                for _ in 0..1 + random.below(3) {
                    attack = rewire(&mut random, graph);
                }
                if random.below(20) == 0 {
                    for set in &mut model.opset_import {
                        set.version = *random.pick(&[0, 1, 6, 9, 10, 13, 18, i64::MAX, -1]);
                    }
                }
                (attack, model.write_to_bytes().unwrap())
            }
        }
    }
}

/// A few bytes replaced, most of them where structure is dense: the file's beginning.
fn flipped(random: &mut Random, file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(8) {
        let end = if random.below(2) == 0 {
            bytes.len()
        } else {
            bytes.len().min(4096)
        };
        let at = random.below(end);
        bytes[at] ^= 1 << random.below(8);
    }
    bytes
}

/// A varint somewhere (a tag, a length, a dimension) replaced by another, often huge, of any width.
fn wire_numbers(random: &mut Random, file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(3) {
        let end = if random.below(2) == 0 {
            bytes.len()
        } else {
            bytes.len().min(8192)
        };
        let at = random.below(end);
        let width = bytes[at..]
            .iter()
            .position(|b| b & 0x80 == 0)
            .map_or(1, |n| n.min(9) + 1);
        let mut number = *random.pick(&NUMBERS) as u64;
        let mut varint = Vec::new();
        while number > 0x7f {
            varint.push(number as u8 | 0x80);
            number >>= 7;
        }
        varint.push(number as u8);
        let end = (at + width).min(bytes.len());
        bytes.splice(at..end, varint);
    }
    bytes
}

/// One change to a graph that stays well-formed protobuf.
fn rewire(random: &mut Random, graph: &mut GraphProto) -> &'static str {
    let nodes = graph.node.len();
    let node = random.below(nodes);
    match random.below(16) {
        0 => {
            let later = random.below(nodes);
            let output = graph.node[later]
                .output
                .first()
                .cloned()
                .unwrap_or_default();
            replace_input(random, graph, node, output);
            "rewired"
        }
        1 => {
            if !graph.initializer.is_empty() {
                let gone = random.below(graph.initializer.len());
                graph.initializer.remove(gone);
            }
            "missing initializer"
        }
        2 => {
            let twin = random.below(nodes);
            graph.node[node].name = graph.node[twin].name.clone();
            if random.below(2) == 0 {
                graph.node[node].output = graph.node[twin].output.clone();
            }
            "duplicate names"
        }
        3..=6 => {
            attribute(random, graph, node);
            "attribute"
        }
        7 | 8 => {
            if let Some(tensor) = pick_mut(random, &mut graph.initializer) {
                let number = *random.pick(&NUMBERS);
                match pick_mut(random, &mut tensor.dims) {
                    Some(dim) if random.next().is_multiple_of(4) => *dim = number,
                    _ if random.below(2) == 0 => tensor.dims.push(number),
                    _ => tensor.dims.reverse(),
                }
            }
            "initializer's shape"
        }
        9 => {
            if let Some(tensor) = pick_mut(random, &mut graph.initializer) {
                tensor.data_type = random.below(28) as i32;
            }
            "initializer's type"
        }
        10 => {
            // Whole numbers of shape arithmetic, where they are.
            for tensor in &mut graph.initializer {
                if tensor.data_type == 7 && random.below(3) == 0 {
                    let mut raw = tensor.raw_data.to_vec();
                    if let Some(at) = (raw.len() >= 8).then(|| 8 * random.below(raw.len() / 8)) {
                        raw[at..at + 8].copy_from_slice(&random.pick(&NUMBERS).to_le_bytes());
                    }
                    tensor.raw_data = raw.into();
                }
            }
            "shape numbers"
        }
        11 => {
            const OPERATORS: [&str; 30] = [
                "Add",
                "Concat",
                "Shape",
                "Gather",
                "Slice",
                "Split",
                "Pad",
                "Expand",
                "Range",
                "ConstantOfShape",
                "Reshape",
                "Transpose",
                "Squeeze",
                "Unsqueeze",
                "Flatten",
                "MatMul",
                "Gemm",
                "Conv",
                "MaxPool",
                "AveragePool",
                "Where",
                "Equal",
                "Mod",
                "Cast",
                "Identity",
                "LRN",
                "Softmax",
                "ReduceMean",
                "DequantizeLinear",
                "If",
            ];
            graph.node[node].op_type = random.pick(&OPERATORS).to_string();
            "operator"
        }
        12 => {
            let count = random.below(4);
            let list = if random.below(2) == 0 {
                &mut graph.node[node].input
            } else {
                &mut graph.node[node].output
            };
            list.truncate(count);
            "missing operand"
        }
        13 => {
            let number = *random.pick(&NUMBERS);
            for input in &mut graph.input {
                let shape = input.type_.mut_or_insert_default().mut_tensor_type();
                let dims = &mut shape.shape.mut_or_insert_default().dim;
                match random.below(3) {
                    0 => dims.truncate(random.below(4)),
                    _ => {
                        if let Some(dim) = pick_mut(random, dims) {
                            dim.set_dim_value(number);
                        }
                    }
                }
            }
            "input's shape"
        }
        14 => {
            let at = random.below(nodes);
            graph.node.swap(node, at);
            let copies = random.below(400);
            let twin = graph.node[at].clone();
            for copy in 0..copies {
                let mut twin = twin.clone();
                for output in &mut twin.output {
                    *output = format!("{output}/{copy}");
                }
                graph.node.push(twin);
            }
            "copies"
        }
        _ => {
            let name = graph.node[node].output.first().cloned().unwrap_or_default();
            if let Some(output) = graph.output.first_mut() {
                output.name = name;
            }
            "output"
        }
    }
}

fn replace_input(random: &mut Random, graph: &mut GraphProto, node: usize, name: String) {
    if let Some(input) = pick_mut(random, &mut graph.node[node].input) {
        *input = name;
    }
}

/// Kernel, stride, pads, dilation, group, axis, permutation and their like.
fn attribute(random: &mut Random, graph: &mut GraphProto, node: usize) {
    let numbers: Vec<i64> = (0..8).map(|_| *random.pick(&NUMBERS)).collect();
    let Some(attribute) = pick_mut(random, &mut graph.node[node].attribute) else {
        return;
    };
    attribute.i = numbers[0];
    match random.below(4) {
        0 => attribute.ints = numbers[..random.below(8)].to_vec(),
        1 => attribute.f = f32::from_bits(random.next() as u32),
        _ => {
            if let Some(number) = pick_mut(random, &mut attribute.ints) {
                *number = numbers[1];
            }
        }
    }
}

fn pick_mut<'a, T>(random: &mut Random, items: &'a mut [T]) -> Option<&'a mut T> {
    let at = random.below(items.len());
    items.get_mut(at)
}
