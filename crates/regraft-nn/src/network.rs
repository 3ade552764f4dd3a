//! A network under a freeze plan: the trunk below the cut, the trainable rest above it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use regraft_freeze::Phase;
use regraft_kernels::{channels_to_first, channels_to_last};
use regraft_onnx::{Graph, Input, InputLayout, Op, OutputKind, ParameterId, Role, ValueId};
use regraft_program::{Fused, TrainingProgram, side_by_side};
use regraft_spec::Statistics;
use regraft_trunk::Precision;

use crate::activation::Activation;
use crate::batch_norm::Mode;
use crate::error::Error;
use crate::fingerprint::fingerprint;
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
    precision: Precision,
    /// First node above the cut.
    start: usize,
    /// What crosses the cut: one activation, and pooled features of lower blocks where the head reads those too.
    crossing: Vec<ValueId>,
    /// Parameters above the cut, in the order of `weights`.
    parameters: Vec<ParameterId>,
    /// Position in `parameters` by the graph's numbering.
    slot: HashMap<ParameterId, usize>,
    weights: Weights,
    trained: HashSet<String>,
    /// What each batch norm above the cut normalises by in training, by node.
    statistics: HashMap<usize, Statistics>,
    /// Updated running statistics, by parameter.
    running: HashMap<ParameterId, Tensor<1>>,
    dropout: Vec<(ValueId, f64)>,
    /// Batch norms and sums that are computed in one step with others, by node.
    fused: HashMap<usize, Fused>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("cut", &self.start)
            .field("parameters", &self.parameters.len())
            .field("trained", &self.trained.len())
            .finish_non_exhaustive()
    }
}

/// What a training pass made of the running statistics of batch norm layers that update them.
#[derive(Debug, Clone, Default)]
pub struct RunningStatistics(Vec<(ParameterId, Tensor<1>)>);

impl RunningStatistics {
    /// The mean of several passes' statistics, weighted by their `shares`, which sum to 1; added up in this order.
    pub fn mean(passes: Vec<(Self, f32)>) -> Self {
        let mut sums: Vec<(ParameterId, Tensor<1>)> = Vec::new();
        for (index, (pass, share)) in passes.into_iter().enumerate() {
            for (position, (id, values)) in pass.0.into_iter().enumerate() {
                let part = values.mul_scalar(share);
                match sums.get_mut(position).filter(|_| index > 0) {
                    Some((_, sum)) => *sum = sum.clone() + part,
                    None => sums.push((id, part)),
                }
            }
        }
        Self(sums)
    }

