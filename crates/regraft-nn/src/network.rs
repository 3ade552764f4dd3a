//! A network under a freeze plan: the trunk below the cut, the trainable rest above it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft_freeze::{Phase, Statistics};
use regraft_onnx::op::Binary;
use regraft_onnx::{Graph, Input, InputLayout, Op, ParameterId, Role, ValueId};
use regraft_trunk::{Precision, activation_of, gated_by};

use crate::activation::Activation;
use crate::batch_norm::{BatchNormStatistics, Mode};
use crate::error::Error;
use crate::operators::{self, Output};
use crate::outline::norm_name;
use crate::trunk::{Trunk, take};
use crate::weights::Weights;

/// Dropout on a value during training (Srivastava 2014): the ONNX file has no node for it, since serving needs none.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    /// The value it is applied to, by its name in the graph.
    pub value: String,
    /// Share of values set to zero, 0 to 1 (exclusive).
    pub probability: f64,
}

/// A network being trained.
pub struct Network {
    graph: Arc<Graph>,
    device: Device,
    trunk: Trunk,
    /// First node above the cut.
    start: usize,
    /// Parameters above the cut, in the order of `weights`.
    parameters: Vec<ParameterId>,
    /// Position in `parameters` by the graph's numbering.
    slot: HashMap<ParameterId, usize>,
    weights: Weights,
    trained: HashSet<String>,
    /// What each batch norm above the cut normalises by in training, by node.
    statistics: HashMap<usize, BatchNormStatistics>,
    /// Updated running statistics, by parameter.
    running: HashMap<ParameterId, Tensor<1>>,
    dropout: Vec<(ValueId, f64)>,
    /// What nodes are computed with, by the first.
    joined: HashMap<usize, Joined>,
}

/// What is computed together with a batch norm or a sum.
#[derive(Debug, Clone)]
struct Joined {
    activation: regraft_ops::Activation,
    /// The nodes of that activation; none where the value is the output.
    nodes: Vec<usize>,
    /// Whether only a convolution, a maximum or a sum reads the output, which then computes it.
    by_reader: bool,
}

/// Batch norms and sums from `start` on with what they are joined to: an activation that alone reads them, and for a norm a
/// maximum, a sum or a convolution without bias that alone reads that. Values in `kept` are not given up.
fn joined(graph: &Graph, start: usize, kept: &[ValueId]) -> HashMap<usize, Joined> {
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
            let (Op::Activation(gating), Op::Binary(Binary::Mul)) = (&opened.op, &whole.op) else {
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
                let joined = behind.is_some_and(|(activation, _)| activation.is_told_by_output());
                joined && left != right && adds_images(graph, operands) && summed.insert(reader)
            }
            _ => false,
        }
    };
    let mut found = HashMap::new();
    for (index, node) in nodes() {
        let joined = match &node.op {
            Op::BatchNorm(_) => {
                let behind = activation_behind(node.output);
                let (activation, nodes) = behind.unwrap_or((regraft_ops::Activation::None, vec![]));
                let output = nodes
                    .last()
                    .map_or(node.output, |last| graph.nodes[*last].output);
                let by_reader = match readers(output)[..] {
                    [reader] => computes_norm(reader, output),
                    _ => false,
                };
                Joined {
                    activation,
                    nodes,
                    by_reader,
                }
            }
            Op::Binary(Binary::Add) if adds_images(graph, &node.inputs) => {
                match activation_behind(node.output) {
                    Some((activation, nodes)) if activation.is_told_by_output() => Joined {
                        activation,
                        nodes,
                        by_reader: false,
                    },
                    _ => continue,
                }
            }
            _ => continue,
        };
        found.insert(index, joined);
    }
    found
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

impl Network {
    /// Builds the network as `phase` has it, on `device`.
    ///
    /// # Errors
    /// When the phase belongs to another network or a parameter's rank is not supported.
    pub fn new(
        graph: Arc<Graph>,
        phase: &Phase,
        dropout: &[Dropout],
        device: &Device,
    ) -> Result<Self, Error> {
        Self::in_precision(graph, phase, dropout, device, Precision::F32)
    }

