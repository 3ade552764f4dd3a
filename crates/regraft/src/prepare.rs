//! From a recipe to everything that training needs, in four stages that can be entered and left: [`Opened`], [`Sized`],
//! [`Grafted`], [`Planned`].

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regraft_data::{
    Dataset, ImageRecord, ImageSet, Mix, OpenOptions, Preprocess, Selection, Unknown, some,
};
use regraft_freeze::{
    DataFacts, Estimate, Footprint, FreezeConfig, FreezePlan, Outline, ParameterKind, Policy,
    estimate, resolve, resolve_measured, table,
};
use regraft_nn::{Dropout, outline};
use regraft_onnx::{
    Graph, HeadKind, HeadSpec, ImportOptions, Input, Model, Op, Parameter, head, metadata,
};
use regraft_recipe::{
    HeadKind as RecipeHead, Optimizer, PreprocessSpec, Recipe, ResolvedRecipe, Taps,
};
use regraft_spec::files::cache_folder;
use regraft_spec::similar::likely;
use regraft_spec::{FeatureCache, ImageSize};
use regraft_train::{FeatureFolder, Settings};

use crate::combinations;
use crate::error::Error;
use crate::preprocess::{assumed_preprocess, assumption, misfit, model_preprocess};
use crate::record::sha256;
use crate::solve::SolvedHead;
use crate::source::{Located, locate};
use crate::surgical;

/// A recipe with its model and its images opened: the first stage.
#[derive(Debug)]
pub struct Opened {
    /// The recipe, its paths made independent of the working directory.
    pub asked: Recipe,
    /// The pretrained model.
    pub model: Model,
    /// Its file.
    pub file: ModelFile,
    /// Its graph, at its own image size.
    pub graph: Graph,
    /// The folder that the images were opened in, as it was given.
    pub data_root: PathBuf,
    /// The images.
    pub data: Dataset,
    /// What a person should know of.
    pub warnings: Vec<String>,
    located: Located,
}

/// The file of a pretrained model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A recipe whose preprocessing, and with it the size of images, is decided: the second stage.
#[derive(Debug)]
pub struct Sized {
    /// What it was made of.
    pub opened: Opened,
    /// How images become numbers.
    pub preprocess: Preprocess,
}

/// A network with its new head: the third stage.
#[derive(Debug, Clone)]
pub struct Grafted {
    /// The recipe, its paths made independent of the working directory.
    pub asked: Recipe,
    /// The pretrained model's file. Its weights are not kept: what the new head's model shares with it is in that.
    pub pretrained: ModelFile,
    /// The model with its new head.
    pub model: Model,
    /// The same without a head, where the head is new; else as it is. Both share their weights.
    pub headless: Model,
    /// The model's graph.
    pub graph: Arc<Graph>,
    /// The folder that the images were opened in, as it was given.
    pub data_root: PathBuf,
    /// The images.
    pub data: Dataset,
    /// Images of another style that the choice of taps and candidates is to be good on too.
    pub shifted: Option<ImageSet>,
    /// How they become numbers.
    pub preprocess: Preprocess,
    /// What the policy engine is told of the network.
    pub outline: Outline,
    /// What it is told of the data.
    pub facts: DataFacts,
    /// Dropout in training.
    pub dropout: Vec<Dropout>,
    /// What a person should know of.
    pub warnings: Vec<String>,
}

/// A grafted network with its plan: the last stage, ready to train.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The network, its data, and the recipe as it was given.
    pub grafted: Grafted,
    /// The recipe with every choice made: given to [`prepare`] again, it gives the same run.
    pub recipe: ResolvedRecipe,
    /// What trains when.
    pub plan: FreezePlan,
    /// The head, once it is solved.
    pub head: Option<SolvedHead>,
}

impl Deref for Planned {
    type Target = Grafted;

    fn deref(&self) -> &Grafted {
        &self.grafted
    }
}

/// Which image goes where: as the recipe draws it, or as a run's record says.
pub(crate) struct Recorded<'a> {
    pub images: &'a [ImageRecord],
}

/// Reads a recipe's model and data, grafts the head and makes the plan: [`Opened::new`], [`Opened::size`],
/// [`Sized::graft`] and [`Grafted::plan`] in one.
///
/// # Errors
/// When anything in the recipe, the model or the data is not as it should be.
pub fn prepare(recipe: &Recipe) -> Result<Planned, Error> {
    Opened::new(recipe)?.size()?.graft()?.plan()
}

