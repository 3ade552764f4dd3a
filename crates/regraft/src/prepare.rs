//! From a recipe to everything that training needs, without training anything.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regraft_data::{
    Channels, Dataset, ImageRecord, OpenOptions, Preprocess, Selection, Unknown, some,
};
use regraft_freeze::{
    DataFacts, Estimate, Footprint, FreezePlan, Outline, Policy, choose_auto, estimate,
    needs_scores, resolve, resolve_auto, table,
};
use regraft_nn::{Dropout, outline};
use regraft_onnx::{Graph, HeadKind, HeadSpec, ImportOptions, Input, Model, Op, head, metadata};
use regraft_recipe::{HeadKind as RecipeHead, Optimizer, PreprocessSpec, Recipe};

use crate::auto;
use crate::error::Error;
use crate::record::sha256;
use crate::source::locate;

/// A grafted model, its data and its plan.
pub struct Prepared {
    /// The recipe as it was given, its paths made independent of the working directory.
    pub asked: Recipe,
    /// The recipe with every choice made: given to [`prepare`] again, it gives the same run.
    pub recipe: Recipe,
    /// The pretrained model's file.
    pub model_path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub model_sha256: String,
    /// Its size in bytes.
    pub model_bytes: u64,
    /// The model with its new head.
    pub model: Model,
    /// Its graph.
    pub graph: Arc<Graph>,
    /// The folder that the images were opened in, as it was given.
    pub data_root: PathBuf,
    /// The images.
    pub data: Dataset,
    /// How they become numbers.
    pub preprocess: Preprocess,
    /// What the policy engine was told of the network.
    pub outline: Outline,
    /// What it was told of the data.
    pub facts: DataFacts,
    /// What trains.
    pub plan: FreezePlan,
    /// Dropout in training.
    pub dropout: Vec<Dropout>,
    /// What a person should know of.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// The plan as people read it.
    pub fn table(&self) -> String {
        table(&self.outline, &self.plan, &self.facts, &self.footprint())
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
            model_bytes: self.model_bytes,
            image_values: self.graph.image_shape().iter().product::<usize>() as u64,
            optimizer_values: match self.recipe.train.optimizer {
                Optimizer::Sgd { momentum: 0.0, .. } => 0,
                Optimizer::Sgd { .. } => 1,
                Optimizer::Adamw { .. } => 2,
            },
        }
    }
}

/// Reads a recipe's model and data, grafts the head and makes the plan.
///
/// # Errors
/// When anything in the recipe, the model or the data is not as it should be.
pub fn prepare(recipe: &Recipe) -> Result<Prepared, Error> {
    prepare_telling(recipe, &mut |_, _| {})
}

/// As [`prepare`]; where the policy `auto` looks at images, `tell` hears of those done and those in all.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_telling(
    recipe: &Recipe,
    tell: &mut dyn FnMut(usize, usize),
) -> Result<Prepared, Error> {
    prepare_recorded(recipe, None, tell)
}

/// Which image goes where: as the recipe draws it, or as a run's record says.
pub(crate) struct Recorded<'a> {
    pub images: &'a [ImageRecord],
}

