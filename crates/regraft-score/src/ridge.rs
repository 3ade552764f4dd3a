//! Ridge regression of one fold: standardised features, one-hot targets, a Cholesky factorisation a strength.
//!
//! A factorisation for every strength and no eigendecomposition for all: n³/3 operations against 4 to 9 n³, many of
//! those memory-bound, so that a dozen strengths are cheaper this way.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::{factor, solve};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par, Spec};

use crate::error::Error;

/// Which linear system is solved. Both have the same solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The smaller of the two.
    Smaller,
    /// `(ZᵀZ + λI) B = ZᵀY`, `[d, d]`.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare the two"))]
    Primal,
    /// `(ZZᵀ + λI) A = Y`, `[m, m]`; `B = ZᵀA` is never formed.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare the two"))]
    Dual,
}

/// What all strengths of a fold share.
pub(crate) struct Ridge {
    /// Lower triangle of `ZᵀZ` or `ZZᵀ`.
    gram: Mat<f64>,
    /// Right-hand side: `ZᵀY` or `Y`, `[side, classes]`.
    targets: Mat<f64>,
    /// What turns a solution into predictions: `Zv` or `ZvZᵀ`, `[v, side]`.
    project: Mat<f64>,
    /// Share of each class in the training part: the intercept.
    prior: Vec<f64>,
    /// λ for a strength of 1: the mean of the Gram matrix's non-zero eigenvalues, if it has full rank.
    unit: f64,
}

impl Ridge {
    /// `features`: `[n, d]` row-major; `train` and `valid` are rows of it.
    pub fn new(
        features: &[f32],
        labels: &[usize],
        classes: usize,
        train: &[usize],
        valid: &[usize],
        side: Side,
    ) -> Self {
        let columns = standardisation(features, labels.len(), train);
        let width = features.len() / labels.len();
        let standardised = |rows: &[usize]| {
            Mat::from_fn(rows.len(), columns.len(), |i, j| {
                let column = &columns[j];
                (f64::from(features[rows[i] * width + column.index]) - column.mean) * column.scale
            })
        };
        let (z, z_valid) = (standardised(train), standardised(valid));
        let mut prior = vec![0.0; classes];
        for &row in train {
            prior[labels[row]] += 1.0 / train.len() as f64;
        }
        let y = Mat::from_fn(train.len(), classes, |i, class| {
            f64::from(u8::from(labels[train[i]] == class)) - prior[class]
        });
        let primal = match side {
            Side::Smaller => z.ncols() <= z.nrows(),
            Side::Primal => true,
            Side::Dual => false,
        };
        let (gram, targets, project) = if primal {
            (
                lower_gram(z.transpose()),
                product(z.transpose(), y.as_ref()),
                z_valid,
            )
        } else {
            let project = product(z_valid.as_ref(), z.transpose());
            (lower_gram(z.as_ref()), y, project)
        };
        Self {
            gram,
            targets,
            project,
            prior,
            // The trace is m d: every standardised column has square sum m.
            unit: z.nrows().max(z.ncols()) as f64,
        }
    }

    /// The class with the largest output for every row of the validation part; the first of equals.
    pub fn predict(&self, strength: f64) -> Result<Vec<usize>, Error> {
        let outputs = self.outputs(strength)?;
        Ok((0..outputs.nrows())
            .map(|row| {
                (1..outputs.ncols()).fold(0, |best, class| {
                    if outputs[(row, class)] > outputs[(row, best)] {
                        class
                    } else {
                        best
                    }
                })
            })
            .collect())
    }

    /// Outputs for the validation part, `[v, classes]`.
    fn outputs(&self, strength: f64) -> Result<Mat<f64>, Error> {
        let side = self.gram.nrows();
        let mut factored = self.gram.clone();
        for index in 0..side {
            factored[(index, index)] += strength * self.unit;
        }
        let scratch = factor::cholesky_in_place_scratch::<f64>(side, Par::Seq, Spec::default());
        factor::cholesky_in_place(
            factored.as_mut(),
            factor::LltRegularization::default(),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(scratch)),
            Spec::default(),
        )
        .map_err(|_| Error::Singular { strength })?;
        let mut solution = self.targets.clone();
        let scratch = solve::solve_in_place_scratch::<f64>(side, solution.ncols(), Par::Seq);
        solve::solve_in_place(
            factored.as_ref(),
            solution.as_mut(),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(scratch)),
        );
        let mut outputs = product(self.project.as_ref(), solution.as_ref());
        for (class, prior) in self.prior.iter().enumerate() {
            for row in 0..outputs.nrows() {
                outputs[(row, class)] += prior;
            }
        }
        Ok(outputs)
    }
}