/// As [`prepare`], with the images of a run that goes on in the splits that it began with.
pub(crate) fn prepare_recorded(
    recipe: &Recipe,
    recorded: Option<Recorded<'_>>,
) -> Result<Planned, Error> {
    Opened::with(recipe, recorded)?.size()?.graft()?.plan()
}

impl ModelFile {
    fn new(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            sha256: sha256(path)?,
            bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
        })
    }
}

impl Opened {
    /// Opens a recipe's model and its images.
    ///
    /// # Errors
    /// When there is no such device, model or folder, the model cannot be imported, or the recipe asks for what the images
    /// do not have.
    pub fn new(recipe: &Recipe) -> Result<Self, Error> {
        Self::with(recipe, None)
    }

    fn with(recipe: &Recipe, recorded: Option<Recorded<'_>>) -> Result<Self, Error> {
        combinations::check(recipe)?;
        // What cannot compute is told before anything takes time.
        regraft_backend::open(&recipe.device.name)?;
        let located = locate(&recipe.model.source)?;
        let fault = |source| Error::model(&located.path, source);
        let mut model = Model::open(&located.path).map_err(fault)?;
        if let Some(output) = &recipe.model.output {
            model = model.with_output(output).map_err(fault)?;
        }
        let file = ModelFile::new(&located.path)?;
        let data = open_data(recipe, recorded)?;
        let trains = !recipe.only_solves();
        if trains && recipe.train.early_stopping.is_some() && data.validation.is_none() {
            return Err(regraft_train::Error::NothingToStopBy.into());
        }
        let mut warnings = data.warnings.clone();
        warnings.extend(model.notes().iter().cloned());
        warnings.extend(located.known.warning());
        // At its own size, since the old head may take only that; where none is known that it takes, at the recipe's.
        let asked_size = match &recipe.data.preprocess {
            PreprocessSpec::Partial(partial) => partial.size.map(ImageSize::sides),
            PreprocessSpec::Auto => None,
        };
        let options = ImportOptions {
            image_size: asked_size,
            ..ImportOptions::default()
        };
        let own = Graph::import(&model, &ImportOptions::default());
        let graph = match asked_size {
            Some(_) => own.or_else(|error| Graph::import(&model, &options).map_err(|_| error)),
            None => own,
        };
        let graph = graph.map_err(|source| Error::model(&file.path, source))?;
        let mut asked = recipe.clone();
        asked.model.source = absolute(&recipe.model.source);
        asked.data.source = absolute(&recipe.data.source);
        asked.data.shifted = recipe.data.shifted.as_deref().map(absolute);
        Ok(Self {
            asked,
            graph,
            model,
            file,
            data_root: PathBuf::from(&recipe.data.source),
            data,
            warnings,
            located,
        })
    }

    /// Decides how images become numbers: what the recipe says, over what the model or the zoo says, over what is usual.
    ///
    /// # Errors
    /// When that makes no sense, or does not fit the network.
    pub fn size(mut self) -> Result<Sized, Error> {
        let stated = match model_preprocess(&self.model, &self.file.path)? {
            Some(preprocess) => Some(preprocess),
            None => self.located.known.preprocess(),
        };
        let asked = &self.asked.data.preprocess;
        let base = match stated {
            Some(preprocess) => preprocess,
            None => {
                let says_numbers = match asked {
                    PreprocessSpec::Auto => false,
                    PreprocessSpec::Partial(partial) => {
                        partial.scale.is_some() || partial.mean.is_some() || partial.std.is_some()
                    }
                };
                if !says_numbers {
                    self.warnings.push(assumption(&self.graph));
                }
                assumed_preprocess(&self.graph)
            }
        };
        let preprocess = asked.resolve(&base);
        preprocess
            .validate()
            .map_err(|error| Error::Data(error.into()))?;
        if let Some(reason) = misfit(&self.graph, &preprocess) {
            return Err(Error::Setting {
                key: "data.preprocess",
                reason,
            });
        }
        let [channels, ..] = self.graph.image_shape();
        if preprocess.channel_count() != channels {
            return Err(Error::Setting {
                key: "data.preprocess.channels",
                reason: format!(
                    "it gives {} channels, the network takes images of {channels}",
                    preprocess.channel_count()
                ),
            });
        }
        Ok(Sized {
            opened: self,
            preprocess,
        })
    }
}

