//! The solved head: features of the training images at taps of the network, a classifier solved from them, and the network
//! with that classifier as its head.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use regraft_data::{Augment, ImageSet, Loader, LoaderOptions};
use regraft_nn::{Precision, Taps, fingerprint};
use regraft_onnx::{
    Graph, HeadKind, HeadSpec, HeadTap, ImportOptions, Model, Op, ValueId, head, write,
};
use regraft_probe::{ChooseOptions, Judgement, SolveOptions, Solved, choose, sample, solve};
use regraft_program::Tap;
use regraft_recipe::Taps as AskedTaps;
use regraft_spec::Pooling;
use regraft_spec::similar::nearest;
use regraft_train::{FeatureStore, Observer, Stop};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::prepare::{Grafted, Planned, feature_folder};

/// Images that sets of taps are compared on.
const CHOICE_IMAGES: usize = 1000;
/// Most images whose features at every tap are computed at once; of more, those at the chosen taps alone.
pub(crate) const AT_EVERY_TAP: usize = 2500;
/// Most places with taps; in deeper networks they are spread evenly.
const PLACES: usize = 24;
/// Most features of an image at all taps together.
const MOST_FEATURES: usize = 1 << 16;
/// Most features of an image in a classifier for more images than are solved by their own products.
const FEATURES_OF_MANY: usize = 4096;
/// Images from which that limit holds.
const MANY: usize = 5000;
/// The poolings that are tried at a place, simplest first.
const POOLINGS: [&[Pooling]; 4] = [
    &[Pooling::Mean],
    &[Pooling::Mean, Pooling::Max],
    &[Pooling::Mean, Pooling::Grid(3)],
    &[Pooling::Mean, Pooling::Max, Pooling::Grid(3)],
];

/// What is known of a solved head; part of `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SolvedHead {
    /// Where it takes its features, lowest first: names of blocks, each with its pooling behind a colon.
    pub taps: Vec<String>,
    /// Features of an image.
    pub features: usize,
    /// Training images that it was solved from.
    pub images: usize,
    /// Strength of the ridge regression, as a share of the variance of an image's features.
    pub strength: f64,
    /// Share of training images classified right by a classifier solved without them.
    pub accuracy: f64,
    /// Its standard error.
    pub accuracy_error: f64,
    /// Their mean loss in nats.
    pub loss: f64,
    /// Seconds that the features took.
    pub feature_seconds: f64,
    /// Seconds that choosing taps and solving took.
    pub solve_seconds: f64,
    /// The sets of taps that were compared.
    pub tried: Vec<TriedTaps>,
}

/// A set of taps that was compared with others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriedTaps {
    /// Places, counted from the head.
    pub places: usize,
    /// Poolings at each.
    pub poolings: Vec<Pooling>,
    /// Share of images classified right by a classifier solved without them.
    pub accuracy: f64,
    /// Its standard error.
    pub accuracy_error: f64,
    /// Their mean loss in nats.
    pub loss: f64,
}

/// What a classifier solved without it says of each training image: its position in the split and a probability a class.
pub(crate) type LeftOut = Vec<(usize, Vec<f32>)>;

/// A network with its solved head.
pub(crate) struct Start {
    pub grafted: Grafted,
    pub head: SolvedHead,
    pub left_out: LeftOut,
}

/// A place with its poolings.
struct Place {
    block: String,
    value: ValueId,
}

/// What is tapped, and which sets of it may be chosen.
struct Offer {
    taps: Vec<(Place, Pooling)>,
    /// Sets of taps, simplest first.
    sets: Vec<Vec<usize>>,
    /// Of each set its number of places and its poolings.
    described: Vec<(usize, Vec<Pooling>)>,
}

