//! Small networks made by hand: nodes in a row of text, weights drawn from a fixed sequence.

use onnx_ir::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use regraft_onnx::{Graph, ImportOptions, Model};

/// Grows a network from the input `x`.
pub struct Builder {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    image: [i64; 3],
    drawn: u32,
}

impl Builder {
    pub fn new(image: [i64; 3]) -> Self {
        Self {
            nodes: Vec::new(),
            initializers: Vec::new(),
            image,
            drawn: 1,
        }
    }

    /// Adds a node whose output has its name.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str) -> &mut Self {
        self.nodes.push(NodeProto {
            name: output.to_owned(),
            op_type: operator.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
        self
    }

    /// Gives the last node a list of numbers.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        self.nodes
            .last_mut()
            .unwrap()
            .attribute
            .push(AttributeProto {
                name: name.to_owned(),
                ints: values.to_vec(),
                ..AttributeProto::default()
            });
        self
    }

    /// Gives the last node a number.
    pub fn int(&mut self, name: &str, value: i64) -> &mut Self {
        self.nodes
            .last_mut()
            .unwrap()
            .attribute
            .push(AttributeProto {
                name: name.to_owned(),
                i: value,
                ..AttributeProto::default()
            });
        self
    }

    /// Weights between -0.5 and 0.5.
    pub fn weight(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        self.values(name, dims, |drawn| drawn - 0.5)
    }

    /// Numbers made of ones that are drawn between 0 and 1.
    pub fn values(&mut self, name: &str, dims: &[i64], of: impl Fn(f32) -> f32) -> &mut Self {
        let bytes = (0..dims.iter().product::<i64>()).flat_map(|_| {
            self.drawn = self
                .drawn
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            of((self.drawn >> 8) as f32 / (1 << 24) as f32).to_le_bytes()
        });
        let raw: Vec<u8> = bytes.collect();
        self.initializers.push(TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: 1,
            raw_data: raw.into(),
            ..TensorProto::default()
        });
        self
    }

    /// A 3x3 convolution that keeps the size, without bias.
    pub fn conv(&mut self, from: &str, channels: [i64; 2], output: &str) -> &mut Self {
        let weight = format!("{output}.weight");
        self.weight(&weight, &[channels[1], channels[0], 3, 3])
            .node("Conv", &[from, &weight], output)
            .ints("pads", &[1, 1, 1, 1])
    }

    pub fn batch_norm(&mut self, from: &str, channels: i64, output: &str) -> &mut Self {
        let name = |part: &str| format!("{output}.{part}");
        let (scale, shift, mean, variance) =
            (name("weight"), name("bias"), name("mean"), name("var"));
        self.values(&scale, &[channels], |drawn| drawn + 0.5)
            .weight(&shift, &[channels])
            .weight(&mean, &[channels])
            .values(&variance, &[channels], |drawn| drawn + 0.5)
            .node(
                "BatchNormalization",
                &[from, &scale, &shift, &mean, &variance],
                output,
            )
    }

    /// The network up to a value, pooled and classified into three, so that it is one for images.
    pub fn classify(&mut self, from: &str, channels: i64) -> Graph {
        self.node("GlobalAveragePool", &[from], "pooled")
            .node("Flatten", &["pooled"], "flat")
            .weight("fc.weight", &[3, channels])
            .node("Gemm", &["flat", "fc.weight"], "y")
            .int("transB", 1);
        let mut model = ModelProto {
            ir_version: 8,
            ..ModelProto::default()
        };
        model.opset_import.push(Default::default());
        model.opset_import[0].version = 17;
        let [c, h, w] = self.image.map(Some);
        model.graph = Some(GraphProto {
            name: "made by hand".to_owned(),
            node: std::mem::take(&mut self.nodes),
            initializer: std::mem::take(&mut self.initializers),
            input: vec![value("x", &[None, c, h, w])],
            output: vec![value("y", &[None, Some(3)])],
            ..GraphProto::default()
        })
        .into();
        let model = Model::from_bytes(&model.write_to_bytes().unwrap()).unwrap();
        Graph::import(&model, &ImportOptions::default()).unwrap()
    }
}

fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    let mut value = ValueInfoProto {
        name: name.to_owned(),
        ..ValueInfoProto::default()
    };
    let tensor = value.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = 1;
    let shape = tensor.shape.mut_or_insert_default();
    for dim in dims {
        shape.dim.push(Default::default());
        let last = shape.dim.last_mut().unwrap();
        match dim {
            Some(extent) => last.set_dim_value(*extent),
            None => last.set_dim_param("N".to_owned()),
        }
    }
    value
}