    /// The same with the trunk in another precision.
    ///
    /// # Errors
    /// As [`Self::new`], and where the device has not that precision.
    pub fn in_precision(
        graph: Arc<Graph>,
        phase: &Phase,
        dropout: &[Dropout],
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let start = match phase.frozen_blocks {
            0 => 0,
            blocks => graph
                .blocks
                .get(blocks - 1)
                .map(|block| block.nodes.end)
                .ok_or_else(|| Error::PlanMismatch {
                    name: format!("block {blocks}"),
                })?,
        };
        Self::with_cut(graph, start, phase, dropout, device, precision)
    }

    /// The whole network for inference: everything up to the logits is trunk.
    ///
    /// # Errors
    /// When a parameter's rank is not supported.
    pub fn inference(graph: Arc<Graph>, device: &Device) -> Result<Self, Error> {
        let logits = graph.logits;
        let start = graph
            .nodes
            .iter()
            .position(|node| node.output == logits)
            .map_or(0, |position| position + 1);
        let phase = Phase {
            name: String::new(),
            epochs: None,
            frozen_blocks: 0,
            parameters: Vec::new(),
            norms: Vec::new(),
        };
        Self::with_cut(graph, start, &phase, &[], device, Precision::F32)
    }

    /// The network below its head, for features: everything up to the last cut is trunk.
    ///
    /// # Errors
    /// When a parameter's rank is not supported.
    pub fn feature_extractor(graph: Arc<Graph>, device: &Device) -> Result<Self, Error> {
        let phase = Phase {
            name: String::new(),
            epochs: None,
            frozen_blocks: graph.blocks.iter().take_while(|block| !block.head).count(),
            parameters: Vec::new(),
            norms: Vec::new(),
        };
        Self::new(graph, &phase, &[], device)
    }

    fn with_cut(
        graph: Arc<Graph>,
        start: usize,
        phase: &Phase,
        dropout: &[Dropout],
        device: &Device,
        precision: Precision,
    ) -> Result<Self, Error> {
        let known: HashSet<&str> = graph.parameters.iter().map(|p| p.name.as_str()).collect();
        if let Some(stranger) = phase
            .parameters
            .iter()
            .find(|p| !known.contains(p.name.as_str()))
        {
            return Err(Error::PlanMismatch {
                name: stranger.name.clone(),
            });
        }
        let trained: HashSet<String> = phase
            .parameters
            .iter()
            .filter(|p| p.trained)
            .map(|p| p.name.clone())
            .collect();
        let mut parameters = Vec::new();
        let mut slot = HashMap::new();
        for input in graph.nodes[start..].iter().flat_map(|node| &node.inputs) {
            if let Input::Parameter(id) = input {
                slot.entry(*id).or_insert_with(|| {
                    parameters.push(*id);
                    parameters.len() - 1
                });
            }
        }
        let device = device.clone().without_autodiff();
        let weights = Weights::new(
            parameters.iter().map(|id| {
                let p = graph.parameter(*id);
                (
                    p.name.as_str(),
                    p.data.to_vec(),
                    p.shape.as_slice(),
                    trained.contains(&p.name),
                )
            }),
            &device.clone().autodiff(),
        )?;
        let planned: HashMap<&str, Statistics> = phase
            .norms
            .iter()
            .map(|norm| (norm.name.as_str(), norm.statistics))
            .collect();
        let mut statistics = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate().skip(start) {
            if matches!(node.op, Op::BatchNorm(_)) {
                let name = norm_name(&graph, index);
                let plan = planned
                    .get(name.as_str())
                    .ok_or(Error::PlanMismatch { name })?;
                let mode = match plan {
                    Statistics::Frozen => BatchNormStatistics::Frozen,
                    Statistics::Updated => BatchNormStatistics::Updated,
                };
                statistics.insert(index, mode);
            }
        }
        let dropout = dropout
            .iter()
            .filter(|dropout| dropout.probability > 0.0)
            .map(|dropout| {
                let producer = graph
                    .nodes
                    .iter()
                    .find(|node| graph.value(node.output).name == dropout.value);
                producer
                    .map(|node| (node.output, dropout.probability))
                    .ok_or_else(|| Error::PlanMismatch {
                        name: dropout.value.clone(),
                    })
            })
            .collect::<Result<Vec<(ValueId, f64)>, Error>>()?;
        let mut kept: Vec<ValueId> = dropout.iter().map(|(value, _)| *value).collect();
        kept.extend([graph.output, graph.logits]);
        kept.extend(graph.blocks.iter().map(|block| block.output));
        let joined = joined(&graph, start, &kept);
        let trunk = Trunk::in_precision(&graph, start, &device, precision)?;
        Ok(Self {
            graph,
            device,
            trunk,
            start,
            parameters,
            slot,
            weights,
            trained,
            statistics,
            running: HashMap::new(),
            dropout,
            joined,
        })
    }

