//! From the file's nodes to typed ones: attributes resolved, shapes inferred for any batch, shape arithmetic folded.
//!
//! The graph is walked once in execution order. Every value of the file is known as one of three things: an activation
//! that depends on the image, a constant, or a list of extents (what `Shape` gives), whose batch stays symbolic. Operators
//! on the latter two are computed here and leave no node.

mod constants;
mod elementwise;
mod indices;
mod layers;
mod layout;
mod pooling;
mod refusals;
mod table;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use onnx_ir::NodeProto;

use self::indices::Indices;
use crate::attributes::{Attributes, fault};
use crate::blocks;
use crate::error::{Error, UnsupportedNode};
use crate::graph::{
    Dim, Graph, Input, InputLayout, Node, Parameter, ParameterId, Role, Site, Value, ValueId,
};
use crate::head;
use crate::metadata;
use crate::model::{Model, node_label};
use crate::names;
use crate::op::{Activation, Op};
use crate::tensor::{self, Constant, ConstantData};

/// What the file leaves open.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Height and width of the image where the file does not fix them; 224 x 224, or what its metadata says, otherwise.
    pub image_size: Option<[usize; 2]>,
    /// Most numbers that nodes may make besides two for each byte of the file (ConstantOfShape, Range, shape arithmetic);
    /// real networks need a few hundred.
    pub most_generated: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            image_size: None,
            most_generated: 1 << 19,
        }
    }
}

/// Five: attention's queries, keys and values at once, or channel groups being shuffled.
const MOST_DIMENSIONS: usize = 5;
/// Longest extent of an activation.
const LONGEST_EXTENT: usize = 1 << 24;
/// Most values of an activation for one image: 16 GiB.
const MOST_VALUES: usize = 1 << 32;

/// One extent of a shape being computed by the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Number(i64),
    /// So many times the batch.
    Batch(i64),
}

/// What is known of a value of the file.
#[derive(Debug, Clone)]
enum Known {
    Activation(ValueId),
    Constant {
        constant: Rc<Constant>,
        initializer: Option<String>,
    },
    /// An initializer seen through a Transpose: the parameter is the initializer as it lies in the file.
    TransposedMatrix {
        constant: Rc<Constant>,
        initializer: String,
    },
    Extents(Vec<Extent>),
    /// Indices with as many entries for every image.
    Indices(Indices),
}

/// What changes a parameter. Tools that merge equal initializers also merge those that different things change: a fresh
/// batch norm's scale and its running variance, both ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Learned,
    RunningMean,
    RunningVariance,
    Constant,
}

impl Kind {
    fn of(role: Role) -> Self {
        match role {
            Role::Weight | Role::Bias | Role::NormScale | Role::NormShift => Kind::Learned,
            Role::RunningMean => Kind::RunningMean,
            Role::RunningVariance => Kind::RunningVariance,
            Role::Constant => Kind::Constant,
        }
    }
}

impl Known {
    fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Known::Constant {
            constant: Rc::new(Constant {
                shape,
                data: ConstantData::Floats(values.into()),
            }),
            initializer: None,
        }
    }

    fn has_fractions(&self) -> bool {
        match self {
            Known::Constant { constant, .. } => matches!(constant.data, ConstantData::Floats(_)),
            _ => false,
        }
    }
}

/// The walk's state.
pub(crate) struct Importer<'a> {
    model: &'a Model,
    opset: i64,
    known: HashMap<String, Known>,
    nodes: Vec<Node>,
    values: Vec<Value>,
    parameters: Vec<Parameter>,
    parameter_of: HashMap<(String, Kind), ParameterId>,
    names: HashSet<String>,
    /// The batch the file fixes, where it does.
    fixed_batch: Option<i64>,
    /// Where a reshape merged other entries with the batch, how many of them come before it: a sequence does, attention's
    /// heads come behind.
    within: HashMap<ValueId, usize>,
    /// Numbers that may still be produced by folding constants.
    numbers_left: u64,
}

