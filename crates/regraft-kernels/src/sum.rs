//! Sums over runs, in a fixed order that vectorises.

/// Running sums side by side.
const LANES: usize = 32;

/// Folds pairs of values into sums: `f(a, b)` each. Runs of a thousand in f32, these in f64.
#[inline(always)]
pub(crate) fn sums_with<const N: usize>(
    a: &[f32],
    b: &[f32],
    f: impl Fn(f32, f32) -> [f32; N],
) -> [f64; N] {
    let mut totals = [0.0f64; N];
    for (a, b) in a.chunks(1024).zip(b.chunks(1024)) {
        let mut sums = [[0.0f32; LANES]; N];
        let mut rest = [0.0f32; N];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                let terms = f(a[i], b[i]);
                for n in 0..N {
                    sums[n][i] += terms[n];
                }
            }
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            let terms = f(*a, *b);
            for n in 0..N {
                rest[n] += terms[n];
            }
        }
        for n in 0..N {
            let sum: f64 = sums[n].iter().map(|sum| f64::from(*sum)).sum();
            totals[n] += sum + f64::from(rest[n]);
        }
    }
    totals
}

/// One sum of `f(a, b)`.
#[inline(always)]
pub(crate) fn sum_with(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let [sum] = sums_with(a, b, |a, b| [f(a, b)]);
    sum
}

/// The sum of a run.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    sum_with(values, values, |a, _| a)
}
