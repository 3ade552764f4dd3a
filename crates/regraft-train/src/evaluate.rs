//! Loss and accuracy of a network on a split, and what it said of every image.

use regraft_data::{ImageSet, Loader};
use regraft_nn::{Activation, Network};
use regraft_onnx::OutputKind;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::feature_store::Source;
use crate::objective;
use crate::observer::{Event, Observer};
use crate::stop::Stop;

/// What a network said of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Position in the split's samples.
    pub index: usize,
    /// The true label.
    pub label: usize,
    /// A probability for each class.
    pub probabilities: Vec<f32>,
}

impl Prediction {
    /// The most probable class; the first of equals.
    pub fn predicted(&self) -> usize {
        objective::argmax(&self.probabilities)
    }
}

/// A network's results on a split.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of images whose most probable class is the right one.
    pub accuracy: f64,
    /// One entry an image, in loading order.
    pub predictions: Vec<Prediction>,
}

impl Evaluation {
    /// What predictions come to, however they were made.
    pub fn of(predictions: impl IntoIterator<Item = Prediction>) -> Self {
        let predictions: Vec<Prediction> = predictions.into_iter().collect();
        let count = predictions.len().max(1) as f64;
        let right = predictions.iter().filter(|p| p.predicted() == p.label);
        let accuracy = right.count() as f64 / count;
        let own = |p: &Prediction| p.probabilities.get(p.label).copied().unwrap_or(0.0);
        let losses = predictions
            .iter()
            .map(|p| -f64::from(own(p)).max(1e-30).ln());
        Self {
            loss: losses.sum::<f64>() / count,
            accuracy,
            predictions,
        }
    }

    /// Share of images whose label is among the `k` most probable classes.
    pub fn top_k(&self, k: usize) -> f64 {
        let hits = self
            .predictions
            .iter()
            .filter(|p| {
                let own = p.probabilities[p.label];
                p.probabilities
                    .iter()
                    .enumerate()
                    .filter(|(i, v)| **v > own || (**v == own && *i < p.label))
                    .count()
                    < k
            })
            .count();
        hits as f64 / self.predictions.len().max(1) as f64
    }

    /// Images by true class (rows) and predicted class (columns).
    pub fn confusion(&self, classes: usize) -> Vec<Vec<usize>> {
        let mut matrix = vec![vec![0; classes]; classes];
        for prediction in &self.predictions {
            matrix[prediction.label][prediction.predicted()] += 1;
        }
        matrix
    }
}

/// Evaluates a network as it would be exported on all images of a loader, in their order.
///
/// # Errors
/// When an image cannot be decoded (and is not to be skipped) or the network cannot run.
pub fn evaluate(
    network: &Network,
    loader: &Loader,
    observer: &mut dyn Observer,
) -> Result<Evaluation, Error> {
    check_labels(loader.set(), network.graph().classes())?;
    on_source(network, &Source::images(loader.clone()), None, observer)
}

/// Refuses a set with a label that a network of so many classes has no output for.
pub(crate) fn check_labels(set: &ImageSet, classes: usize) -> Result<(), Error> {
    match set.samples.iter().find(|sample| sample.label >= classes) {
        Some(sample) => Err(Error::Label {
            path: sample.path.clone(),
            label: sample.label,
            classes,
        }),
        None => Ok(()),
    }
}

pub(crate) fn on_source(
    network: &Network,
    source: &Source,
    stop: Option<&Stop>,
    observer: &mut dyn Observer,
) -> Result<Evaluation, Error> {
    let mut evaluation = Evaluation::default();
    let (mut loss_sum, mut right, mut done) = (0.0, 0usize, 0usize);
    for drawn in source.epoch(0, 0) {
        if let Some(stop) = stop {
            stop.check()?;
        }
        let drawn = drawn?;
        done += drawn.labels().len() + drawn.skipped().len();
        for skipped in drawn.skipped() {
            observer.observe(&Event::Skipped(skipped));
        }
        let (labels, indices) = (drawn.labels().to_vec(), drawn.indices().to_vec());
        if labels.is_empty() {
            continue;
        }
        let logits = network.logits(drawn.features(network)?)?;
        let classes = logits.dims()[1];
        let kind = network.graph().output_kind;
        let values = Activation::R2(logits).into_values()?;
        for ((row, &label), index) in values.chunks_exact(classes).zip(&labels).zip(indices) {
            let (loss, probabilities) = match kind {
                OutputKind::SeveralClasses => objective::row_of_several(row, label),
                _ => objective::row(row, label),
            };
            loss_sum += loss;
            right += usize::from(objective::argmax(row) == label);
            evaluation.predictions.push(Prediction {
                index,
                label,
                probabilities,
            });
        }
        observer.observe(&Event::Evaluating {
            done,
            total: source.loader().set().samples.len(),
        });
    }
    let count = evaluation.predictions.len().max(1) as f64;
    evaluation.loss = loss_sum / count;
    evaluation.accuracy = right as f64 / count;
    Ok(evaluation)
}
