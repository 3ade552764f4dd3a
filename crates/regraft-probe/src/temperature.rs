//! A factor on outputs that makes softmax or sigmoid of them probabilities one can believe (Guo 2017).

use crate::targets::Targets;

/// The factor on `outputs`, `[N, classes]`, under which they give the targets the highest likelihood: between 0.01 and
/// 1000. Probabilities are softmax of outputs for labels and soft targets, sigmoid of each for any number of classes an
/// image.
///
/// Fit it on outputs for images that the classifier was not fitted on. The loss is convex in the factor, so that a search
/// by halving finds its minimum. Rows of no finite output do not count.
pub fn temperature<'a>(outputs: &[f32], targets: impl Into<Targets<'a>>, classes: usize) -> f64 {
    weighted(outputs, targets.into(), classes, |_| 1.0)
}

/// The same where images count `weight`.
pub(crate) fn weighted(
    outputs: &[f32],
    targets: Targets<'_>,
    classes: usize,
    weight: impl Fn(usize) -> f64,
) -> f64 {
    let classes = classes.max(1);
    let images = match targets {
        Targets::Labels(labels) => labels.len(),
        Targets::Soft(values) => values.len() / classes,
        Targets::MultiLabel(truths) => truths.len() / classes,
    };
    // Of the loss of a row by the factor: the expected output less that of the targets.
    let slope_of = |(index, row): (usize, &[f32]), factor: f64| -> f64 {
        let (mut total, mut expected) = (0.0, 0.0);
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        if let Targets::MultiLabel(truths) = targets {
            let own = row.iter().zip(&truths[index * classes..]);
            return own
                .map(|(value, truth)| {
                    let (value, truth) = (f64::from(*value), f64::from(u8::from(*truth)));
                    value / (1.0 + (-factor * value).exp()) - truth * value
                })
                .sum();
        }
        for &value in row {
            let weight = (factor * f64::from(value - largest)).exp();
            total += weight;
            expected += weight * f64::from(value);
        }
        let own = match targets {
            Targets::Labels(labels) => row.get(labels[index]).copied().map_or(0.0, f64::from),
            _ => {
                let own = row.iter().enumerate();
                own.map(|(class, value)| targets.value(index, class, classes) * f64::from(*value))
                    .sum()
            }
        };
        expected / total - own
    };
    let slope = |factor: f64| -> f64 {
        let rows = outputs.chunks_exact(classes).take(images).enumerate();
        rows.filter(|(_, row)| row.iter().all(|value| value.is_finite()))
            .map(|row| weight(row.0) * slope_of(row, factor))
            .sum()
    };
    let (mut low, mut high) = (0.01f64.ln(), 1000f64.ln());
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if slope(middle.exp()) > 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::midpoint(low, high).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_are_right_three_times_in_four_say_so() {
        // Two classes, outputs 1 and 0: softmax of factor f is 3/4 at f = ln 3.
        let outputs = [1.0, 0.0].repeat(4);
        let factor = temperature(&outputs, &[0, 0, 0, 1], 2);
        assert!((factor - 3f64.ln()).abs() < 1e-6, "{factor}");
        // Never wrong: as sure as the bounds allow.
        assert!(temperature(&outputs, &[0; 4], 2) > 900.0);
        // No better than chance: as unsure.
        assert!(temperature(&outputs, &[0, 1, 0, 1], 2) < 0.02);
    }

    #[test]
    fn soft_targets_and_several_classes_have_a_factor_too() {
        // As above, with the four images' classes as one distribution.
        let factor = temperature(&[1.0, 0.0], Targets::Soft(&[0.75, 0.25]), 2);
        assert!((factor - 3f64.ln()).abs() < 1e-6, "{factor}");
        // Sigmoid of the factor is 3/4.
        let truths = [true, true, true, false];
        let factor = temperature(&[1.0; 4], Targets::MultiLabel(&truths), 1);
        assert!((factor - 3f64.ln()).abs() < 1e-6, "{factor}");
    }
}
