//! A classifier solved from features: ridge regression, and a second stage that turns its outputs into logits.

use std::ops::Range;

use crate::check;
use crate::choose::{Judgement, STRENGTH};
use crate::dual::{self, Dual};
use crate::error::Error;
use crate::linear::Linear;
use crate::matrix::Matrix;
use crate::minimise::Effort;
use crate::problem::{Problem, mean_and_error, rows_of};
use crate::ridge::Sums;
use crate::scores::{MultiLabelScores, multi_label_scores};
use crate::stack::{Judged, Scaling, Stacking};
use crate::standard::Standard;
use crate::targets::Targets;

/// Strengths that are tried, weakest first, as shares of the variance of an image's features.
const STRENGTHS: [f64; 7] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// The weakest of them with few images.
const WEAKEST_OF_FEW: usize = 2;
/// How far the second stage may be held back, strongest first.
const PULLS: [f64; 4] = [100.0, 10.0, 1.0, 0.1];
/// Most classes for which there is a second stage beyond one factor: its matrix has an entry for every pair.
const CLASSES: usize = 128;
/// Images that strengths are searched on, where there are more than [`SEARCHED`].
const SEARCH: usize = 1000;
/// Most images that strengths are searched on all of.
const SEARCHED: usize = 1400;
/// Most images that are solved for by their own products.
const BY_IMAGES: usize = 5000;
/// Parts of more images, each of which is left out once.
const PARTS: usize = 3;

/// How a classifier is solved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SolveOptions<'a> {
    /// Whether every class counts the same, however many images it has; where images may have several classes, whether
    /// those with a class count in all as much as those without, for each class by itself.
    pub balanced: bool,
    /// How much each image counts, `[n]`: finite, not negative, of any scale. An image of weight 0 is left out of
    /// everything but [`Solved::left_out`]. None: all the same.
    pub weights: Option<&'a [f32]>,
    /// As in [`crate::ChooseOptions::objects`].
    pub objects: Option<&'a [usize]>,
    /// Start of every draw.
    pub seed: u64,
}

/// A solved classifier, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// The classifier: softmax of its outputs gives probabilities, sigmoid of each where images may have several
    /// classes.
    pub linear: Linear,
    /// The strength that was chosen.
    pub strength: f64,
    /// How far the second stage was held back; none where it only scales.
    pub pull: Option<f64>,
    /// What the classifier is worth on images that it was solved without.
    pub judgement: Judgement,
    /// Scores of `left_out` where images may have several classes.
    pub scores: Option<MultiLabelScores>,
    /// Its logits for each image from other images, `[n, classes]`.
    pub left_out: Vec<f32>,
}

/// Solves a classifier: `features` `[n, width]`, targets of `n` images. Columns come in `groups`, each of which counts
/// as much as any other.
///
/// First ridge regression to one-hot targets, probabilities, or zeros and ones; then a logistic regression on its
/// outputs for images left out, held near a multiple of the identity. It is multinomial for labels and soft targets,
/// whose cross-entropy it minimises, and one a class where images may have several ([`Targets::MultiLabel`]). The
/// strengths of both are those with the least loss on images left out, the first the largest within one standard error
/// of that. Both stages are linear, and come out as one map.
///
/// A class that no image has gets a logit of -20 beside others. One of several classes an image that is true of none of
/// `n` images, or of all, gets a probability of 1 in `n + 2`, or of that less than 1.
///
/// Up to 5,000 images are solved for by their own products where there are fewer of them than features; more by sums over
/// images, `[width, width]` in 64-bit floats.
///
/// # Errors
/// When lengths do not fit, a label is out of range, a row of soft targets is no distribution, a feature is not finite,
/// a weight is negative, all images are of one object, fewer than two classes have images (of several classes an image:
/// none is true of some and false of others), or no feature varies.
pub fn solve<'a>(
    features: &[f32],
    targets: impl Into<Targets<'a>>,
    classes: usize,
    groups: &[Range<usize>],
    options: &SolveOptions<'_>,
) -> Result<Solved, Error> {
    let targets = targets.into();
    let (images, width) = check::shape(features, targets, classes)?;
    check::groups(groups, width)?;
    check::per_image("objects", options.objects, images)?;
    check::weights(options.weights, images)?;
    let counts = |row: &usize| options.weights.is_none_or(|weights| weights[*row] > 0.0);
    let rows: Vec<usize> = (0..images).filter(counts).collect();
    let solve =
        |features: &[f32]| solve_rows(features, width, targets, classes, groups, options, &rows);
    let mut solved = match rows.len() == images {
        true => solve(features)?,
        false => {
            let mut solved = solve(&rows_of(features, width, &rows))?;
            // Images that do not count are left out of the whole classifier.
            let mut left_out = solved.linear.outputs(features);
            let own = solved.left_out.chunks_exact(classes);
            for (&row, own) in rows.iter().zip(own) {
                left_out[row * classes..(row + 1) * classes].copy_from_slice(own);
            }
            solved.left_out = left_out;
            solved
        }
    };
    if let Targets::MultiLabel(truths) = targets {
        solved.scores = Some(multi_label_scores(&solved.left_out, truths, classes)?);
    }
    Ok(solved)
}

