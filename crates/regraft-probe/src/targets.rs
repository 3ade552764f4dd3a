//! What is true of each image: one class, a distribution over classes, or several classes.

use crate::error::Error;

/// How far the probabilities of an image may be from a sum of 1: what rounding to two digits does.
const SUM_TOLERANCE: f64 = 0.01;

/// What is true of each of `N` images, of `C` classes.
///
/// Functions take anything that turns into it, so that `&labels` of a `Vec<usize>` will do for one class an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Targets<'a> {
    /// One class an image: `[N]`, each below `C`.
    Labels(&'a [usize]),
    /// A probability a class: `[N, C]`, row by row. None is negative, and those of an image sum to 1; a sum that is off
    /// by up to 0.01 is scaled to 1.
    Soft(&'a [f32]),
    /// Any number of classes an image, none and all included: `[N, C]`, row by row.
    MultiLabel(&'a [bool]),
}

impl<'a> From<&'a [usize]> for Targets<'a> {
    fn from(labels: &'a [usize]) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> From<&'a Vec<usize>> for Targets<'a> {
    fn from(labels: &'a Vec<usize>) -> Self {
        Self::Labels(labels)
    }
}

impl<'a, const N: usize> From<&'a [usize; N]> for Targets<'a> {
    fn from(labels: &'a [usize; N]) -> Self {
        Self::Labels(labels)
    }
}

impl Targets<'_> {
    /// The targets of ridge regression, `[N, classes]`: one-hot rows, probabilities, or zeros and ones.
    ///
    /// # Errors
    /// When they are no rows of `classes`, a label is out of range, or probabilities are none.
    pub fn rows(&self, classes: usize) -> Result<Vec<f32>, Error> {
        let images = self.check(classes)?;
        let row = |row: usize| {
            let total = self.total(row, classes);
            (0..classes).map(move |class| (self.value(row, class, classes) / total) as f32)
        };
        Ok((0..images).flat_map(row).collect())
    }

    /// Refuses what is no target a class of each image; the number of images otherwise.
    pub(crate) fn check(&self, classes: usize) -> Result<usize, Error> {
        let images = match self {
            Self::Labels(labels) => labels.len(),
            Self::Soft(values) => images(values.len(), classes)?,
            Self::MultiLabel(truths) => images(truths.len(), classes)?,
        };
        match self {
            Self::Labels(labels) => {
                if let Some(row) = labels.iter().position(|&label| label >= classes) {
                    return Err(Error::Label {
                        row,
                        label: labels[row],
                        classes,
                    });
                }
            }
            Self::Soft(values) => {
                let valid = |value: &f32| (0.0..=1.0 + SUM_TOLERANCE as f32).contains(value);
                if let Some(at) = values.iter().position(|value| !valid(value)) {
                    return Err(Error::Probability {
                        row: at / classes,
                        class: at % classes,
                        value: values[at],
                    });
                }
                let sums = values.chunks_exact(classes).map(sum);
                for (row, sum) in sums.enumerate() {
                    if (sum - 1.0).abs() > SUM_TOLERANCE {
                        return Err(Error::Sum { row, sum });
                    }
                }
            }
            Self::MultiLabel(_) => {}
        }
        Ok(images)
    }

    /// The target of a class for an image, as given.
    pub(crate) fn value(&self, row: usize, class: usize, classes: usize) -> f64 {
        match self {
            Self::Labels(labels) => f64::from(u8::from(labels[row] == class)),
            Self::Soft(values) => f64::from(values[row * classes + class]),
            Self::MultiLabel(truths) => f64::from(u8::from(truths[row * classes + class])),
        }
    }

    /// What the targets of an image are divided by: the sum of its probabilities.
    pub(crate) fn total(&self, row: usize, classes: usize) -> f64 {
        match self {
            Self::Soft(values) => sum(&values[row * classes..(row + 1) * classes]),
            Self::Labels(_) | Self::MultiLabel(_) => 1.0,
        }
    }

    /// The class of an image: its most probable one, of equals the first. None where images have any number of classes.
    pub(crate) fn label(&self, row: usize, classes: usize) -> Option<usize> {
        match self {
            Self::Labels(labels) => Some(labels[row]),
            Self::Soft(values) => {
                let own = &values[row * classes..(row + 1) * classes];
                let larger = |best, at| if own[at] > own[best] { at } else { best };
                Some((1..classes).fold(0, larger))
            }
            Self::MultiLabel(_) => None,
        }
    }
}

/// Number of images with so many values.
fn images(values: usize, classes: usize) -> Result<usize, Error> {
    match classes > 0 && values.is_multiple_of(classes) {
        true => Ok(values / classes),
        false => Err(Error::TargetLength { values, classes }),
    }
}

fn sum(row: &[f32]) -> f64 {
    row.iter().map(|value| f64::from(*value)).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn targets_become_rows() {
        let rows = |targets: Targets<'_>| targets.rows(2).unwrap();
        assert_eq!(rows(Targets::from(&[1, 0])), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(
            rows(Targets::Soft(&[0.25, 0.75, 1.0, 0.0])),
            [0.25, 0.75, 1.0, 0.0]
        );
        // Rounded to two digits.
        let sum: f32 = Targets::Soft(&[0.33, 0.33, 0.33])
            .rows(3)
            .unwrap()
            .iter()
            .sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert_eq!(
            rows(Targets::MultiLabel(&[true, true, false, false])),
            [1.0, 1.0, 0.0, 0.0]
        );
    }

    #[test]
    fn what_is_no_target_is_refused_by_name() {
        let refused = |targets: Targets<'_>| targets.rows(2).unwrap_err();
        let label = refused(Targets::Labels(&[0, 2]));
        assert_eq!(
            label.to_string(),
            "label 2 of row 1: there are 2 classes, so labels lie below 2"
        );
        for (values, message) in [
            (
                [0.5, 0.5, 1.5, -0.5],
                "the target of class 0 in row 1 is 1.5; probabilities lie between 0 and 1",
            ),
            (
                [1.1, -0.1, 0.5, 0.5],
                "the target of class 0 in row 0 is 1.1; probabilities lie between 0 and 1",
            ),
            (
                [1.0, -0.1, 0.5, 0.5],
                "the target of class 1 in row 0 is -0.1; probabilities lie between 0 and 1",
            ),
            (
                [0.5, 0.5, f32::NAN, 1.0],
                "the target of class 0 in row 1 is NaN; probabilities lie between 0 and 1",
            ),
            (
                [0.5, 0.5, 0.5, 0.25],
                "the targets of row 1 sum to 0.75; the probabilities of an image sum to 1",
            ),
            (
                [0.5, 0.5, 0.0, 0.0],
                "the targets of row 1 sum to 0; the probabilities of an image sum to 1",
            ),
            (
                [0.5, 0.5, 1.0, 1.0],
                "the targets of row 1 sum to 2; the probabilities of an image sum to 1",
            ),
        ] {
            assert_eq!(refused(Targets::Soft(&values)).to_string(), message);
        }
        let ragged = refused(Targets::MultiLabel(&[true; 3]));
        assert_eq!(
            ragged,
            Error::TargetLength {
                values: 3,
                classes: 2
            }
        );
        let none = Targets::Soft(&[]).rows(0).unwrap_err();
        assert!(matches!(none, Error::TargetLength { classes: 0, .. }));
    }
}
