//! Freezes and trains a Burn model that was written by hand: its parameters by Burn's own paths, a policy, and what the plan says
//! handed to Burn's parameter groups. Every frozen value is compared after every phase.

use std::collections::BTreeMap;
use std::error::Error;

use burn::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, Distribution, Int, Tensor, activation::relu};
use regraft_freeze::{
    BlockOutline, DataFacts, FreezeConfig, NormOutline, Outline, ParameterKind, ParameterOutline,
    Phase, Policy, Statistics, resolve,
};

const CLASSES: usize = 3;
const LEARNING_RATE: f64 = 0.1;
const WEIGHT_DECAY: f32 = 1e-3;

/// A convolution that halves the image, with batch norm.
#[derive(Module, Debug)]
struct Stage {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Stage {
    fn new(channels: [usize; 2], device: &Device) -> Self {
        let conv = Conv2dConfig::new(channels, [3, 3]).with_stride([2, 2]);
        Self {
            conv: conv.with_bias(false).init(device),
            norm: BatchNormConfig::new(channels[1]).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.conv.forward(x)))
    }
}

/// The model. Its fields, from the input to the output, are the blocks of the outline.
#[derive(Module, Debug)]
struct Model {
    stem: Stage,
    middle: Stage,
    top: Stage,
    head: Linear,
}

impl Model {
    fn new(device: &Device) -> Self {
        Self {
            stem: Stage::new([3, 8], device),
            middle: Stage::new([8, 12], device),
            top: Stage::new([12, 16], device),
            head: LinearConfig::new(16, CLASSES).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.top.forward(self.middle.forward(self.stem.forward(x)));
        self.head.forward(x.mean_dim(3).mean_dim(2).flatten(1, 3))
    }
}

/// What Burn's visitor passes on the way through a model.
#[derive(Default)]
struct Reader {
    path: Vec<String>,
    outline: Outline,
    /// The bits of every tensor's values, running statistics among them.
    bits: BTreeMap<String, Vec<u32>>,
}

impl Reader {
    fn of(model: &Model) -> Self {
        let mut reader = Self::default();
        // `valid` brings running statistics up to date.
        model.valid().visit(&mut reader);
        reader
    }

    /// The block of the value in hand: the field of the model that holds it.
    fn block(&mut self) -> usize {
        let blocks = &mut self.outline.blocks;
        let name = &self.path[0];
        blocks
            .iter()
            .position(|b| b.name == *name)
            .unwrap_or_else(|| {
                blocks.push(BlockOutline {
                    name: name.clone(),
                    head: name == "head",
                    ..BlockOutline::default()
                });
                blocks.len() - 1
            })
    }
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, block) = (self.path.join("."), self.block());
        let values: Vec<f32> = param.val().into_data().try_to_vec().unwrap_or_default();
        let bits = values.into_iter().map(f32::to_bits).collect();
        self.bits.insert(name.clone(), bits);
        let (layer, last) = name.rsplit_once('.').unwrap_or(("", &name));
        let kind = match last {
            "running_mean" => {
                self.outline.norms.push(NormOutline {
                    name: layer.to_owned(),
                    block,
                    affine: ["gamma", "beta"].map(|p| format!("{layer}.{p}")).into(),
                });
                return;
            }
            "running_var" => return,
            "gamma" => ParameterKind::NormScale,
            "beta" => ParameterKind::NormShift,
            "bias" => ParameterKind::Bias,
            _ => ParameterKind::Weight,
        };
        self.outline.parameters.push(ParameterOutline {
            fresh: self.outline.blocks[block].head,
            shape: param.lazy_shape().to_vec(),
            name,
            kind,
            block,
        });
    }
}

/// The model as a phase has it: no gradients for frozen parameters, and frozen batch norm takes its running statistics.
fn freeze(model: Model, phase: &Phase) -> Model {
    let frozen = phase.parameters.iter().filter(|p| !p.trained);
    let frozen: Vec<&str> = frozen.map(|p| p.name.as_str()).collect();
    let kept = phase.norms.iter();
    let kept = kept.filter(|norm| norm.statistics == Statistics::Frozen);
    let kept: Vec<String> = kept.map(|norm| format!("{}.training", norm.name)).collect();
    model
        .unfreeze()
        .set_require_grad_group(ParamGroup::from_paths(frozen), false)
        .freeze_group(ParamGroup::from_paths(kept))
}

/// A learning rate for every group of the phase.
fn learning_rates(phase: &Phase) -> ModuleLearningRate {
    let groups = phase.groups().into_iter();
    let rates = groups.fold(ModuleLrScheduler::new(0.0), |rates, group| {
        let rate = LEARNING_RATE * group.lr_multiplier;
        rates.with_group(ParamGroup::from_paths(group.names), rate)
    });
    rates.clone().step()
}

/// Plain SGD, with weight decay where the phase wants it.
fn optimizer(phase: &Phase) -> ModuleOptimizer {
    let decay = WeightDecayConfig::new(WEIGHT_DECAY);
    let decays = SgdConfig::new().with_weight_decay(Some(decay));
    let groups = phase
        .groups()
        .into_iter()
        .filter(|group| group.weight_decay);
    groups.fold(SgdConfig::new().init(), |all, group| {
        all.with_group(ParamGroup::from_paths(group.names), decays.build(), None)
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = regraft_backend::open("auto")?.autodiff();
    device.seed(1);
    let mut model = Model::new(&device);
    let outline = Reader::of(&model).outline;
    let facts = DataFacts {
        train_images: 8,
        classes: CLASSES,
        batch_size: 8,
    };
    let config = FreezeConfig {
        policy: Policy::Gradual { every: 1 },
        layer_decay: Some(0.5),
        batch_norm: regraft_freeze::BatchNorm::Updated,
        ..FreezeConfig::default()
    };
    let plan = resolve(&outline, &facts, &config)?;
    println!("{}", plan.table(&outline)?);

    let images = Tensor::<4>::random([8, 3, 32, 32], Distribution::Default, &device);
    let labels = Tensor::<1, Int>::from_ints([0, 1, 2, 0, 1, 2, 0, 1], &device);
    let loss = CrossEntropyLossConfig::new().init(&device);
    for phase in &plan.phases {
        let before = Reader::of(&model).bits;
        model = freeze(model, phase);
        let (rates, mut optimizer) = (learning_rates(phase), optimizer(phase));
        for _ in 0..2 {
            let loss = loss.forward(model.forward(images.clone()), labels.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(rates.clone(), model, gradients);
        }
        let after = Reader::of(&model).bits;
        for parameter in &phase.parameters {
            let name = parameter.name.as_str();
            let (before, after) = (&before[name], &after[name]);
            assert_eq!(before != after, phase.trains(name)?, "{name}");
            let rate = rates.lr_from_param(ParamId::new(), Some(name));
            assert_eq!(rate, phase.learning_rate(name, LEARNING_RATE)?, "{name}");
        }
        for norm in &phase.norms {
            let updated = phase.statistics(&norm.name)? == Statistics::Updated;
            for statistic in ["running_mean", "running_var"] {
                let name = format!("{}.{statistic}", norm.name);
                assert_eq!(before[&name] != after[&name], updated, "{name}");
            }
        }
        let trained = phase.parameters.iter().filter(|p| p.trained).count();
        println!(
            "phase {}: {trained} parameters changed in two steps, {} are bit for bit as they were",
            phase.name,
            phase.parameters.len() - trained
        );
    }
    Ok(())
}

#[test]
fn frozen_values_stay_and_the_others_change() -> Result<(), Box<dyn Error>> {
    main()
}