/// Solves the head of a planned run from a set of its images.
///
/// `asked` says where it takes its features.
pub(crate) fn start(
    planned: &Planned,
    set: &ImageSet,
    asked: &AskedTaps,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Start, Error> {
    let recipe = &planned.recipe;
    let path = &planned.pretrained.path;
    let fault = |source| Error::model(path, source);
    let headless = &planned.headless;
    let [_, height, width] = planned.graph.image_shape();
    let options = ImportOptions {
        image_size: Some([height, width]),
        ..ImportOptions::default()
    };
    let bare = Arc::new(Graph::import(headless, &options).map_err(fault)?);
    let places = places(&bare);
    let offer = offer(&bare, places, asked, set.samples.len())?;
    let began = std::time::Instant::now();
    let all = set.samples.len() <= AT_EVERY_TAP || offer.sets.len() == 1;
    let chosen = match all {
        true => set.clone(),
        false => {
            let labels: Vec<usize> = set.samples.iter().map(|sample| sample.label).collect();
            let rows = sample(&labels, set.classes.len(), CHOICE_IMAGES, recipe.train.seed);
            part(set, &rows)
        }
    };
    let tapped: Vec<Tap> = offer
        .taps
        .iter()
        .map(|(place, pooling)| place.tap(*pooling))
        .collect();
    let mut matrix = features(planned, &bare, &tapped, &chosen, stop, observer)?;
    let mut feature_seconds = began.elapsed().as_secs_f64();
    let began = std::time::Instant::now();
    let choice = choose(
        &matrix.values,
        &matrix.labels,
        set.classes.len(),
        &matrix.groups,
        &offer.sets,
        &ChooseOptions {
            images: CHOICE_IMAGES,
            seed: recipe.train.seed,
            objects: None,
        },
    )?;
    let mut solve_seconds = began.elapsed().as_secs_f64();
    let mut best = choice.chosen;
    if let Some(shifted) = planned.shifted.as_ref().filter(|_| offer.sets.len() > 1) {
        let began = std::time::Instant::now();
        let elsewhere = features(planned, &bare, &tapped, shifted, stop, observer)?;
        feature_seconds += began.elapsed().as_secs_f64();
        let began = std::time::Instant::now();
        let own = choice.candidates.iter().map(|worth| worth.loss);
        let own: Vec<f64> = own.collect();
        best = best_on_both(
            &matrix,
            &elsewhere,
            &offer.sets,
            &own,
            set,
            recipe.train.seed,
        )?;
        solve_seconds += began.elapsed().as_secs_f64();
    }
    let best = &offer.sets[best];
    let taps: Vec<&(Place, Pooling)> = best.iter().map(|&tap| &offer.taps[tap]).collect();
    if all {
        matrix.keep(best);
    } else {
        let began = std::time::Instant::now();
        let tapped: Vec<Tap> = taps
            .iter()
            .map(|(place, pooling)| place.tap(*pooling))
            .collect();
        matrix = features(planned, &bare, &tapped, set, stop, observer)?;
        feature_seconds += began.elapsed().as_secs_f64();
    }
    let began = std::time::Instant::now();
    let by_class = planned.class_weights(set)?;
    let weights: Vec<f32> = matrix
        .labels
        .iter()
        .filter_map(|label| by_class.get(*label).map(|weight| *weight as f32))
        .collect();
    let solved = solve(
        &matrix.values,
        &matrix.labels,
        set.classes.len(),
        &matrix.groups,
        &SolveOptions {
            weights: (!weights.is_empty()).then_some(&weights),
            seed: recipe.train.seed,
            ..SolveOptions::default()
        },
    )?;
    solve_seconds += began.elapsed().as_secs_f64();
    let spec = HeadSpec {
        kind: HeadKind::Linear,
        at: None,
        labels: set.classes.clone(),
        seed: recipe.train.seed,
        taps: taps
            .iter()
            .map(|(place, pooling)| HeadTap {
                block: place.block.clone(),
                value: bare.value(place.value).name.clone(),
                pooling: *pooling,
            })
            .collect(),
    };
    let model = with_head(headless, &bare, &spec, &solved, &options).map_err(fault)?;
    let described = offer.described.iter().zip(&choice.candidates);
    let tried = described.map(|((places, poolings), worth)| TriedTaps {
        places: *places,
        poolings: poolings.clone(),
        accuracy: worth.accuracy,
        accuracy_error: worth.accuracy_error,
        loss: worth.loss,
    });
    let Judgement {
        accuracy,
        accuracy_error,
        loss,
    } = solved.judgement;
    let head = SolvedHead {
        taps: taps
            .iter()
            .map(|(place, pooling)| place.name(*pooling))
            .collect(),
        features: solved.linear.width,
        images: matrix.labels.len(),
        strength: solved.strength,
        accuracy,
        accuracy_error,
        loss,
        feature_seconds,
        solve_seconds,
        tried: if offer.sets.len() > 1 {
            tried.collect()
        } else {
            Vec::new()
        },
    };
    let rows = solved.left_out.chunks_exact(set.classes.len().max(1));
    let left_out = matrix
        .rows
        .iter()
        .zip(rows)
        .map(|(row, logits)| (*row, softmax(logits)))
        .collect();
    Ok(Start {
        grafted: planned.grafted.with_model(model)?,
        head,
        left_out,
    })
}

impl SolvedHead {
    /// One line on what it is and how good.
    pub fn in_words(&self) -> String {
        format!(
            "head solved from {} images and {} features ({}): accuracy {:.3} ± {:.3} on images left out; features {:.1} s, choosing and solving {:.1} s",
            self.images,
            self.features,
            self.taps.join(", "),
            self.accuracy,
            self.accuracy_error,
            self.feature_seconds,
            self.solve_seconds,
        )
    }
}

impl Place {
    fn tap(&self, pooling: Pooling) -> Tap {
        Tap {
            value: self.value,
            pooling,
        }
    }

    /// As a recipe names it.
    fn name(&self, pooling: Pooling) -> String {
        match pooling {
            Pooling::Mean => self.block.clone(),
            pooling => format!("{}:{pooling}", self.block),
        }
    }
}

/// The headless network with a new head of solved values.
fn with_head(
    headless: &Model,
    bare: &Graph,
    spec: &HeadSpec,
    solved: &Solved,
    options: &ImportOptions,
) -> Result<Model, regraft_onnx::Error> {
    let grafted = head::graft(headless, bare, spec)?;
    let graph = Graph::import(&grafted, options)?;
    let last = graph
        .nodes
        .iter()
        .rev()
        .find(|node| matches!(node.op, Op::Linear(_)));
    let parameters = last.into_iter().flat_map(|node| &node.inputs);
    let names = parameters.filter_map(|input| match input {
        regraft_onnx::Input::Parameter(id) => Some(graph.parameter(*id).name.clone()),
        regraft_onnx::Input::Value(_) => None,
    });
    let values = [solved.linear.weights.clone(), solved.linear.bias.clone()];
    let values: HashMap<String, Vec<f32>> = names.zip(values).collect();
    write::with_weights(&grafted, &graph, &values)
}

/// The places below the head where features may be taken, lowest first.
fn places(graph: &Graph) -> Vec<Place> {
    graph
        .blocks
        .iter()
        .map(|block| {
            // Where a block ends in a pooling, its map has more to tell.
            let mut value = block.output;
            while let Some(node) = graph.nodes[block.nodes.clone()]
                .iter()
                .find(|node| node.output == value)
                .filter(|node| pools(&node.op))
            {
                let Some(regraft_onnx::Input::Value(input)) = node.inputs.first() else {
                    break;
                };
                value = *input;
            }
            let has_positions = graph.value(value).shape.len() == 4;
            Place {
                block: block.name.clone(),
                value: if has_positions { value } else { block.output },
            }
        })
        .collect()
}

fn pools(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape | Op::GlobalAveragePool | Op::GlobalMaxPool | Op::ReduceMean { .. }
    )
}

