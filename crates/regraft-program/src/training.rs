//! The program for training: which nodes above a cut are computed in one step, so that less is kept for the backward pass.

use std::collections::{HashMap, HashSet};

use regraft_kernels::Activation;
use regraft_onnx::op::{Binary, Op};
use regraft_onnx::{Graph, Input, ValueId};

use crate::pass::{Note, Pass};
use crate::step::{activation_of, gated_by};

/// What is computed together with a batch norm or a sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused {
    /// The activation behind it.
    pub activation: Activation,
    /// The nodes of that activation; none where there is none.
    pub nodes: Vec<usize>,
    /// Whether the convolution, pooling or sum that alone reads the output computes it, and again in the backward pass,
    /// so that it is never kept.
    pub in_reader: bool,
}

/// The fusions of the trainable part of a graph. Its nodes are computed in the graph's order; those of an activation that is
/// fused are computed with the norm or sum before it.
#[derive(Debug, Clone, Default)]
pub struct TrainingProgram {
    /// By the position of a batch norm or a sum in the graph.
    pub fused: HashMap<usize, Fused>,
    /// What the passes did, and what they left alone.
    pub notes: Vec<Note>,
}

impl TrainingProgram {
    /// The fusions of the nodes from `start` on: batch norms and sums with an activation that alone reads them, and for a norm
    /// a pooling, a sum or a convolution without bias that alone reads that. Values in `kept` are not given up.
    pub fn new(graph: &Graph, start: usize, kept: &[ValueId]) -> Self {
        let nodes = || graph.nodes.iter().enumerate().skip(start);
        let readers = |value: ValueId| -> Vec<usize> {
            let reads = nodes().filter(|(_, node)| node.inputs.contains(&Input::Value(value)));
            let found = reads.map(|(index, _)| index).collect();
            if kept.contains(&value) {
                Vec::new()
            } else {
                found
            }
        };
        let activation_behind = |value: ValueId| match readers(value)[..] {
            [only] => match &graph.nodes[only].op {
                Op::Activation(function) => Some((activation_of(*function)?, vec![only])),
                _ => None,
            },
            [gate, product] => {
                let (opened, whole) = (&graph.nodes[gate], &graph.nodes[product]);
                let (Op::Activation(gating), Op::Binary(Binary::Mul)) = (&opened.op, &whole.op)
                else {
                    return None;
                };
                let only = readers(opened.output) == [product] && whole.inputs.len() == 2;
                let activation = gated_by(*gating).filter(|_| only)?;
                Some((activation, vec![gate, product]))
            }
            _ => None,
        };
        // Of two norms that are added the first is the sum's to compute.
        let mut summed = HashSet::new();
        let mut computes_norm = |reader: usize, output: ValueId| {
            let node = &graph.nodes[reader];
            match (&node.op, &node.inputs[..]) {
                (Op::Conv(_), [Input::Value(value), Input::Parameter(_)])
                | (Op::MaxPool(_), [Input::Value(value)]) => *value == output,
                (Op::Binary(Binary::Add), operands @ [left, right]) => {
                    let behind = activation_behind(node.output);
                    let joined =
                        behind.is_some_and(|(activation, _)| activation.is_told_by_output());
                    joined && left != right && adds_images(graph, operands) && summed.insert(reader)
                }
                _ => false,
            }
        };
        let mut program = Self::default();
        for (index, node) in nodes() {
            let applied =
                |pass: Pass, into: usize| Note::applied(pass, &node.name, &graph.nodes[into].name);
            let left = |pass: Pass, why: &'static str| Note::left(pass, &node.name, why);
            let behind = activation_behind(node.output);
            let fused = match &node.op {
                Op::BatchNorm(_) => {
                    program.notes.push(match &behind {
                        Some((_, nodes)) => applied(Pass::NormThenActivation, nodes[0]),
                        None => left(
                            Pass::NormThenActivation,
                            "no activation that a kernel knows reads it alone",
                        ),
                    });
                    let (activation, nodes) = behind.unwrap_or((Activation::None, vec![]));
                    let output = nodes
                        .last()
                        .map_or(node.output, |last| graph.nodes[*last].output);
                    let reader = match readers(output)[..] {
                        [reader] => Ok(reader),
                        [] => Err("its output is kept"),
                        _ => Err("several nodes read its output"),
                    };
                    let reader = reader.and_then(|reader| match computes_norm(reader, output) {
                        true => Ok(reader),
                        false => Err("what reads its output cannot compute it"),
                    });
                    program.notes.push(match reader {
                        Ok(reader) => applied(Pass::NormInReader, reader),
                        Err(why) => left(Pass::NormInReader, why),
                    });
                    Fused {
                        activation,
                        nodes,
                        in_reader: reader.is_ok(),
                    }
                }
                Op::Binary(Binary::Add) if adds_images(graph, &node.inputs) => match behind {
                    Some((activation, nodes)) if activation.is_told_by_output() => {
                        program
                            .notes
                            .push(applied(Pass::SumThenActivation, nodes[0]));
                        Fused {
                            activation,
                            nodes,
                            in_reader: false,
                        }
                    }
                    Some(_) => {
                        let why = "the gradient of the activation behind it needs its input";
                        program.notes.push(left(Pass::SumThenActivation, why));
                        continue;
                    }
                    None => {
                        let why = "no activation that a kernel knows reads it alone";
                        program.notes.push(left(Pass::SumThenActivation, why));
                        continue;
                    }
                },
                _ => continue,
            };
            program.fused.insert(index, fused);
        }
        program
    }
}

/// Whether the operands are `[N, C, H, W]` and of one shape.
fn adds_images(graph: &Graph, operands: &[Input]) -> bool {
    match operands {
        [Input::Value(left), Input::Value(right)] => {
            let dims = graph.value(*left).dims(1);
            dims.len() == 4 && dims == graph.value(*right).dims(1)
        }
        _ => false,
    }
}
