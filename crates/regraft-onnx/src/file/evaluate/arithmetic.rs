//! Elementwise functions of constants.

use super::tensor::{broadcast, spread};
use super::{Budget, Call, Data, Extent, Tensor};
use crate::error::Error;
use crate::proto::attributes::Attributes;
use crate::proto::element;

/// Functions of one operand.
pub(super) fn unary(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let operator = call.node.op_type.as_str();
    let shape = operand.shape.clone();
    if !operand.has_fractions() {
        let compute: fn(i64) -> i64 = match operator {
            "Abs" => i64::saturating_abs,
            "Neg" => i64::saturating_neg,
            "Sign" => i64::signum,
            "Not" => |value| i64::from(value == 0),
            "Relu" => |value| value.max(0),
            "Ceil" | "Floor" | "Round" => |value| value,
            "IsNaN" | "IsInf" => |_| 0,
            _ => return Err(call.fault("is not defined for whole numbers")),
        };
        // A whole number stays what it is by rounding, the batch too.
        if matches!(operator, "Ceil" | "Floor" | "Round") {
            return Ok(vec![operand.clone()]);
        }
        let numbers = operand.to_numbers(call.node)?;
        return Ok(vec![Tensor::whole(
            shape,
            numbers.into_iter().map(compute).collect(),
        )]);
    }
    let values = operand.to_floats(call.node)?;
    let tested: Option<fn(f32) -> bool> = match operator {
        "IsNaN" => Some(f32::is_nan),
        "IsInf" => Some(f32::is_infinite),
        _ => None,
    };
    if let Some(test) = tested {
        let values = values.into_iter().map(|value| test(value).into());
        return Ok(vec![Tensor::whole(shape, values.collect())]);
    }
    let compute: fn(f32) -> f32 = match operator {
        "Abs" => f32::abs,
        "Ceil" => f32::ceil,
        "Cos" => f32::cos,
        "Erf" => |x| libm::erff(x),
        "Exp" => f32::exp,
        "Floor" => f32::floor,
        "Log" => f32::ln,
        "Neg" => |x| -x,
        "Reciprocal" => f32::recip,
        "Relu" => |x| x.max(0.0),
        // Halves go to the even neighbour.
        "Round" => f32::round_ties_even,
        "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "Sign" => |x| if x == 0.0 { 0.0 } else { x.signum() },
        "Sin" => f32::sin,
        "Softplus" => |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
        "Sqrt" => f32::sqrt,
        "Tanh" => f32::tanh,
        _ => return Err(call.fault("is not defined for fractions")),
    };
    let values = values.into_iter().map(compute).collect();
    Ok(vec![Tensor::floats(shape, values)])
}

/// Functions of two operands.
pub(super) fn binary(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (left, right) = (call.operand(0)?, call.operand(1)?);
    Ok(vec![combined(call, left, right, budget)?])
}

fn combined(
    call: &Call<'_>,
    left: &Tensor,
    right: &Tensor,
    budget: &mut Budget,
) -> Result<Tensor, Error> {
    let shape = broadcast(call.node, &[&left.shape, &right.shape])?;
    budget.spend_shape(call.node, &shape)?;
    let pairs = spread(&left.shape, &shape)
        .into_iter()
        .zip(spread(&right.shape, &shape));
    let operator = call.node.op_type.as_str();
    let data = match (&left.data, &right.data) {
        (Data::Whole(a), Data::Whole(b)) => {
            let values = pairs.map(|(i, j)| whole(call, operator, a[i], b[j]));
            Data::Whole(values.collect::<Result<_, _>>()?)
        }
        _ => {
            let (a, b) = (left.to_floats(call.node)?, right.to_floats(call.node)?);
            let compared: Option<fn(f32, f32) -> bool> = match operator {
                "Equal" => Some(|a, b| a == b),
                "Greater" => Some(|a, b| a > b),
                "GreaterOrEqual" => Some(|a, b| a >= b),
                "Less" => Some(|a, b| a < b),
                "LessOrEqual" => Some(|a, b| a <= b),
                _ => None,
            };
            if let Some(compare) = compared {
                let values = pairs.map(|(i, j)| Extent::Number(compare(a[i], b[j]).into()));
                Data::Whole(values.collect())
            } else {
                let compute: fn(f32, f32) -> f32 = match operator {
                    "Add" | "Sum" | "Mean" => |a, b| a + b,
                    "Sub" => |a, b| a - b,
                    "Mul" => |a, b| a * b,
                    "Div" => |a, b| a / b,
                    "Pow" => f32::powf,
                    "Max" => f32::max,
                    "Min" => f32::min,
                    // With fmod = 1, as fractions must have it: the dividend's sign.
                    "Mod" => |a, b| a % b,
                    _ => return Err(call.fault("is not defined for fractions")),
                };
                Data::Floats(pairs.map(|(i, j)| compute(a[i], b[j])).collect())
            }
        }
    };
    Ok(Tensor { shape, data })
}

