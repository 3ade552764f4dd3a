//! The frozen lower part of a network: no autodiff, batch norm folded, activations freed at their last use.
//!
//! On the processor a compiled plan runs it (`regraft-trunk`); elsewhere, and where a plan does not know an operator, Burn
//! does, node by node, on the same folded graph.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use regraft_onnx::{Graph, Input, ValueId};
use regraft_ops::is_host;
use regraft_program::{fold_batch_norm, pixels_last, subgraph};
use regraft_trunk::{Buffers, Plan, Precision, has_bf16};

use crate::activation::Activation;
use crate::batch_norm::Mode;
use crate::error::Error;
use crate::operators;

/// The nodes below a cut, on a plain device.
pub struct Trunk {
    graph: Arc<Graph>,
    device: Device,
    output: ValueId,
    executor: Executor,
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk")
            .field("output", &self.output)
            .field("compiled", &self.is_compiled())
            .finish_non_exhaustive()
    }
}

/// Who runs the nodes.
enum Executor {
    Plan {
        plan: Box<Plan>,
        buffers: Mutex<Buffers>,
    },
    Nodes(Box<Nodes>),
}

impl Trunk {
    /// What the value `output` needs of the graph.
    ///
    /// # Errors
    /// When a parameter has a rank that is not supported, and where the device has not that precision.
    pub fn up_to(
        graph: &Arc<Graph>,
        output: ValueId,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let device = device.clone().without_autodiff();
        let computes = output != graph.input;
        let graph = &match computes {
            true => Arc::new(pixels_last(graph)),
            false => graph.clone(),
        };
        let plan = (computes && is_host(&device))
            .then(|| Plan::in_precision(graph, output, precision).ok())
            .flatten();
        let able = match precision {
            Precision::F32 => true,
            Precision::Bf16 => !computes || plan.is_some() && has_bf16(),
        };
        if !able {
            return Err(Error::Precision);
        }
        let executor = match plan {
            Some(plan) => Executor::Plan {
                plan: Box::new(plan),
                buffers: Mutex::new(Buffers::new()),
            },
            None => Executor::Nodes(Box::new(Nodes::new(graph, output, &device)?)),
        };
        Ok(Self {
            graph: graph.clone(),
            device,
            output,
            executor,
        })
    }

    /// What the value `output` needs of the graph, run node by node on tensors wherever it could be compiled: what devices
    /// without a compiled trunk do.
    ///
    /// # Errors
    /// As [`Self::up_to`].
    pub fn node_by_node(
        graph: &Arc<Graph>,
        output: ValueId,
        device: &Device,
    ) -> Result<Self, Error> {
        let device = device.clone().without_autodiff();
        let graph = Arc::new(pixels_last(graph));
        Ok(Self {
            executor: Executor::Nodes(Box::new(Nodes::new(&graph, output, &device)?)),
            graph,
            device,
            output,
        })
    }

    /// Whether a compiled plan runs it.
    pub fn is_compiled(&self) -> bool {
        matches!(self.executor, Executor::Plan { .. })
    }

    /// Runs the trunk on `n` images `[N, H, W, C]`. Where it holds no node, they are given back as they are.
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn forward(&self, pixels: Vec<f32>, n: usize) -> Result<Activation, Error> {
        match &self.executor {
            Executor::Plan { plan, buffers } => {
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
            Executor::Nodes(nodes) => {
                let shape = self.graph.value(self.graph.input).dims(n);
                let input = Activation::from_values(pixels, &shape, &self.device)?;
                nodes.run(input)
            }
        }
    }
}

/// Nodes with batch norm folded, run one after the other on tensors.
struct Nodes {
    graph: Graph,
    /// One list a node, in the order of its operands.
    parameters: Vec<Vec<Activation>>,
}

impl Nodes {
    fn new(graph: &Graph, output: ValueId, device: &Device) -> Result<Self, Error> {
        let (graph, _) = fold_batch_norm(subgraph(graph, output));
        let parameters = graph
            .nodes
            .iter()
            .map(|node| {
                let ids = node.inputs.iter().filter_map(|input| match input {
                    Input::Parameter(id) => Some(*id),
                    Input::Value(_) => None,
                });
                ids.map(|id| {
                    let parameter = graph.parameter(id);
                    Activation::from_values(parameter.data.to_vec(), &parameter.shape, device)
                })
                .collect()
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { graph, parameters })
    }

    /// Runs the nodes in order.
    fn run(&self, input: Activation) -> Result<Activation, Error> {
        let graph = &self.graph;
        let batch = input.dims().first().copied().unwrap_or(0);
        let mut values: Vec<Option<Activation>> = vec![None; graph.values.len()];
        let mut uses = vec![0usize; graph.values.len()];
        for value in graph.nodes.iter().flat_map(|node| &node.inputs) {
            if let Input::Value(id) = value {
                uses[id.index()] += 1;
            }
        }
        uses[graph.output.index()] += 1;
        values[graph.input.index()] = Some(input);
        for (node, parameters) in graph.nodes.iter().zip(&self.parameters) {
            let mut parameters = parameters.iter().cloned();
            let mut operands = Vec::with_capacity(node.inputs.len());
            for input in &node.inputs {
                match input {
                    Input::Value(id) => {
                        operands.push(take(&mut values, &mut uses, *id, &node.name)?);
                    }
                    Input::Parameter(_) => operands.extend(parameters.next()),
                }
            }
            let shape = graph.value(node.output).dims(batch);
            let outcome = operators::compute(node, None, operands, &shape, Mode::INFERENCE)?;
            values[node.output.index()] = Some(outcome.output.value());
        }
        take(&mut values, &mut uses, graph.output, "trunk output")
    }
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
