//! The one-dimensional transforms; two of them, down and across, make the ones of a tile.

use crate::simd::Simd;

/// Most values of a row of a tile before the transform.
pub(crate) const MOST_IN: usize = 6;
/// Most outputs of a row of a tile.
pub(crate) const MOST_OUT: usize = 4;

/// A size of tile. Arrays are of the largest; smaller tiles leave the rest alone.
pub(crate) trait Scheme: Copy + Send + Sync + 'static {
    /// Outputs of a row.
    const OUT: usize;
    /// Inputs of a row: two more.
    const IN: usize = Self::OUT + 2;

    /// `B^T d`
    fn input<S: Simd>(d: [S::Vector; MOST_IN]) -> [S::Vector; MOST_IN];
    /// `G g`
    fn weight<S: Simd>(g: [S::Vector; 3]) -> [S::Vector; MOST_IN];
    /// `A^T m`
    fn output<S: Simd>(m: [S::Vector; MOST_IN]) -> [S::Vector; MOST_OUT];
}

/// F(4x4, 3x3), points 0, ±1/√2, ±√2 and infinity: with them the rounding error is less than half of that with the usual
/// 0, ±1, ±2 and infinity (Barabasz et al. 2020, "Error Analysis and Improving the Accuracy of Winograd Convolution").
#[derive(Clone, Copy)]
pub(crate) struct F4;

/// The inner points, whose squares are 1/2, and the outer ones, whose squares are 2.
const INNER: f32 = std::f32::consts::FRAC_1_SQRT_2;
const OUTER: f32 = std::f32::consts::SQRT_2;

impl Scheme for F4 {
    const OUT: usize = 4;

    #[inline(always)]
    fn input<S: Simd>([a, b, c, d, e, f]: [S::Vector; MOST_IN]) -> [S::Vector; MOST_IN] {
        let (two, half, middle) = (S::splat(-2.0), S::splat(-0.5), S::splat(-2.5));
        let (even, odd) = (S::fma(two, c, e), S::fma(two, b, d));
        let (even_outer, odd_outer) = (S::fma(half, c, e), S::fma(half, b, d));
        [
            S::fma(middle, c, S::add(a, e)),
            S::fma(S::splat(INNER), odd, even),
            S::fma(S::splat(-INNER), odd, even),
            S::fma(S::splat(OUTER), odd_outer, even_outer),
            S::fma(S::splat(-OUTER), odd_outer, even_outer),
            S::fma(middle, d, S::add(b, f)),
        ]
    }

    #[inline(always)]
    fn weight<S: Simd>([a, b, c]: [S::Vector; 3]) -> [S::Vector; MOST_IN] {
        let third = S::splat(1.0 / 3.0);
        let even = S::fma(a, S::splat(-2.0 / 3.0), S::mul(c, S::splat(-1.0 / 3.0)));
        let odd = S::mul(b, S::splat(-OUTER / 3.0));
        let even_outer = S::fma(a, S::splat(1.0 / 6.0), S::mul(c, third));
        let odd_outer = S::mul(b, S::splat(OUTER / 6.0));
        [
            a,
            S::add(even, odd),
            S::sub(even, odd),
            S::add(even_outer, odd_outer),
            S::sub(even_outer, odd_outer),
            c,
        ]
    }

    #[inline(always)]
    fn output<S: Simd>([a, b, c, d, e, f]: [S::Vector; MOST_IN]) -> [S::Vector; MOST_OUT] {
        let (sum, difference) = (S::add(b, c), S::sub(b, c));
        let (outer_sum, outer_difference) = (S::add(d, e), S::sub(d, e));
        let cubes = S::fma(S::splat(INNER * 0.5), difference, f);
        [
            S::add(a, S::add(sum, outer_sum)),
            S::fma(
                S::splat(OUTER),
                outer_difference,
                S::mul(S::splat(INNER), difference),
            ),
            S::fma(S::splat(2.0), outer_sum, S::mul(S::splat(0.5), sum)),
            S::fma(S::splat(OUTER * 2.0), outer_difference, cubes),
        ]
    }
}

/// Of a row of four of the output's gradient, its polynomial at the points of [`F4`]. The factors that belong to the
/// points are left to [`transform_to_kernel`], which runs less often.
#[inline(always)]
pub(crate) fn transform_output_gradient<S: Simd>(
    [a, b, c, d]: [S::Vector; MOST_OUT],
) -> [S::Vector; MOST_IN] {
    let (half, two) = (S::splat(0.5), S::splat(2.0));
    let even = S::fma(half, c, a);
    let odd = S::mul(S::splat(INNER), S::fma(half, d, b));
    let even_outer = S::fma(two, c, a);
    let odd_outer = S::mul(S::splat(OUTER), S::fma(two, d, b));
    [
        a,
        S::add(even, odd),
        S::sub(even, odd),
        S::add(even_outer, odd_outer),
        S::sub(even_outer, odd_outer),
        d,
    ]
}

/// Three taps from sums of products at the points of [`F4`].
#[inline(always)]
pub(crate) fn transform_to_kernel<S: Simd>(
    [a, b, c, d, e, f]: [S::Vector; MOST_IN],
) -> [S::Vector; 3] {
    let (sum, difference) = (S::add(b, c), S::sub(b, c));
    let (outer_sum, outer_difference) = (S::add(d, e), S::sub(d, e));
    let first = S::fma(S::splat(-2.0 / 3.0), sum, a);
    let last = S::mul(S::splat(1.0 / 3.0), S::sub(outer_sum, sum));
    [
        S::fma(S::splat(1.0 / 6.0), outer_sum, first),
        S::fma(
            S::splat(OUTER / 6.0),
            outer_difference,
            S::mul(S::splat(-OUTER / 3.0), difference),
        ),
        S::add(f, last),
    ]
}

/// F(2x2, 3x3), points 0, 1, -1 and infinity.
#[derive(Clone, Copy)]
pub(crate) struct F2;

impl Scheme for F2 {
    const OUT: usize = 2;

    #[inline(always)]
    fn input<S: Simd>([a, b, c, d, rest @ ..]: [S::Vector; MOST_IN]) -> [S::Vector; MOST_IN] {
        [
            S::sub(a, c),
            S::add(b, c),
            S::sub(c, b),
            S::sub(b, d),
            rest[0],
            rest[1],
        ]
    }

    #[inline(always)]
    fn weight<S: Simd>([a, b, c]: [S::Vector; 3]) -> [S::Vector; MOST_IN] {
        let half = S::splat(0.5);
        let (even, odd) = (S::mul(S::add(a, c), half), S::mul(b, half));
        [a, S::add(even, odd), S::sub(even, odd), c, c, c]
    }

    #[inline(always)]
    fn output<S: Simd>([a, b, c, d, ..]: [S::Vector; MOST_IN]) -> [S::Vector; MOST_OUT] {
        let second = S::sub(S::sub(b, c), d);
        [S::add(a, S::add(b, c)), second, second, second]
    }
}
