//! Losses of logits: cross-entropy of softmax for one class an image, of sigmoid for several.

use crate::matrix::Matrix;

/// How logits are judged by targets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Loss {
    /// Cross-entropy between a row of targets, which sums to 1, and softmax of its logits.
    Softmax,
    /// Binary cross-entropy of every class by itself. `sides`: for each class how much an image counts of which it is
    /// false, and one of which it is true.
    Sigmoid { sides: Vec<[f64; 2]> },
}

impl Loss {
    /// What is decided of an image: one class, or each class.
    pub fn decisions(&self) -> usize {
        match self {
            Self::Softmax => 1,
            Self::Sigmoid { sides } => sides.len(),
        }
    }

    /// With both sides of every class counting the same.
    pub fn unweighted(&self) -> Self {
        match self {
            Self::Softmax => Self::Softmax,
            Self::Sigmoid { sides } => Self::Sigmoid {
                sides: vec![[1.0; 2]; sides.len()],
            },
        }
    }

    /// The loss of an image in nats, summed over decisions; its logits become the loss's derivatives by them.
    pub fn differentiate(&self, logits: &mut [f64], targets: &[f64]) -> f64 {
        match self {
            Self::Softmax => {
                let largest = logits.iter().copied().fold(f64::MIN, f64::max);
                let pairs = targets.iter().zip(logits.iter());
                let own: f64 = pairs
                    .map(|(target, logit)| target * (logit - largest))
                    .sum();
                let mut total = 0.0;
                for logit in logits.iter_mut() {
                    *logit = (*logit - largest).exp();
                    total += *logit;
                }
                for (logit, target) in logits.iter_mut().zip(targets) {
                    *logit = *logit / total - target;
                }
                total.ln() - own
            }
            Self::Sigmoid { sides } => {
                let mut loss = 0.0;
                for ((logit, target), sides) in logits.iter_mut().zip(targets).zip(sides) {
                    let weight = sides[usize::from(*target > 0.5)];
                    let (own, probability) = binary(*logit, *target);
                    loss += weight * own;
                    *logit = weight * (probability - target);
                }
                loss
            }
        }
    }

    /// The loss of each row of logits, `[n, classes]`, in nats a decision.
    pub fn of_rows(&self, logits: &Matrix, targets: &Matrix) -> Vec<f64> {
        let decisions = self.decisions() as f64;
        (0..logits.rows())
            .map(|row| {
                self.differentiate(&mut logits.row(row).to_vec(), targets.row(row)) / decisions
            })
            .collect()
    }
}

/// The binary cross-entropy of a logit in nats, and the probability that it stands for.
pub(crate) fn binary(logit: f64, target: f64) -> (f64, f64) {
    // Of the two powers the one that cannot overflow.
    let power = (-logit.abs()).exp();
    let probability = if logit > 0.0 { 1.0 } else { power } / (1.0 + power);
    (logit.max(0.0) - target * logit + power.ln_1p(), probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_the_loss() {
        let logits = [1.5, -0.3, 40.0, -700.0];
        let cases = [
            (Loss::Softmax, [0.1, 0.2, 0.7, 0.0]),
            (
                Loss::Sigmoid {
                    sides: vec![[1.0, 1.0], [0.5, 2.0], [3.0, 1.0], [1.0, 4.0]],
                },
                [1.0, 0.0, 0.0, 1.0],
            ),
        ];
        for (loss, targets) in cases {
            let mut slopes = logits;
            let value = loss.differentiate(&mut slopes, &targets);
            assert!(value.is_finite());
            for class in 0..4 {
                let at = |step: f64| {
                    let mut moved = logits;
                    moved[class] += step;
                    loss.differentiate(&mut moved, &targets)
                };
                let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                let slope = slopes[class];
                assert!((slope - expected).abs() < 1e-5, "{slope} {expected}");
            }
        }
    }

    #[test]
    fn the_loss_of_a_certain_error_is_its_logit() {
        let sigmoid = Loss::Sigmoid {
            sides: vec![[1.0; 2]; 2],
        };
        let logits = Matrix::from_fn(1, 2, |_, class| [1000.0, -1000.0][class]);
        let truth = Matrix::from_fn(1, 2, |_, class| [0.0, 1.0][class]);
        assert_eq!(sigmoid.of_rows(&logits, &truth), [1000.0]);
        assert_eq!(Loss::Softmax.of_rows(&logits, &truth), [2000.0]);
    }
}
