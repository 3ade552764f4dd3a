//! Operators that move constants without computing: shapes, parts, tables.

use super::tensor::{indices, spread, strides, walked};
use super::{Budget, Call, Data, Tensor};
use crate::error::Error;
use crate::proto::attributes::{Attributes, axis};
use crate::proto::tensor;

pub(super) fn identity(call: &Call<'_>, _: &mut Budget) -> Result<Vec<Tensor>, Error> {
    Ok(vec![call.operand(0)?.clone()])
}

/// Numbers that are an attribute in older operator sets and an operand in newer ones.
fn list(call: &Call<'_>, attribute: &str, index: usize) -> Result<Option<Vec<i64>>, Error> {
    match (Attributes(call.node).ints(attribute), call.optional(index)) {
        (Some(list), _) => Ok(Some(list.to_vec())),
        (None, Some(list)) => list.to_numbers(call.node).map(Some),
        (None, None) => Ok(None),
    }
}

fn extent(call: &Call<'_>, number: i64) -> Result<usize, Error> {
    usize::try_from(number).map_err(|_| call.fault(format!("an extent is {number}")))
}

/// Reshape, Flatten, Squeeze and Unsqueeze: the same values in the same order.
pub(super) fn reshape(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let from = &operand.shape;
    let attributes = Attributes(call.node);
    let shape: Vec<usize> = match call.node.op_type.as_str() {
        "Flatten" => {
            let given = attributes.int("axis").unwrap_or(1);
            let at = match given {
                at if at == from.len() as i64 => from.len(),
                at => axis(call.node, at, from.len().max(1))?,
            };
            vec![from[..at].iter().product(), from[at..].iter().product()]
        }
        "Squeeze" => match list(call, "axes", 1)? {
            None => from.iter().copied().filter(|&extent| extent != 1).collect(),
            Some(axes) => {
                let mut gone = vec![false; from.len()];
                for given in axes {
                    let axis = axis(call.node, given, from.len())?;
                    if from[axis] != 1 {
                        return Err(call.fault(format!("axis {axis} of {from:?} is not 1")));
                    }
                    gone[axis] = true;
                }
                let kept = from.iter().zip(gone).filter(|(_, gone)| !gone);
                kept.map(|(extent, _)| *extent).collect()
            }
        },
        "Unsqueeze" => {
            let axes = list(call, "axes", 1)?.ok_or_else(|| call.fault("its axes are missing"))?;
            let rank = from.len() + axes.len();
            let mut added = vec![false; rank];
            for given in axes {
                added[axis(call.node, given, rank)?] = true;
            }
            let mut old = from.iter();
            added
                .into_iter()
                .map(|added| if added { Some(1) } else { old.next().copied() })
                .collect::<Option<_>>()
                .ok_or_else(|| call.fault("an axis is named twice"))?
        }
        _ => {
            let target =
                list(call, "shape", 1)?.ok_or_else(|| call.fault("its target is missing"))?;
            let copies = attributes.int("allowzero").unwrap_or(0) == 0;
            reshaped(call, from, &target, copies)?
        }
    };
    if shape.iter().product::<usize>() != operand.len() {
        return Err(call.fault(format!("{from:?} does not reshape to {shape:?}")));
    }
    Ok(vec![Tensor {
        shape,
        data: operand.data.clone(),
    }])
}

fn reshaped(
    call: &Call<'_>,
    from: &[usize],
    target: &[i64],
    copies: bool,
) -> Result<Vec<usize>, Error> {
    let refused = || call.fault(format!("{from:?} does not reshape to {target:?}"));
    let mut shape = Vec::with_capacity(target.len());
    let mut open = None;
    for (index, &number) in target.iter().enumerate() {
        shape.push(match number {
            0 if copies => *from.get(index).ok_or_else(refused)?,
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            number => usize::try_from(number).map_err(|_| refused())?,
        });
    }
    if let Some(open) = open {
        let known = shape
            .iter()
            .try_fold(1usize, |n, &dim| n.checked_mul(dim))
            .ok_or_else(refused)?;
        let total: usize = from.iter().product();
        shape[open] = total.checked_div(known).ok_or_else(refused)?;
    }
    shape
        .iter()
        .try_fold(1usize, |n, &dim| n.checked_mul(dim))
        .ok_or_else(refused)?;
    Ok(shape)
}

