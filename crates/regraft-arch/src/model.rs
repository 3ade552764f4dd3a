//! From a spec to a model: the drawing, its weights, and what the file says of itself.

use onnx_ir::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use regraft_onnx::{Model, metadata};

use crate::blueprint::{Blueprint, Choice, INPUT, LOGITS, Parameter};
use crate::error::Error;
use crate::spec::{Classes, Spec};

const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// `TensorProto.DataType` of f32.
const FLOAT: i32 = 1;
/// Most bytes of weights, so that the file with its nodes stays below 2 GiB.
const MOST_BYTES: u64 = (1 << 31) - (1 << 24);
/// Images that are tried to find the smallest that fits, in pixels a side.
const MOST_TRIED: usize = 512;

/// Builds an untrained network: opset 17, input `input` `[N, 3, size, size]`, output `logits` `[N, classes]`, any N.
///
/// Convolutions start with Kaiming's normal distribution (He et al. 2015), variance 2 / fan: fan-out, by group, in ResNet, VGG
/// and MobileNet, as in torchvision except for depthwise layers, where torchvision leaves the groups out; fan-in in the
/// Inceptions. Hidden linear layers have fan-in, the classifier has N(0, 0.01), biases are 0. Batch norm has scale 1, shift 0,
/// mean 0 and variance 1; the last one of each branch of a post-activation ResNet has scale 0. Weights are a function of
/// seed and parameter name, so that a layer keeps its weights where another one changes.
///
/// The model carries its preprocessing (ImageNet's mean and deviation, RGB) and, where the classes have names, its labels.
///
/// # Errors
/// When a number of the spec is out of its range, the image is too small for the network, or the network too large for a
/// file.
pub fn build(spec: &Spec) -> Result<Model, Error> {
    let blueprint = draw(spec)?;
    let initializer = blueprint
        .parameters
        .iter()
        .map(|parameter| tensor(parameter, spec.seed))
        .collect();
    let size = spec.size as i64;
    let input = value(INPUT, &[3, size, size]);
    let output = value(LOGITS, &[spec.classes.count() as i64]);
    let graph = GraphProto {
        name: spec.architecture.name().to_owned(),
        node: blueprint.nodes,
        initializer,
        input: vec![input],
        output: vec![output],
        ..GraphProto::default()
    };
    let mut proto = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "regraft".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph).into(),
        ..ModelProto::default()
    };
    proto.opset_import.push(Default::default());
    if let Some(set) = proto.opset_import.last_mut() {
        set.version = OPSET;
    }
    let mut model = Model::from_proto(proto)?;
    describe(&mut model, spec);
    Ok(model)
}

/// How many values training may change in the network that [`build`] would make: weights, biases, scales and shifts.
///
/// # Errors
/// As [`build`].
pub fn parameter_count(spec: &Spec) -> Result<u64, Error> {
    let blueprint = draw(spec)?;
    let trainable = blueprint.parameters.iter().filter(|p| p.trainable);
    Ok(trainable.map(values).sum())
}

fn draw(spec: &Spec) -> Result<Blueprint, Error> {
    spec.check()?;
    let choice = Choice {
        classes: spec.classes.count(),
        size: spec.size,
        width: spec.width,
        cifar_stem: spec.cifar_stem(),
    };
    let attempt = |choice: Choice| {
        let mut blueprint = Blueprint::new(choice);
        spec.architecture.draw(&mut blueprint).map(|()| blueprint)
    };
    let blueprint = attempt(choice).map_err(|misfit| {
        let fits = |size: &usize| {
            let size = *size;
            attempt(Choice { size, ..choice }).is_ok()
        };
        let small = Choice {
            cifar_stem: true,
            ..choice
        };
        Error::ImageTooSmall {
            architecture: spec.architecture.name(),
            size: spec.size,
            stem: if choice.cifar_stem {
                "cifar"
            } else {
                "imagenet"
            },
            layer: misfit.layer,
            left: misfit.left,
            least: (spec.size + 1..=MOST_TRIED).find(fits),
            cifar_fits: attempt(small).is_ok(),
        }
    })?;
    let parameters = blueprint
        .parameters
        .iter()
        .map(values)
        .fold(0u64, u64::saturating_add);
    let bytes = parameters.saturating_mul(4);
    if bytes > MOST_BYTES {
        return Err(Error::TooLarge { parameters, bytes });
    }
    Ok(blueprint)
}

fn values(parameter: &Parameter) -> u64 {
    let shape = parameter.shape.iter();
    shape.fold(1, |count, &extent| count.saturating_mul(extent as u64))
}

fn tensor(parameter: &Parameter, seed: u64) -> TensorProto {
    let Parameter {
        name,
        shape,
        initial,
        ..
    } = parameter;
    TensorProto {
        name: name.clone(),
        dims: shape.iter().map(|&extent| extent as i64).collect(),
        data_type: FLOAT,
        raw_data: initial.bytes(shape.iter().product(), seed, name).into(),
        ..TensorProto::default()
    }
}

/// A batch of f32 tensors of this shape.
fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let mut info = ValueInfoProto {
        name: name.to_owned(),
        ..ValueInfoProto::default()
    };
    let tensor = info.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = FLOAT;
    let dims = &mut tensor.shape.mut_or_insert_default().dim;
    dims.resize_with(1 + shape.len(), Default::default);
    for (index, dim) in dims.iter_mut().enumerate() {
        match index.checked_sub(1) {
            None => dim.set_dim_param("N".to_owned()),
            Some(axis) => dim.set_dim_value(shape[axis]),
        }
    }
    info
}

fn describe(model: &mut Model, spec: &Spec) {
    if let Classes::Named(labels) = &spec.classes {
        metadata::set_labels(model, labels);
    }
    let preprocessing = serde_json::json!({
        "size": spec.size,
        "resize": spec.architecture.resize(spec.size),
        "crop": "center",
        "interpolation": "bilinear",
        "channels": "rgb",
        "scale": 1.0 / 255.0,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    });
    metadata::set(model, metadata::PREPROCESSING, &preprocessing.to_string());
    let source = format!(
        "{} from initial weights: {} stem, width {}, seed {}. {}",
        spec.architecture.name(),
        if spec.cifar_stem() {
            "cifar"
        } else {
            "imagenet"
        },
        spec.width,
        spec.seed,
        spec.architecture.about(),
    );
    metadata::set(model, "source", &source);
    metadata::set(model, metadata::UNTRAINED, "true");
}