impl Graph {
    /// Gives a file's graph its meaning.
    ///
    /// # Errors
    /// When the graph holds operators that cannot be imported (all are listed), is inconsistent, or is not a network from
    /// one image tensor to one output.
    pub fn import(model: &Model, options: &ImportOptions) -> Result<Graph, Error> {
        let order = execution_order(model)?;
        refusals::check(model, &order)?;
        let mut importer = Importer::new(model, options.most_generated);
        let (input, layout) = importer.add_input(options)?;
        for index in order {
            let node = &model.graph().node[index];
            let import = table::importer(&node.op_type)
                .ok_or_else(|| fault(node, "is not a known operator"))?;
            import(&mut importer, node)?;
        }
        importer.finish(input, layout)
    }
}

impl<'a> Importer<'a> {
    fn new(model: &'a Model, most_generated: usize) -> Self {
        Self {
            model,
            opset: model.opset(),
            known: HashMap::new(),
            nodes: Vec::new(),
            values: Vec::new(),
            parameters: Vec::new(),
            parameter_of: HashMap::new(),
            names: HashSet::new(),
            fixed_batch: None,
            within: HashMap::new(),
            numbers_left: model
                .size()
                .saturating_mul(2)
                .saturating_add(most_generated as u64),
        }
    }

    fn add_input(&mut self, options: &ImportOptions) -> Result<(ValueId, InputLayout), Error> {
        let graph = self.model.graph();
        let mut inputs = graph
            .input
            .iter()
            .filter(|input| self.model.initializer(&input.name).is_none());
        let input = inputs.next().ok_or_else(|| Error::Graph {
            reason: "the graph has no input besides its weights; expected one image tensor"
                .to_owned(),
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
        self.fixed_batch = batch;
        let is_channels = |dim: Option<i64>| matches!(dim, Some(1 | 3 | 4));
        let (layout, channels, height, width) = if is_channels(a) || !is_channels(c) {
            (InputLayout::ChannelsFirst, a, b, c)
        } else {
            (InputLayout::ChannelsLast, c, a, b)
        };
        let fallback = options
            .image_size
            .or_else(|| metadata::image_size(self.model))
            .unwrap_or([224, 224]);
        let extent = |dim: Option<i64>, otherwise: usize| match dim {
            Some(extent) => usize::try_from(extent)
                .ok()
                .filter(|e| (1..=1 << 16).contains(e)),
            None => Some(otherwise),
        };
        let (Some(channels), Some(height), Some(width)) = (
            extent(channels, 3),
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
        let id = self.add_value(&input.name, shape)?;
        self.known.insert(input.name.clone(), Known::Activation(id));
        Ok((id, layout))
    }

    fn add_value(&mut self, name: &str, shape: Vec<Dim>) -> Result<ValueId, Error> {
        let values = shape.iter().try_fold(1usize, |count, dim| {
            let extent = Some(dim.per_image()).filter(|&extent| extent <= LONGEST_EXTENT)?;
            count.checked_mul(extent)
        });
        if values.is_none_or(|values| values > MOST_VALUES) {
            return Err(Error::Graph {
                reason: format!("value `{name}` has an impossible shape {}", show(&shape)),
            });
        }
        self.values.push(Value {
            name: name.to_owned(),
            shape,
        });
        Ok(ValueId(self.values.len() - 1))
    }

    /// The value named by the node's input `index`; `None` where it is left out.
    fn operand(&mut self, node: &NodeProto, index: usize) -> Result<Option<Known>, Error> {
        let Some(name) = node.input.get(index).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if let Some(known) = self.known.get(name) {
            return Ok(Some(known.clone()));
        }
        let Some(proto) = self.model.initializer(name) else {
            return Err(fault(
                node,
                format!("its input `{name}` is computed by no node and is no initializer"),
            ));
        };
        let known = Known::Constant {
            constant: Rc::new(tensor::constant(proto)?),
            initializer: Some(name.clone()),
        };
        self.known.insert(name.clone(), known.clone());
        Ok(Some(known))
    }

    fn required(&mut self, node: &NodeProto, index: usize) -> Result<Known, Error> {
        self.operand(node, index)?
            .ok_or_else(|| fault(node, format!("input {index} is missing")))
    }

    /// Input `index` as an activation.
    pub(crate) fn activation(&mut self, node: &NodeProto, index: usize) -> Result<ValueId, Error> {
        match self.required(node, index)? {
            Known::Activation(id) => Ok(id),
            _ => Err(fault(
                node,
                format!("input {index} must depend on the image, but is constant"),
            )),
        }
    }

    /// Input `index` as a constant of floats or integers; `None` where it is left out.
    pub(crate) fn constant(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<Option<Rc<Constant>>, Error> {
        match self.operand(node, index)? {
            None => Ok(None),
            Some(Known::Constant { constant, .. }) => Ok(Some(constant)),
            Some(_) => Err(unsupported(
                node,
                format!("input {index} is computed at run time; a constant is expected"),
            )),
        }
    }

    /// Input `index` as a list of whole numbers, which may contain the batch; `None` where it is left out.
    pub(crate) fn extents(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<Option<Vec<Extent>>, Error> {
        match self.operand(node, index)? {
            None => Ok(None),
            Some(Known::Extents(values)) => Ok(Some(values)),
            Some(Known::Constant { constant, .. }) => match &constant.data {
                ConstantData::Integers(values) => {
                    Ok(Some(values.iter().map(|&v| Extent::Number(v)).collect()))
                }
                ConstantData::Floats(_) => {
                    Err(fault(node, format!("input {index} must be whole numbers")))
                }
            },
            Some(_) => Err(unsupported(
                node,
                format!("input {index} depends on the image's content; whole numbers are expected"),
            )),
        }
    }

    /// Input `index` as plain whole numbers; `None` where it is left out.
    pub(crate) fn integers(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<Option<Vec<i64>>, Error> {
        let Some(extents) = self.extents(node, index)? else {
            return Ok(None);
        };
        extents
            .into_iter()
            .map(|extent| match extent {
                Extent::Number(number) => Ok(number),
                Extent::Batch(_) => Err(unsupported(node, "uses the batch size as a number")),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Input `index` as known floats and their shape, whole numbers turned into such; `None` where it depends on the image
    /// or the batch.
    pub(crate) fn floats(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<Option<Constant>, Error> {
        Ok(match self.required(node, index)? {
            Known::Constant { constant, .. } => Some(Constant {
                shape: constant.shape.clone(),
                data: ConstantData::Floats(constant.to_floats().into()),
            }),
            Known::Extents(extents) => extents
                .iter()
                .map(|extent| match extent {
                    Extent::Number(number) => Some(*number as f32),
                    Extent::Batch(_) => None,
                })
                .collect::<Option<Vec<f32>>>()
                .map(|values| Constant {
                    shape: vec![values.len()],
                    data: ConstantData::Floats(values.into()),
                }),
            Known::Activation(_) | Known::TransposedMatrix { .. } | Known::Indices(_) => None,
        })
    }

    /// Input `index` as one float; `None` where it is left out.
    pub(crate) fn scalar(&mut self, node: &NodeProto, index: usize) -> Result<Option<f32>, Error> {
        let Some(constant) = self.constant(node, index)? else {
            return Ok(None);
        };
        match &constant.data {
            ConstantData::Floats(values) if values.len() == 1 => Ok(Some(values[0])),
            ConstantData::Integers(values) if values.len() == 1 => Ok(Some(values[0] as f32)),
            _ => Err(fault(
                node,
                format!("input {index} must be a single number"),
            )),
        }
    }

    /// Input `index` as a weight in role `role`; `None` where it is left out.
    pub(crate) fn parameter(
        &mut self,
        node: &NodeProto,
        index: usize,
        role: Role,
    ) -> Result<Option<ParameterId>, Error> {
        let Some(known) = self.operand(node, index)? else {
            return Ok(None);
        };
        match known {
            Known::Constant {
                constant,
                initializer,
            } => self
                .add_parameter(node, index, role, &constant, initializer)
                .map(Some),
            Known::TransposedMatrix { .. } => Err(unsupported(
                node,
                format!("input {index} (its weights) lies behind a Transpose"),
            )),
            Known::Activation(_) | Known::Extents(_) | Known::Indices(_) => Err(unsupported(
                node,
                format!("input {index} (its weights) is computed at run time"),
            )),
        }
    }

    /// Input `index` as a linear layer's weight as it lies in the file, and whether a Transpose lies before the node.
    pub(crate) fn matrix(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<(ParameterId, bool), Error> {
        match self.required(node, index)? {
            Known::TransposedMatrix {
                constant,
                initializer,
            } => {
                let initializer = Some(initializer);
                let id = self.add_parameter(node, index, Role::Weight, &constant, initializer)?;
                Ok((id, true))
            }
            _ => self
                .parameter(node, index, Role::Weight)?
                .map(|id| (id, false))
                .ok_or_else(|| fault(node, format!("input {index} is missing"))),
        }
    }

    fn add_parameter(
        &mut self,
        node: &NodeProto,
        index: usize,
        role: Role,
        constant: &Constant,
        initializer: Option<String>,
    ) -> Result<ParameterId, Error> {
        let ConstantData::Floats(values) = &constant.data else {
            return Err(fault(
                node,
                format!("input {index} holds whole numbers where floats are expected"),
            ));
        };
        // A tied weight stays one parameter, whoever uses it in its role.
        let key = initializer.clone().map(|name| (name, Kind::of(role)));
        let site = Site::of(node, index);
        if let Some(&id) = key.as_ref().and_then(|key| self.parameter_of.get(key)) {
            self.parameters[id.0].sites.push(site);
            return Ok(id);
        }
        let source = match &initializer {
            Some(name) => self.model.name_of_weight(name),
            None => node.input.get(index).map_or("", String::as_str),
        };
        let name = names::canonical(source, names::module(node), role, &mut self.names);
        // A constant made by a node has no initializer to write a trained value to.
        let role = if initializer.is_none() && role.trainable() {
            Role::Constant
        } else {
            role
        };
        let id = ParameterId(self.parameters.len());
        self.parameters.push(Parameter {
            name,
            initializer,
            role,
            shape: constant.shape.clone(),
            data: values.clone(),
            sites: vec![site],
        });
        if let Some(key) = key {
            self.parameter_of.insert(key, id);
        }
        Ok(id)
    }

    pub(crate) fn shape(&self, id: ValueId) -> &[Dim] {
        &self.values[id.0].shape
    }

    /// The fixed `[C, H, W]` behind the batch of an activation.
    pub(crate) fn image(&self, node: &NodeProto, id: ValueId) -> Result<[usize; 3], Error> {
        match self.shape(id) {
            [Dim::Batch(1), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] => Ok([*c, *h, *w]),
            other => Err(unsupported(
                node,
                format!("its input has shape {}, expected [N, C, H, W]", show(other)),
            )),
        }
    }

    /// Of the entries that an axis merges with the batch, those before it; 1 where the batch comes first.
    fn within_batch_axis(&self, id: ValueId) -> usize {
        self.within.get(&id).copied().unwrap_or(1)
    }

    /// Says of the value just made how many entries come before the batch on the batch's axis.
    fn last_merged(&mut self, within: usize) {
        if let Some(last) = self.values.len().checked_sub(1)
            && within > 1
        {
            self.within.insert(ValueId(last), within);
        }
    }

    pub(crate) fn parameter_shape(&self, id: ParameterId) -> &[usize] {
        &self.parameters[id.0].shape
    }

    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }

    /// Whether a convolution or linear layer came before: constants ahead of it are preprocessing, not weights.
    pub(crate) fn past_first_layer(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| matches!(node.op, Op::Conv(_) | Op::Linear(_)))
    }

    pub(crate) fn producer(&self, id: ValueId) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| node.output == id)
    }

    /// Adds a node that computes the file node's output `index`.
    pub(crate) fn emit(
        &mut self,
        node: &NodeProto,
        index: usize,
        op: Op,
        inputs: Vec<Input>,
        shape: Vec<Dim>,
        macs: u64,
    ) -> Result<(), Error> {
        let Some(output) = node.output.get(index).filter(|name| !name.is_empty()) else {
            return Err(fault(node, "has no output"));
        };
        if shape.len() > MOST_DIMENSIONS {
            return Err(unsupported(
                node,
                format!("a value of {} dimensions", shape.len()),
            ));
        }
        let name = match index {
            0 => node_label(node),
            _ => format!("{}:{index}", node_label(node)),
        };
        let kept = match inputs.first() {
            Some(Input::Value(source)) => shape
                .iter()
                .any(|dim| matches!(dim, Dim::Batch(2..)) && self.shape(*source).contains(dim))
                .then(|| self.within_batch_axis(*source)),
            _ => None,
        };
        let id = self.add_value(output, shape)?;
        if let Some(within) = kept {
            self.within.insert(id, within);
        }
        self.nodes.push(Node {
            name,
            op,
            inputs,
            output: id,
            macs,
        });
        self.define(node, output.clone(), Known::Activation(id))
    }

    /// Takes what a folded value costs out of what the file's size allows; a few nodes could double a list at each step.
    fn spend(&mut self, node: &NodeProto, known: &Known) -> Result<(), Error> {
        let numbers = match known {
            Known::Extents(values) => 2 * values.len(),
            Known::Indices(indices) => indices.len(),
            Known::Constant {
                constant,
                initializer: None,
            } => constant.len(),
            _ => 0,
        };
        self.spend_numbers(node, numbers)
    }

    fn spend_numbers(&mut self, node: &NodeProto, numbers: usize) -> Result<(), Error> {
        let left = self.numbers_left.checked_sub(numbers as u64);
        self.numbers_left = left.ok_or_else(|| {
            unsupported(
                node,
                "the graph's constants multiply far beyond the file's size",
            )
        })?;
        Ok(())
    }

    /// The name under which a trained value of the node's output can be written; `None` where there is none.
    fn weight_output(&self, node: &NodeProto) -> Option<String> {
        let output = node.output.first()?;
        self.model.is_derived(output).then(|| output.clone())
    }

    fn define(&mut self, node: &NodeProto, name: String, known: Known) -> Result<(), Error> {
        self.spend(node, &known)?;
        if self.known.insert(name.clone(), known).is_some() {
            return Err(fault(
                node,
                format!("its output `{name}` is computed twice"),
            ));
        }
        Ok(())
    }

    /// Makes the node's first output another name for `known`.
    fn alias(&mut self, node: &NodeProto, known: Known) -> Result<(), Error> {
        let Some(output) = node.output.first().cloned() else {
            return Err(fault(node, "has no output"));
        };
        self.define(node, output, known)
    }

    fn finish(self, input: ValueId, layout: InputLayout) -> Result<Graph, Error> {
        let outputs = &self.model.graph().output;
        let [output] = outputs.as_slice() else {
            return Err(Error::Graph {
                reason: format!(
                    "the graph has {} outputs; expected one, the logits or probabilities",
                    outputs.len()
                ),
            });
        };
        let Some(Known::Activation(id)) = self.known.get(&output.name) else {
            return Err(Error::Graph {
                reason: format!("output `{}` does not depend on the image", output.name),
            });
        };
        let id = *id;
        let input_name = self.values[input.0].name.clone();
        let output_name = output.name.clone();
        let (nodes, parameters) = live(self.nodes, self.parameters, id);
        if nodes.is_empty() {
            return Err(Error::Graph {
                reason: "the output is the input itself".to_owned(),
            });
        }
        let logits = before_probabilities(&nodes, id);
        let mut graph = Graph {
            nodes,
            values: self.values,
            parameters,
            input,
            layout,
            output: id,
            logits,
            blocks: Vec::new(),
            head: Err(String::new()),
            input_name,
            output_name,
        };
        graph.head = head::find(&graph);
        let start = graph.head.as_ref().ok().map(|site| site.first_node);
        graph.blocks = blocks::split(
            &graph.nodes,
            &graph.parameters,
            &graph.values,
            input,
            id,
            start,
        );
        Ok(graph)
    }
}

/// The extents a graph input declares; `None` for symbolic ones.
pub(crate) fn declared_dims(input: &onnx_ir::ValueInfoProto) -> Vec<Option<i64>> {
    input
        .type_
        .tensor_type()
        .shape
        .dim
        .iter()
        .map(|dim| (dim.has_dim_value() && dim.dim_value() > 0).then(|| dim.dim_value()))
        .collect()
}

/// Indices of the nodes that the output needs, in an order in which inputs come before their users; ties in file order.
fn execution_order(model: &Model) -> Result<Vec<usize>, Error> {
    let nodes = &model.graph().node;
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if producer.insert(output, index).is_some() {
                return Err(fault(
                    node,
                    format!("its output `{output}` is computed twice"),
                ));
            }
        }
    }
    let mut needed = vec![false; nodes.len()];
    let mut queue: Vec<usize> = model
        .graph()
        .output
        .iter()
        .filter_map(|output| producer.get(output.name.as_str()).copied())
        .collect();
    while let Some(index) = queue.pop() {
        if !std::mem::replace(&mut needed[index], true) {
            queue.extend(
                nodes[index]
                    .input
                    .iter()
                    .filter_map(|name| producer.get(name.as_str())),
            );
        }
    }
    // Kahn's algorithm, always taking the earliest ready node of the file.
    let mut waiting_for: Vec<usize> = vec![0; nodes.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        for source in node
            .input
            .iter()
            .filter_map(|name| producer.get(name.as_str()))
        {
            waiting_for[index] += 1;
            users[*source].push(index);
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..nodes.len())
        .filter(|&index| needed[index] && waiting_for[index] == 0)
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for &user in &users[index] {
            waiting_for[user] -= 1;
            if waiting_for[user] == 0 {
                ready.insert(user);
            }
        }
    }
    let wanted = needed.iter().filter(|&&needed| needed).count();
    if order.len() != wanted {
        let stuck = (0..nodes.len()).find(|&index| needed[index] && waiting_for[index] > 0);
        let name = stuck.map_or_else(String::new, |index| node_label(&nodes[index]));
        return Err(Error::Graph {
            reason: format!("the graph has a cycle through node `{name}`"),
        });
    }
    Ok(order)
}

/// Keeps the nodes that `output` needs, and the parameters those use.
fn live(
    nodes: Vec<Node>,
    parameters: Vec<Parameter>,
    output: ValueId,
) -> (Vec<Node>, Vec<Parameter>) {
    let mut needed: HashSet<ValueId> = HashSet::from([output]);
    let mut keep = vec![false; nodes.len()];
    let mut used = vec![false; parameters.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        if needed.contains(&node.output) {
            keep[index] = true;
            for operand in &node.inputs {
                match operand {
                    Input::Value(value) => {
                        needed.insert(*value);
                    }
                    Input::Parameter(id) => used[id.0] = true,
                }
            }
        }
    }
    let mut renumbered = vec![ParameterId(0); parameters.len()];
    let mut kept = Vec::new();
    for (index, parameter) in parameters
        .into_iter()
        .enumerate()
        .filter(|(index, _)| used[*index])
    {
        renumbered[index] = ParameterId(kept.len());
        kept.push(parameter);
    }
    let mut live: Vec<Node> = nodes
        .into_iter()
        .zip(keep)
        .filter(|(_, keep)| *keep)
        .map(|(node, _)| node)
        .collect();
    for operand in live.iter_mut().flat_map(|node| &mut node.inputs) {
        if let Input::Parameter(id) = operand {
            *id = renumbered[id.0];
        }
    }
    (live, kept)
}

/// The value that a trailing softmax or sigmoid turns into probabilities.
fn before_probabilities(nodes: &[Node], output: ValueId) -> ValueId {
    match nodes.last() {
        Some(Node {
            op: Op::Softmax { .. } | Op::LogSoftmax { .. } | Op::Activation(Activation::Sigmoid),
            inputs,
            output: last,
            ..
        }) if *last == output => match inputs.first() {
            Some(Input::Value(value)) => *value,
            _ => output,
        },
        _ => output,
    }
}

/// One node that is valid ONNX but beyond this importer.
pub(crate) fn unsupported(node: &NodeProto, reason: impl Into<String>) -> Error {
    Error::Unsupported(vec![UnsupportedNode {
        node: node_label(node),
        operator: node.op_type.clone(),
        reason: reason.into(),
    }])
}

/// A shape as people write it: `[N, 64, 7, 7]`.
pub(crate) fn show(shape: &[Dim]) -> String {
    let extents: Vec<String> = shape
        .iter()
        .map(|dim| match dim {
            Dim::Batch(1) => "N".to_owned(),
            Dim::Batch(each) => format!("{each} N"),
            Dim::Fixed(extent) => extent.to_string(),
        })
        .collect();
    format!("[{}]", extents.join(", "))
}

/// An axis counted from the left, from one that may count from the right.
pub(crate) fn axis(node: &NodeProto, axis: i64, rank: usize) -> Result<usize, Error> {
    let from_left = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_left)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| {
            fault(
                node,
                format!("axis {axis} does not exist in a value of {rank} dimensions"),
            )
        })
}

pub(crate) fn attributes(node: &NodeProto) -> Attributes<'_> {
    Attributes(node)
}
