//! One factor on the outputs of several classes, and an offset a class, that make sigmoid of them probabilities.
//!
//! A factor a class was tried instead: no better where there are many images, and worse where a class has few.

use rayon::prelude::*;

use crate::loss::binary;
use crate::matrix::Matrix;
use crate::stack::Scaling;

/// Most steps of Newton's method; five to eight are usual.
const STEPS: usize = 50;
/// Halvings of a step that brings no decrease.
const HALVINGS: usize = 30;
/// A step that promises less than this share of the loss is not taken.
const ENOUGH: f64 = 1e-10;
/// The least factor, on outputs of a spread of 1: what is worse than chance on images left out is no better turned
/// round.
const LEAST: f64 = 0.01;
/// Added to curvatures, which vanish where probabilities are 0 or 1.
const FLAT: f64 = 1e-12;

/// Finds the scaling with the least binary cross-entropy, of `outputs` and `truths` `[classes, n]`, of images that
/// count `weights`, `[n]`, and sides that count `sides`, as in [`crate::loss::Loss::Sigmoid`].
///
/// Truths are drawn in a little from 0 and 1 (Platt 1999), so that there is a minimum, also without an image on one
/// side. The search begins at `start`, such as that for most of the same images, and ends at the same place wherever it
/// begins. Newton's method: its matrix is a diagonal but for the factor's row and column, so that a step costs as much
/// as the loss.
pub(crate) fn calibrate(
    mut outputs: Matrix,
    truths: &Matrix,
    weights: &[f64],
    sides: &[[f64; 2]],
    start: Option<&Scaling>,
) -> Scaling {
    let total: f64 = weights.iter().sum();
    let mean = |values: &[f64]| -> f64 {
        let weighted = values.iter().zip(weights);
        weighted.map(|(value, weight)| value * weight).sum::<f64>() / total
    };
    let classes = outputs.rows();
    let means: Vec<f64> = (0..classes).map(|class| mean(outputs.row(class))).collect();
    outputs = Matrix::from_fn(classes, outputs.columns(), |class, at| {
        outputs[(class, at)] - means[class]
    });
    let squares: f64 = outputs.values().iter().map(|value| value * value).sum();
    let spread = match (squares / outputs.values().len() as f64).sqrt() {
        spread if spread > 0.0 => spread,
        _ => 1.0,
    };
    let classes: Vec<Class<'_>> = (0..classes)
        .map(|class| {
            let positives = total * mean(truths.row(class));
            Class {
                outputs: outputs.row(class),
                truths: truths.row(class),
                targets: [
                    1.0 / (total - positives + 2.0),
                    (positives + 1.0) / (positives + 2.0),
                ],
                sides: sides[class],
            }
        })
        .collect();
    let at = |factor: f64, offsets: &[f64]| -> Vec<Moments> {
        let of =
            |(class, offset): (&Class<'_>, &f64)| class.moments(factor / spread, *offset, weights);
        classes.par_iter().zip(offsets).map(of).collect()
    };
    let loss = |moments: &[Moments]| moments.iter().map(|own| own.loss).sum::<f64>();
    let (mut factor, mut offsets) = match start {
        Some(start) => {
            let offsets = start.offsets.iter().zip(&means);
            let moved = offsets.map(|(offset, mean)| offset + start.factor * mean);
            (start.factor * spread, moved.collect::<Vec<f64>>())
        }
        // Where all images have the same output: the odds.
        None => (1.0, classes.iter().map(|class| class.odds(total)).collect()),
    };
    let mut moments = at(factor, &offsets);
    for _ in 0..STEPS {
        let (step, steps) = newton(&moments, spread, factor);
        let before = loss(&moments);
        let slopes = moments.iter().zip(&steps);
        let promised: f64 = slopes
            .map(|(own, steps)| own.by_factor * step / spread + own.by_offset * steps)
            .sum();
        if -promised <= ENOUGH * before {
            break;
        }
        let mut length = 1.0;
        let found = (0..HALVINGS).find_map(|_| {
            let next = offsets.iter().zip(&steps);
            let next: Vec<f64> = next.map(|(offset, step)| offset + length * step).collect();
            let reached = at(factor + length * step, &next);
            if loss(&reached) < before {
                return Some((factor + length * step, next, reached));
            }
            length /= 2.0;
            None
        });
        let Some((next_factor, next, reached)) = found else {
            break;
        };
        (factor, offsets, moments) = (next_factor, next, reached);
    }
    let factor = factor / spread;
    Scaling {
        factor,
        offsets: offsets
            .iter()
            .zip(&means)
            .map(|(offset, mean)| offset - factor * mean)
            .collect(),
    }
}

/// A class, by itself.
struct Class<'a> {
    outputs: &'a [f64],
    truths: &'a [f64],
    /// What is aimed at where it is false, and where it is true.
    targets: [f64; 2],
    /// How much the two count.
    sides: [f64; 2],
}