pub(super) fn transpose(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let perm = crate::file::derived::permutation(call.node, operand.shape.len())?;
    let own = strides(&operand.shape);
    let shape: Vec<usize> = perm.iter().map(|&axis| operand.shape[axis]).collect();
    let steps: Vec<i64> = perm.iter().map(|&axis| own[axis] as i64).collect();
    let places = walked(&shape, &steps, 0).into_iter().map(Some);
    Ok(vec![operand.picked(shape, places, None)])
}

/// Values of any number of operands along an axis. Whole numbers among fractions are those fractions.
pub(super) fn concat(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let first = call.operand(0)?;
    let rank = first.shape.len();
    let along = Attributes(call.node).int("axis").unwrap_or(1);
    let along = axis(call.node, along, rank)?;
    let mut shape = first.shape.clone();
    shape[along] = 0;
    for index in 0..call.operands.len() {
        let other = &call.operand(index)?.shape;
        let fits = other.len() == rank && (0..rank).all(|a| a == along || other[a] == shape[a]);
        if !fits {
            return Err(call.fault(format!(
                "{other:?} does not join {:?} along axis {along}",
                first.shape
            )));
        }
        shape[along] += other[along];
    }
    budget.spend_shape(call.node, &shape)?;
    let operands = (0..call.operands.len()).map(|index| call.operand(index));
    let operands = operands.collect::<Result<Vec<_>, _>>()?;
    let outer: usize = shape[..along].iter().product();
    let inner: usize = shape[along + 1..].iter().product();
    let runs = |tensor: &Tensor, row: usize| {
        let run = tensor.shape[along] * inner;
        row * run..(row + 1) * run
    };
    let whole = operands.iter().map(|operand| match &operand.data {
        Data::Whole(values) => Some(values),
        Data::Floats(_) => None,
    });
    let data = match whole.collect::<Option<Vec<_>>>() {
        Some(lists) => {
            let mut values = Vec::new();
            for row in 0..outer {
                for (operand, list) in operands.iter().zip(&lists) {
                    values.extend_from_slice(&list[runs(operand, row)]);
                }
            }
            Data::Whole(values)
        }
        None => {
            let lists = operands.iter().map(|operand| operand.to_floats(call.node));
            let lists = lists.collect::<Result<Vec<_>, _>>()?;
            let mut values = Vec::new();
            for row in 0..outer {
                for (operand, list) in operands.iter().zip(&lists) {
                    values.extend_from_slice(&list[runs(operand, row)]);
                }
            }
            Data::Floats(values)
        }
    };
    Ok(vec![Tensor { shape, data }])
}

