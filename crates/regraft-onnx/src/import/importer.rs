//! The walk's state: what is known of every value so far, and the nodes, values and parameters made of it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use onnx_ir::NodeProto;

use super::known::Known;
use super::names;
use crate::error::Error;
use crate::file::evaluate::{Budget, Data, Extent};
use crate::file::model::Model;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::{Input, Node};
use crate::ir::ids::{ParameterId, ValueId};
use crate::ir::op::Op;
use crate::ir::parameter::{Parameter, Role, Site};
use crate::proto::nodes::{fault, node_label, unsupported};
use crate::proto::tensor::{self, Constant, ConstantData};

/// Six: windows being cut out of maps.
const MOST_DIMENSIONS: usize = 6;
/// Longest extent of an activation.
const LONGEST_EXTENT: usize = 1 << 24;
/// Most numbers that are one repeated: 1 GiB, half as many again as the largest VGG has weights.
const MOST_REPEATED: u64 = 1 << 28;
/// Most values of an activation for one image: 16 GiB.
const MOST_VALUES: usize = 1 << 32;

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

/// An activation of the graph to be.
pub(super) struct Draft {
    /// The file's name for it.
    pub(super) name: String,
    /// Its shape for any batch.
    pub(super) shape: Vec<Dim>,
    /// Of the entries that its batch's axis holds for an image, those before the batch: a sequence that was merged with it
    /// comes before, attention's heads come behind. 1 where the batch comes first.
    before_batch: usize,
}

/// The walk's state.
pub(super) struct Importer<'a> {
    pub(super) model: &'a Model,
    opset: i64,
    pub(super) known: HashMap<String, Known>,
    pub(super) nodes: Vec<Node>,
    pub(super) values: Vec<Draft>,
    pub(super) parameters: Vec<Parameter>,
    parameter_of: HashMap<(String, Kind), ParameterId>,
    names: HashSet<String>,
    /// The batch the file fixes, where it does.
    pub(super) fixed_batch: Option<i64>,
    /// Numbers that may still be produced by folding constants.
    pub(super) budget: Budget,
    /// Numbers that may still be the same one, repeated: they take memory once the network runs.
    pub(super) repeated: Budget,
}

