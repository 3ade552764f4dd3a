//! A factor on outputs that makes softmax of them probabilities one can believe (Guo 2017).

/// The factor on `outputs`, `[n, classes]`, under which softmax gives the labels the highest likelihood: between 0.01 and 1000.
///
/// Fit it on outputs for images that the classifier was not fitted on. The loss is convex in the factor, so that a search
/// by halving finds its minimum. Rows of no finite output do not count.
pub fn temperature(outputs: &[f32], labels: &[usize], classes: usize) -> f64 {
    let slope = |factor: f64| -> f64 {
        let rows = outputs.chunks_exact(classes.max(1)).zip(labels);
        rows.filter(|(row, _)| row.iter().all(|value| value.is_finite()))
            .map(|(row, &label)| {
                // d/df of -log softmax(f row)[label]: the expected output less the label's.
                let largest = row.iter().copied().fold(f32::MIN, f32::max);
                let (mut total, mut expected) = (0.0, 0.0);
                for &value in row {
                    let weight = (factor * f64::from(value - largest)).exp();
                    total += weight;
                    expected += weight * f64::from(value);
                }
                expected / total - row.get(label).copied().map_or(0.0, f64::from)
            })
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
}