/// The classifier of some rows, of which `features` are.
fn solve_rows(
    features: &[f32],
    width: usize,
    targets: Targets<'_>,
    classes: usize,
    groups: &[Range<usize>],
    options: &SolveOptions<'_>,
    rows: &[usize],
) -> Result<Solved, Error> {
    let images = rows.len();
    let problem = Problem::new(targets, classes, rows, options)?;
    let strength = match images <= SEARCHED {
        true => None,
        false => {
            let drawn = problem.sample(SEARCH, options.seed);
            let part: Vec<usize> = drawn.iter().map(|&at| rows[at]).collect();
            let problem = Problem::new(targets, classes, &part, options)?;
            let part = rows_of(features, width, &drawn);
            let path = ByImages::new(&part, width, groups, &problem);
            Some(Search::new(&path, &problem, options.seed).climb()?.strength)
        }
    };
    let path: Box<dyn Path> = match images <= BY_IMAGES && images <= 4 * width {
        true => Box::new(ByImages::new(features, width, groups, &problem)),
        false => Box::new(BySums::new(features, width, groups, &problem)?),
    };
    let search = Search::new(path.as_ref(), &problem, options.seed);
    let found = match strength {
        Some(strength) => search.attempt(strength)?,
        None => search.climb()?,
    };
    Ok(search.conclude(&found, classes))
}

/// The first stage at any strength.
trait Path {
    /// Outputs for each image left out, and what makes the classifier of a stage on top.
    fn at(&self, strength: f64, problem: &Problem) -> Result<First, Error>;
    /// The whole classifier: the first stage, and a map on its outputs.
    fn linear(&self, first: &First, map: &Matrix) -> Linear;
}

/// The first stage at one strength.
struct First {
    /// For images left out, `[n, classes]`.
    outputs: Matrix,
    whole: Whole,
}

/// What the classifier is made of.
enum Whole {
    Dual(Dual),
    Linear(Linear),
}

struct ByImages<'a> {
    features: &'a [f32],
    standard: Standard,
    gram: Matrix,
}

impl<'a> ByImages<'a> {
    fn new(features: &'a [f32], width: usize, groups: &[Range<usize>], problem: &Problem) -> Self {
        let standard = Standard::of(features, width, &problem.weights, groups);
        let images = problem.images();
        let mut gram = Matrix::zeros(images, images);
        for group in groups {
            standard.add_gram(features, group.clone(), &mut gram);
        }
        Self {
            features,
            standard,
            gram,
        }
    }
}

