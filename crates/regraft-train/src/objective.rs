//! What a network is to say of an image, and what it costs that it says something else.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// What is true of an image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// One class, by its label.
    Class(usize),
    /// Every class whose label is listed; any number of them.
    Classes(Vec<usize>),
    /// A probability for each class, as mixed images have.
    Distribution(Vec<f32>),
}

impl Target {
    /// What is true of an image of which `share` shows one class and the rest another, of so many `classes`.
    pub(crate) fn mixed(label: usize, share: f64, partner: usize, classes: usize) -> Self {
        let mut shares = vec![0.0; classes];
        shares[label] += share as f32;
        shares[partner] += 1.0 - share as f32;
        Self::Distribution(shares)
    }

    /// Probabilities or truth values, one for each of `classes`.
    fn row(&self, classes: usize) -> Vec<f32> {
        let mut row = vec![0.0; classes];
        match self {
            Target::Class(label) => row[*label] = 1.0,
            Target::Classes(labels) => labels.iter().for_each(|label| row[*label] = 1.0),
            Target::Distribution(shares) => row.copy_from_slice(shares),
        }
        row
    }
}

/// How a loss is taken on logits.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Objective {
    /// Cross-entropy of the softmax, in nats: classes exclude each other.
    CrossEntropy {
        /// Share of each target that is spread evenly over all classes (Szegedy 2016, section 7), 0 to below 1.
        smoothing: f64,
        /// Weight of each class, above 0, `[C]`; empty: all the same.
        class_weights: Vec<f64>,
    },
    /// Binary cross-entropy of a sigmoid a class, in nats, averaged over classes: any number of classes is true.
    BinaryCrossEntropy,
}

impl Objective {
    /// What targets count together: their number, or where classes have weights the sum of those of the targets' classes.
    pub fn total(&self, targets: &[Target]) -> f64 {
        match self {
            Self::CrossEntropy { class_weights, .. } if !class_weights.is_empty() => {
                let weight = |target: &Target| -> f64 {
                    let row = target.row(class_weights.len());
                    let pairs = row.iter().zip(class_weights);
                    pairs
                        .map(|(share, weight)| f64::from(*share) * weight)
                        .sum()
                };
                targets.iter().map(weight).sum()
            }
            _ => targets.len() as f64,
        }
    }

    /// The loss of logits `[N, C]` against one target an image: the sum over the images, divided by `total`.
    ///
    /// `total` is [`Objective::total`] of the targets of a whole batch. For a part of one it is still that of the whole, so
    /// that the parts' losses and gradients add up to the batch's. Where classes have weights, this is PyTorch's
    /// `CrossEntropyLoss(weight, label_smoothing)`.
    pub fn loss(
        &self,
        logits: Tensor<2>,
        targets: &[Target],
        total: f64,
        device: &Device,
    ) -> Tensor<1> {
        let [count, classes] = logits.dims();
        let mut rows = Vec::with_capacity(count * classes);
        for target in targets {
            rows.extend(self.weighted(target, classes));
        }
        let targets = Tensor::<2>::from_data(TensorData::new(rows, [count, classes]), device);
        let targets = targets.autodiff();
        let total = if total > 0.0 { total } else { 1.0 };
        match self {
            Self::CrossEntropy { .. } => (log_softmax(logits, 1) * targets)
                .sum()
                .mul_scalar(-1.0 / total),
            // max(x, 0) - x t + ln(1 + exp(-|x|)): no exponential can overflow.
            Self::BinaryCrossEntropy => {
                let soft = logits.clone().abs().neg().exp().add_scalar(1.0).log();
                let loss = logits.clone().clamp_min(0.0) - logits * targets + soft;
                loss.sum().mul_scalar(1.0 / (total * classes.max(1) as f64))
            }
        }
    }

    /// The target smoothed, and each class of it by its weight.
    fn weighted(&self, target: &Target, classes: usize) -> Vec<f32> {
        let (smoothing, weights) = match self {
            Self::CrossEntropy {
                smoothing,
                class_weights,
            } => (*smoothing, class_weights.as_slice()),
            Self::BinaryCrossEntropy => (0.0, [].as_slice()),
        };
        let spread = (smoothing / classes as f64) as f32;
        let kept = 1.0 - smoothing as f32;
        let mut row = target.row(classes);
        for (class, value) in row.iter_mut().enumerate() {
            *value = spread + kept * *value;
            if let Some(weight) = weights.get(class) {
                *value *= *weight as f32;
            }
        }
        row
    }

    /// Whether a row of logits says what the target says: the likeliest class, or for several classes every one of them.
    pub fn is_right(&self, logits: &[f32], target: &Target) -> bool {
        match (self, target) {
            (Self::BinaryCrossEntropy, target) => target
                .row(logits.len())
                .iter()
                .zip(logits)
                .all(|(truth, logit)| (*truth >= 0.5) == (*logit > 0.0)),
            (_, Target::Class(label)) => argmax(logits) == *label,
            (_, Target::Classes(labels)) => labels.contains(&argmax(logits)),
            (_, Target::Distribution(shares)) => argmax(logits) == argmax(shares),
        }
    }
}