impl Sized {
    /// Puts the recipe's head on the network, at the decided image size.
    ///
    /// # Errors
    /// When no head is found, the network cannot take that size, or the model's own head does not fit the classes.
    pub fn graft(self) -> Result<Grafted, Error> {
        let Self { opened, preprocess } = self;
        let Opened {
            asked,
            model: pretrained,
            file,
            graph: native,
            data_root,
            mut data,
            mut warnings,
            located,
        } = opened;
        let fault = |source| Error::model(&file.path, source);
        let size = preprocess.size.sides();
        let options = ImportOptions {
            image_size: Some(size),
            ..ImportOptions::default()
        };
        let present = data.train.counts().iter().filter(|&&n| n > 0).count();
        let (mut sized, mut model) = match asked.head_kind() {
            RecipeHead::Keep => {
                let sized = pretrained.for_image_size(size).map_err(fault)?;
                let graph = Graph::import(&sized, &options).map_err(fault)?;
                if !graph.output_kind.tells_classes() {
                    let shape = &graph.value(graph.output).shape;
                    return Err(Error::Setting {
                        key: "model.head",
                        reason: format!(
                            "\"keep\" keeps a head that tells classes, and this network gives {} of shape {}; use \"auto\"",
                            graph.output_kind,
                            regraft_onnx::show_shape(shape)
                        ),
                    });
                }
                let own = metadata::labels(&pretrained);
                let own = own.or_else(|| located.known.labels());
                match_labels(&mut data, own, graph.classes(), &mut warnings)?;
                let kept = head::keep(&sized, &graph, &data.train.classes).map_err(fault)?;
                (sized, kept)
            }
            // The old head may take as many features as there are at its own size only, so it goes first.
            kind => {
                let spec = HeadSpec {
                    kind: match kind {
                        RecipeHead::Mlp { hidden, .. } => HeadKind::Mlp { hidden },
                        // A solved head takes its taps once there are features.
                        _ => HeadKind::Linear,
                    },
                    at: None,
                    labels: data.train.classes.clone(),
                    seed: asked.train.seed,
                    taps: Vec::new(),
                };
                let at = asked.model.head.at.as_deref();
                let headless = head::cut(&pretrained, &native, at).map_err(fault)?;
                let sized = headless.for_image_size(size).map_err(fault)?;
                let graph = Graph::import(&sized, &options).map_err(fault)?;
                let grafted = head::graft(&sized, &graph, &spec).map_err(fault)?;
                (sized, grafted)
            }
        };
        let json = serde_json::to_string(&preprocess).map_err(|error| Error::Unfit {
            reason: error.to_string(),
        })?;
        for model in [&mut model, &mut sized] {
            metadata::set(model, metadata::PREPROCESSING, &json);
            metadata::remove(model, metadata::UNTRAINED);
        }
        let graph = Arc::new(Graph::import(&model, &options).map_err(fault)?);
        let mut outline = described(&graph, &sized);
        outline.untrained = metadata::is_untrained(&pretrained);
        let facts = DataFacts {
            train_images: data.train.samples.len(),
            classes: present,
            // No batch holds more images than there are.
            batch_size: asked.train.batch_size.min(data.train.samples.len()),
        };
        let dropout = dropout(&asked, &graph);
        let shifted = match &asked.data.shifted {
            Some(path) => Some(regraft_data::open_split(
                Path::new(path),
                Some(&data.train.classes),
            )?),
            None => None,
        };
        let grafted = Grafted {
            asked,
            pretrained: file,
            model,
            headless: sized,
            graph,
            data_root,
            data,
            shifted,
            preprocess,
            outline,
            facts,
            dropout,
            warnings,
        };
        // A name that is wrong is told before anything takes time.
        grafted.class_weights(&grafted.data.train)?;
        Ok(grafted)
    }
}

/// What the policy engine is told of a network: parameters that the headless one has not are new.
fn described(graph: &Graph, headless: &Model) -> Outline {
    let is_new = |p: &&Parameter| {
        p.initializer
            .as_deref()
            .is_some_and(|name| !headless.has_weight(name))
    };
    let fresh: HashSet<&str> = graph
        .parameters
        .iter()
        .filter(is_new)
        .map(|p| p.name.as_str())
        .collect();
    outline(graph, |name| fresh.contains(name))
}