/// How a column that varies is standardised: `(value - mean) * scale`.
struct Column {
    index: usize,
    mean: f64,
    scale: f64,
}

/// The columns that vary over `rows`. A constant one tells nothing, and has no scale.
fn standardisation(features: &[f32], images: usize, rows: &[usize]) -> Vec<Column> {
    let width = features.len() / images;
    let row = |row: usize| &features[row * width..(row + 1) * width];
    let first = row(rows[0]);
    let mut varies = vec![false; width];
    let mut means = vec![0.0; width];
    for &index in rows {
        for (column, &value) in row(index).iter().enumerate() {
            varies[column] |= value != first[column];
            means[column] += f64::from(value) / rows.len() as f64;
        }
    }
    let mut squares = vec![0.0; width];
    for &index in rows {
        for (column, &value) in row(index).iter().enumerate() {
            squares[column] += (f64::from(value) - means[column]).powi(2);
        }
    }
    (0..width)
        .filter(|&index| varies[index] && squares[index] > 0.0)
        .map(|index| Column {
            index,
            mean: means[index],
            scale: (rows.len() as f64 / squares[index]).sqrt(),
        })
        .collect()
}

/// Lower triangle of `a aᵀ`; zeros above.
fn lower_gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let mut gram = Mat::zeros(a.nrows(), a.nrows());
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        a,
        BlockStructure::Rectangular,
        a.transpose(),
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
    gram
}

/// `a b`. One thread: folds are what runs in parallel, and sums keep their order.
fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    matmul(c.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    c
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Twelve rows of `width` features made of integers; column 1 is constant. The last three rows are validated.
    fn scene(width: usize, side: Side) -> Ridge {
        let features: Vec<f32> = (0..12 * width)
            .map(|index| (index / width, index % width))
            .map(|(i, j)| match j {
                1 => 2.5,
                _ => ((i * 37 + j * 101 + i * j * 13) % 17) as f32 / 4.0,
            })
            .collect();
        let labels: Vec<usize> = (0..12).map(|row| row % 3).collect();
        let rows: Vec<usize> = (0..12).collect();
        Ridge::new(&features, &labels, 3, &rows[..9], &rows[9..], side)
    }

    #[test]
    fn outputs_equal_the_reference_on_either_side() {
        // From tests/ridge_reference.py.
        let goldens: [(usize, f64, [[f64; 3]; 3]); 4] = [
            (
                4,
                0.01,
                [
                    [0.251171025014, 0.376355984395, 0.372472990591],
                    [-0.337307639817, 0.727466509587, 0.609841130230],
                    [-0.374147991504, 0.797686258786, 0.576461732718],
                ],
            ),
            (
                4,
                1.0,
                [
                    [0.265856678796, 0.346933761143, 0.387209560062],
                    [0.029411828741, 0.529967100145, 0.440621071114],
                    [-0.023909881375, 0.554212921143, 0.469696960232],
                ],
            ),
            (
                20,
                0.01,
                [
                    [0.006638246600, 0.763389915219, 0.229971838181],
                    [0.018125989026, 0.822975102178, 0.158898908796],
                    [-0.350032729202, 0.679461657695, 0.670571071508],
                ],
            ),
            (
                20,
                1.0,
                [
                    [0.185044047378, 0.578057404678, 0.236898547944],
                    [0.169185589405, 0.628702016432, 0.202112394163],
                    [0.025533474074, 0.527259018490, 0.447207507437],
                ],
            ),
        ];
        for (width, strength, expected) in goldens {
            for side in [Side::Smaller, Side::Primal, Side::Dual] {
                let outputs = scene(width, side).outputs(strength).unwrap();
                for (row, values) in expected.iter().enumerate() {
                    for (class, value) in values.iter().enumerate() {
                        let got = outputs[(row, class)];
                        assert!(
                            (got - value).abs() < 1e-10,
                            "{width} {strength} {side:?} [{row}, {class}]: {got} {value}"
                        );
                    }
                }
            }
        }
    }
}