impl Path for ByImages<'_> {
    fn at(&self, strength: f64, problem: &Problem) -> Result<First, Error> {
        let penalty = problem
            .penalty(&self.gram, strength)
            .ok_or(Error::Constant)?;
        let dual = dual::solve(&self.gram, &penalty, &problem.targets, &problem.folds)
            .ok_or(Error::Singular { strength })?;
        Ok(First {
            outputs: dual.outputs.clone(),
            whole: Whole::Dual(dual),
        })
    }

    fn linear(&self, first: &First, map: &Matrix) -> Linear {
        let Whole::Dual(dual) = &first.whole else {
            return Linear::default();
        };
        let classes = map.columns();
        let matrix = map.first_rows(classes);
        let solution = dual.solution.product(&matrix);
        let width = self.standard.width();
        let z = self.standard.apply(self.features, 0..width);
        let mut weights = Matrix::zeros(z.columns(), classes);
        weights.add_turned_product(&z, &solution, 1.0);
        let offset: Vec<f64> = (0..classes)
            .map(|class| {
                let through = dual.intercept.iter().enumerate();
                let through: f64 = through.map(|(at, value)| value * map[(at, class)]).sum();
                through + map[(classes, class)]
            })
            .collect();
        Linear::unstandardised(&self.standard, &weights, &offset)
    }
}

struct BySums<'a> {
    features: &'a [f32],
    width: usize,
    groups: Vec<Range<usize>>,
    /// The part of each image.
    parts: Vec<usize>,
    sums: Vec<Sums>,
}

/// Images added to sums at a time.
const BATCH: usize = 512;

impl<'a> BySums<'a> {
    fn new(
        features: &'a [f32],
        width: usize,
        groups: &[Range<usize>],
        problem: &Problem,
    ) -> Result<Self, Error> {
        let parts = problem.parts(PARTS);
        let mut sums = Vec::new();
        for part in 0..PARTS {
            let rows: Vec<usize> = (0..parts.len()).filter(|&row| parts[row] == part).collect();
            let mut own = Sums::new(width, problem.classes);
            for rows in rows.chunks(BATCH) {
                let taken = rows_of(features, width, rows);
                let targets: Vec<f32> = rows
                    .iter()
                    .flat_map(|&row| problem.targets.row(row).iter().map(|v| *v as f32))
                    .collect();
                let weights: Vec<f32> = rows
                    .iter()
                    .map(|&row| problem.weights[row] as f32)
                    .collect();
                own.add(&taken, &targets, &weights)?;
            }
            sums.push(own);
        }
        Ok(Self {
            features,
            width,
            groups: groups.to_vec(),
            parts,
            sums,
        })
    }

    fn without(&self, part: Option<usize>) -> Result<Sums, Error> {
        let mut chosen = (0..PARTS)
            .filter(|other| Some(*other) != part)
            .map(|p| &self.sums[p]);
        let mut all = chosen.next().ok_or(Error::Constant)?.clone();
        for other in chosen {
            all.join(other)?;
        }
        Ok(all)
    }
}

impl Path for BySums<'_> {
    fn at(&self, strength: f64, problem: &Problem) -> Result<First, Error> {
        let mut outputs = Matrix::zeros(problem.images(), problem.classes);
        for part in 0..PARTS {
            let linear = self.without(Some(part))?.solve(strength, &self.groups)?;
            let rows: Vec<usize> = (0..self.parts.len())
                .filter(|&row| self.parts[row] == part)
                .collect();
            for rows in rows.chunks(BATCH) {
                let taken = rows_of(self.features, self.width, rows);
                let said = linear.outputs(&taken);
                for (own, &row) in said.chunks_exact(problem.classes).zip(rows) {
                    for (class, value) in own.iter().enumerate() {
                        outputs[(row, class)] = f64::from(*value);
                    }
                }
            }
        }
        let whole = self.without(None)?.solve(strength, &self.groups)?;
        Ok(First {
            outputs,
            whole: Whole::Linear(whole),
        })
    }

    fn linear(&self, first: &First, map: &Matrix) -> Linear {
        match &first.whole {
            Whole::Linear(linear) => linear.mapped(map),
            Whole::Dual(_) => Linear::default(),
        }
    }
}

/// A strength tried: the best second stage on it.
struct Tried {
    strength: usize,
    first: First,
    scaling: Scaling,
    judged: Judged,
    /// Regressions on the way to the best one; none where the scaling is best.
    pulls: usize,
}

/// The search for the strengths of both stages.
struct Search<'a> {
    path: &'a dyn Path,
    problem: &'a Problem,
    folds: Vec<usize>,
    pulls: &'static [f64],
    weakest: usize,
}