/// Two whole numbers, of which the batch may be one.
fn whole(call: &Call<'_>, operator: &str, a: Extent, b: Extent) -> Result<Extent, Error> {
    use Extent::{Batch, Number};
    let truth = |is: bool| Some(Number(is.into()));
    let result = match (a, b) {
        (Number(a), Number(b)) => match operator {
            "Add" | "Sum" => a.checked_add(b).map(Number),
            "Sub" => a.checked_sub(b).map(Number),
            "Mul" => a.checked_mul(b).map(Number),
            "Div" => a.checked_div(b).map(Number),
            "Max" => Some(Number(a.max(b))),
            "Min" => Some(Number(a.min(b))),
            "Pow" => u32::try_from(b)
                .ok()
                .and_then(|b| a.checked_pow(b))
                .map(Number),
            "Mod" => a.checked_rem(b).map(|rest| {
                let takes_divisors_sign = Attributes(call.node).int("fmod").unwrap_or(0) == 0;
                let other = rest != 0 && (rest < 0) != (b < 0);
                Number(rest + if takes_divisors_sign && other { b } else { 0 })
            }),
            "Equal" => truth(a == b),
            "Greater" => truth(a > b),
            "GreaterOrEqual" => truth(a >= b),
            "Less" => truth(a < b),
            "LessOrEqual" => truth(a <= b),
            "And" => truth(a != 0 && b != 0),
            "Or" => truth(a != 0 || b != 0),
            "Xor" => truth((a != 0) != (b != 0)),
            _ => return Err(call.fault("is not defined for whole numbers")),
        },
        // The batch is compared with what stands for "as it is" (-1) and with itself; never with a length.
        (a, b) if operator == "Equal" => truth(a == b),
        (Batch(a), Number(0)) if matches!(operator, "Add" | "Sub") => Some(Batch(a)),
        (Number(0), Batch(b)) if operator == "Add" => Some(Batch(b)),
        (Batch(a), Number(b)) | (Number(a), Batch(b)) if operator == "Mul" => {
            a.checked_mul(b).map(Batch)
        }
        // So many parts for every image, whatever their number.
        (Batch(a), Batch(b)) if operator == "Div" => a
            .checked_rem(b)
            .filter(|&rest| rest == 0)
            .map(|_| Number(a / b)),
        (Batch(a), Batch(b)) if operator == "Add" => a.checked_add(b).map(Batch),
        (Batch(a), Number(b)) if operator == "Div" => a
            .checked_rem(b)
            .filter(|&rest| rest == 0)
            .map(|_| Batch(a / b)),
        _ => return Err(call.unsupported("calculates with the batch size")),
    };
    result.ok_or_else(|| call.fault(format!("{a:?} and {b:?} cannot be combined")))
}

/// Sum, Mean, Max and Min of any number of operands.
pub(super) fn several(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let mut result = call.operand(0)?.clone();
    for index in 1..call.operands.len() {
        result = combined(call, &result, call.operand(index)?, budget)?;
    }
    if call.node.op_type == "Mean" {
        let count = call.operands.len() as f32;
        let values = result.to_floats(call.node)?;
        let values = values.into_iter().map(|value| value / count).collect();
        result = Tensor::floats(result.shape, values);
    }
    Ok(vec![result])
}

/// Clip's bounds are attributes before opset 11, operands from then on.
pub(super) fn clip(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let shape = operand.shape.clone();
    if !operand.has_fractions() {
        let bound = |index: usize| -> Result<Option<i64>, Error> {
            let bound = call.optional(index);
            bound.map(|bound| bound.to_number(call.node)).transpose()
        };
        let least = bound(1)?.unwrap_or(i64::MIN);
        let most = bound(2)?.unwrap_or(i64::MAX);
        let numbers = operand.to_numbers(call.node)?.into_iter();
        let numbers = numbers.map(|number| number.max(least).min(most)).collect();
        return Ok(vec![Tensor::whole(shape, numbers)]);
    }
    let attributes = Attributes(call.node);
    let bound = |index: usize, name: &str| -> Result<Option<f32>, Error> {
        match call.optional(index) {
            None => Ok(attributes.float(name).filter(|_| call.opset < 11)),
            Some(bound) => Ok(bound.to_floats(call.node)?.first().copied()),
        }
    };
    let least = bound(1, "min")?.unwrap_or(f32::NEG_INFINITY);
    let most = bound(2, "max")?.unwrap_or(f32::INFINITY);
    let values = operand.to_floats(call.node)?.into_iter();
    let values = values.map(|value| value.max(least).min(most)).collect();
    Ok(vec![Tensor::floats(shape, values)])
}

