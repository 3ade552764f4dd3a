//! Ridge regression on fewer images than features, and what it says of every image when that is left out: from one
//! factorisation.

use crate::matrix::Matrix;

/// Which images are left out together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Folds {
    /// Each by itself.
    EachImage,
    /// Those of the same number; an image without a number is never left out.
    Parts(Vec<Option<usize>>),
}

/// Ridge regression in the images' own products, and what it says of images left out.
pub(crate) struct Dual {
    /// `[n, outputs]`: a feature's weight is the sum of its values over images times these.
    pub solution: Matrix,
    /// `[outputs]`.
    pub intercept: Vec<f64>,
    /// Outputs for each image from the images of other folds, `[n, outputs]`; NaN for an image without a fold.
    pub outputs: Matrix,
}

/// Solves for `gram`, the images' own products `[n, n]` (the lower triangle), with `penalty` added to its diagonal and an
/// intercept that is not penalised. `None` where the system is singular.
///
/// With `G` the inverse of the whole system, intercept included, and `a = G y`, the outputs for the images `F` of a fold that
/// is left out are `y - (G_FF)⁻¹ a` (the block form of the leave-one-out formula of Golub, Heath and Wahba 1979): n³
/// operations for any number of folds, where n³/3 a fold would be usual.
pub(crate) fn solve(
    gram: &Matrix,
    penalty: &[f64],
    targets: &Matrix,
    folds: &Folds,
) -> Option<Dual> {
    let (rows, width) = (targets.rows(), targets.columns());
    let mut system = gram.clone();
    for (index, penalty) in penalty.iter().enumerate() {
        system[(index, index)] += penalty;
    }
    if !system.cholesky() {
        return None;
    }
    let inverse = system.inverse_of_factor();
    drop(system);
    // A column of L⁻¹ is a row here.
    let columns = inverse.transpose();
    // Targets and, last, ones: the intercept's column.
    let sides = Matrix::from_fn(rows, width + 1, |row, column| match column < width {
        true => targets[(row, column)],
        false => 1.0,
    });
    let solved = columns.product(&inverse.product(&sides));
    drop(inverse);
    let ones = |row: usize| solved[(row, width)];
    let total: f64 = (0..rows).map(ones).sum();
    let intercept: Vec<f64> = (0..width)
        .map(|output| (0..rows).map(|row| solved[(row, output)]).sum::<f64>() / total)
        .collect();
    let solution = Matrix::from_fn(rows, width, |row, output| {
        solved[(row, output)] - ones(row) * intercept[output]
    });
    let outputs = match folds {
        Folds::EachImage => Matrix::from_fn(rows, width, |row, output| {
            let own = columns.square_of_row(row) - ones(row) * ones(row) / total;
            targets[(row, output)] - solution[(row, output)] / own
        }),
        Folds::Parts(parts) => {
            let mut outputs = Matrix::from_fn(rows, width, |_, _| f64::NAN);
            let count = parts.iter().flatten().max().map_or(0, |most| most + 1);
            for fold in 0..count {
                let inside: Vec<usize> =
                    (0..rows).filter(|&row| parts[row] == Some(fold)).collect();
                let mut block = Matrix::zeros(inside.len(), inside.len());
                block.add_gram(&columns.rows_at(&inside), 1.0);
                for (i, &a) in inside.iter().enumerate() {
                    for (j, &b) in inside[..=i].iter().enumerate() {
                        block[(i, j)] -= ones(a) * ones(b) / total;
                    }
                }
                let mut residual = solution.rows_at(&inside);
                if !block.cholesky() {
                    return None;
                }
                block.solve(&mut residual);
                for (at, &row) in inside.iter().enumerate() {
                    for output in 0..width {
                        outputs[(row, output)] = targets[(row, output)] - residual[(at, output)];
                    }
                }
            }
            outputs
        }
    };
    Some(Dual {
        solution,
        intercept,
        outputs,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_factorisation_gives_what_leaving_folds_out_gives() {
        let (rows, width) = (40, 7);
        let value = |i: usize| ((i * 7919 + 13) % 2003) as f64 / 1001.5 - 1.0;
        let z = Matrix::from_fn(rows, width, |row, column| value(row * width + column));
        let targets = Matrix::from_fn(rows, 3, |row, output| {
            f64::from(u8::from(row % 3 == output)) + 0.3
        });
        let mut gram = Matrix::zeros(rows, rows);
        gram.add_gram(&z, 1.0);
        let penalty: Vec<f64> = (0..rows).map(|row| 0.5 + (row % 2) as f64).collect();
        let parts = |count: usize| -> Vec<Option<usize>> {
            let fold = |row: usize| (row > 0).then_some((row * 7 / 2) % count);
            (0..rows).map(fold).collect()
        };
        let each: Vec<Option<usize>> = (0..rows).map(Some).collect();
        for (folds, parts) in [
            (Folds::EachImage, each),
            (Folds::Parts(parts(2)), parts(2)),
            (Folds::Parts(parts(5)), parts(5)),
        ] {
            let dual = solve(&gram, &penalty, &targets, &folds).unwrap();
            for row in 0..rows {
                if parts[row].is_none() {
                    assert!(dual.outputs[(row, 0)].is_nan());
                    continue;
                }
                // The usual way: without the fold, with a column of ones that is hardly penalised.
                let train: Vec<usize> = (0..rows).filter(|&r| parts[r] != parts[row]).collect();
                let wide = |rows: &[usize]| {
                    Matrix::from_fn(rows.len(), width + 1, |i, j| match j < width {
                        true => z[(rows[i], j)],
                        false => 1e4,
                    })
                };
                let part = wide(&train);
                let mut system = part.product(&part.transpose());
                for (at, &row) in train.iter().enumerate() {
                    system[(at, at)] += penalty[row];
                }
                assert!(system.cholesky());
                let mut solution = targets.rows_at(&train);
                system.solve(&mut solution);
                let expected = wide(&[row]).product(&part.transpose()).product(&solution);
                for output in 0..3 {
                    let (a, b) = (dual.outputs[(row, output)], expected[(0, output)]);
                    assert!((a - b).abs() < 1e-5, "{a} {b}");
                }
            }
        }
    }
}