/// Features of a pooling at a place, where it has them.
fn features_at(graph: &Graph, place: &Place, pooling: Pooling) -> Option<usize> {
    let tapped = regraft_program::tap(graph, &[place.tap(pooling)])?;
    tapped
        .columns
        .first()
        .cloned()
        .flatten()
        .map(|columns| columns.len())
}

/// The set of taps with the least mean of two losses: `own` of each set on images left out, and that of a classifier solved
/// from it on images of another style.
fn best_on_both(
    matrix: &Features,
    elsewhere: &Features,
    sets: &[Vec<usize>],
    own: &[f64],
    images: &ImageSet,
    seed: u64,
) -> Result<usize, Error> {
    let classes = images.classes.len();
    let rows = sample(&matrix.labels, classes, CHOICE_IMAGES, seed);
    let matrix = matrix.of_rows(&rows);
    let options = SolveOptions {
        seed,
        ..SolveOptions::default()
    };
    let mut best = (f64::INFINITY, 0);
    for (index, (set, own)) in sets.iter().zip(own).enumerate() {
        let (mut known, mut strange) = (matrix.clone(), elsewhere.clone());
        known.keep(set);
        strange.keep(set);
        let solved = solve(
            &known.values,
            &known.labels,
            classes,
            &known.groups,
            &options,
        )?;
        let outputs = solved.linear.outputs(&strange.values);
        let rows = outputs.chunks_exact(classes.max(1)).zip(&strange.labels);
        let losses = rows.map(|(logits, label)| -f64::from(softmax(logits)[*label]).max(1e-6).ln());
        let loss = losses.sum::<f64>() / strange.labels.len().max(1) as f64;
        if loss + own < best.0 {
            best = (loss + own, index);
        }
    }
    Ok(best.1)
}

