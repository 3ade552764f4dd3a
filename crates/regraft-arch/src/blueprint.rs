//! A network being drawn: nodes and parameters with their shapes, without a single weight in memory.
//!
//! A module path (`layer1.0.conv1`) names a layer's parameters (`layer1.0.conv1.weight`) and its node
//! (`/layer1/0/conv1/Conv`); an activation is called after the node that makes it.

use onnx_ir::{AttributeProto, AttributeType, NodeProto, TensorProto};

use crate::initial::{Fan, Initial};

/// Name of the images, `[N, 3, S, S]`.
pub(crate) const INPUT: &str = "input";
/// Name of the result, `[N, classes]`.
pub(crate) const LOGITS: &str = "logits";
/// Channels are multiples of this.
const CHANNEL_STEP: usize = 8;
/// Standard deviation of a classifier's initial weights: no class is favoured.
const CLASSIFIER_DEVIATION: f64 = 0.01;
/// ONNX's `momentum` of batch norm, the weight of the old value: 1 minus PyTorch's default.
const MOMENTUM: f32 = 0.9;

/// What the caller chose, as a drawing needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub classes: usize,
    pub size: usize,
    pub width: f64,
    /// Whether the network begins for small images.
    pub cifar_stem: bool,
}

/// A network's nodes and parameters so far.
pub(crate) struct Blueprint {
    pub nodes: Vec<NodeProto>,
    pub parameters: Vec<Parameter>,
    choice: Choice,
    /// Of every batch norm.
    epsilon: f32,
    fan: Fan,
}

/// A weight, bias or running statistic.
pub(crate) struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub initial: Initial,
    pub trainable: bool,
}

/// An activation: `[N, channels, side, side]`; `[N, channels]` once it is flattened, with side 1.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    name: String,
    pub channels: usize,
    pub side: usize,
}

/// An image that is smaller than a layer's window.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// Module path.
    pub layer: String,
    /// Pixels a side that reach it.
    pub left: usize,
}

/// A window that slides over an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Height and width.
    kernel: [usize; 2],
    stride: usize,
    /// Above and below; left and right.
    padding: [usize; 2],
    /// Whether a last window may stick out.
    ceil: bool,
}

impl Window {
    pub(crate) const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride,
            padding: [padding; 2],
            ceil: false,
        }
    }

    /// Padded so that an image keeps its size at stride 1; both extents are odd.
    pub(crate) const fn same(height: usize, width: usize) -> Self {
        Self {
            kernel: [height, width],
            stride: 1,
            padding: [height / 2, width / 2],
            ceil: false,
        }
    }

    pub(crate) const fn ceil(self) -> Self {
        Self { ceil: true, ..self }
    }

    /// Pixels a side after a square image; none where the window does not fit.
    fn output(self, side: usize) -> Option<usize> {
        let mut shortest = None;
        for axis in 0..2 {
            let room = (side + 2 * self.padding[axis]).checked_sub(self.kernel[axis])?;
            let steps = if self.ceil {
                room.div_ceil(self.stride)
            } else {
                room / self.stride
            };
            shortest = Some(shortest.map_or(steps + 1, |other: usize| other.min(steps + 1)));
        }
        shortest
    }

    fn attributes(self) -> Vec<AttributeProto> {
        let [vertical, horizontal] = self.padding;
        let mut attributes = vec![
            ints("kernel_shape", &self.kernel),
            ints("strides", &[self.stride; 2]),
            ints("pads", &[vertical, horizontal, vertical, horizontal]),
        ];
        if self.ceil {
            attributes.push(int("ceil_mode", 1));
        }
        attributes
    }
}

/// A convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv {
    pub outputs: usize,
    pub window: Window,
    /// One group for each input channel instead of one in all.
    pub depthwise: bool,
    pub bias: bool,
}

impl Conv {
    pub(crate) const fn new(outputs: usize, window: Window) -> Self {
        Self {
            outputs,
            window,
            depthwise: false,
            bias: false,
        }
    }
}

impl Blueprint {
    pub(crate) fn new(choice: Choice) -> Self {
        Self {
            nodes: Vec::new(),
            parameters: Vec::new(),
            choice,
            epsilon: 1e-5,
            fan: Fan::Out,
        }
    }

    /// Draws with another epsilon in every batch norm, and another side's fan in every convolution.
    pub(crate) fn set(&mut self, epsilon: f32, fan: Fan) {
        (self.epsilon, self.fan) = (epsilon, fan);
    }

