//! Sums over runs, in a fixed order that vectorises.

/// Running sums side by side.
const LANES: usize = 32;

/// Folds pairs of values into one sum: `f(a, b)` each. Runs of a thousand in f32, these in f64.
#[inline(always)]
pub(crate) fn sum_with(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0f64;
    for (a, b) in a.chunks(1024).zip(b.chunks(1024)) {
        let mut sums = [0.0f32; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                sums[i] += f(a[i], b[i]);
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b)).sum();
        total += sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + f64::from(rest);
    }
    total
}

/// The sum of a run.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    sum_with(values, values, |a, _| a)
}