    /// `(1 - share) self + share other`, and the other's alone where these have none.
    #[must_use]
    pub fn blend(&self, other: &Self, share: f64) -> Self {
        let shares = [(1.0 - share) as f32, share as f32];
        let mixed = other.0.iter().map(|(id, values)| {
            let own = self.0.iter().find(|(own, _)| own == id);
            let values = match own {
                Some((_, own)) => regraft_ops::weighted_sum(own.clone(), values.clone(), shares),
                None => values.clone(),
            };
            (*id, values)
        });
        Self(mixed.collect())
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
        let start = cut_of(&graph, phase)?;
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
                statistics.insert(index, *plan);
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
        kept.extend(kept_values(&graph));
        let fused = TrainingProgram::new(&graph, start, &kept).fused;
        let crossing = crossing(&graph, start);
        let trunk = match crossing[..] {
            [only] => Trunk::up_to(&graph, only, &device, precision)?,
            _ => {
                let joined = Arc::new(side_by_side(&graph, &crossing));
                Trunk::up_to(&joined, joined.output, &device, precision)?
            }
        };
        Ok(Self {
            graph,
            device,
            trunk,
            precision,
            start,
            crossing,
            parameters,
            slot,
            weights,
            trained,
            statistics,
            running: HashMap::new(),
            dropout,
            fused,
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

    /// Extents of one image's activation at the cut, without the batch. Where several values cross, they lie flat and side by
    /// side.
    pub fn feature_shape(&self) -> Vec<usize> {
        match self.crossing[..] {
            [only] => self.graph.value(only).dims(1).split_off(1),
            _ => vec![self.crossing.iter().map(|id| self.crossing_len(*id)).sum()],
        }
    }

    /// Values of one image in something that crosses the cut.
    fn crossing_len(&self, value: ValueId) -> usize {
        self.graph.value(value).values_per_image() as usize
    }

    /// Names what crosses the cut, with the values of each in an image, in the order of [`Network::features`].
    pub fn feature_columns(&self) -> Vec<(String, usize)> {
        let columns = self.crossing.iter();
        columns
            .map(|id| (self.graph.value(*id).name.clone(), self.crossing_len(*id)))
            .collect()
    }

    /// The [`fingerprint`] of the trunk.
    pub fn trunk_fingerprint(&self) -> String {
        fingerprint(&self.graph, 0..self.start, &self.device, self.precision)
    }

    /// Whether any node lies below the cut.
    pub fn has_trunk(&self) -> bool {
        self.start > 0
    }

    /// Runs images `[N, C, H, W]` through the trunk, whatever the file's own layout; the result is the activation at the cut,
    /// on the plain device.
    ///
    /// # Errors
    /// When the images have another shape than the network takes.
    pub fn features(&self, pixels: Vec<f32>, shape: [usize; 4]) -> Result<Activation, Error> {
        self.check_images(&pixels, shape)?;
        match (self.start, self.graph.layout) {
            (0, InputLayout::ChannelsFirst) => self.trunk.forward(pixels, shape[0]),
            _ => self.trunk.forward(channels_last(&pixels, shape), shape[0]),
        }
    }

    /// The same for images `[N, H, W, C]`, as decoders give them; `shape` is N, C, H, W all the same.
    ///
    /// # Errors
    /// As [`Network::features`].
    pub fn features_of_pixels(
        &self,
        pixels: Vec<f32>,
        shape: [usize; 4],
    ) -> Result<Activation, Error> {
        self.check_images(&pixels, shape)?;
        match (self.start, self.graph.layout) {
            (0, InputLayout::ChannelsFirst) => {
                self.trunk.forward(channels_first(&pixels, shape), shape[0])
            }
            _ => self.trunk.forward(pixels, shape[0]),
        }
    }

    fn check_images(&self, pixels: &[f32], shape: [usize; 4]) -> Result<(), Error> {
        check_images(&self.graph, pixels, shape)
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
    /// `noise` decides the dropout masks. The running statistics of layers that update them are given back and change
    /// nothing before [`Network::set_running`].
    ///
    /// # Errors
    /// When a node cannot run on these operands.
    pub fn training_pass(
        &self,
        features: Activation,
        noise: u64,
    ) -> Result<(Tensor<2>, RunningStatistics), Error> {
        let operands: Vec<Activation> = (0..self.parameters.len())
            .map(|index| match self.running.get(&self.parameters[index]) {
                Some(updated) => Activation::R1(updated.clone().autodiff()),
                None => self.weights.value(index),
            })
            .collect();
        let (logits, updates) = self.run(features.autodiff(), &operands, Some(noise))?;
        Ok((logits, RunningStatistics(updates)))
    }

    /// The running statistics that training has updated.
    pub fn running(&self) -> RunningStatistics {
        let updated = self.parameters.iter().filter_map(|id| {
            let values = self.running.get(id)?;
            Some((*id, values.clone()))
        });
        RunningStatistics(updated.collect())
    }

    /// Puts the running statistics of a training pass in place.
    pub fn set_running(&mut self, updated: RunningStatistics) {
        self.running.extend(updated.0);
    }

    /// [`Network::training_pass`], whose running statistics take effect at once.
    ///
    /// # Errors
    /// As that.
    pub fn train_logits(&mut self, features: Activation, noise: u64) -> Result<Tensor<2>, Error> {
        let (logits, updated) = self.training_pass(features, noise)?;
        self.set_running(updated);
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
        let dims = value.dims();
        let (batch, classes) = dims.split_first().map_or((0, 0), |(batch, behind)| {
            (*batch, behind.iter().product::<usize>())
        });
        let kind = self.graph.output_kind;
        let told = kind.tells_classes() || dims.len() == 2;
        match value.reshape(&[batch, classes]) {
            // The softmax of nothing and a value is the sigmoid of the value: both classes have their logit.
            Some(Activation::R2(second)) if kind == OutputKind::TwoClasses => {
                let first = second.zeros_like();
                Ok((Tensor::cat(vec![first, second], 1), updates))
            }
            Some(Activation::R2(logits)) if told => Ok((logits, updates)),
            _ => Err(Error::Node {
                node: self.graph.value(self.graph.logits).name.clone(),
                reason: format!("it gives {kind} of shape {dims:?}, and no classes"),
            }),
        }
    }

    /// What crosses the cut, each in its own shape.
    fn apart(&self, features: Activation) -> Result<Vec<(ValueId, Activation)>, Error> {
        let joined = match (&self.crossing[..], features) {
            ([only], features) => return Ok(vec![(*only, features)]),
            (_, Activation::R2(joined)) => joined,
            (_, other) => {
                return Err(Error::Node {
                    node: "the cut".to_owned(),
                    reason: format!("features of shape {:?}, expected [N, values]", other.dims()),
                });
            }
        };
        let batch = joined.dims()[0];
        let mut first = 0;
        let part = |id: &ValueId| {
            let length = self.crossing_len(*id);
            let part = joined.clone().narrow(1, first, length);
            first += length;
            let shape = self.graph.value(*id).dims(batch);
            let part = Activation::R2(part).reshape(&shape);
            part.map(|part| (*id, part)).ok_or_else(|| Error::Node {
                node: self.graph.value(*id).name.clone(),
                reason: format!("tensors of shape {shape:?} are not supported"),
            })
        };
        self.crossing.iter().map(part).collect()
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
        for (id, value) in self.apart(features)? {
            values[id.index()] = Some(self.drop_out(id, value, training)?);
        }
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
            let fused = self.fused.get(&index);
            let nodes = fused.map_or(&[][..], |fused| &fused.nodes);
            done.extend(nodes);
            let last = &self.graph.nodes[nodes.last().copied().unwrap_or(index)];
            let mode = Mode {
                statistics: match (training, self.statistics.get(&index)) {
                    (Some(_), Some(statistics)) => *statistics,
                    _ => Statistics::Frozen,
                },
                activation: fused.map_or(regraft_ops::Activation::None, |fused| fused.activation),
                recomputed: fused.is_some_and(|fused| fused.in_reader) && last.output != target,
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

    /// Whether [`Network::changed`] holds a parameter.
    pub fn changes(&self, name: &str) -> bool {
        let runs = |id: &ParameterId| self.graph.parameter(*id).name == name;
        self.trained.contains(name) && self.parameter_names().any(|own| own == name)
            || self.running.keys().any(runs)
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

    /// First node above the cut, counted from 0; 0 where nothing lies below it.
    pub fn cut(&self) -> usize {
        self.start
    }

    /// Canonical names of the parameters above the cut, in the order of [`Network::weights`].
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.parameters
            .iter()
            .map(|id| self.graph.parameter(*id).name.as_str())
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

/// Values that no fusion gives up: what the network gives out, and what leaves a block.
pub fn kept_values(graph: &Graph) -> Vec<ValueId> {
    let blocks = graph.blocks.iter().map(|block| block.output);
    [graph.output, graph.logits]
        .into_iter()
        .chain(blocks)
        .collect()
}

/// The values that nodes from `start` on read and do not compute; where they read none, what the node before gives.
fn crossing(graph: &Graph, start: usize) -> Vec<ValueId> {
    let above: HashSet<ValueId> = graph.nodes[start..].iter().map(|n| n.output).collect();
    let mut crossing: Vec<ValueId> = Vec::new();
    for input in graph.nodes[start..].iter().flat_map(|node| &node.inputs) {
        if let Input::Value(id) = input
            && !above.contains(id)
            && !crossing.contains(id)
        {
            crossing.push(*id);
        }
    }
    if crossing.is_empty() {
        crossing.push(match start {
            0 => graph.input,
            start => graph.nodes[start - 1].output,
        });
    }
    crossing
}

/// The first node above the cut of a phase.
///
/// # Errors
/// When the graph has not as many blocks as the phase freezes.
pub fn cut_of(graph: &Graph, phase: &Phase) -> Result<usize, Error> {
    match phase.frozen_blocks {
        0 => Ok(0),
        blocks => graph
            .blocks
            .get(blocks - 1)
            .map(|block| block.nodes.end)
            .ok_or_else(|| Error::PlanMismatch {
                name: format!("block {blocks}"),
            }),
    }
}

/// Refuses images of another shape than a network takes.
pub(crate) fn check_images(
    graph: &Graph,
    pixels: &[f32],
    [n, c, h, w]: [usize; 4],
) -> Result<(), Error> {
    let expected = graph.image_shape();
    if [c, h, w] != expected || pixels.len() != n * c * h * w {
        return Err(Error::BatchShape {
            expected,
            found: [c, h, w],
        });
    }
    Ok(())
}

/// `[N, C, H, W]` to `[N, H, W, C]`.
pub(crate) fn channels_last(pixels: &[f32], [_, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut turned = vec![0.0; pixels.len()];
    channels_to_last(c, h * w, pixels, &mut turned);
    turned
}

/// `[N, H, W, C]` to `[N, C, H, W]`.
fn channels_first(pixels: &[f32], [_, c, h, w]: [usize; 4]) -> Vec<f32> {
    let mut turned = vec![0.0; pixels.len()];
    channels_to_first(c, h * w, pixels, &mut turned);
    turned
}