impl<'a> Importer<'a> {
    pub(super) fn new(model: &'a Model, most_generated: usize) -> Self {
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
            repeated: Budget(MOST_REPEATED),
            budget: Budget(model.budget().0.saturating_add(most_generated as u64)),
        }
    }

    pub(super) fn add_value(&mut self, name: &str, shape: Vec<Dim>) -> Result<ValueId, Error> {
        let values = shape.iter().try_fold(1usize, |count, dim| {
            let extent = Some(dim.per_image()).filter(|&extent| extent <= LONGEST_EXTENT)?;
            count.checked_mul(extent)
        });
        if values.is_none_or(|values| values > MOST_VALUES) {
            return Err(Error::Graph {
                reason: format!("value `{name}` has an impossible shape {}", show(&shape)),
            });
        }
        self.values.push(Draft {
            name: name.to_owned(),
            shape,
            before_batch: 1,
        });
        Ok(ValueId(self.values.len() - 1))
    }

    /// The value named by the node's input `index`; `None` where it is left out.
    pub(super) fn operand(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<Option<Known>, Error> {
        let Some(name) = node.input.get(index).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let name = name.clone();
        self.named(node, &name).map(Some)
    }

    /// The value of that name, which the node reads.
    pub(super) fn named(&mut self, node: &NodeProto, name: &str) -> Result<Known, Error> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let Some(proto) = self.model.initializer(name) else {
            return Err(fault(
                node,
                format!("its input `{name}` is computed by no node and is no initializer"),
            ));
        };
        let known = Known::Constant {
            constant: Rc::new(tensor::constant(proto)?),
            initializer: Some(name.to_owned()),
        };
        self.known.insert(name.to_owned(), known.clone());
        Ok(known)
    }

    pub(super) fn required(&mut self, node: &NodeProto, index: usize) -> Result<Known, Error> {
        self.operand(node, index)?
            .ok_or_else(|| fault(node, format!("input {index} is missing")))
    }

    /// Input `index` as an activation.
    pub(super) fn activation(&mut self, node: &NodeProto, index: usize) -> Result<ValueId, Error> {
        match self.required(node, index)? {
            Known::Activation(id) => Ok(id),
            _ => Err(fault(
                node,
                format!("input {index} must depend on the image, but is constant"),
            )),
        }
    }

    /// Input `index` as a constant of floats or integers; `None` where it is left out.
    pub(super) fn constant(
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
    pub(super) fn extents(
        &mut self,
        node: &NodeProto,
        index: usize,
    ) -> Result<Option<Vec<Extent>>, Error> {
        match self.operand(node, index)? {
            None => Ok(None),
            Some(Known::Numbers(numbers)) => match &numbers.data {
                Data::Whole(values) => Ok(Some(values.clone())),
                Data::Floats(_) => Err(fault(node, format!("input {index} must be whole numbers"))),
            },
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
    pub(super) fn integers(
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

    /// Input `index` as one float; `None` where it is left out.
    pub(super) fn scalar(&mut self, node: &NodeProto, index: usize) -> Result<Option<f32>, Error> {
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
    pub(super) fn parameter(
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
                .add_parameter(node, index, role, &constant, &constant.shape, initializer)
                .map(Some),
            Known::TransposedMatrix { .. } => Err(unsupported(
                node,
                format!("input {index} (its weights) lies behind a Transpose"),
            )),
            Known::Activation(_) | Known::Numbers(_) | Known::Indices(_) | Known::Test(_) => {
                Err(unsupported(
                    node,
                    format!("input {index} (its weights) is computed at run time"),
                ))
            }
        }
    }

    /// Input `index` as a linear layer's weight as it lies in the file, and whether a Transpose lies before the node.
    pub(super) fn matrix(
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
                let seen = &constant.shape;
                let id =
                    self.add_parameter(node, index, Role::Weight, &constant, seen, initializer)?;
                Ok((id, true))
            }
            _ => self
                .parameter(node, index, Role::Weight)?
                .map(|id| (id, false))
                .ok_or_else(|| fault(node, format!("input {index} is missing"))),
        }
    }

    /// A parameter that the node reads in the shape of `constant` where the file gives it in shape `seen`.
    fn add_parameter(
        &mut self,
        node: &NodeProto,
        index: usize,
        role: Role,
        constant: &Constant,
        seen: &[usize],
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
        let site = Site::of(node, index, seen);
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

    pub(super) fn shape(&self, id: ValueId) -> &[Dim] {
        &self.values[id.0].shape
    }

    /// The fixed `[C, H, W]` of an activation behind the images, or the parts of images, that are its first axis.
    pub(super) fn image(&self, node: &NodeProto, id: ValueId) -> Result<[usize; 3], Error> {
        match self.shape(id) {
            [Dim::Batch(_), Dim::Fixed(c), Dim::Fixed(h), Dim::Fixed(w)] => Ok([*c, *h, *w]),
            other => Err(unsupported(
                node,
                format!("its input has shape {}, expected [N, C, H, W]", show(other)),
            )),
        }
    }

    /// Of the entries that an axis merges with the batch, those before it; 1 where the batch comes first.
    pub(super) fn before_batch(&self, id: ValueId) -> usize {
        self.values[id.0].before_batch
    }

    /// Says of the value just made how many entries come before the batch on the batch's axis.
    pub(super) fn last_merged(&mut self, before_batch: usize) {
        if let Some(last) = self.values.last_mut()
            && before_batch > 1
        {
            last.before_batch = before_batch;
        }
    }

    pub(super) fn parameter_shape(&self, id: ParameterId) -> &[usize] {
        &self.parameters[id.0].shape
    }

    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    /// Whether a convolution or linear layer came before: constants ahead of it are preprocessing, not weights.
    pub(super) fn past_first_layer(&self) -> bool {
        self.nodes
            .iter()
            .filter(|node| matches!(node.op, Op::Conv(_) | Op::Linear(_)))
            .any(|node| match node.inputs.get(1) {
                // A matrix of fixed numbers, such as one that resizes, is no layer.
                Some(Input::Parameter(id)) => self.parameters[id.0].role.trainable(),
                _ => false,
            })
    }

    pub(super) fn producer(&self, id: ValueId) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| node.output == id)
    }

    /// Adds a node that computes the file node's output `index`.
    pub(super) fn emit(
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
        let name = match index {
            0 => node_label(node),
            _ => format!("{}:{index}", node_label(node)),
        };
        let id = self.add_node(node, name, output, op, inputs, shape, macs)?;
        self.define(node, output.clone(), Known::Activation(id))
    }

    /// Adds a node for a step on the way to the file node's output: a value that the file has not.
    pub(super) fn emit_step(
        &mut self,
        node: &NodeProto,
        step: &str,
        op: Op,
        inputs: Vec<Input>,
        shape: Vec<Dim>,
    ) -> Result<ValueId, Error> {
        let output = node.output.first().map_or("", String::as_str);
        let value = format!("{output}:{step}");
        let name = format!("{}:{step}", node_label(node));
        self.add_node(node, name, &value, op, inputs, shape, 0)
    }

    /// Gives the file node's output to the value of a step, or to one that was there before.
    pub(super) fn finish_steps(&mut self, node: &NodeProto, value: ValueId) -> Result<(), Error> {
        let Some(output) = node.output.first().filter(|name| !name.is_empty()) else {
            return Err(fault(node, "has no output"));
        };
        if let Some(last) = self.nodes.last_mut().filter(|last| last.output == value)
            && self.values[value.0].name.starts_with(&format!("{output}:"))
        {
            last.name = node_label(node);
            self.values[value.0].name.clone_from(output);
        }
        self.define(node, output.clone(), Known::Activation(value))
    }

    /// Numbers that the specification says and the file has not.
    pub(super) fn constant_values(
        &mut self,
        node: &NodeProto,
        name: &str,
        shape: Vec<usize>,
        values: Vec<f32>,
    ) -> Input {
        let source = format!("{}:{name}", node_label(node));
        let role = Role::Constant;
        let name = names::canonical(&source, names::module(node), role, &mut self.names);
        self.parameters.push(Parameter {
            name,
            initializer: None,
            role,
            shape,
            data: values.into(),
            sites: Vec::new(),
        });
        Input::Parameter(ParameterId(self.parameters.len() - 1))
    }

    /// Input `index` as a weight in role `role` that is read in another shape of as many values.
    pub(super) fn parameter_as(
        &mut self,
        node: &NodeProto,
        index: usize,
        role: Role,
        shape: &[usize],
    ) -> Result<ParameterId, Error> {
        let known = self.required(node, index)?;
        let Known::Constant {
            constant,
            initializer,
        } = known
        else {
            return Err(unsupported(
                node,
                format!("input {index} (its weights) is computed at run time"),
            ));
        };
        if constant.len() != shape.iter().product::<usize>() {
            return Err(fault(
                node,
                format!(
                    "input {index} has shape {:?}, expected {shape:?}",
                    constant.shape
                ),
            ));
        }
        let reshaped = Constant {
            shape: shape.to_vec(),
            data: constant.data.clone(),
        };
        self.add_parameter(node, index, role, &reshaped, &constant.shape, initializer)
    }

    #[allow(clippy::too_many_arguments)]
    fn add_node(
        &mut self,
        node: &NodeProto,
        name: String,
        value: &str,
        op: Op,
        inputs: Vec<Input>,
        shape: Vec<Dim>,
        macs: u64,
    ) -> Result<ValueId, Error> {
        if shape.len() > MOST_DIMENSIONS {
            return Err(unsupported(
                node,
                format!("a value of {} dimensions", shape.len()),
            ));
        }
        let kept = match inputs.first() {
            Some(Input::Value(source)) => shape
                .iter()
                .any(|dim| matches!(dim, Dim::Batch(2..)) && self.shape(*source).contains(dim))
                .then(|| self.before_batch(*source)),
            _ => None,
        };
        let id = self.add_value(value, shape)?;
        if let Some(before_batch) = kept {
            self.values[id.0].before_batch = before_batch;
        }
        self.nodes.push(Node {
            name,
            op,
            inputs,
            output: id,
            macs,
        });
        Ok(id)
    }

    /// The name under which a trained value of the node's output can be written; `None` where there is none.
    pub(super) fn weight_output(&self, node: &NodeProto) -> Option<String> {
        let output = node.output.first()?;
        self.model.is_derived(output).then(|| output.clone())
    }

    pub(super) fn define(
        &mut self,
        node: &NodeProto,
        name: String,
        known: Known,
    ) -> Result<(), Error> {
        if self.known.insert(name.clone(), known).is_some() {
            return Err(fault(
                node,
                format!("its output `{name}` is computed twice"),
            ));
        }
        Ok(())
    }

    /// Makes the node's first output another name for `known`.
    pub(super) fn alias(&mut self, node: &NodeProto, known: Known) -> Result<(), Error> {
        let Some(output) = node.output.first().cloned() else {
            return Err(fault(node, "has no output"));
        };
        self.define(node, output, known)
    }
}