/// What is tapped in a network, as the recipe asks.
fn offer(
    graph: &Graph,
    places: Vec<Place>,
    asked: &AskedTaps,
    images: usize,
) -> Result<Offer, Error> {
    match asked {
        AskedTaps::Named(names) => named(graph, &places, names),
        // The network's own features, averaged.
        AskedTaps::Last(0) => {
            let last = places.into_iter().next_back().ok_or_else(nothing)?;
            Ok(Offer {
                taps: vec![(last, Pooling::Mean)],
                sets: vec![vec![0]],
                described: vec![(1, vec![Pooling::Mean])],
            })
        }
        AskedTaps::Last(count) if *count > places.len() => Err(Error::Setting {
            key: "model.head.taps",
            reason: format!(
                "{count} places asked for, the network has {} below its head",
                places.len()
            ),
        }),
        AskedTaps::Last(count) => offered(graph, places, &[*count], images),
        AskedTaps::Auto => {
            let places = spread(places);
            let count = places.len();
            let quarter = |quarters: usize| (quarters * count).div_ceil(4);
            let mut counts = vec![1, quarter(1), quarter(2), quarter(3), count];
            counts.dedup();
            offered(graph, places, &counts, images)
        }
    }
}

/// At most [`PLACES`] of the places, evenly spread, the highest among them.
fn spread(places: Vec<Place>) -> Vec<Place> {
    let count = places.len();
    if count <= PLACES {
        return places;
    }
    let kept: Vec<usize> = (1..=PLACES).map(|step| step * count / PLACES - 1).collect();
    places
        .into_iter()
        .enumerate()
        .filter(|(index, _)| kept.contains(index))
        .map(|(_, place)| place)
        .collect()
}