    /// The graph it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The plain device it runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Extents of one image's activation at the cut, without the batch.
    pub fn feature_shape(&self) -> Vec<usize> {
        let value = match self.start {
            0 => self.graph.input,
            start => self.graph.nodes[start - 1].output,
        };
        let mut dims = self.graph.value(value).dims(1);
        dims.remove(0);
        dims
    }

    /// Whether any node lies below the cut.
    pub fn has_trunk(&self) -> bool {
        self.start > 0
    }

    /// Runs images through the trunk.
    ///
    /// `pixels` are `[N, C, H, W]` whatever the file's own layout; the result is the activation at the cut, on the plain
    /// device.
    ///
    /// # Errors
    /// When the images have another shape than the network takes.
    pub fn features(&self, pixels: Vec<f32>, shape: [usize; 4]) -> Result<Activation, Error> {
        let pixels = own_layout(&self.graph, pixels, shape)?;
        self.trunk.forward(pixels, shape[0])
    }

    /// Activations at the cut from cached values, `[N, ...]`.
    ///
    /// # Errors
    /// When the values do not make up the shape.
    pub fn cached_features(&self, values: Vec<f32>, batch: usize) -> Result<Activation, Error> {
        let mut shape = vec![batch];
        shape.extend(self.feature_shape());
        Activation::from_values(values, &shape, &self.device)
    }

    /// Logits `[N, classes]` for training: tracked by autodiff, batch norm and dropout in training mode.
    ///
    /// `noise` decides the dropout masks. Running statistics of layers that update them take effect at once.
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn train_logits(&mut self, features: Activation, noise: u64) -> Result<Tensor<2>, Error> {
        let operands: Vec<Activation> = (0..self.parameters.len())
            .map(|index| match self.running.get(&self.parameters[index]) {
                Some(updated) => Activation::R1(updated.clone().autodiff()),
                None => self.weights.value(index),
            })
            .collect();
        let (logits, updates) = self.run(features.autodiff(), &operands, Some(noise))?;
        self.running.extend(updates);
        Ok(logits)
    }

    /// Logits `[N, classes]` as the exported model gives them: running statistics, no dropout, no autodiff.
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn logits(&self, features: Activation) -> Result<Tensor<2>, Error> {
        Ok(self.run(features, &self.plain_operands(), None)?.0)
    }

    /// The parameters above the cut as they now are, cut off from autodiff.
    fn plain_operands(&self) -> Vec<Activation> {
        self.parameters
            .iter()
            .enumerate()
            .map(|(index, id)| match self.running.get(id) {
                Some(updated) => Activation::R1(updated.clone()),
                None => self.weights.value(index).without_autodiff(),
            })
            .collect()
    }

    /// The value the file itself gives out for `features`: [`Network::logits`] and, where the file has one, the softmax
    /// after it.
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn output(&self, features: Activation) -> Result<Activation, Error> {
        let operands = self.plain_operands();
        Ok(self.run_to(features, &operands, None, self.graph.output)?.0)
    }

    fn run(
        &self,
        features: Activation,
        operands: &[Activation],
        training: Option<u64>,
    ) -> Result<(Tensor<2>, Vec<(ParameterId, Tensor<1>)>), Error> {
        let (value, updates) = self.run_to(features, operands, training, self.graph.logits)?;
        match value {
            Activation::R2(logits) => Ok((logits, updates)),
            other => {
                let dims = other.dims();
                let spread = dims.iter().skip(2).all(|&extent| extent == 1) && dims.len() > 2;
                match other.reshape(&dims[..2.min(dims.len())]) {
                    Some(Activation::R2(logits)) if spread => Ok((logits, updates)),
                    _ => Err(Error::Node {
                        node: self.graph.value(self.graph.logits).name.clone(),
                        reason: format!("the logits have shape {dims:?}, expected [N, classes]"),
                    }),
                }
            }
        }
    }