impl Grafted {
    /// The same with another model, which has another head.
    ///
    /// # Errors
    /// When the model cannot be imported.
    pub(crate) fn with_model(&self, model: Model) -> Result<Self, Error> {
        let [_, height, width] = self.graph.image_shape();
        let options = ImportOptions {
            image_size: Some([height, width]),
            ..ImportOptions::default()
        };
        let fault = |source| Error::model(&self.pretrained.path, source);
        let graph = Arc::new(Graph::import(&model, &options).map_err(fault)?);
        let mut outline = described(&graph, &self.headless);
        outline.untrained = self.outline.untrained;
        Ok(Self {
            dropout: dropout(&self.asked, &graph),
            model,
            graph,
            outline,
            ..self.clone()
        })
    }

    /// What trains by a policy; gradients are measured on a few batches where the policy goes by them.
    pub(crate) fn decide(&self, freeze: &FreezeConfig) -> Result<FreezePlan, Error> {
        let gradients = match freeze.policy {
            Policy::Surgical => Some(surgical::measure(self)?),
            _ => None,
        };
        Ok(resolve_measured(
            &self.outline,
            &self.facts,
            freeze,
            gradients.as_ref(),
        )?)
    }

    /// Decides what trains, as the recipe's policy says.
    ///
    /// # Errors
    /// When the policy does not fit the network, or the features cannot be judged.
    pub fn plan(mut self) -> Result<Planned, Error> {
        // Better now than after the first pass over the images.
        feature_folder(&self.asked)?;
        let asked = &self.asked;
        let mut freeze = asked.freeze.clone();
        if freeze.policy == Policy::Auto && self.outline.untrained {
            // Nothing is known yet that a head could be solved from.
            freeze.policy = Policy::Full;
        }
        let plan = if freeze.policy == Policy::Auto {
            if matches!(
                asked.model.head.kind,
                RecipeHead::Keep | RecipeHead::Mlp { .. }
            ) {
                return Err(Error::Setting {
                    key: "model.head",
                    reason: "the policy `auto` begins with a head that is solved, which is linear and new; use \"auto\", or another policy"
                        .to_owned(),
                });
            }
            let head_alone = FreezeConfig {
                policy: Policy::FeatureExtractor,
                ..freeze.clone()
            };
            FreezePlan {
                policy: Policy::Auto.to_string(),
                reason: "candidates race on the validation images: a solved head first, then parts of the network tuned from it, as far as the time reaches"
                    .to_owned(),
                ..resolve(&self.outline, &self.facts, &head_alone)?
            }
        } else {
            self.decide(&freeze)?
        };
        let freezes = plan.phases.iter().any(|phase| phase.frozen_blocks > 0);
        if self.outline.untrained && freezes {
            self.warnings.push(
                "the network is untrained, and the policy freezes layers at their random weights: set `freeze.policy` to \"full\""
                    .to_owned(),
            );
        }
        let recipe = self.asked.resolve(freeze, self.preprocess.clone());
        Ok(Planned {
            grafted: self,
            recipe,
            plan,
            head: None,
        })
    }
}

impl Grafted {
    /// A weight for each class, as the recipe asks and a set of images has them; empty where all weigh the same.
    ///
    /// # Errors
    /// When the recipe names a class that there is not.
    pub(crate) fn class_weights(&self, set: &ImageSet) -> Result<Vec<f64>, Error> {
        let weights = self
            .asked
            .train
            .class_weights
            .of(&set.classes, &set.counts());
        weights.map_err(|unknown| {
            let near = likely(unknown, set.classes.iter().map(String::as_str));
            let near = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", some(&set.classes)),
            };
            Error::Setting {
                key: "train.class_weights",
                reason: format!("the images have no class `{unknown}`; {near}"),
            }
        })
    }
}

impl Planned {
    /// The plan as people read it.
    pub fn table(&self) -> String {
        let mut text = table(&self.outline, &self.plan, &self.facts, &self.footprint());
        match &self.head {
            Some(head) => text.push_str(&format!("\n{}\n", head.in_words())),
            None if self.recipe.solves() => text.push_str(&format!(
                "\nthe head is solved from features of {} images before anything trains\n",
                self.facts.train_images
            )),
            None => {}
        }
        text
    }