/// Sets of the poolings at so many of the highest places, for each of `counts`.
fn offered(
    graph: &Graph,
    places: Vec<Place>,
    counts: &[usize],
    images: usize,
) -> Result<Offer, Error> {
    let used = counts.iter().copied().max().unwrap_or(0);
    let skipped = places.len().saturating_sub(used);
    let places: Vec<Place> = places.into_iter().skip(skipped).collect();
    // Cheap ones first, and of grids the highest, until there are too many.
    let mut chosen: Vec<(usize, Pooling, usize)> = Vec::new();
    let mut total = 0;
    for pooling in [Pooling::Mean, Pooling::Max, Pooling::Grid(3)] {
        for (place, at) in places.iter().enumerate().rev() {
            let features = features_at(graph, at, pooling);
            if let Some(features) = features.filter(|f| total + f <= MOST_FEATURES) {
                chosen.push((place, pooling, features));
                total += features;
            }
        }
    }
    chosen.sort_by_key(|(place, pooling, _)| (*place, *pooling));
    let limit = match images > MANY {
        true => FEATURES_OF_MANY,
        false => usize::MAX,
    };
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let mut described = Vec::new();
    for &count in counts {
        for poolings in POOLINGS {
            let first = places.len() - count.min(places.len());
            let members: Vec<usize> = (0..chosen.len())
                .filter(|&tap| chosen[tap].0 >= first && poolings.contains(&chosen[tap].1))
                .collect();
            let width: usize = members.iter().map(|&tap| chosen[tap].2).sum();
            let fits = width <= limit || sets.is_empty();
            if !members.is_empty() && fits && !sets.contains(&members) {
                sets.push(members);
                described.push((count, poolings.to_vec()));
            }
        }
    }
    if sets.is_empty() {
        return Err(nothing());
    }
    let taps = chosen
        .iter()
        .map(|(place, pooling, _)| {
            let Place { block, value } = &places[*place];
            let place = Place {
                block: block.clone(),
                value: *value,
            };
            (place, *pooling)
        })
        .collect();
    Ok(Offer {
        taps,
        sets,
        described,
    })
}

/// The taps of these names.
fn named(graph: &Graph, places: &[Place], names: &[String]) -> Result<Offer, Error> {
    let mut taps: Vec<(Place, Pooling)> = Vec::new();
    for name in names {
        let refused = |reason: String| Error::Setting {
            key: "model.head.taps",
            reason,
        };
        // Block names may hold colons themselves; poolings do not.
        let by_name = |name: &str| places.iter().position(|place| place.block == name);
        let (position, pooling) = match (by_name(name), name.rsplit_once(':')) {
            (Some(position), _) => (position, Pooling::Mean),
            (None, Some((block, pooling))) if by_name(block).is_some() => {
                let pooling = pooling.parse::<Pooling>();
                let pooling = pooling.map_err(|error| refused(error.to_string()))?;
                (by_name(block).unwrap_or_default(), pooling)
            }
            _ => {
                let block = name.split(':').next().unwrap_or(name);
                let near = nearest(block, places.iter().map(|place| place.block.as_str()));
                return Err(refused(format!(
                    "the network has no block `{block}` below its head; near it: {}",
                    near.join(", ")
                )));
            }
        };
        let place = &places[position];
        if features_at(graph, place, pooling).is_none() {
            return Err(refused(format!(
                "what leaves `{}` has no `{pooling}`: it has too few positions, or none",
                place.block
            )));
        }
        let place = Place {
            block: place.block.clone(),
            value: place.value,
        };
        if taps
            .iter()
            .any(|(other, p)| other.value == place.value && *p == pooling)
        {
            return Err(refused(format!("`{name}` is named twice")));
        }
        taps.push((place, pooling));
    }
    let set: Vec<usize> = (0..taps.len()).collect();
    let poolings = taps.iter().map(|(_, pooling)| *pooling).collect();
    Ok(Offer {
        described: vec![(taps.len(), poolings)],
        taps,
        sets: vec![set],
    })
}

fn nothing() -> Error {
    Error::Setting {
        key: "model.head.kind",
        reason:
            "no block below the head gives features that a solved head could take; use \"linear\""
                .to_owned(),
    }
}

/// Features of images at taps.
#[derive(Clone)]
struct Features {
    /// `[images, width]`.
    values: Vec<f32>,
    width: usize,
    labels: Vec<usize>,
    /// Position of each image in the set.
    rows: Vec<usize>,
    /// Columns of each tap.
    groups: Vec<Range<usize>>,
}