    pub(crate) fn input(&self) -> Value {
        Value {
            name: INPUT.to_owned(),
            channels: 3,
            side: self.choice.size,
        }
    }

    pub(crate) fn cifar_stem(&self) -> bool {
        self.choice.cifar_stem
    }

    /// A number of channels at the chosen width.
    pub(crate) fn scaled(&self, channels: usize) -> usize {
        if self.choice.width == 1.0 {
            return channels;
        }
        let wanted = channels as f64 * self.choice.width;
        let steps = (wanted / CHANNEL_STEP as f64).round().max(1.0) as usize;
        let rounded = steps * CHANNEL_STEP;
        if (rounded as f64) < 0.9 * wanted {
            rounded + CHANNEL_STEP
        } else {
            rounded
        }
    }

    /// As [`Blueprint::scaled`], but never under the paper's.
    pub(crate) fn scaled_up(&self, channels: usize) -> usize {
        self.scaled(channels).max(channels)
    }

    pub(crate) fn conv(&mut self, path: &str, input: &Value, conv: Conv) -> Result<Value, Misfit> {
        let Conv {
            outputs,
            window,
            depthwise,
            bias,
        } = conv;
        let side = fit(path, input, window)?;
        let groups = if depthwise { input.channels } else { 1 };
        let [height, width] = window.kernel;
        let per_group = input.channels / groups;
        let fan = match self.fan {
            Fan::In => per_group * height * width,
            Fan::Out => outputs / groups * height * width,
        };
        let shape = [outputs, per_group, height, width];
        let weight = self.trained(path, "weight", &shape, Initial::kaiming(fan));
        let mut inputs = vec![input.name.clone(), weight];
        if bias {
            inputs.push(self.trained(path, "bias", &[outputs], Initial::Constant(0.0)));
        }
        let mut attributes = window.attributes();
        if groups > 1 {
            attributes.push(int("group", groups));
        }
        Ok(self.node(path, "Conv", inputs, attributes, outputs, side))
    }

    /// Batch normalisation in inference form, with the statistics 0 and 1 and the shift 0.
    pub(crate) fn batch_norm(&mut self, path: &str, input: &Value, scale: f32) -> Value {
        let shape = [input.channels];
        let inputs = vec![
            input.name.clone(),
            self.trained(path, "weight", &shape, Initial::Constant(scale)),
            self.trained(path, "bias", &shape, Initial::Constant(0.0)),
            self.parameter(path, "running_mean", &shape, Initial::Constant(0.0), false),
            self.parameter(path, "running_var", &shape, Initial::Constant(1.0), false),
        ];
        let attributes = vec![float("epsilon", self.epsilon), float("momentum", MOMENTUM)];
        self.node(
            path,
            "BatchNormalization",
            inputs,
            attributes,
            input.channels,
            input.side,
        )
    }

    pub(crate) fn relu(&mut self, path: &str, input: &Value) -> Value {
        let inputs = vec![input.name.clone()];
        self.node(path, "Relu", inputs, vec![], input.channels, input.side)
    }

    /// min(max(x, 0), 6) (Sandler et al. 2018), as a Clip.
    pub(crate) fn relu6(&mut self, path: &str, input: &Value) -> Value {
        let mut inputs = vec![input.name.clone()];
        for (name, limit) in [("/relu6/min", 0.0f32), ("/relu6/max", 6.0)] {
            if !self.nodes.iter().any(|node| node.name == name) {
                self.nodes.push(scalar(name, limit));
            }
            inputs.push(name.to_owned());
        }
        self.node(path, "Clip", inputs, vec![], input.channels, input.side)
    }

    pub(crate) fn max_pool(
        &mut self,
        path: &str,
        input: &Value,
        window: Window,
    ) -> Result<Value, Misfit> {
        let side = fit(path, input, window)?;
        let inputs = vec![input.name.clone()];
        let attributes = window.attributes();
        Ok(self.node(path, "MaxPool", inputs, attributes, input.channels, side))
    }

    /// Padding counts as zeros.
    pub(crate) fn average_pool(
        &mut self,
        path: &str,
        input: &Value,
        window: Window,
    ) -> Result<Value, Misfit> {
        let side = fit(path, input, window)?;
        let inputs = vec![input.name.clone()];
        let mut attributes = window.attributes();
        attributes.push(int("count_include_pad", 1));
        Ok(self.node(
            path,
            "AveragePool",
            inputs,
            attributes,
            input.channels,
            side,
        ))
    }