    /// The plan for the same recipe with the network that has its solved head.
    pub(crate) fn started(
        &self,
        grafted: Grafted,
        head: Option<SolvedHead>,
        freeze: &FreezeConfig,
    ) -> Result<Self, Error> {
        let mut plan = grafted.decide(freeze)?;
        let slow = solved_rate(&grafted);
        for parameter in plan
            .phases
            .iter_mut()
            .flat_map(|phase| &mut phase.parameters)
        {
            if let Some(rate) = slow.get(&parameter.name) {
                parameter.lr_multiplier *= rate;
            }
        }
        let taps = head.as_ref().map(|head| head.taps.clone());
        let recipe = self.recipe.clone().change(|recipe| {
            if let Some(taps) = taps.filter(|_| recipe.head_kind() == RecipeHead::Solved) {
                recipe.model.head.taps = Taps::Named(taps);
            }
        });
        Ok(Self {
            grafted,
            recipe,
            plan,
            head,
        })
    }

    /// What each phase costs.
    pub fn estimates(&self) -> Vec<Estimate> {
        self.plan
            .phases
            .iter()
            .map(|phase| estimate(&self.outline, phase, &self.facts, &self.footprint()))
            .collect()
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            model_bytes: self.pretrained.bytes,
            image_values: self.graph.image_shape().iter().product::<usize>() as u64,
            optimizer_values: match self.recipe.train.optimizer {
                Optimizer::Sgd { momentum: 0.0, .. } => 0,
                Optimizer::Sgd { .. } | Optimizer::Lion { .. } => 1,
                Optimizer::Adamw { .. } | Optimizer::Lamb { .. } => 2,
            },
        }
    }

    /// How the trainer is to train.
    ///
    /// # Errors
    /// When the recipe weighs a class that there is not.
    pub fn settings(&self) -> Result<Settings, Error> {
        let train = &self.recipe.train;
        Ok(Settings {
            epochs: train.epochs,
            optimizer: train.optimizer,
            lr: train.learning_rate(),
            schedule: train.schedule,
            label_smoothing: train.label_smoothing,
            mix: Mix {
                mixup: train.mixup,
                cutmix: train.cutmix,
            },
            class_weights: self.class_weights(&self.data.train)?,
            grad_clip: train.grad_clip,
            micro_batches: train.micro_batches,
            ema: train.ema,
            swa: train.swa,
            l2_sp: self.plan.l2_sp.unwrap_or(0.0),
            early_stopping: train.early_stopping,
            seed: train.seed,
            feature_cache: train.feature_cache,
            feature_folder: feature_folder(&self.recipe)?,
            trunk_precision: train.trunk_precision,
            checkpoint_every: train.checkpoint_every,
        })
    }
}