impl Features {
    /// Some of the images.
    fn of_rows(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|row| {
            let first = row * self.width;
            self.values[first..first + self.width].iter().copied()
        });
        Self {
            values: values.collect(),
            width: self.width,
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            rows: rows.iter().map(|&row| self.rows[row]).collect(),
            groups: self.groups.clone(),
        }
    }

    /// Keeps some of the taps.
    fn keep(&mut self, taps: &[usize]) {
        let kept: Vec<Range<usize>> = taps.iter().map(|&tap| self.groups[tap].clone()).collect();
        let width = kept.iter().map(ExactSizeIterator::len).sum();
        let mut values = Vec::with_capacity(self.labels.len() * width);
        for row in self.values.chunks_exact(self.width.max(1)) {
            for columns in &kept {
                values.extend_from_slice(&row[columns.clone()]);
            }
        }
        let mut first = 0;
        self.groups = kept
            .iter()
            .map(|columns| {
                let group = first..first + columns.len();
                first = group.end;
                group
            })
            .collect();
        self.values = values;
        self.width = width;
    }
}

/// Runs a set's images up to the taps.
fn features(
    planned: &Planned,
    graph: &Arc<Graph>,
    tapped: &[Tap],
    set: &ImageSet,
    stop: &Stop,
    observer: &mut dyn Observer,
) -> Result<Features, Error> {
    let recipe = &planned.recipe;
    let device = regraft_backend::open(&recipe.device.name)?;
    let taps = Taps::new(graph, tapped, &device)?;
    let options = LoaderOptions {
        preprocess: planned.preprocess.clone(),
        augment: Augment::None,
        batch_size: 16,
        seed: recipe.train.seed,
        on_bad_image: recipe.data.on_bad_image,
        threads: recipe.device.threads,
        ..LoaderOptions::default()
    };
    let loader = Loader::new(set.clone(), options)?;
    let columns = tapped.iter().zip(taps.columns());
    let columns = columns.filter_map(|(tap, columns)| {
        let name = format!("{}:{}", graph.value(tap.value).name, tap.pooling);
        Some((name, columns.as_ref()?.len()))
    });
    let folder = feature_folder(recipe)?;
    let network = folder.as_ref().map(|folder| {
        let nodes = 0..graph.nodes.len();
        let network = fingerprint(graph, nodes, &device, Precision::F32);
        (folder, network)
    });
    let source = regraft_train::Features {
        columns: columns.collect(),
        network,
        of: &|pixels, shape| Ok(taps.features(pixels, shape)?),
    };
    let store = FeatureStore::compute(&source, &loader, stop, observer);
    let store = store.map_err(|error| match error {
        regraft_train::Error::FeaturesNotFinite { index, .. } => not_finite(planned, set, index),
        error => error.into(),
    })?;
    let rows = store.images();
    Ok(Features {
        labels: rows.iter().map(|&row| set.samples[row].label).collect(),
        width: store.width(),
        values: store.into_values(),
        rows,
        groups: taps.columns().iter().flatten().cloned().collect(),
    })
}

/// The network gives numbers that are none for an image.
fn not_finite(planned: &Planned, set: &ImageSet, image: usize) -> Error {
    let image = set.samples.get(image).map_or_else(String::new, |sample| {
        regraft_data::ImageRecord::key(sample, &planned.data_root)
    });
    Error::Unfit {
        reason: format!(
            "the network's features for image `{image}` are not finite; does `data.preprocess` fit the model `{}`?",
            planned.pretrained.path.display()
        ),
    }
}

/// Some images of a set, in order.
fn part(set: &ImageSet, rows: &[usize]) -> ImageSet {
    ImageSet {
        samples: rows.iter().map(|&row| set.samples[row].clone()).collect(),
        ..set.clone()
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}
