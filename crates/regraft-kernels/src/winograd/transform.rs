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

/// F(4x4, 3x3), points 0, 1, -1, 2, -2 and infinity.
#[derive(Clone, Copy)]
pub(crate) struct F4;

impl Scheme for F4 {
    const OUT: usize = 4;

    #[inline(always)]
    fn input<S: Simd>([a, b, c, d, e, f]: [S::Vector; MOST_IN]) -> [S::Vector; MOST_IN] {
        let (two, four, five) = (S::splat(2.0), S::splat(4.0), S::splat(-5.0));
        let (minus_four, minus_two) = (S::splat(-4.0), S::splat(-2.0));
        let even = S::fma(minus_four, c, e);
        let odd = S::fma(minus_four, b, d);
        let even_two = S::sub(e, c);
        let odd_two = S::sub(d, b);
        [
            S::fma(four, a, S::fma(five, c, e)),
            S::add(even, odd),
            S::sub(even, odd),
            S::fma(two, odd_two, even_two),
            S::fma(minus_two, odd_two, even_two),
            S::fma(four, b, S::fma(five, d, f)),
        ]
    }

    #[inline(always)]
    fn weight<S: Simd>([a, b, c]: [S::Vector; 3]) -> [S::Vector; MOST_IN] {
        let sixth = S::splat(-1.0 / 6.0);
        let (even, odd) = (S::mul(S::add(a, c), sixth), S::mul(b, sixth));
        let even_two = S::fma(a, S::splat(1.0 / 24.0), S::mul(c, S::splat(1.0 / 6.0)));
        let odd_two = S::mul(b, S::splat(1.0 / 12.0));
        [
            S::mul(a, S::splat(0.25)),
            S::add(even, odd),
            S::sub(even, odd),
            S::add(even_two, odd_two),
            S::sub(even_two, odd_two),
            c,
        ]
    }

    #[inline(always)]
    fn output<S: Simd>([a, b, c, d, e, f]: [S::Vector; MOST_IN]) -> [S::Vector; MOST_OUT] {
        let (sum, difference) = (S::add(b, c), S::sub(b, c));
        let (sum_two, difference_two) = (S::add(d, e), S::sub(d, e));
        [
            S::add(a, S::add(sum, sum_two)),
            S::fma(S::splat(2.0), difference_two, difference),
            S::fma(S::splat(4.0), sum_two, sum),
            S::add(f, S::fma(S::splat(8.0), difference_two, difference)),
        ]
    }
}

/// Of a row of four of the output's gradient, its polynomial at the points of [`F4`]. The factors that belong to the
/// points are left to [`transform_to_kernel`], which runs less often.
#[inline(always)]
pub(crate) fn transform_output_gradient<S: Simd>(
    [a, b, c, d]: [S::Vector; MOST_OUT],
) -> [S::Vector; MOST_IN] {
    let (two, four, eight) = (S::splat(2.0), S::splat(4.0), S::splat(8.0));
    let (even, odd) = (S::add(a, c), S::add(b, d));
    let even_two = S::fma(four, c, a);
    let odd_two = S::fma(eight, d, S::mul(two, b));
    [
        a,
        S::add(even, odd),
        S::sub(even, odd),
        S::add(even_two, odd_two),
        S::sub(even_two, odd_two),
        d,
    ]
}

/// Three taps from sums of products at the points of [`F4`].
#[inline(always)]
pub(crate) fn transform_to_kernel<S: Simd>(
    [a, b, c, d, e, f]: [S::Vector; MOST_IN],
) -> [S::Vector; 3] {
    let (sixth, twelfth) = (S::splat(-1.0 / 6.0), S::splat(1.0 / 12.0));
    let (sum, difference) = (S::mul(S::add(b, c), sixth), S::mul(S::sub(b, c), sixth));
    let (sum_two, difference_two) = (S::add(d, e), S::sub(d, e));
    let first = S::fma(S::splat(0.25), a, sum);
    [
        S::fma(S::splat(1.0 / 24.0), sum_two, first),
        S::fma(twelfth, difference_two, difference),
        S::add(f, S::fma(S::splat(1.0 / 6.0), sum_two, sum)),
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
