//! The frozen lower part of a network: no autodiff, batch norm folded, activations freed at their last use.
//!
//! On the processor a compiled plan runs it (`regraft-trunk`); elsewhere, and where a plan does not know an operator, Burn
//! does, node by node.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use regraft_onnx::{Graph, Input, ValueId};
use regraft_ops::is_host;
use regraft_trunk::{Buffers, Plan, Precision, has_bf16};

use crate::activation::Activation;
use crate::batch_norm::Mode;
use crate::error::Error;
use crate::fold::{self, FoldedNode, Operand};
use crate::operators;

/// The nodes below a cut, on a plain device.
pub struct Trunk {
    graph: Arc<Graph>,
    device: Device,
    output: ValueId,
    way: Way,
}

/// Who runs the nodes.
enum Way {
    Plan {
        plan: Box<Plan>,
        buffers: Mutex<Buffers>,
    },
    Nodes(Vec<(FoldedNode, Vec<Activation>)>),
}

impl Trunk {
    /// The graph's first `end` nodes, which must end at a cut (or be none).
    ///
    /// # Errors
    /// When a parameter has a rank that is not supported.
    pub fn new(graph: &Arc<Graph>, end: usize, device: &Device) -> Result<Self, Error> {
        Self::in_precision(graph, end, device, Precision::F32)
    }

    /// The same with convolutions in another precision.
    ///
    /// # Errors
    /// As [`Self::new`], and where the device has not that precision.
    pub fn in_precision(
        graph: &Arc<Graph>,
        end: usize,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let device = device.clone().without_autodiff();
        let output = match end {
            0 => graph.input,
            end => graph.nodes[end - 1].output,
        };
        let plan = (end > 0 && is_host(&device))
            .then(|| Plan::in_precision(graph, output, precision).ok())
            .flatten();
        let able = match precision {
            Precision::F32 => true,
            Precision::Bf16 => end == 0 || plan.is_some() && has_bf16(),
        };
        if !able {
            return Err(Error::Precision);
        }
        let way = match plan {
            Some(plan) => Way::Plan {
                plan: Box::new(plan),
                buffers: Mutex::new(Buffers::new()),
            },
            None => Way::Nodes(folded(graph, end, &device)?),
        };
        Ok(Self {
            graph: graph.clone(),
            device,
            output,
            way,
        })
    }

    /// Runs the trunk on `n` images in the graph's own layout, one after the other.
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn forward(&self, pixels: Vec<f32>, n: usize) -> Result<Activation, Error> {
        match &self.way {
            Way::Plan { plan, buffers } => {
                let mut output = vec![0.0; n * plan.output_len()];
                let mut buffers = buffers.lock().unwrap_or_else(PoisonError::into_inner);
                plan.run(&mut buffers, &pixels, &mut output)
                    .map_err(|error| Error::Node {
                        node: "trunk".to_owned(),
                        reason: error.to_string(),
                    })?;
                let shape = self.graph.value(self.output).dims(n);
                Activation::from_values(output, &shape, &self.device)
            }
            Way::Nodes(nodes) => {
                let shape = self.graph.value(self.graph.input).dims(n);
                let input = Activation::from_values(pixels, &shape, &self.device)?;
                run_nodes(&self.graph, nodes, self.output, input, &mut |_, _| {})
            }
        }
    }
}

/// Runs folded nodes in order, up to the value `output`; `watch` sees every value that is computed.
pub(crate) fn run_nodes(
    graph: &Graph,
    nodes: &[(FoldedNode, Vec<Activation>)],
    output: ValueId,
    input: Activation,
    watch: &mut dyn FnMut(ValueId, &Activation),
) -> Result<Activation, Error> {
    let batch = input.dims().first().copied().unwrap_or(0);
    let mut values: Vec<Option<Activation>> = vec![None; graph.values.len()];
    let mut uses = vec![0usize; graph.values.len()];
    for value in nodes.iter().flat_map(|(folded, _)| &folded.node.inputs) {
        if let Input::Value(id) = value {
            uses[id.index()] += 1;
        }
    }
    uses[output.index()] += 1;
    values[graph.input.index()] = Some(input);
    for (folded, parameters) in nodes {
        let node = &folded.node;
        let mut parameters = parameters.iter().cloned();
        let mut operands = Vec::with_capacity(node.inputs.len() + 1);
        for input in &node.inputs {
            match input {
                Input::Value(id) => operands.push(take(&mut values, &mut uses, *id, &node.name)?),
                Input::Parameter(_) => operands.extend(parameters.next()),
            }
        }
        // A folded batch norm may have given the convolution a bias it did not have.
        operands.extend(parameters);
        let shape = graph.value(node.output).dims(batch);
        let outcome = operators::compute(node, None, operands, &shape, Mode::INFERENCE)?;
        let output = outcome.output.value();
        watch(node.output, &output);
        values[node.output.index()] = Some(output);
    }
    take(&mut values, &mut uses, output, "trunk output")
}

/// The first `end` nodes with batch norm folded, and their parameters on the device.
pub(crate) fn folded(
    graph: &Graph,
    end: usize,
    device: &Device,
) -> Result<Vec<(FoldedNode, Vec<Activation>)>, Error> {
    fold::fold(graph, end)
        .into_iter()
        .map(|folded| {
            let operands = folded
                .operands
                .iter()
                .map(|operand| match operand {
                    Operand::Original(id) => {
                        let parameter = graph.parameter(*id);
                        Activation::from_values(parameter.data.to_vec(), &parameter.shape, device)
                    }
                    Operand::Folded { values, shape } => {
                        Activation::from_values(values.clone(), shape, device)
                    }
                })
                .collect::<Result<_, _>>()?;
            Ok((folded, operands))
        })
        .collect()
}

/// The value, moved out at its last use so that its memory can be reused.
pub(crate) fn take(
    values: &mut [Option<Activation>],
    uses: &mut [usize],
    id: ValueId,
    node: &str,
) -> Result<Activation, Error> {
    let left = &mut uses[id.index()];
    *left = left.saturating_sub(1);
    let slot = &mut values[id.index()];
    let value = if *left == 0 {
        slot.take()
    } else {
        slot.clone()
    };
    value.ok_or_else(|| Error::Node {
        node: node.to_owned(),
        reason: "reads a value below the cut".to_owned(),
    })
}