/// Slice on any axes, forwards and backwards. Bounds are attributes before opset 10.
pub(super) fn slice(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    let starts = list(call, "starts", 1)?.ok_or_else(|| call.fault("its starts are missing"))?;
    let ends = list(call, "ends", 2)?.ok_or_else(|| call.fault("its ends are missing"))?;
    let axes = list(call, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(call, "steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(call.fault("starts, ends, axes and steps differ in number"));
    }
    // Of every axis the first entry, how many, and how far apart.
    let mut cuts: Vec<(i64, usize, i64)> =
        operand.shape.iter().map(|&extent| (0, extent, 1)).collect();
    for (index, &given) in axes.iter().enumerate() {
        let axis = axis(call.node, given, operand.shape.len())?;
        let step = steps[index];
        if step == 0 {
            return Err(call.fault("slices with step 0"));
        }
        let extent = operand.shape[axis] as i64;
        let from_left = |at: i64| {
            if at < 0 {
                at.saturating_add(extent)
            } else {
                at
            }
        };
        let (least, most) = if step > 0 {
            (0, extent)
        } else {
            (-1, extent - 1)
        };
        let start = from_left(starts[index]).clamp(least.max(0), most.max(0));
        let end = from_left(ends[index]).clamp(least, most.max(least));
        let span = end - start;
        let count = match span == 0 || extent == 0 || (span < 0) != (step < 0) {
            true => 0,
            false => span.unsigned_abs().div_ceil(step.unsigned_abs()) as usize,
        };
        cuts[axis] = (start, count, step);
    }
    let shape: Vec<usize> = cuts.iter().map(|(_, count, _)| *count).collect();
    budget.spend_shape(call.node, &shape)?;
    let own = strides(&operand.shape);
    let mut first = 0;
    let mut steps = Vec::with_capacity(cuts.len());
    for ((start, _, step), stride) in cuts.iter().zip(&own) {
        first += start * *stride as i64;
        steps.push(step * *stride as i64);
    }
    let places = walked(&shape, &steps, first).into_iter().map(Some);
    Ok(vec![operand.picked(shape, places, None)])
}

/// Split; sizes are an attribute before opset 13, an operand from then on.
pub(super) fn split(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let attributes = Attributes(call.node);
    let along = attributes.int("axis").unwrap_or(0);
    let along = axis(call.node, along, operand.shape.len())?;
    let length = operand.shape[along];
    let parts = call.node.output.len().max(1);
    let sizes: Vec<usize> = match list(call, "split", 1)? {
        Some(sizes) => sizes
            .into_iter()
            .map(|size| extent(call, size))
            .collect::<Result<_, _>>()?,
        None => {
            let part = length.div_ceil(parts);
            (0..parts)
                .map(|index| part.min(length.saturating_sub(index * part)))
                .collect()
        }
    };
    let sum = sizes
        .iter()
        .try_fold(0usize, |sum, &size| sum.checked_add(size));
    if sizes.len() != parts || sum != Some(length) {
        return Err(call.fault(format!(
            "parts {sizes:?} do not make up an axis of {length}"
        )));
    }
    let own = strides(&operand.shape);
    let mut start = 0;
    let mut outputs = Vec::with_capacity(parts);
    for size in sizes {
        let mut shape = operand.shape.clone();
        shape[along] = size;
        let steps: Vec<i64> = own.iter().map(|&stride| stride as i64).collect();
        let places = walked(&shape, &steps, (start * own[along]) as i64).into_iter();
        let places = places.map(Some);
        outputs.push(operand.picked(shape, places, None));
        start += size;
    }
    Ok(outputs)
}

/// An index that may count from the end.
fn wrapped(call: &Call<'_>, index: i64, length: usize) -> Result<usize, Error> {
    let at = if index < 0 {
        index + length as i64
    } else {
        index
    };
    usize::try_from(at)
        .ok()
        .filter(|&at| at < length)
        .ok_or_else(|| call.fault(format!("index {index} of {length} entries")))
}

pub(super) fn gather(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (operand, chosen) = (call.operand(0)?, call.operand(1)?);
    let along = Attributes(call.node).int("axis").unwrap_or(0);
    let along = axis(call.node, along, operand.shape.len())?;
    let length = operand.shape[along];
    let numbers = chosen.to_numbers(call.node)?;
    let rows = numbers.iter().map(|&index| wrapped(call, index, length));
    let rows = rows.collect::<Result<Vec<usize>, _>>()?;
    let mut shape = operand.shape[..along].to_vec();
    shape.extend(&chosen.shape);
    shape.extend(&operand.shape[along + 1..]);
    budget.spend_shape(call.node, &shape)?;
    let outer: usize = operand.shape[..along].iter().product();
    let inner: usize = operand.shape[along + 1..].iter().product();
    let places = (0..outer).flat_map(|o| {
        rows.iter()
            .flat_map(move |&row| (0..inner).map(move |i| Some((o * length + row) * inner + i)))
    });
    Ok(vec![operand.picked(shape, places, None)])
}

pub(super) fn gather_elements(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (operand, chosen) = (call.operand(0)?, call.operand(1)?);
    let places = element_places(call, operand, chosen, budget)?;
    let places = places.into_iter().map(Some);
    Ok(vec![operand.picked(chosen.shape.clone(), places, None)])
}

/// ScatterElements and, before opset 11, Scatter.
pub(super) fn scatter_elements(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (operand, chosen) = (call.operand(0)?, call.operand(1)?);
    let places = element_places(call, operand, chosen, budget)?;
    scattered(call, budget, places)
}

/// The places of the operand that indices along one axis name.
fn element_places(
    call: &Call<'_>,
    operand: &Tensor,
    chosen: &Tensor,
    budget: &mut Budget,
) -> Result<Vec<usize>, Error> {
    let rank = operand.shape.len();
    let along = Attributes(call.node).int("axis").unwrap_or(0);
    let along = axis(call.node, along, rank)?;
    let fits = chosen.shape.len() == rank
        && (0..rank).all(|a| a == along || chosen.shape[a] <= operand.shape[a]);
    if !fits {
        return Err(call.fault("its indices have another shape than its input"));
    }
    budget.spend(call.node, chosen.len())?;
    let numbers = chosen.to_numbers(call.node)?;
    let own = strides(&operand.shape);
    let mut places = Vec::with_capacity(numbers.len());
    for (index, number) in indices(&chosen.shape).zip(numbers) {
        let at = wrapped(call, number, operand.shape[along])?;
        let place = index.iter().zip(&own).enumerate();
        let place = place.map(|(axis, (i, stride))| {
            if axis == along {
                at * stride
            } else {
                i * stride
            }
        });
        places.push(place.sum());
    }
    Ok(places)
}

/// The first place of what each row of indices names, and how many values follow it.
fn rows(
    call: &Call<'_>,
    shape: &[usize],
    chosen: &Tensor,
) -> Result<(Vec<usize>, usize, usize), Error> {
    let depth = *chosen
        .shape
        .last()
        .filter(|&&depth| depth > 0 && depth <= shape.len())
        .ok_or_else(|| call.fault("its indices fit no axes"))?;
    let own = strides(shape);
    let numbers = chosen.to_numbers(call.node)?;
    let firsts = numbers.chunks_exact(depth).map(|row| {
        let axes = row.iter().zip(shape).zip(&own);
        axes.map(|((&number, &extent), stride)| Ok(wrapped(call, number, extent)? * stride))
            .sum::<Result<usize, Error>>()
    });
    let firsts = firsts.collect::<Result<Vec<_>, _>>()?;
    Ok((firsts, shape[depth..].iter().product(), depth))
}

pub(super) fn gather_nd(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    if Attributes(call.node).int("batch_dims").unwrap_or(0) != 0 {
        return Err(call.unsupported("with batch_dims"));
    }
    let (operand, chosen) = (call.operand(0)?, call.operand(1)?);
    let (firsts, run, depth) = rows(call, &operand.shape, chosen)?;
    let mut shape = chosen.shape[..chosen.shape.len() - 1].to_vec();
    shape.extend(&operand.shape[depth..]);
    budget.spend_shape(call.node, &shape)?;
    let places = firsts
        .into_iter()
        .flat_map(|first| (0..run).map(move |at| Some(first + at)));
    Ok(vec![operand.picked(shape, places, None)])
}

pub(super) fn scatter_nd(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (operand, chosen) = (call.operand(0)?, call.operand(1)?);
    let (firsts, run, _) = rows(call, &operand.shape, chosen)?;
    budget.spend(call.node, firsts.len().saturating_mul(run))?;
    let places = firsts.into_iter().flat_map(|first| first..first + run);
    scattered(call, budget, places.collect())
}

/// The first operand with the values of the third in places of it.
fn scattered(
    call: &Call<'_>,
    budget: &mut Budget,
    places: Vec<usize>,
) -> Result<Vec<Tensor>, Error> {
    let reduction = Attributes(call.node).string("reduction");
    if reduction.is_some_and(|reduction| reduction != "none") {
        return Err(call.unsupported("with a reduction"));
    }
    let (operand, updates) = (call.operand(0)?, call.operand(2)?);
    budget.spend(call.node, operand.len())?;
    if updates.len() != places.len() {
        return Err(call.fault("its updates have another shape than its indices"));
    }
    let mut result = operand.clone();
    match (&mut result.data, &updates.data) {
        (Data::Floats(values), Data::Floats(new)) => {
            let new = places.into_iter().zip(new);
            new.for_each(|(place, new)| values[place] = *new);
        }
        (Data::Whole(values), Data::Whole(new)) => {
            let new = places.into_iter().zip(new);
            new.for_each(|(place, new)| values[place] = *new);
        }
        _ => return Err(call.fault("its updates are of another type than its input")),
    }
    Ok(vec![result])
}

/// OneHot: an axis more, along which one place is on.
pub(super) fn one_hot(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let (chosen, values) = (call.operand(0)?, call.operand(2)?);
    let depth = call.operand(1)?.to_numbers(call.node)?;
    let &[depth] = &depth[..] else {
        return Err(call.fault("its depth is no single number"));
    };
    let depth = extent(call, depth)?;
    if values.len() != 2 {
        return Err(call.fault("its values are not two"));
    }
    let rank = chosen.shape.len() + 1;
    let along = axis(
        call.node,
        Attributes(call.node).int("axis").unwrap_or(-1),
        rank,
    )?;
    let mut shape = chosen.shape.clone();
    shape.insert(along, depth);
    budget.spend_shape(call.node, &shape)?;
    let numbers = chosen.to_numbers(call.node)?;
    let own = strides(&chosen.shape);
    let places = indices(&shape).map(|mut index| {
        let at = index.remove(along) as i64;
        let place: usize = index.iter().zip(&own).map(|(i, stride)| i * stride).sum();
        let number = numbers[place];
        let number = if number < 0 {
            number + depth as i64
        } else {
            number
        };
        Some(usize::from(number == at))
    });
    Ok(vec![values.picked(shape.clone(), places, None)])
}

pub(super) fn expand(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    let target = call.operand(1)?.to_numbers(call.node)?;
    let target = target
        .into_iter()
        .map(|number| extent(call, number))
        .collect::<Result<Vec<_>, _>>()?;
    let shape = super::tensor::broadcast(call.node, &[&operand.shape, &target])?;
    budget.spend_shape(call.node, &shape)?;
    let places = spread(&operand.shape, &shape).into_iter().map(Some);
    Ok(vec![operand.picked(shape, places, None)])
}

pub(super) fn tile(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    let repeats = call.operand(1)?.to_numbers(call.node)?;
    if repeats.len() != operand.shape.len() {
        return Err(call.fault("its repeats are not one an axis"));
    }
    let mut shape = Vec::with_capacity(repeats.len());
    for (&own, number) in operand.shape.iter().zip(repeats) {
        let extent = own.checked_mul(extent(call, number)?);
        shape.push(extent.ok_or_else(|| call.fault("its repeats are beyond all measure"))?);
    }
    budget.spend_shape(call.node, &shape)?;
    let own = strides(&operand.shape);
    let places = indices(&shape).map(|index| {
        let place = index.iter().zip(&operand.shape).zip(&own);
        Some(
            place
                .map(|((at, extent), stride)| at % extent * stride)
                .sum(),
        )
    });
    Ok(vec![operand.picked(shape.clone(), places, None)])
}

/// Pad on any axes, in every mode; negative pads cut.
pub(super) fn pad(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    let rank = operand.shape.len();
    let pads = list(call, "pads", 1)?.ok_or_else(|| call.fault("its pads are missing"))?;
    let axes = match call.optional(3) {
        None => (0..rank).collect(),
        Some(axes) => {
            let axes = axes.to_numbers(call.node)?.into_iter();
            axes.map(|given| axis(call.node, given, rank))
                .collect::<Result<Vec<_>, _>>()?
        }
    };
    if pads.len() != 2 * axes.len() {
        return Err(call.fault("its pads are not two an axis"));
    }
    let mut before = vec![0i64; rank];
    let mut shape = operand.shape.clone();
    for (index, &axis) in axes.iter().enumerate() {
        before[axis] = pads[index];
        let grown = (shape[axis] as i64)
            .checked_add(pads[index])
            .and_then(|n| n.checked_add(pads[axes.len() + index]));
        shape[axis] = extent(call, grown.unwrap_or(-1))?;
    }
    budget.spend_shape(call.node, &shape)?;
    let mode = Attributes(call.node).string("mode");
    let mode = mode.as_deref().unwrap_or("constant");
    let at = |index: i64, extent: i64| -> Option<i64> {
        if (0..extent).contains(&index) {
            return Some(index);
        }
        match mode {
            "edge" => Some(index.clamp(0, extent - 1)),
            "wrap" => Some(index.rem_euclid(extent)),
            "reflect" if extent > 1 => {
                let period = 2 * (extent - 1);
                let place = index.rem_euclid(period);
                Some(place.min(period - place))
            }
            "reflect" => Some(0),
            _ => None,
        }
    };
    if !matches!(mode, "constant" | "edge" | "wrap" | "reflect") {
        return Err(call.unsupported(format!("padding mode `{mode}`")));
    }
    if operand.len() == 0 && mode != "constant" {
        return Err(call.fault("pads nothing"));
    }
    let own = strides(&operand.shape);
    let places = indices(&shape).map(|index| {
        let mut place = 0;
        for (axis, &i) in index.iter().enumerate() {
            let extent = operand.shape[axis] as i64;
            place += at(i as i64 - before[axis], extent)? as usize * own[axis];
        }
        Some(place)
    });
    let places: Vec<Option<usize>> = places.collect();
    let value = Attributes(call.node).float("value");
    let value = value.map(|value| Tensor::floats(Vec::new(), vec![value]));
    let fill = call.optional(2).or(value.as_ref());
    Ok(vec![operand.picked(shape, places.into_iter(), fill)])
}

pub(super) fn shape(call: &Call<'_>, _: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let shape = &call.operand(0)?.shape;
    let attributes = Attributes(call.node);
    let rank = shape.len() as i64;
    let bound =
        |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let start = bound(attributes.int("start").unwrap_or(0));
    let end = bound(attributes.int("end").unwrap_or(rank)).max(start);
    let extents: Vec<i64> = shape[start..end].iter().map(|&n| n as i64).collect();
    Ok(vec![Tensor::whole(vec![extents.len()], extents)])
}

pub(super) fn size(call: &Call<'_>, _: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let count = call.operand(0)?.len() as i64;
    Ok(vec![Tensor::whole(Vec::new(), vec![count])])
}

pub(super) fn constant_of_shape(
    call: &Call<'_>,
    budget: &mut Budget,
) -> Result<Vec<Tensor>, Error> {
    let lengths = match call.optional(0) {
        None => Vec::new(),
        Some(lengths) => lengths.to_numbers(call.node)?,
    };
    let shape = lengths
        .iter()
        .map(|&n| usize::try_from(n))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| call.fault(format!("its shape is {lengths:?}")))?;
    budget.spend_shape(call.node, &shape)?;
    let value = Attributes(call.node)
        .tensor("value")
        .map(tensor::constant)
        .transpose()?;
    let value = match &value {
        None => Tensor::floats(Vec::new(), vec![0.0]),
        Some(value) => Tensor::from(value),
    };
    let count: usize = shape.iter().product();
    let places = std::iter::repeat_n(None, count);
    Ok(vec![value.picked(shape, places, Some(&value))])
}

/// Trilu: the upper or the lower triangle of the last two axes.
pub(super) fn trilu(call: &Call<'_>, budget: &mut Budget) -> Result<Vec<Tensor>, Error> {
    let operand = call.operand(0)?;
    budget.spend(call.node, operand.len())?;
    let rank = operand.shape.len();
    if rank < 2 {
        return Err(call.fault("takes a triangle of a list"));
    }
    let diagonal = call.optional(1);
    let diagonal = diagonal.map(|k| k.to_number(call.node)).transpose()?;
    let diagonal = diagonal.unwrap_or(0);
    let upper = Attributes(call.node).int("upper").unwrap_or(1) != 0;
    let places = indices(&operand.shape).enumerate().map(|(place, index)| {
        let off = index[rank - 1] as i64 - index[rank - 2] as i64;
        let kept = if upper {
            off >= diagonal
        } else {
            off <= diagonal
        };
        kept.then_some(place)
    });
    Ok(vec![operand.picked(operand.shape.clone(), places, None)])
}
