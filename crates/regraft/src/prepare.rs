//! From a recipe to everything that training needs, without training anything.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use regraft_data::{Channels, Dataset, OpenOptions, Preprocess, Selection};
use regraft_freeze::{
    DataFacts, Estimate, FreezePlan, Outline, Policy, choose_auto, estimate, needs_scores, resolve,
    resolve_auto, table,
};
use regraft_nn::{Dropout, outline};
use regraft_onnx::{Graph, HeadKind, HeadSpec, ImportOptions, Input, Model, Op, head, metadata};
use regraft_recipe::{HeadKind as RecipeHead, PreprocessSpec, Recipe, check_available};

use crate::auto;
use crate::error::Error;
use crate::source::locate;

/// A grafted model, its data and its plan.
pub struct Prepared {
    /// The recipe with every choice made: given to [`prepare`] again, it gives the same run.
    pub recipe: Recipe,
    /// The model with its new head.
    pub model: Model,
    /// Its graph.
    pub graph: Arc<Graph>,
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
        table(&self.outline, &self.plan, &self.facts)
    }

    /// What each phase costs.
    pub fn estimates(&self) -> Vec<Estimate> {
        self.plan
            .phases
            .iter()
            .map(|phase| estimate(&self.outline, phase, &self.facts))
            .collect()
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
    check_available(recipe)?;
    recipe.data.augment.check_available()?;
    let located = locate(&recipe.model.source)?;
    let path = located.path.clone();
    let fault = |source| Error::Model {
        path: path.clone(),
        source,
    };
    let pretrained = Model::open(&path).map_err(fault)?;
    let data_path = PathBuf::from(&recipe.data.source);
    let data = regraft_data::open_part(
        &data_path,
        &OpenOptions {
            validation: recipe.data.validation,
            seed: recipe.train.seed,
        },
        &Selection {
            classes: recipe.data.classes.clone(),
            per_class: recipe.data.per_class,
        },
    )?;
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
        return Err(Error::Unfit {
            reason: format!(
                "the network takes images of {channels} channels, `data.preprocess.channels` gives {}",
                preprocess.channel_count()
            ),
        });
    }

    let size = [preprocess.size as usize; 2];
    let options = ImportOptions {
        image_size: Some(size),
        ..ImportOptions::default()
    };
    let labels = &data.train.classes;
    let (sized, mut model) = match recipe.model.head.kind {
        RecipeHead::Keep => {
            let sized = pretrained.for_image_size(size).map_err(fault)?;
            let graph = Graph::import(&sized, &options).map_err(fault)?;
            let kept = head::keep(&sized, &graph, labels).map_err(fault)?;
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
                labels: labels.clone(),
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
        classes: data.train.classes.len(),
        batch_size: recipe.train.batch_size,
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

    let mut resolved = recipe.clone();
    resolved.freeze = freeze;
    resolved.model.source = absolute(&recipe.model.source);
    resolved.data.source = absolute(&recipe.data.source);
    resolved.data.preprocess = PreprocessSpec::Partial(preprocess.clone().into());
    Ok(Prepared {
        recipe: resolved,
        model,
        graph,
        data,
        preprocess,
        outline,
        facts,
        plan,
        dropout,
        warnings,
    })
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
                "model `{}`: its metadata `preprocessing` cannot be used: {error}",
                path.display()
            ),
        })
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