/// As [`prepare_telling`], with the images of a run that goes on in the splits that it began with.
pub(crate) fn prepare_recorded(
    recipe: &Recipe,
    recorded: Option<Recorded<'_>>,
    tell: &mut dyn FnMut(usize, usize),
) -> Result<Prepared, Error> {
    // What cannot compute is told before anything takes time.
    regraft_backend::open(&recipe.device.name)?;
    let located = locate(&recipe.model.source)?;
    let path = located.path.clone();
    let fault = |source| Error::Model {
        path: path.clone(),
        source,
    };
    let pretrained = Model::open(&path).map_err(fault)?;
    let model_sha256 = sha256(&path)?;
    let mut data = open_data(recipe, recorded)?;
    if recipe.train.early_stopping.is_some() && data.validation.is_none() {
        return Err(regraft_train::Error::NothingToStopBy.into());
    }
    let mut warnings = data.warnings.clone();
    warnings.extend(located.warning());

    let native = Graph::import(&pretrained, &ImportOptions::default()).map_err(fault)?;
    let stated = match model_preprocess(&pretrained, &path)? {
        Some(preprocess) => Some(preprocess),
        None => located.preprocess()?,
    };
    let base = match stated {
        Some(preprocess) => preprocess,
        None => {
            if recipe.data.preprocess == PreprocessSpec::Auto {
                warnings.push(
                    "the model does not say how its images are preprocessed; ImageNet's usual numbers are assumed. Set `data.preprocess` if you know better"
                        .to_owned(),
                );
            }
            assumed_preprocess(&native)
        }
    };
    let preprocess = recipe.data.preprocess.resolve(&base);
    preprocess.validate()?;
    let [channels, ..] = native.image_shape();
    if preprocess.channel_count() != channels {
        return Err(Error::Setting {
            key: "data.preprocess.channels",
            reason: format!(
                "it gives {} channels, the network takes images of {channels}",
                preprocess.channel_count()
            ),
        });
    }

    let size = [preprocess.size as usize; 2];
    let options = ImportOptions {
        image_size: Some(size),
        ..ImportOptions::default()
    };
    let present = data.train.counts().iter().filter(|&&n| n > 0).count();
    let (sized, mut model) = match recipe.model.head.kind {
        RecipeHead::Keep => {
            let sized = pretrained.for_image_size(size).map_err(fault)?;
            let graph = Graph::import(&sized, &options).map_err(fault)?;
            let own = metadata::labels(&pretrained).map_err(fault)?;
            let own = own.or_else(|| located.labels());
            match_labels(&mut data, own, graph.classes(), &mut warnings)?;
            let kept = head::keep(&sized, &graph, &data.train.classes).map_err(fault)?;
            (sized, kept)
        }
        // The old head may take as many features as there are at its own size only, so it goes first.
        kind => {
            let spec = HeadSpec {
                kind: match kind {
                    RecipeHead::Mlp { hidden, .. } => HeadKind::Mlp { hidden },
                    RecipeHead::Linear | RecipeHead::Keep => HeadKind::Linear,
                },
                at: None,
                labels: data.train.classes.clone(),
                seed: recipe.train.seed,
            };
            let at = recipe.model.head.at.as_deref();
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
    metadata::set(&mut model, metadata::PREPROCESSING, &json);
    metadata::remove(&mut model, metadata::UNTRAINED);
    let graph = Arc::new(Graph::import(&model, &options).map_err(fault)?);

    let fresh: HashSet<&str> = graph
        .parameters
        .iter()
        .filter(|p| {
            p.initializer
                .as_deref()
                .is_some_and(|name| !sized.has_weight(name))
        })
        .map(|p| p.name.as_str())
        .collect();
    let mut outline = outline(&graph, |name| fresh.contains(name));
    outline.untrained = metadata::is_untrained(&pretrained);
    let facts = DataFacts {
        train_images: data.train.samples.len(),
        classes: present,
        // No batch holds more images than there are.
        batch_size: recipe.train.batch_size.min(data.train.samples.len()),
    };
    let mut freeze = recipe.freeze.clone();
    let plan = if freeze.policy == Policy::Auto {
        let scores = match needs_scores(&outline, &facts) {
            true => auto::scores(
                &graph,
                &recipe.device.name,
                &data.train,
                &preprocess,
                recipe.train.seed,
                tell,
            )?,
            false => Vec::new(),
        };
        let choice = choose_auto(&outline, &facts, &scores)?;
        let plan = resolve_auto(&outline, &facts, &recipe.freeze, &choice)?;
        freeze.policy = choice.policy;
        plan
    } else {
        resolve(&outline, &facts, &recipe.freeze)?
    };
    if outline.untrained && plan.phases.iter().any(|phase| phase.frozen_blocks > 0) {
        warnings.push(
            "the network is untrained, and the policy freezes layers at their random weights: set `freeze.policy` to \"full\""
                .to_owned(),
        );
    }
    let dropout = dropout(recipe, &graph);

    let mut asked = recipe.clone();
    asked.model.source = absolute(&recipe.model.source);
    asked.data.source = absolute(&recipe.data.source);
    let mut resolved = asked.clone();
    resolved.freeze = freeze;
    resolved.data.preprocess = PreprocessSpec::Partial(preprocess.clone().into());
    resolved.resolve_training();
    Ok(Prepared {
        asked,
        recipe: resolved,
        model_path: path.clone(),
        model_sha256,
        model_bytes: std::fs::metadata(&path).map_or(0, |file| file.len()),
        model,
        graph,
        data_root: PathBuf::from(&recipe.data.source),
        data,
        preprocess,
        outline,
        facts,
        plan,
        dropout,
        warnings,
    })
}

/// Opens a recipe's images, in the splits of a record where there is one.
pub(crate) fn open_data(recipe: &Recipe, recorded: Option<Recorded<'_>>) -> Result<Dataset, Error> {
    let path = PathBuf::from(&recipe.data.source);
    let limited = recipe.data.per_class.is_some();
    let drawn = recorded.is_none();
    let data = regraft_data::open_part(
        &path,
        &OpenOptions {
            validation: if drawn { recipe.data.validation } else { 0.0 },
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
    let places: Vec<Option<usize>> = classes
        .iter()
        .map(|class| own.iter().position(|name| name == class))
        .collect();
    let strangers: Vec<String> = classes
        .iter()
        .zip(&places)
        .filter(|(_, place)| place.is_none())
        .map(|(class, _)| class.clone())
        .collect();
    if !strangers.is_empty() {
        return Err(refused(format!(
            "\"keep\" keeps the model's own classes ({}), and the images have others ({} of {}: {}); rename the folders, choose with `data.classes`, or use \"linear\" for a new head",
            some(&own),
            strangers.len(),
            classes.len(),
            some(&strangers)
        )));
    }
    if classes.len() < own.len() {
        warnings.push(format!(
            "the images show {} of the {} classes of the model's own head",
            classes.len(),
            own.len()
        ));
    }
    let sets = [
        Some(&mut data.train),
        data.validation.as_mut(),
        data.test.as_mut(),
    ];
    for set in sets.into_iter().flatten() {
        for sample in &mut set.samples {
            if let Some(Some(place)) = places.get(sample.label) {
                sample.label = *place;
            }
        }
        set.classes.clone_from(&own);
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

/// The preprocessing in a model's metadata.
pub(crate) fn model_preprocess(model: &Model, path: &Path) -> Result<Option<Preprocess>, Error> {
    let fault = |source| Error::Model {
        path: path.to_owned(),
        source,
    };
    let Some(value) = metadata::preprocessing(model).map_err(fault)? else {
        return Ok(None);
    };
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| Error::Unfit {
            reason: format!(
                "model `{}`: its metadata `preprocessing` cannot be used ({}); write the preprocessing as a table with size, resize, crop, interpolation, channels, scale, mean and std",
                path.display(),
                plain(&error)
            ),
        })
}

/// What a JSON reader says is wrong, without the names of types.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(", expected struct").next().unwrap_or_default();
    text.chars().take(200).collect()
}

/// ImageNet's numbers at the network's own size.
pub(crate) fn assumed_preprocess(graph: &Graph) -> Preprocess {
    let [channels, height, _] = graph.image_shape();
    let base = Preprocess::default();
    let size = u32::try_from(height).unwrap_or(base.size);
    let resize = size * base.resize / base.size;
    match channels {
        1 => Preprocess {
            size,
            resize,
            channels: Channels::Grey,
            mean: vec![0.5],
            std: vec![0.5],
            ..base
        },
        _ => Preprocess {
            size,
            resize,
            ..base
        },
    }
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
    ) = (recipe.model.head.kind, inputs.get(1))
    {
        dropout.push(Dropout {
            value: value.clone(),
            probability,
        });
    }
    dropout
}
