//! A smooth function of many numbers made small: L-BFGS (Liu and Nocedal 1989).

/// Steps whose curvature is remembered.
const MEMORY: usize = 10;
/// Share of the decrease that the slope promises that a step must bring (Armijo 1966).
const DECREASE: f64 = 1e-4;
/// Halvings of a step that brings no decrease.
const HALVINGS: usize = 30;

/// When the minimum is near enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Effort {
    /// Most steps.
    pub steps: usize,
    /// A step that brings less than this share of the value is the last one.
    pub enough: f64,
}

impl Effort {
    /// What a loss is worth that is compared with others.
    pub const USUAL: Self = Self {
        steps: 60,
        enough: 1e-6,
    };

    /// For one of several folds, whose mean counts.
    pub fn of_fold(self) -> Self {
        Self {
            steps: self.steps * 2 / 3,
            ..self
        }
    }
}

/// Moves `values` towards the minimum of `objective`, which gives the value there and fills in the gradient; every step
/// makes the value smaller.
pub(crate) fn minimise(
    values: &mut Vec<f64>,
    effort: Effort,
    objective: impl Fn(&[f64], &mut [f64]) -> f64,
) {
    let count = values.len();
    let mut gradient = vec![0.0; count];
    let mut value = objective(values, &mut gradient);
    let mut remembered: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..effort.steps {
        // Two loops over what is remembered give the inverse curvature times the gradient.
        let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
        let mut shares = Vec::with_capacity(remembered.len());
        for (moved, changed, product) in remembered.iter().rev() {
            let share = dot(moved, &direction) / product;
            add(&mut direction, changed, -share);
            shares.push(share);
        }
        if let Some((_, changed, product)) = remembered.last() {
            let scale = product / dot(changed, changed);
            direction.iter_mut().for_each(|entry| *entry *= scale);
        }
        for ((moved, changed, product), share) in remembered.iter().zip(shares.into_iter().rev()) {
            let other = dot(changed, &direction) / product;
            add(&mut direction, moved, share - other);
        }
        let slope = dot(&direction, &gradient);
        if slope.is_nan() || slope >= 0.0 {
            return;
        }
        let mut length = 1.0;
        let mut next_gradient = vec![0.0; count];
        let found = (0..HALVINGS).find_map(|_| {
            let mut next = values.clone();
            add(&mut next, &direction, length);
            let reached = objective(&next, &mut next_gradient);
            if reached <= value + DECREASE * length * slope {
                return Some((next, reached));
            }
            length /= 2.0;
            None
        });
        let Some((next, reached)) = found else {
            return;
        };
        let moved: Vec<f64> = next.iter().zip(values.iter()).map(|(a, b)| a - b).collect();
        let changed: Vec<f64> = next_gradient
            .iter()
            .zip(&gradient)
            .map(|(a, b)| a - b)
            .collect();
        let product = dot(&moved, &changed);
        let gained = value - reached;
        *values = next;
        value = reached;
        gradient = next_gradient;
        if gained <= effort.enough * value.abs() {
            return;
        }
        if product > 0.0 {
            if remembered.len() == MEMORY {
                remembered.remove(0);
            }
            remembered.push((moved, changed, product));
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], what: &[f64], factor: f64) {
    for (value, other) in to.iter_mut().zip(what) {
        *value += factor * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_of_a_narrow_valley_is_found() {
        // Rosenbrock's function of four numbers: its minimum is at one.
        let mut values = vec![-1.2, 1.0, -0.5, 2.0];
        let effort = Effort {
            steps: 500,
            ..Effort::USUAL
        };
        minimise(&mut values, effort, |x, gradient| {
            gradient.fill(0.0);
            let mut sum = 0.0;
            for i in 0..x.len() - 1 {
                let (a, b) = (1.0 - x[i], x[i + 1] - x[i] * x[i]);
                sum += a * a + 100.0 * b * b;
                gradient[i] += -2.0 * a - 400.0 * x[i] * b;
                gradient[i + 1] += 200.0 * b;
            }
            sum
        });
        assert!(
            values.iter().all(|value| (value - 1.0).abs() < 1e-2),
            "{values:?}"
        );
    }
}
