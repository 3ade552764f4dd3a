//! What candidates are judged on: images that were held out, or, where there are few, all of them in folds.

use std::path::{Path, PathBuf};

use regraft_data::{ImageSet, order};
use regraft_recipe::{HeadKind, Taps};
use regraft_train::{Event, Observer, Stop};

use super::feature_extractor;
use crate::error::Error;
use crate::prepare::Planned;
use crate::solve::{self, LeftOut, Start};

/// Fewest validation images that a tuned network can be judged on.
const FEWEST: usize = 30;
/// Below so many images, every one is judged, in folds: a fifth of them would say too little.
const FOLDED: usize = 500;
/// Parts that few images are judged in.
const FOLDS: usize = 4;

/// Images to judge by, and what is trained on the others.
pub(super) struct Fold {
    /// The network with a head that was solved from the fold's training images alone; its data are the fold's.
    pub solved: Planned,
    pub validation: ImageSet,
    /// Its folder in a candidate's.
    pub folder: PathBuf,
}

/// What a race is run on.
pub(super) struct Field {
    pub folds: Vec<Fold>,
    /// In folds: the network with the head that was solved from all images, and what heads solved without them say of those.
    pub whole: Option<(Planned, LeftOut)>,
}

impl Field {
    /// Solves the heads that candidates begin from. The taps are chosen on the images of the run, once.
    pub fn new(planned: &Planned, stop: &Stop, observer: &mut dyn Observer) -> Result<Self, Error> {
        let whole = merged(planned);
        let count = whole.data.train.samples.len();
        let validation = planned.data.validation.as_ref();
        if planned.data.validation_is_drawn && count < FOLDED {
            let start = solve::start(&whole, &whole.data.train, &Taps::Auto, stop, observer)?;
            let taps = start.head.taps.clone();
            let solved = from_head(&whole, start.grafted, start.head)?;
            let mut folds = Vec::new();
            for (number, (train, validation)) in in_folds(&whole).into_iter().enumerate() {
                let mut part = whole.clone();
                part.grafted.data.train = train;
                let Start { grafted, head, .. } = solve::start(
                    &part,
                    &part.data.train,
                    &Taps::Named(taps.clone()),
                    stop,
                    &mut Quiet(observer),
                )?;
                folds.push(Fold {
                    solved: from_head(&part, grafted, head)?,
                    validation,
                    folder: PathBuf::from(format!("fold-{}", number + 1)),
                });
            }
            return Ok(Self {
                folds,
                whole: Some((solved, start.left_out)),
            });
        }
        let start = solve::start(planned, &planned.data.train, &Taps::Auto, stop, observer)?;
        let solved = from_head(planned, start.grafted, start.head)?;
        let judged = validation.filter(|set| set.samples.len() >= FEWEST);
        if judged.is_none() {
            observer.observe(&Event::Note(&format!(
                "fewer than {FEWEST} validation images: nothing beside the solved head could be judged"
            )));
        }
        Ok(match judged {
            Some(validation) => Self {
                folds: vec![Fold {
                    solved,
                    validation: validation.clone(),
                    folder: PathBuf::new(),
                }],
                whole: None,
            },
            None => Self {
                folds: Vec::new(),
                whole: Some((solved, start.left_out)),
            },
        })
    }

    /// Whether networks are judged in folds, so that the winner is trained once more on all images.
    pub fn is_folded(&self) -> bool {
        self.whole.is_some()
    }

    /// What a candidate begins from in the end.
    pub fn solved(&self) -> Option<&Planned> {
        match (&self.whole, self.folds.first()) {
            (Some((whole, _)), _) => Some(whole),
            (None, first) => first.map(|fold| &fold.solved),
        }
    }

    /// Passes over the images of the first fold that an epoch of a candidate takes in all folds, and that its last
    /// training takes.
    pub fn shares(&self) -> [f64; 2] {
        let images = |planned: &Planned| planned.data.train.samples.len() as f64;
        let Some(first) = self.folds.first().map(|fold| images(&fold.solved)) else {
            return [1.0, 0.0];
        };
        let folds: f64 = self.folds.iter().map(|fold| images(&fold.solved)).sum();
        let last = self.whole.as_ref().map_or(0.0, |(whole, _)| images(whole));
        [folds / first.max(1.0), last / first.max(1.0)]
    }
}

/// The plan whose images for training are all that were not held out by the user.
pub(super) fn merged(planned: &Planned) -> Planned {
    let mut whole = planned.clone();
    if whole.data.validation_is_drawn
        && let Some(validation) = whole.grafted.data.validation.take()
    {
        whole.grafted.data.train.samples.extend(validation.samples);
    }
    whole
}

/// The plan that keeps a solved head as it is.
pub(super) fn from_head(
    planned: &Planned,
    grafted: crate::prepare::Grafted,
    head: crate::solve::SolvedHead,
) -> Result<Planned, Error> {
    let taps = head.taps.clone();
    let mut solved = planned.started(grafted, Some(head), &feature_extractor(planned))?;
    solved.recipe = solved.recipe.change(|recipe| {
        recipe.model.head.kind = HeadKind::Solved;
        recipe.model.head.taps = Taps::Named(taps);
    });
    Ok(solved)
}

/// Training and validation images of each fold: of every class about as many in each. The only image of a class always
/// trains. Which fold an image is in follows from the seed and its name.
fn in_folds(whole: &Planned) -> Vec<(ImageSet, ImageSet)> {
    let set = &whole.data.train;
    let mut members = vec![Vec::new(); set.classes.len()];
    let root: &Path = &whole.data_root;
    let mut named: Vec<(String, usize)> = set
        .samples
        .iter()
        .enumerate()
        .map(|(row, sample)| (regraft_data::ImageRecord::key(sample, root), row))
        .collect();
    named.sort();
    for (_, row) in named {
        members[set.samples[row].label].push(row);
    }
    let mut fold_of = vec![None; set.samples.len()];
    let mut next = 0;
    for (label, class) in members
        .iter()
        .enumerate()
        .filter(|(_, class)| class.len() > 1)
    {
        for at in order(class.len(), whole.recipe.train.seed, label, true) {
            fold_of[class[at]] = Some(next);
            next = (next + 1) % FOLDS;
        }
    }
    let part = |kept: &dyn Fn(Option<usize>) -> bool| ImageSet {
        samples: set
            .samples
            .iter()
            .zip(&fold_of)
            .filter(|(_, fold)| kept(**fold))
            .map(|(sample, _)| sample.clone())
            .collect(),
        ..set.clone()
    };
    (0..FOLDS)
        .map(|fold| {
            let train = part(&|other| other != Some(fold));
            let validation = part(&|other| other == Some(fold));
            (train, validation)
        })
        .filter(|(train, validation)| !train.samples.is_empty() && !validation.samples.is_empty())
        .collect()
}

/// Passes bars on, but not what is said of images a second time.
struct Quiet<'a>(&'a mut dyn Observer);

impl Observer for Quiet<'_> {
    fn observe(&mut self, event: &Event<'_>) {
        if !matches!(event, Event::Skipped(_) | Event::Note(_)) {
            self.0.observe(event);
        }
    }
}