/// Where features are kept for the next run, where the recipe wants that: `features` in the folder that `REGRAFT_CACHE`
/// names, else in the user's cache folder.
pub(crate) fn feature_folder(recipe: &Recipe) -> Result<Option<FeatureFolder>, Error> {
    if recipe.train.feature_cache != FeatureCache::Disk {
        return Ok(None);
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let root = variable("REGRAFT_CACHE").map(PathBuf::from);
    let root = root.or_else(|| cache_folder(&variable));
    match root {
        Some(root) => Ok(Some(FeatureFolder::new(root.join("features")))),
        None => Err(Error::Setting {
            key: "train.feature_cache",
            reason: "no folder to keep features in is known; set REGRAFT_CACHE to one, or use \"memory\"".to_owned(),
        }),
    }
}

/// Factors on the learning rate of a solved head's weights.
///
/// Steps of Adam have the same size whatever a weight's own: on the small weights of thousands of features one step of all
/// together would undo the solution. In proportion to the weights' size and against the root of their number, a step
/// changes logits by a few per cent, whatever the scale and the number of features.
fn solved_rate(grafted: &Grafted) -> HashMap<String, f64> {
    /// At a learning rate of 0.001 a step of all weights together moves a logit by this many thousandths of its size.
    const SHARE: f64 = 30.0;
    let new = grafted.outline.parameters.iter().filter(|p| p.fresh);
    let weights = new.filter(|p| p.kind == ParameterKind::Weight);
    weights
        .filter_map(|outlined| {
            let mut all = grafted.graph.parameters.iter();
            let values = all.find(|p| p.name == outlined.name)?.data.to_vec();
            let inputs = (values.len() / *outlined.shape.first()?.max(&1)).max(1) as f64;
            let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            let size = (squares / values.len().max(1) as f64).sqrt();
            let rate = SHARE * size / inputs.sqrt();
            Some((outlined.name.clone(), rate.clamp(1e-6, 1.0)))
        })
        .collect()
}

/// Opens a recipe's images, in the splits of a record where there is one.
pub(crate) fn open_data(recipe: &Recipe, recorded: Option<Recorded<'_>>) -> Result<Dataset, Error> {
    let path = PathBuf::from(&recipe.data.source);
    let limited = recipe.data.per_class.is_some();
    let drawn = recorded.is_none();
    let data = regraft_data::open_part(
        &path,
        &OpenOptions {
            // A head that is solved is judged on every image in turn, so that none need be held out.
            validation: match drawn && !recipe.only_solves() {
                true => recipe.data.validation,
                false => 0.0,
            },
            seed: recipe.train.seed,
        },
        &Selection {
            classes: recipe.data.classes.clone(),
            per_class: recipe.data.per_class.filter(|_| drawn),
        },
    )?;
    Ok(match recorded {
        None => data,
        Some(Recorded { images }) => {
            // Of a draw by number the images that were not drawn are no news.
            let unknown = if limited {
                Unknown::LeftOut
            } else {
                Unknown::Train
            };
            regraft_data::with_recorded_splits(data, &path, images, unknown)
        }
    })
}

/// Gives every image the label that the model's own head has for its class: by name, as in evaluation.
///
/// # Errors
/// When a class is none of the model's, or the model has no names and another number of outputs.
fn match_labels(
    data: &mut Dataset,
    own: Option<Vec<String>>,
    outputs: usize,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let classes = data.train.classes.clone();
    let refused = |reason: String| Error::Setting {
        key: "model.head",
        reason,
    };
    let Some(own) = own.filter(|own| own.len() == outputs) else {
        if classes.len() != outputs {
            return Err(refused(format!(
                "the model's own head has {outputs} outputs without names, the images have {} classes ({}); use \"linear\"",
                classes.len(),
                some(&classes)
            )));
        }
        warnings.push(format!(
            "the model does not say what its {outputs} outputs mean; they are taken for the classes in this order: {}",
            some(&classes)
        ));
        return Ok(());
    };
    let sets = [
        Some(&mut data.train),
        data.validation.as_mut(),
        data.test.as_mut(),
    ];
    for set in sets.into_iter().flatten() {
        set.relabel(&own).map_err(|strangers| {
            refused(format!(
                "\"keep\" keeps the model's own classes ({}), and the images have others ({} of {}: {}); rename the folders, choose with `data.classes`, or use \"linear\" for a new head",
                some(&own),
                strangers.len(),
                classes.len(),
                some(&strangers)
            ))
        })?;
    }
    if classes.len() < own.len() {
        warnings.push(format!(
            "the images show {} of the {} classes of the model's own head",
            classes.len(),
            own.len()
        ));
    }
    Ok(())
}

/// A path that means the same from any folder.
fn absolute(path: &str) -> String {
    std::fs::canonicalize(Path::new(path))
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_else(|| path.to_owned())
}

/// Dropout before the head's first linear layer and, in an MLP, before its last.
fn dropout(recipe: &Recipe, graph: &Graph) -> Vec<Dropout> {
    let first = graph
        .blocks
        .iter()
        .find(|block| block.head)
        .map_or(graph.nodes.len(), |block| block.nodes.start);
    let inputs: Vec<String> = graph.nodes[first..]
        .iter()
        .filter(|node| matches!(node.op, Op::Linear(_)))
        .filter_map(|node| match node.inputs.first() {
            Some(Input::Value(value)) => Some(graph.value(*value).name.clone()),
            _ => None,
        })
        .collect();
    let mut dropout = Vec::new();
    if let Some(value) = inputs.first().filter(|_| recipe.model.dropout > 0.0) {
        dropout.push(Dropout {
            value: value.clone(),
            probability: recipe.model.dropout,
        });
    }
    if let (
        RecipeHead::Mlp {
            dropout: probability,
            ..
        },
        Some(value),
    ) = (recipe.head_kind(), inputs.get(1))
    {
        dropout.push(Dropout {
            value: value.clone(),
            probability,
        });
    }
    dropout
}
