//! Sums, means and products of constants.

use super::tensor::{broadcast, indices, spread, strides};
use super::{Budget, Call, Tensor};
use crate::error::Error;
use crate::proto::attributes::{Attributes, axis};

/// ReduceSum and its kin. Axes are an attribute in older operator sets and an operand in newer ones.
pub(super) fn reduce(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let attributes = Attributes(call.node);
    let rank = operand.shape.len();
    let axes = match (attributes.ints("axes"), call.optional(1)) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(axes)) => axes.to_numbers(call.node)?,
        (None, None) => Vec::new(),
    };
    if axes.is_empty() && attributes.int("noop_with_empty_axes").unwrap_or(0) != 0 {
        return Ok(vec![operand.clone()]);
    }
    let mut gone = vec![axes.is_empty(); rank];
    for given in axes {
        gone[axis(call.node, given, rank)?] = true;
    }
    let kept = attributes.int("keepdims").unwrap_or(1) != 0;
    let reduced: Vec<usize> = (0..rank)
        .map(|axis| if gone[axis] { 1 } else { operand.shape[axis] })
        .collect();
    let shape = match kept {
        true => reduced.clone(),
        false => (0..rank)
            .filter(|&axis| !gone[axis])
            .map(|axis| operand.shape[axis])
            .collect(),
    };
    // Of every value the place of the result that it goes into.
    let places = spread(&reduced, &operand.shape);
    let count: usize = reduced.iter().product();
    let each = operand.len().checked_div(count).unwrap_or(0);
    let operator = call.node.op_type.as_str();
    if !operand.has_fractions() {
        let numbers = operand.to_numbers(call.node)?;
        type Combine = fn(i64, i64) -> Option<i64>;
        let (start, combine): (i64, Combine) = match operator {
            "ReduceSum" | "ReduceMean" => (0, i64::checked_add),
            "ReduceProd" => (1, i64::checked_mul),
            "ReduceMax" => (i64::MIN, |a, b| Some(a.max(b))),
            "ReduceMin" => (i64::MAX, |a, b| Some(a.min(b))),
            _ => return Err(call.unsupported("of whole numbers")),
        };
        let mut results = vec![start; count];
        for (place, number) in places.into_iter().zip(numbers) {
            results[place] = combine(results[place], number)
                .ok_or_else(|| call.fault("its whole numbers are beyond all measure"))?;
        }
        if operator == "ReduceMean" {
            results
                .iter_mut()
                .for_each(|sum| *sum /= each.max(1) as i64);
        }
        return Ok(vec![Tensor::whole(shape, results)]);
    }
    let values = operand.to_floats(call.node)?;
    let (start, combine): (f64, fn(f64, f64) -> f64) = match operator {
        "ReduceSum" | "ReduceMean" | "ReduceLogSum" => (0.0, |a, b| a + b),
        "ReduceL1" => (0.0, |a, b| a + b.abs()),
        "ReduceL2" | "ReduceSumSquare" => (0.0, |a, b| a + b * b),
        "ReduceLogSumExp" => (0.0, |a, b| a + b.exp()),
        "ReduceProd" => (1.0, |a, b| a * b),
        "ReduceMax" => (f64::NEG_INFINITY, f64::max),
        "ReduceMin" => (f64::INFINITY, f64::min),
        _ => return Err(call.fault("is no reduction")),
    };
    let mut results = vec![start; count];
    for (place, value) in places.into_iter().zip(values) {
        results[place] = combine(results[place], f64::from(value));
    }
    let finish: &dyn Fn(f64) -> f64 = match operator {
        "ReduceMean" => &|sum| sum / each as f64,
        "ReduceL2" => &f64::sqrt,
        "ReduceLogSum" | "ReduceLogSumExp" => &f64::ln,
        _ => &|value| value,
    };
    let results = results.into_iter().map(|value| finish(value) as f32);
    Ok(vec![Tensor::floats(shape, results.collect())])
}

/// CumSum along one axis.
pub(super) fn cumulative(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let attributes = Attributes(call.node);
    let flag = |name| attributes.int(name).unwrap_or(0) != 0;
    if flag("exclusive") || flag("reverse") {
        return Err(call.unsupported("exclusive or in reverse"));
    }
    let along = call.operand(1)?.to_number(call.node)?;
    let along = axis(call.node, along, operand.shape.len())?;
    let stride = strides(&operand.shape)[along];
    let shape = operand.shape.clone();
    let later = indices(&operand.shape)
        .enumerate()
        .filter(|(_, index)| index[along] > 0);
    if operand.has_fractions() {
        let mut values = operand.to_floats(call.node)?;
        for (place, _) in later {
            values[place] += values[place - stride];
        }
        return Ok(vec![Tensor::floats(shape, values)]);
    }
    let mut numbers = operand.to_numbers(call.node)?;
    for (place, _) in later {
        numbers[place] = numbers[place].saturating_add(numbers[place - stride]);
    }
    Ok(vec![Tensor::whole(shape, numbers)])
}