    pub(crate) fn add(&mut self, path: &str, left: &Value, right: &Value) -> Value {
        let inputs = vec![left.name.clone(), right.name.clone()];
        self.node(path, "Add", inputs, vec![], left.channels, left.side)
    }

    /// Channels one after the other.
    pub(crate) fn concat(&mut self, path: &str, branches: &[Value]) -> Value {
        let inputs = branches.iter().map(|value| value.name.clone()).collect();
        let channels = branches.iter().map(|value| value.channels).sum();
        let side = branches.first().map_or(0, |value| value.side);
        let attributes = vec![int("axis", 1)];
        self.node(path, "Concat", inputs, attributes, channels, side)
    }

    /// The mean of each channel, as a vector.
    pub(crate) fn global_average(&mut self, input: &Value) -> Value {
        let inputs = vec![input.name.clone()];
        let pooled = self.node(
            "avgpool",
            "GlobalAveragePool",
            inputs,
            vec![],
            input.channels,
            1,
        );
        self.flatten(&pooled)
    }

    pub(crate) fn flatten(&mut self, input: &Value) -> Value {
        let inputs = vec![input.name.clone()];
        let features = input.channels * input.side * input.side;
        let attributes = vec![int("axis", 1)];
        self.node("flatten", "Flatten", inputs, attributes, features, 1)
    }

    /// A linear layer that a ReLU follows.
    pub(crate) fn hidden(&mut self, path: &str, input: &Value, outputs: usize) -> Value {
        let initial = Initial::kaiming(input.channels);
        self.linear(path, input, outputs, initial)
    }

    /// The linear layer that gives the logits: the network's end.
    pub(crate) fn classifier(&mut self, path: &str, input: &Value) {
        let initial = Initial::Normal {
            deviation: CLASSIFIER_DEVIATION,
        };
        self.linear(path, input, self.choice.classes, initial);
        if let Some(last) = self.nodes.last_mut() {
            last.output = vec![LOGITS.to_owned()];
        }
    }

    fn linear(&mut self, path: &str, input: &Value, outputs: usize, initial: Initial) -> Value {
        let shape = [outputs, input.channels];
        let inputs = vec![
            input.name.clone(),
            self.trained(path, "weight", &shape, initial),
            self.trained(path, "bias", &[outputs], Initial::Constant(0.0)),
        ];
        self.node(path, "Gemm", inputs, vec![int("transB", 1)], outputs, 1)
    }

    fn trained(&mut self, path: &str, leaf: &str, shape: &[usize], initial: Initial) -> String {
        self.parameter(path, leaf, shape, initial, true)
    }

    fn parameter(
        &mut self,
        path: &str,
        leaf: &str,
        shape: &[usize],
        initial: Initial,
        trainable: bool,
    ) -> String {
        let name = format!("{path}.{leaf}");
        self.parameters.push(Parameter {
            name: name.clone(),
            shape: shape.to_vec(),
            initial,
            trainable,
        });
        name
    }

    fn node(
        &mut self,
        path: &str,
        operator: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
        channels: usize,
        side: usize,
    ) -> Value {
        let name = format!("/{}/{operator}", path.replace('.', "/"));
        self.nodes.push(NodeProto {
            name: name.clone(),
            op_type: operator.to_owned(),
            input,
            output: vec![name.clone()],
            attribute,
            ..NodeProto::default()
        });
        Value {
            name,
            channels,
            side,
        }
    }
}

fn fit(path: &str, input: &Value, window: Window) -> Result<usize, Misfit> {
    window.output(input.side).ok_or_else(|| Misfit {
        layer: path.to_owned(),
        left: input.side,
    })
}

/// A Constant node that gives one number.
fn scalar(name: &str, value: f32) -> NodeProto {
    const FLOAT: i32 = 1;
    let tensor = TensorProto {
        data_type: FLOAT,
        raw_data: value.to_le_bytes().to_vec().into(),
        ..TensorProto::default()
    };
    NodeProto {
        name: name.to_owned(),
        op_type: "Constant".to_owned(),
        output: vec![name.to_owned()],
        attribute: vec![AttributeProto {
            name: "value".to_owned(),
            type_: AttributeType::TENSOR.into(),
            t: Some(tensor).into(),
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        type_: AttributeType::INTS.into(),
        ints: values.iter().map(|&value| value as i64).collect(),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        type_: AttributeType::INT.into(),
        i: value as i64,
        ..AttributeProto::default()
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        type_: AttributeType::FLOAT.into(),
        f: value,
        ..AttributeProto::default()
    }
}
