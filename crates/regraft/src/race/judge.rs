//! How candidates are compared: image by image on the same ones, the simplest within one standard error of the best.

use regraft_train::Evaluation;

/// What a candidate said of the images that it is judged on.
#[derive(Debug, Clone, Default)]
pub(super) struct Judgement {
    /// Of each image, 1 where it was classified right, else 0.
    right: Vec<f64>,
    /// Of each image, the loss in nats.
    losses: Vec<f64>,
    /// The same of the images of another style, where the recipe has some.
    shifted: Option<(Vec<f64>, Vec<f64>)>,
}

/// Right or not, and the loss, of every image.
fn by_image(evaluation: &Evaluation) -> (Vec<f64>, Vec<f64>) {
    let predictions = evaluation.predictions.iter();
    predictions
        .map(|p| {
            let own = p.probabilities.get(p.label).copied().unwrap_or(0.0);
            let right = f64::from(u8::from(p.predicted() == p.label));
            (right, -f64::from(own).max(1e-6).ln())
        })
        .unzip()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The standard error of a mean.
fn error(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (count - 1.0).max(1.0) / count).sqrt()
}

impl Judgement {
    /// Adds images that no other part has.
    pub fn add(&mut self, evaluation: &Evaluation) {
        let (right, losses) = by_image(evaluation);
        self.right.extend(right);
        self.losses.extend(losses);
    }

    /// Adds what was said of the images of another style.
    pub fn add_shifted(&mut self, evaluation: &Evaluation) {
        let (right, losses) = by_image(evaluation);
        let shifted = self.shifted.get_or_insert_default();
        shifted.0.extend(right);
        shifted.1.extend(losses);
    }

    /// Share of images classified right.
    pub fn accuracy(&self) -> f64 {
        mean(&self.right)
    }

    /// Its standard error (Agresti and Coull 1998: never 0).
    pub fn accuracy_error(&self) -> f64 {
        let count = self.right.len() as f64;
        let share = (self.accuracy() * count + 2.0) / (count + 4.0);
        (share * (1.0 - share) / (count + 4.0)).sqrt()
    }

    /// Mean loss in nats.
    pub fn loss(&self) -> f64 {
        mean(&self.losses)
    }

    /// Share of the images of another style that were classified right.
    pub fn shifted(&self) -> Option<f64> {
        self.shifted.as_ref().map(|(right, _)| mean(right))
    }

    /// What candidates are ranked by: accuracy, then loss. Images of another style count as much as the others.
    pub fn score(&self) -> (f64, f64) {
        let own = (self.accuracy(), -self.loss());
        match &self.shifted {
            None => own,
            Some((right, losses)) => ((own.0 + mean(right)) / 2.0, (own.1 - mean(losses)) / 2.0),
        }
    }

    /// Whether this is better than `other` by more than one standard error of their difference, on the images that both were
    /// judged on: the first ones, where there was no time for all.
    fn is_better_than(&self, other: &Self) -> bool {
        let differences =
            |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
        let own = differences(&self.right, &other.right);
        let (difference, variance) = match (&self.shifted, &other.shifted) {
            (Some((a, _)), Some((b, _))) => {
                let shifted = differences(a, b);
                let variance = error(&own).powi(2) + error(&shifted).powi(2);
                ((mean(&own) + mean(&shifted)) / 2.0, variance / 4.0)
            }
            _ => (mean(&own), error(&own).powi(2)),
        };
        difference > variance.sqrt()
    }
}

/// Which of several candidates is chosen. The first is simpler than all others: it stays unless the best of them is better
/// by more than one standard error.
pub(super) fn choose(judgements: &[&Judgement]) -> usize {
    let mut best = 0;
    for (index, judgement) in judgements.iter().enumerate() {
        if judgement.score() > judgements[best].score() {
            best = index;
        }
    }
    match judgements.first() {
        Some(first) if judgements[best].is_better_than(first) => best,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `right` of `images` classified right, the first ones.
    fn judged(right: usize, images: usize, loss: f64) -> Judgement {
        Judgement {
            right: (0..images)
                .map(|at| f64::from(u8::from(at < right)))
                .collect(),
            losses: vec![loss; images],
            shifted: None,
        }
    }

    #[test]
    fn the_first_stays_within_a_standard_error() {
        let first = judged(50, 100, 1.0);
        // Better by one image, and they disagree on most.
        let mut other = judged(51, 100, 0.5);
        other.right.reverse();
        assert_eq!(choose(&[&first, &other]), 0);
        assert_eq!(
            choose(&[&first, &judged(60, 100, 2.0), &judged(58, 100, 0.1)]),
            1
        );
        // Equally right: the surer.
        let others = [&first, &judged(60, 100, 2.0), &judged(60, 100, 0.1)];
        assert_eq!(choose(&others), 2);
    }

    #[test]
    fn images_of_another_style_count_as_much_as_the_others() {
        let with = |right, shifted| Judgement {
            shifted: Some((judged(shifted, 100, 1.0).right, vec![1.0; 100])),
            ..judged(right, 100, 1.0)
        };
        assert_eq!(choose(&[&with(60, 20), &with(55, 60)]), 1);
        assert_eq!(choose(&[&with(60, 60), &with(75, 40)]), 0);
    }
}