/// The loss of a class, and its derivatives by the factor on outputs and the offset.
#[derive(Debug, Default, Clone, Copy)]
struct Moments {
    loss: f64,
    by_factor: f64,
    by_offset: f64,
    by_factor_twice: f64,
    by_both: f64,
    by_offset_twice: f64,
}

impl Class<'_> {
    fn moments(&self, factor: f64, offset: f64, weights: &[f64]) -> Moments {
        let mut sums = Moments::default();
        for ((output, truth), weight) in self.outputs.iter().zip(self.truths).zip(weights) {
            let side = usize::from(*truth > 0.5);
            let weight = weight * self.sides[side];
            let target = self.targets[side];
            let (loss, probability) = binary(factor * output + offset, target);
            let slope = weight * (probability - target);
            let curvature = weight * probability * (1.0 - probability);
            sums.loss += weight * loss;
            sums.by_factor += slope * output;
            sums.by_offset += slope;
            sums.by_factor_twice += curvature * output * output;
            sums.by_both += curvature * output;
            sums.by_offset_twice += curvature;
        }
        sums
    }

    /// The logit of its share of images that count `total`.
    fn odds(&self, total: f64) -> f64 {
        let positives = self.truths.iter().sum::<f64>() / self.truths.len() as f64 * total;
        ((positives + 1.0) / (total - positives + 1.0)).ln()
    }
}

/// Newton's step of the factor, on outputs of a spread of 1, and of each offset.
fn newton(moments: &[Moments], spread: f64, factor: f64) -> (f64, Vec<f64>) {
    let (mut slope, mut curvature) = (0.0, FLAT);
    for own in moments {
        let share = own.by_both / (own.by_offset_twice + FLAT);
        slope += (own.by_factor - share * own.by_offset) / spread;
        curvature += (own.by_factor_twice - share * own.by_both) / (spread * spread);
    }
    let step = f64::max(-slope / curvature, LEAST - factor);
    let steps = moments
        .iter()
        .map(|own| -(own.by_offset + own.by_both * step / spread) / (own.by_offset_twice + FLAT));
    (step, steps.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_are_right_three_times_in_four_say_so() {
        // One class, outputs 1 and 0, thousands of images each: nearly the odds, 3 and 1/3.
        let images = 8000;
        let outputs = Matrix::from_fn(1, images, |_, at| (at % 2) as f64);
        let truths = Matrix::from_fn(1, images, |_, at| {
            f64::from(u8::from((at / 2 % 4 == 0) != (at % 2 == 1)))
        });
        let found = calibrate(outputs, &truths, &vec![1.0; images], &[[1.0; 2]], None);
        let expected = 3f64.ln();
        assert!((found.factor - 2.0 * expected).abs() < 0.01, "{found:?}");
        assert!((found.offsets[0] + expected).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn outputs_that_are_wrong_count_for_almost_nothing() {
        let outputs = Matrix::from_fn(2, 40, |class, at| ((at + class) % 4) as f64);
        let truths = Matrix::from_fn(2, 40, |class, at| {
            f64::from(u8::from((at + class) % 4 == 0))
        });
        let found = calibrate(outputs, &truths, &[1.0; 40], &[[1.0; 2]; 2], None);
        assert!(
            (found.factor * 1.25f64.sqrt() - LEAST).abs() < 1e-9,
            "{found:?}"
        );
        let odds = found.offsets[0] + 1.5 * found.factor;
        assert!((odds - (11f64 / 31.0).ln()).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn a_class_without_images_on_one_side_has_finite_offsets() {
        let outputs = Matrix::from_fn(3, 5, |class, at| ((at * 7 + class * 3) % 5) as f64);
        for constant in [0.0, 1.0] {
            let truths = Matrix::from_fn(3, 5, |class, at| match class {
                0 => constant,
                _ => (at % 2) as f64,
            });
            let found = calibrate(outputs.clone(), &truths, &[1.0; 5], &[[1.0; 2]; 3], None);
            assert!(found.factor.is_finite() && found.offsets.iter().all(|own| own.is_finite()));
        }
    }
}