    fn run_to(
        &self,
        features: Activation,
        parameters: &[Activation],
        training: Option<u64>,
        target: ValueId,
    ) -> Result<(Activation, Vec<(ParameterId, Tensor<1>)>), Error> {
        let batch = features.dims().first().copied().unwrap_or(0);
        let count = self.graph.values.len();
        let mut uses = vec![0usize; count];
        let nodes = &self.graph.nodes[self.start..];
        for input in nodes.iter().flat_map(|node| &node.inputs) {
            if let Input::Value(id) = input {
                uses[id.index()] += 1;
            }
        }
        uses[target.index()] += 1;
        let mut values: Vec<Option<Activation>> = vec![None; count];
        let cut = match self.start {
            0 => self.graph.input,
            start => self.graph.nodes[start - 1].output,
        };
        values[cut.index()] = Some(self.drop_out(cut, features, training)?);
        // Batch norms that their only reader computes.
        let mut norms: HashMap<ValueId, regraft_ops::Norm> = HashMap::new();
        let mut updates = Vec::new();
        let mut done: HashSet<usize> = HashSet::new();
        for (index, node) in self.graph.nodes.iter().enumerate().skip(self.start) {
            if values[target.index()].is_some() {
                break;
            }
            if done.contains(&index) {
                continue;
            }
            let mut operands = Vec::with_capacity(node.inputs.len());
            let mut norm = None;
            for input in &node.inputs {
                operands.push(match input {
                    Input::Value(id) if norms.contains_key(id) => {
                        norm = norms.remove(id);
                        continue;
                    }
                    Input::Value(id) => take(&mut values, &mut uses, *id, &node.name)?,
                    Input::Parameter(id) => parameters[self.slot[id]].clone(),
                });
            }
            let shape = self.graph.value(node.output).dims(batch);
            let joined = self.joined.get(&index);
            let nodes = joined.map_or(&[][..], |joined| &joined.nodes);
            done.extend(nodes);
            let last = &self.graph.nodes[nodes.last().copied().unwrap_or(index)];
            let mode = Mode {
                statistics: match (training, self.statistics.get(&index)) {
                    (Some(_), Some(statistics)) => *statistics,
                    _ => BatchNormStatistics::Frozen,
                },
                activation: joined
                    .map_or(regraft_ops::Activation::None, |joined| joined.activation),
                postponed: joined.is_some_and(|joined| joined.by_reader) && last.output != target,
            };
            let outcome = operators::compute(node, norm, operands, &shape, mode)?;
            if let (
                Some((mean, variance)),
                [.., Input::Parameter(mean_id), Input::Parameter(variance_id)],
            ) = (outcome.statistics, node.inputs.as_slice())
            {
                updates.push((*mean_id, mean));
                updates.push((*variance_id, variance));
            }
            match outcome.output {
                Output::Value(output) => {
                    let output = self.drop_out(last.output, output, training)?;
                    values[last.output.index()] = Some(output);
                }
                Output::Norm(norm) => {
                    norms.insert(last.output, norm);
                }
            }
        }
        Ok((take(&mut values, &mut uses, target, "output")?, updates))
    }

    /// Sets a share of the values to zero and scales the others up, where dropout is set on `value` and this is training.
    fn drop_out(
        &self,
        value: ValueId,
        activation: Activation,
        training: Option<u64>,
    ) -> Result<Activation, Error> {
        let set = self.dropout.iter().find(|(id, _)| *id == value);
        let (Some(noise), Some((_, probability))) = (training, set) else {
            return Ok(activation);
        };
        let dims = activation.dims();
        let mut random = ChaCha8Rng::seed_from_u64(noise ^ (value.index() as u64).rotate_left(32));
        let scale = (1.0 / (1.0 - probability)) as f32;
        let mask = (0..dims.iter().product::<usize>())
            .map(|_| {
                if random.random::<f64>() < *probability {
                    0.0
                } else {
                    scale
                }
            })
            .collect();
        let mask = Activation::from_values(mask, &dims, &self.device)?.autodiff();
        Ok(match (activation, mask) {
            (Activation::R2(a), Activation::R2(b)) => Activation::R2(a * b),
            (Activation::R3(a), Activation::R3(b)) => Activation::R3(a * b),
            (Activation::R4(a), Activation::R4(b)) => Activation::R4(a * b),
            (activation, _) => activation,
        })
    }

    /// The rest's parameters, for an optimiser.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Lets an optimiser make new parameters from the old.
    pub fn update(&mut self, step: impl FnOnce(Weights) -> Weights) {
        self.weights = step(self.weights.clone());
    }