/// MatMul of matrices, the axes before the last two spread over each other.
pub(super) fn matmul(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (left, right) = (call.operand(0)?, call.operand(1)?);
    let (&[.., rows, inner], &[.., other, columns]) = (&left.shape[..], &right.shape[..]) else {
        return Err(call.unsupported("of constants that are no matrices"));
    };
    if inner != other {
        return Err(call.fault(format!(
            "{:?} and {:?} do not multiply",
            left.shape, right.shape
        )));
    }
    let ahead = |tensor: &Tensor| tensor.shape[..tensor.shape.len() - 2].to_vec();
    let (left_ahead, right_ahead) = (ahead(left), ahead(right));
    let batch = broadcast(call.node, &[&left_ahead, &right_ahead])?;
    let mut shape = batch.clone();
    shape.extend([rows, columns]);
    // What it costs is the products, not only the numbers that come out.
    let cost = shape
        .iter()
        .chain([&inner])
        .try_fold(1usize, |n, &dim| n.checked_mul(dim));
    budget.spend(call.node, cost.unwrap_or(usize::MAX))?;
    let (a, b) = (left.to_floats(call.node)?, right.to_floats(call.node)?);
    let mut values = Vec::with_capacity(shape.iter().product());
    let pairs = spread(&left_ahead, &batch)
        .into_iter()
        .zip(spread(&right_ahead, &batch));
    for (i, j) in pairs {
        let (a, b) = (&a[i * rows * inner..], &b[j * inner * columns..]);
        for row in 0..rows {
            for column in 0..columns {
                let products = (0..inner)
                    .map(|at| f64::from(a[row * inner + at]) * f64::from(b[at * columns + column]));
                values.push(products.sum::<f64>() as f32);
            }
        }
    }
    Ok(vec![Tensor::floats(shape, values)])
}

/// BatchNormalization of a constant: by its own statistics in training mode, which is how some exporters write weights that are
/// standardised; else by those that are given. Only the first output is made.
pub(super) fn batch_norm(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let attributes = Attributes(call.node);
    let &[_, channels, ..] = &operand.shape[..] else {
        return Err(call.fault("its input has no channels"));
    };
    let mut values = operand.to_floats(call.node)?;
    let each: usize = operand.shape[2..].iter().product();
    let trains = attributes.int("training_mode").unwrap_or(0) != 0
        || call.node.output.iter().skip(1).any(|name| !name.is_empty());
    let vector = |index: usize| {
        let values = call.operand(index)?.to_floats(call.node)?;
        match values.len() == channels {
            true => Ok(values),
            false => Err(call.fault(format!("input {index} is not one for each channel"))),
        }
    };
    let (scale, shift) = (vector(1)?, vector(2)?);
    let (mean, variance) = match trains {
        false => (vector(3)?, vector(4)?),
        true => {
            let count = (operand.len() / channels.max(1)).max(1) as f64;
            let mut sums = vec![[0f64; 2]; channels];
            // The mean first, then the squares of what is left: weights are small beside rounding.
            for pass in 0..2 {
                for (at, &value) in values.iter().enumerate() {
                    let channel = at / each.max(1) % channels;
                    let mean = sums[channel][0] / count;
                    match pass {
                        0 => sums[channel][0] += f64::from(value),
                        _ => sums[channel][1] += (f64::from(value) - mean).powi(2),
                    }
                }
            }
            let part = |index: usize| sums.iter().map(move |sum| (sum[index] / count) as f32);
            (part(0).collect(), part(1).collect())
        }
    };
    let epsilon = attributes.float("epsilon").unwrap_or(1e-5);
    for (at, value) in values.iter_mut().enumerate() {
        let channel = at / each.max(1) % channels;
        let deviation = (variance[channel] + epsilon).sqrt();
        *value = (*value - mean[channel]) / deviation * scale[channel] + shift[channel];
    }
    Ok(vec![Tensor::floats(operand.shape.clone(), values)])
}
