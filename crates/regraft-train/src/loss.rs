//! Cross-entropy on logits, with label smoothing.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

/// Mean cross-entropy in nats of logits `[N, C]` against labels; `smoothing` of each target is spread evenly over all
/// classes (Szegedy 2016, section 7).
pub(crate) fn cross_entropy(
    logits: Tensor<2>,
    labels: &[usize],
    smoothing: f64,
    device: &Device,
) -> Tensor<1> {
    let [count, classes] = logits.dims();
    let spread = (smoothing / classes as f64) as f32;
    let mut targets = vec![spread; count * classes];
    for (row, &label) in labels.iter().enumerate() {
        targets[row * classes + label] += 1.0 - smoothing as f32;
    }
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [count, classes]), device);
    (log_softmax(logits, 1) * targets.autodiff())
        .sum()
        .mul_scalar(-1.0 / count.max(1) as f64)
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