    /// Every value that training may have changed, by canonical name: trained parameters and updated running statistics.
    ///
    /// # Errors
    /// When the device fails to hand them back.
    pub fn changed(&self) -> Result<HashMap<String, Vec<f32>>, Error> {
        let mut changed = HashMap::new();
        for (index, id) in self.parameters.iter().enumerate() {
            let parameter = self.graph.parameter(*id);
            if let Some(updated) = self.running.get(id) {
                changed.insert(
                    parameter.name.clone(),
                    Activation::R1(updated.clone()).into_values()?,
                );
            } else if self.trained.contains(&parameter.name) {
                let value = self.weights.value(index).without_autodiff().into_values()?;
                changed.insert(parameter.name.clone(), value);
            }
        }
        Ok(changed)
    }

    /// Every parameter above the cut, by canonical name, with the shape stored in the file: for proving which stayed frozen.
    ///
    /// # Errors
    /// When the device fails to hand them back.
    pub fn rest_values(&self) -> Result<HashMap<String, Vec<f32>>, Error> {
        let mut all = HashMap::new();
        for (id, value) in self.parameters.iter().zip(self.plain_operands()) {
            all.insert(self.graph.parameter(*id).name.clone(), value.into_values()?);
        }
        Ok(all)
    }

    /// Puts saved values in place, as [`Network::changed`] gave them.
    ///
    /// # Errors
    /// When a name is not above the cut or a length differs.
    pub fn restore(&mut self, saved: &HashMap<String, Vec<f32>>) -> Result<(), Error> {
        let by_name: HashMap<&str, ParameterId> = self
            .parameters
            .iter()
            .map(|id| (self.graph.parameter(*id).name.as_str(), *id))
            .collect();
        for (name, values) in saved {
            let id = by_name.get(name.as_str()).ok_or_else(|| Error::Weights {
                name: name.clone(),
                reason: "is not among the trained part's parameters".to_owned(),
            })?;
            let expected = self.graph.parameter(*id).data.len();
            if values.len() != expected {
                return Err(Error::Weights {
                    name: name.clone(),
                    reason: format!("{} values saved, {expected} expected", values.len()),
                });
            }
        }
        let graph = self.graph.clone();
        for id in &self.parameters {
            let parameter = graph.parameter(*id);
            let running = matches!(parameter.role, Role::RunningMean | Role::RunningVariance);
            if let Some(values) = saved.get(&parameter.name).filter(|_| running) {
                let value =
                    Activation::from_values(values.clone(), &parameter.shape, &self.device)?;
                if let Activation::R1(value) = value {
                    self.running.insert(*id, value);
                }
            }
        }
        self.weights = Weights::new(
            self.parameters.iter().map(|id| {
                let p = graph.parameter(*id);
                let values = saved
                    .get(&p.name)
                    .cloned()
                    .unwrap_or_else(|| p.data.to_vec());
                (
                    p.name.as_str(),
                    values,
                    p.shape.as_slice(),
                    self.trained.contains(&p.name),
                )
            }),
            &self.device.clone().autodiff(),
        )?;
        Ok(())
    }

    /// Names of the parameters that train.
    pub fn trained(&self) -> &HashSet<String> {
        &self.trained
    }

    /// Number of trained values.
    pub fn trained_values(&self) -> usize {
        let parameters = self.parameters.iter().map(|id| self.graph.parameter(*id));
        parameters
            .filter(|p| self.trained.contains(&p.name))
            .map(|p| p.data.len())
            .sum()
    }
}

/// Images `[N, C, H, W]` as the file's own layout has them.
pub(crate) fn own_layout(
    graph: &Graph,
    pixels: Vec<f32>,
    shape: [usize; 4],
) -> Result<Vec<f32>, Error> {
    let expected = graph.image_shape();
    let [n, c, h, w] = shape;
    if [c, h, w] != expected || pixels.len() != n * c * h * w {
        return Err(Error::BatchShape {
            expected,
            found: [c, h, w],
        });
    }
    Ok(match graph.layout {
        InputLayout::ChannelsFirst => pixels,
        InputLayout::ChannelsLast => channels_last(&pixels, c, h * w),
    })
}

/// `[N, C, area]` to `[N, area, C]`.
fn channels_last(pixels: &[f32], channels: usize, area: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(pixels.len());
    for image in pixels.chunks_exact((channels * area).max(1)) {
        for place in 0..area {
            turned.extend((0..channels).map(|channel| image[channel * area + place]));
        }
    }
    turned
}