/// Where.
pub(super) fn choose(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (condition, yes, no) = (call.operand(0)?, call.operand(1)?, call.operand(2)?);
    let shape = broadcast(call.node, &[&condition.shape, &yes.shape, &no.shape])?;
    budget.spend_shape(call.node, &shape)?;
    let conditions = condition.to_numbers(call.node)?;
    let places = spread(&condition.shape, &shape);
    let (yes_at, no_at) = (spread(&yes.shape, &shape), spread(&no.shape, &shape));
    let places = places.into_iter().zip(yes_at.into_iter().zip(no_at));
    let data = match (&yes.data, &no.data) {
        (Data::Whole(a), Data::Whole(b)) => Data::Whole(
            places
                .map(|(at, (i, j))| if conditions[at] != 0 { a[i] } else { b[j] })
                .collect(),
        ),
        _ => {
            let (a, b) = (yes.to_floats(call.node)?, no.to_floats(call.node)?);
            Data::Floats(
                places
                    .map(|(at, (i, j))| if conditions[at] != 0 { a[i] } else { b[j] })
                    .collect(),
            )
        }
    };
    Ok(vec![Tensor { shape, data }])
}

/// Cast and CastLike. Fractions go to whole numbers towards zero, and to true where they are not 0.
pub(super) fn cast(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let shape = operand.shape.clone();
    let to = match call.optional(1) {
        Some(like) if like.has_fractions() => element::FLOAT,
        Some(_) => element::INT64,
        None => {
            let to = Attributes(call.node).int("to").unwrap_or(1);
            i32::try_from(to).unwrap_or(0)
        }
    };
    if element::is_float(to) {
        if operand.has_fractions() {
            return Ok(vec![operand.clone()]);
        }
        // The batch as a number stays symbolic.
        return match operand.to_floats(call.node) {
            Ok(values) => Ok(vec![Tensor::floats(shape, values)]),
            Err(_) => Ok(vec![operand.clone()]),
        };
    }
    if to == element::BOOL {
        let truths = match &operand.data {
            Data::Floats(values) => values.iter().map(|v| i64::from(*v != 0.0)).collect(),
            Data::Whole(_) => {
                let numbers = operand.to_numbers(call.node)?.into_iter();
                numbers.map(|number| i64::from(number != 0)).collect()
            }
        };
        return Ok(vec![Tensor::whole(shape, truths)]);
    }
    let wrap: fn(i64) -> i64 = match to {
        element::UINT8 => |v| i64::from(v as u8),
        element::INT8 => |v| i64::from(v as i8),
        element::INT32 => |v| i64::from(v as i32),
        element::INT64 => |v| v,
        other => return Err(call.unsupported(format!("casting to element type {other}"))),
    };
    match &operand.data {
        Data::Floats(values) => {
            let numbers = values.iter().map(|v| wrap(*v as i64)).collect();
            Ok(vec![Tensor::whole(shape, numbers)])
        }
        Data::Whole(values) => {
            let values = values.iter().map(|value| match value {
                Extent::Number(number) => Extent::Number(wrap(*number)),
                batch => *batch,
            });
            Ok(vec![Tensor {
                shape,
                data: Data::Whole(values.collect()),
            }])
        }
    }
}

/// Range.
pub(super) fn range(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (start, limit, step) = (call.operand(0)?, call.operand(1)?, call.operand(2)?);
    let describe = |start: f64, limit: f64, step: f64| {
        call.unsupported(format!(
            "a range from {start} to {limit} in steps of {step}"
        ))
    };
    if [start, limit, step]
        .iter()
        .any(|bound| bound.has_fractions())
    {
        let bound = |tensor: &Tensor| -> Result<f64, Error> {
            let values = tensor.to_floats(call.node)?;
            values
                .first()
                .map(|value| f64::from(*value))
                .ok_or_else(|| call.fault("a bound is empty"))
        };
        let (start, limit, step) = (bound(start)?, bound(limit)?, bound(step)?);
        let count = ((limit - start) / step).ceil().max(0.0);
        if count.is_nan() || count > budget.0 as f64 {
            return Err(describe(start, limit, step));
        }
        let count = count as usize;
        budget.spend(call.node, count)?;
        let values = (0..count).map(|at| (start + at as f64 * step) as f32);
        return Ok(vec![Tensor::floats(vec![count], values.collect())]);
    }
    let start = start.to_number(call.node)?;
    let limit = limit.to_number(call.node)?;
    let step = step.to_number(call.node)?;
    let refused = || describe(start as f64, limit as f64, step as f64);
    let span = limit.checked_sub(start).ok_or_else(refused)?;
    let count = match step {
        0 => return Err(refused()),
        step if (span < 0) != (step < 0) => 0,
        step => span.unsigned_abs().div_ceil(step.unsigned_abs()),
    };
    if count > budget.0 {
        return Err(refused());
    }
    budget.spend(call.node, count as usize)?;
    let numbers = (0..count as i64).map(|at| start + at * step).collect();
    Ok(vec![Tensor::whole(vec![count as usize], numbers)])
}
