//! How well classes are told of which any number may be true: average precision and F1.

use rayon::prelude::*;

use crate::error::Error;
use crate::targets::Targets;

/// Scores of multi-label predictions, each between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiLabelScores {
    /// mAP: the mean over classes of average precision, which needs no threshold. Classes that are true of no image
    /// have none, and are not counted.
    pub mean_average_precision: f64,
    /// F1 of all decisions together, where a class is said of an image when its probability is above one half.
    pub micro_f1: f64,
    /// The mean over classes of their own F1, at the same threshold. Classes that are true of no image are not counted.
    pub macro_f1: f64,
}

/// Scores logits `[N, classes]` by what is true, `[N, classes]`, row by row.
///
/// Average precision is the sum over thresholds of precision times what recall grows by, without interpolation; images
/// of equal logits pass a threshold together.
///
/// # Errors
/// When lengths do not fit, a logit is NaN, or no class is true of any image.
pub fn multi_label_scores(
    logits: &[f32],
    truths: &[bool],
    classes: usize,
) -> Result<MultiLabelScores, Error> {
    let images = Targets::MultiLabel(truths).check(classes)?;
    if logits.len() != truths.len() {
        return Err(Error::LogitLength {
            logits: logits.len(),
            images,
            classes,
        });
    }
    if let Some(at) = logits.iter().position(|logit| logit.is_nan()) {
        return Err(Error::LogitIsNan {
            row: at / classes,
            class: at % classes,
        });
    }
    let counts: Vec<Counts> = (0..classes)
        .into_par_iter()
        .map(|class| Counts::of(logits, truths, class, classes))
        .collect();
    let scored: Vec<&Counts> = counts.iter().filter(|own| own.positives > 0).collect();
    if scored.is_empty() {
        return Err(Error::NeverTrue { classes });
    }
    let mean = |score: &dyn Fn(&Counts) -> f64| -> f64 {
        scored.iter().map(|own| score(own)).sum::<f64>() / scored.len() as f64
    };
    let total = |count: &dyn Fn(&Counts) -> usize| counts.iter().map(count).sum();
    Ok(MultiLabelScores {
        mean_average_precision: mean(&|own| own.average_precision),
        micro_f1: f1(
            total(&|own| own.found),
            total(&|own| own.said),
            total(&|own| own.positives),
        ),
        macro_f1: mean(&|own| f1(own.found, own.said, own.positives)),
    })
}

/// What is counted of a class.
struct Counts {
    /// Images of which it is true.
    positives: usize,
    /// Images of which it is said.
    said: usize,
    /// Images of which both hold.
    found: usize,
    average_precision: f64,
}

impl Counts {
    fn of(logits: &[f32], truths: &[bool], class: usize, classes: usize) -> Self {
        let own = logits[class..].iter().step_by(classes);
        let truths = truths[class..].iter().step_by(classes);
        let mut ranked: Vec<(f32, bool)> = own.copied().zip(truths.copied()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let positives = ranked.iter().filter(|(_, truth)| *truth).count();
        let (mut seen, mut found, mut sum) = (0, 0, 0.0);
        for equal in ranked.chunk_by(|a, b| a.0 == b.0) {
            let hits = equal.iter().filter(|(_, truth)| *truth).count();
            seen += equal.len();
            found += hits;
            sum += hits as f64 * found as f64 / seen as f64;
        }
        let said = ranked.partition_point(|(logit, _)| *logit > 0.0);
        Self {
            positives,
            said,
            found: ranked[..said].iter().filter(|(_, truth)| *truth).count(),
            average_precision: sum / positives.max(1) as f64,
        }
    }
}

/// The harmonic mean of precision and recall, of a class that is true of at least one image.
fn f1(found: usize, said: usize, positives: usize) -> f64 {
    2.0 * found as f64 / (said + positives) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// From tests/stack_reference.py.
    const REFERENCE: [f64; 3] = include!("../tests/scores_reference.in");

    #[test]
    fn scores_are_those_of_the_reference() {
        // Logits with many ties; the last class is true of no image.
        let (images, classes) = (60, 4);
        let truth =
            |i: usize, c: usize| c < classes && (i * 37 + c * 101 + i * c * 13) % 17 < 3 + 2 * c;
        let logit = |i: usize, c: usize| -> f32 {
            if c == classes {
                return 0.0;
            }
            let noise = ((i * classes + c) * 7919 + 13) % 2003;
            let is = |c: usize| f64::from(u8::from(truth(i, c % classes)));
            let output =
                0.5 * is(c) + 0.3 * is(c + classes - 1) + 0.3 * (noise as f64 / 1001.5 - 1.0);
            ((output * 8.0).round_ties_even() / 4.0 - 1.0) as f32
        };
        let pairs = (0..images).flat_map(|i| (0..=classes).map(move |c| (i, c)));
        let logits: Vec<f32> = pairs.clone().map(|(i, c)| logit(i, c)).collect();
        let truths: Vec<bool> = pairs.map(|(i, c)| truth(i, c)).collect();
        let scores = multi_label_scores(&logits, &truths, classes + 1).unwrap();
        let found = [
            scores.mean_average_precision,
            scores.micro_f1,
            scores.macro_f1,
        ];
        for (found, expected) in found.iter().zip(REFERENCE) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn what_cannot_be_scored_is_refused_by_name() {
        let refused =
            |logits: &[f32], truths: &[bool]| multi_label_scores(logits, truths, 2).unwrap_err();
        let none = refused(&[1.0, -1.0], &[false, false]);
        assert_eq!(none, Error::NeverTrue { classes: 2 });
        let nan = refused(&[1.0, -1.0, 0.0, f32::NAN], &[true; 4]);
        assert_eq!(nan, Error::LogitIsNan { row: 1, class: 1 });
        assert!(matches!(
            refused(&[1.0], &[true; 2]),
            Error::LogitLength { .. }
        ));
        assert!(matches!(
            refused(&[1.0], &[true]),
            Error::TargetLength { .. }
        ));
    }
}
