//! Ridge regression of one fold: standardised features, one-hot targets, a Cholesky factorisation a strength.
//!
//! A factorisation for every strength and no eigendecomposition for all: n³/3 operations against 4 to 9 n³, many of
//! those memory-bound, so that a dozen strengths are cheaper this way.

use crate::error::Error;
use crate::matrix::Matrix;

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
    /// `ZᵀZ` or `ZZᵀ`.
    gram: Matrix,
    /// Right-hand side: `ZᵀY` or `Y`, `[side, classes]`.
    targets: Matrix,
    /// What turns a solution into predictions: `Zv` or `ZvZᵀ`, `[v, side]`.
    project: Matrix,
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
            Matrix::from_fn(rows.len(), columns.len(), |i, j| {
                let column = &columns[j];
                (f64::from(features[rows[i] * width + column.index]) - column.mean) * column.scale
            })
        };
        let (z, z_valid) = (standardised(train), standardised(valid));
        let mut prior = vec![0.0; classes];
        for &row in train {
            prior[labels[row]] += 1.0 / train.len() as f64;
        }
        let y = Matrix::from_fn(train.len(), classes, |i, class| {
            f64::from(u8::from(labels[train[i]] == class)) - prior[class]
        });
        let primal = match side {
            Side::Smaller => z.columns() <= z.rows(),
            Side::Primal => true,
            Side::Dual => false,
        };
        let (gram, targets, project) = if primal {
            let across = z.transpose();
            (across.product(&z), across.product(&y), z_valid)
        } else {
            let across = z.transpose();
            (z.product(&across), y, z_valid.product(&across))
        };
        Self {
            gram,
            targets,
            project,
            prior,
            // The trace is m d: every standardised column has square sum m.
            unit: z.rows().max(z.columns()) as f64,
        }
    }

    /// The class with the largest output for every row of the validation part; the first of equals.
    pub fn predict(&self, strength: f64) -> Result<Vec<usize>, Error> {
        let outputs = self.outputs(strength)?;
        Ok((0..outputs.rows())
            .map(|row| {
                (1..outputs.columns()).fold(0, |best, class| {
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
    fn outputs(&self, strength: f64) -> Result<Matrix, Error> {
        let mut factor = self.gram.clone();
        for index in 0..factor.rows() {
            factor[(index, index)] += strength * self.unit;
        }
        if !factor.cholesky() {
            return Err(Error::Singular { strength });
        }
        let mut solution = self.targets.clone();
        factor.solve(&mut solution);
        let mut outputs = self.project.product(&solution);
        for (class, prior) in self.prior.iter().enumerate() {
            for row in 0..outputs.rows() {
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