/// Cross-entropy in nats of one row of logits against a label among them, and the probabilities, in f64.
pub(crate) fn row(logits: &[f32], label: usize) -> (f64, Vec<f32>) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits
        .iter()
        .map(|&v| f64::from(v - largest).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    let loss = sum.ln() - f64::from(logits[label] - largest);
    (
        loss,
        exponentials.iter().map(|e| (e / sum) as f32).collect(),
    )
}

/// Binary cross-entropy in nats of one row of logits of classes that do not exclude each other, averaged over the classes, and
/// the probability of each, in f64.
pub(crate) fn row_of_several(logits: &[f32], label: usize) -> (f64, Vec<f32>) {
    let losses = logits.iter().enumerate().map(|(class, &logit)| {
        let logit = f64::from(logit);
        let soft = (-logit.abs()).exp().ln_1p();
        logit.max(0.0) - if class == label { logit } else { 0.0 } + soft
    });
    let loss = losses.sum::<f64>() / logits.len().max(1) as f64;
    let sigmoid = |logit: &f32| (1.0 / (1.0 + f64::from(-logit).exp())) as f32;
    (loss, logits.iter().map(sigmoid).collect())
}

/// Position of the largest value; the first of equals.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cross_entropy(smoothing: f64, class_weights: &[f64]) -> Objective {
        Objective::CrossEntropy {
            smoothing,
            class_weights: class_weights.to_vec(),
        }
    }

    /// Loss of the logits of two images.
    fn loss(objective: Objective, targets: &[Target]) -> f64 {
        let device = regraft_backend::built().find_map(|name| regraft_backend::open(name).ok());
        let device = device.unwrap();
        let logits = Tensor::<2>::from_data([[1.0f32, -2.0, 0.5], [0.0, 3.0, -1.0]], &device);
        let total = objective.total(targets);
        let loss = objective.loss(logits.autodiff(), targets, total, &device);
        f64::from(loss.without_autodiff().into_scalar::<f32>())
    }

    /// The values are those of the formulas, worked out in f64 by a few lines of Python.
    #[test]
    fn losses_equal_their_formulas() {
        let close = |objective: &Objective, targets: &[Target], expected: f64| {
            let found = loss(objective.clone(), targets);
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        };
        let plain = &cross_entropy(0.0, &[]);
        let labels = [Target::Class(2), Target::Class(1)];
        close(plain, &labels, 0.535_240_403);
        // (1 - s) nll(label) + s mean(nll) with s = 0.1.
        let smoothed = &cross_entropy(0.1, &[]);
        close(smoothed, &labels, 0.685_240_403);
        let soft = [
            Target::Distribution(vec![0.25, 0.0, 0.75]),
            Target::Distribution(vec![0.0, 1.0, 0.0]),
        ];
        close(plain, &soft, 0.472_740_403);
        let several = [Target::Classes(vec![0, 2]), Target::Classes(vec![])];
        close(&Objective::BinaryCrossEntropy, &several, 0.828_210_484);
    }

    /// `torch.nn.CrossEntropyLoss(weight, label_smoothing)` of the same logits: the sum of
    /// `(1 - s) w[y] nll(y) + s / C sum_c w[c] nll(c)` over the images, divided by the sum of `w[y]`.
    #[test]
    fn class_weights_weigh_as_pytorchs() {
        let labels = [Target::Class(2), Target::Class(1)];
        for (smoothing, expected) in [(0.0, 0.816_854_303), (0.1, 0.906_086_502)] {
            let objective = cross_entropy(smoothing, &[0.5, 1.0, 4.0]);
            assert_eq!(objective.total(&labels), 5.0);
            let found = loss(objective, &labels);
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
        let half = [Target::Distribution(vec![0.5, 0.0, 0.5])];
        assert_eq!(cross_entropy(0.0, &[0.5, 1.0, 4.0]).total(&half), 2.25);
    }

    #[test]
    fn a_mixed_target_sums_to_one_and_is_told_by_its_stronger_class() {
        let objective = cross_entropy(0.0, &[]);
        for (share, stronger) in [(0.3, 2), (0.7, 0), (0.123_456_789, 2), (1.0, 0)] {
            let target = Target::mixed(0, share, 2, 3);
            let row = target.row(3);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-7, "{row:?}");
            let mut logits = [0.0; 3];
            logits[stronger] = 1.0;
            assert!(objective.is_right(&logits, &target));
        }
        assert_eq!(Target::mixed(1, 0.3, 1, 3).row(3), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn several_classes_are_right_when_every_one_is() {
        let objective = Objective::BinaryCrossEntropy;
        assert!(objective.is_right(&[2.0, -1.0, 0.3], &Target::Classes(vec![0, 2])));
        assert!(!objective.is_right(&[2.0, -1.0, 0.3], &Target::Classes(vec![0])));
        let exclusive = cross_entropy(0.0, &[]);
        assert!(exclusive.is_right(&[2.0, -1.0], &Target::Distribution(vec![0.6, 0.4])));
    }
}