impl<'a> Search<'a> {
    fn new(path: &'a dyn Path, problem: &'a Problem, seed: u64) -> Self {
        Self {
            folds: problem.fifths(seed),
            pulls: match (problem.is_small(), problem.classes > CLASSES) {
                (_, true) => &PULLS[..0],
                (true, _) => &PULLS[..1],
                (false, _) => &PULLS[..],
            },
            weakest: if problem.is_small() {
                WEAKEST_OF_FEW
            } else {
                0
            },
            path,
            problem,
        }
    }

    fn stacking<'b>(&'b self, outputs: &'b Matrix) -> Stacking<'b> {
        Stacking {
            outputs,
            problem: self.problem,
            folds: &self.folds,
            effort: Effort::USUAL,
        }
    }

    /// One strength, with the second stage that is best on it.
    fn attempt(&self, strength: usize) -> Result<Tried, Error> {
        let first = self.path.at(STRENGTHS[strength], self.problem)?;
        let stacking = self.stacking(&first.outputs);
        let (scaling, judged) = stacking.scaling();
        let mut best = (judged, 0);
        let regressions = stacking.regressions(&scaling, self.pulls);
        for (index, judged) in regressions.into_iter().enumerate() {
            if mean(&judged.losses) < mean(&best.0.losses) {
                best = (judged, index + 1);
            }
        }
        Ok(Tried {
            strength,
            first,
            scaling,
            judged: best.0,
            pulls: best.1,
        })
    }

    /// Climbs from the usual strength to the one with the least loss, then on to stronger ones within a standard error.
    fn climb(&self) -> Result<Tried, Error> {
        let start = STRENGTHS.iter().position(|s| *s == STRENGTH);
        let mut best = self.attempt(start.unwrap_or_default())?;
        let mut above: Option<Tried> = None;
        let mut rises = false;
        while best.strength + 1 < STRENGTHS.len() {
            let next = self.attempt(best.strength + 1)?;
            if mean(&next.judged.losses) >= mean(&best.judged.losses) {
                above = Some(next);
                break;
            }
            rises = true;
            best = next;
        }
        while !rises && best.strength > self.weakest {
            let next = match self.attempt(best.strength - 1) {
                Err(Error::Singular { .. }) => break,
                next => next?,
            };
            if mean(&next.judged.losses) >= mean(&best.judged.losses) {
                break;
            }
            above = Some(std::mem::replace(&mut best, next));
        }
        let least = best.judged.losses.clone();
        while best.strength + 1 < STRENGTHS.len() {
            let known = above.take().filter(|t| t.strength == best.strength + 1);
            let next = match known {
                Some(next) => next,
                None => self.attempt(best.strength + 1)?,
            };
            let more = next.judged.losses.iter().zip(&least).map(|(a, b)| a - b);
            let (more, error) = mean_and_error(&more.collect::<Vec<f64>>());
            if more > error {
                break;
            }
            best = next;
        }
        Ok(best)
    }

    /// The classifier of what was found.
    fn conclude(&self, found: &Tried, classes: usize) -> Solved {
        let pulls = &self.pulls[..found.pulls];
        let stacking = self.stacking(&found.first.outputs);
        let map = stacking.regression(&found.scaling, pulls);
        let map = map.unwrap_or_else(|| found.scaling.map());
        let linear = self.path.linear(&found.first, &map);
        let logits = &found.judged.logits;
        let rest: Vec<f32> = (0..classes)
            .map(|class| self.problem.logit_without(class))
            .collect();
        let mut left_out = rest.repeat(self.problem.images());
        for (row, all) in left_out.chunks_exact_mut(classes).enumerate() {
            for (at, &class) in self.problem.present.iter().enumerate() {
                all[class] = logits[(row, at)] as f32;
            }
        }
        Solved {
            linear: linear.spread(&self.problem.present, &rest),
            strength: STRENGTHS[found.strength],
            pull: pulls.last().copied(),
            judgement: self.problem.judgement(logits),
            scores: None,
            left_out,
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
