//! Which features a classifier is best solved from.

use std::ops::Range;

use rayon::prelude::*;

use crate::check;
use crate::dual;
use crate::error::Error;
use crate::folds::sample;
use crate::matrix::Matrix;
use crate::minimise::Effort;
use crate::problem::{Problem, mean_and_error, rows_of};
use crate::solve::SolveOptions;
use crate::stack::Stacking;
use crate::standard::Standard;
use crate::targets::Targets;

/// The strength at which sets of features are compared.
pub(crate) const STRENGTH: f64 = 0.3;
/// How far the second stage is held back meanwhile.
const PULL: f64 = 10.0;
/// Most classes with which the second stage has a say in the comparison.
const CLASSES: usize = 30;

/// How a choice is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ChooseOptions<'a> {
    /// Most images to look at; more are drawn class by class.
    pub images: usize,
    /// Start of the draw.
    pub seed: u64,
    /// For each image a number that images of one object share: they are never on both sides. None: each for itself.
    pub objects: Option<&'a [usize]>,
}

impl Default for ChooseOptions<'_> {
    fn default() -> Self {
        Self {
            images: 1000,
            seed: 42,
            objects: None,
        }
    }
}

/// What a set of features is worth, by a classifier's logits for images that it was solved without. Images count as
/// much as their weights say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Share of images classified right: as their label says, or as a most probable class of their soft targets. Where
    /// images may have several classes: share of pairs of an image and a class that are right, at a probability of one
    /// half.
    pub accuracy: f64,
    /// Its standard error.
    pub accuracy_error: f64,
    /// Mean cross-entropy of images in nats, against the distribution where targets are soft. Where images may have
    /// several classes: mean binary cross-entropy over images and those classes that are true of some and false of
    /// others.
    pub loss: f64,
}

/// Sets of features compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The set chosen, by its place among the candidates.
    pub chosen: usize,
    /// Of every candidate what it is worth.
    pub candidates: Vec<Judgement>,
    /// Images looked at.
    pub images: usize,
}

/// Chooses the set of features that a classifier is best solved from.
///
/// `features`: `[n, width]`, a row an image; `targets`: what is true of `n` images. `groups` are ranges of columns that
/// come together, the features of one tap each; a candidate is a set of groups. Candidates come in order, the simplest
/// first.
///
/// Each candidate's classifier is solved once, at one strength, and judged by the loss on images left out. The simplest
/// candidate wins whose loss is not larger than the least by more than the standard error of their difference, two of them
/// where there are fewer than 20 images a class.
///
/// # Errors
/// As [`crate::solve()`], and when there are no candidates, or no candidate's features vary.
pub fn choose<'a>(
    features: &[f32],
    targets: impl Into<Targets<'a>>,
    classes: usize,
    groups: &[Range<usize>],
    candidates: &[Vec<usize>],
    options: &ChooseOptions<'_>,
) -> Result<Choice, Error> {
    let targets = targets.into();
    let (images, width) = check::shape(features, targets, classes)?;
    check::groups(groups, width)?;
    check::per_image("objects", options.objects, images)?;
    if candidates.is_empty() {
        return Err(Error::NoCandidates);
    }
    let rows = sample(targets, classes, options.images, options.seed);
    let features = rows_of(features, width, &rows);
    let solving = SolveOptions {
        objects: options.objects,
        ..SolveOptions::default()
    };
    let problem = Problem::new(targets, classes, &rows, &solving)?;
    let count = rows.len();
    let standard = Standard::of(&features, width, &problem.weights, groups);
    let used: Vec<usize> = (0..groups.len())
        .filter(|group| candidates.iter().any(|set| set.contains(group)))
        .collect();
    let grams: Vec<Option<Matrix>> = {
        let mut grams = vec![None; groups.len()];
        // One group after the other: each is dealt out to all threads.
        for &group in &used {
            let mut gram = Matrix::zeros(count, count);
            standard.add_gram(&features, groups[group].clone(), &mut gram);
            grams[group] = Some(gram);
        }
        grams
    };
    let folds = problem.fifths(options.seed);
    let judged: Vec<Option<(Judgement, Vec<f64>)>> = candidates
        .par_iter()
        .map(|set| {
            let mut gram = Matrix::zeros(count, count);
            for &group in set {
                if let Some(own) = grams.get(group).and_then(Option::as_ref) {
                    gram.add(own);
                }
            }
            let penalty = problem.penalty(&gram, STRENGTH)?;
            let dual = dual::solve(&gram, &penalty, &problem.targets, &problem.folds)?;
            let stacking = Stacking {
                outputs: &dual.outputs,
                problem: &problem,
                folds: &folds,
                effort: Effort::USUAL,
            };
            let (scaling, mut judged) = stacking.scaling();
            if !problem.is_small() && problem.classes <= CLASSES {
                judged = stacking.regressions(&scaling, &[PULL]).pop()?;
            }
            let worth = problem.judgement(&judged.logits);
            Some((worth, judged.losses))
        })
        .collect();
    let best = judged
        .iter()
        .enumerate()
        .filter_map(|(index, judged)| Some((index, judged.as_ref()?)))
        .min_by(|(_, (a, _)), (_, (b, _))| a.loss.total_cmp(&b.loss));
    let Some((_, (_, least))) = best else {
        return Err(Error::Constant);
    };
    let tolerance = if problem.is_small() { 2.0 } else { 1.0 };
    let near = |losses: &Vec<f64>| {
        let more: Vec<f64> = losses.iter().zip(least).map(|(a, b)| a - b).collect();
        let (mean, error) = mean_and_error(&more);
        mean <= tolerance * error + 1e-12
    };
    let chosen = judged
        .iter()
        .position(|judged| judged.as_ref().is_some_and(|(_, losses)| near(losses)));
    let nothing = Judgement {
        accuracy: 0.0,
        accuracy_error: 0.0,
        loss: f64::INFINITY,
    };
    Ok(Choice {
        chosen: chosen.unwrap_or_default(),
        candidates: judged
            .iter()
            .map(|judged| judged.as_ref().map_or(nothing, |(worth, _)| *worth))
            .collect(),
        images: count,
    })
}
