//! Attention, opset 23: the products, mask and softmax that it stands for (Vaswani 2017).

use onnx_ir::NodeProto;

use super::composed::Steps;
use super::importer::Importer;
use crate::error::Error;
use crate::ir::dim::{Dim, show};
use crate::ir::graph::Input;
use crate::ir::ids::ValueId;
use crate::ir::op::{Activation, Binary, Op};
use crate::proto::attributes::Attributes;
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::ConstantData;

/// Attention over `[N, heads, L, d]` or `[N, L, heads d]`, with a mask that is the same for every image.
pub(super) fn attention(importer: &mut Importer<'_>, node: &NodeProto) -> Result<(), Error> {
    let attributes = Attributes(node);
    let beyond = |index: usize| node.input.get(index).is_some_and(|name| !name.is_empty());
    if beyond(4) || beyond(5) || node.output.iter().skip(1).any(|name| !name.is_empty()) {
        return Err(unsupported(node, "with keys and values of the past"));
    }
    let [query, key, value] = [0, 1, 2].map(|index| importer.activation(node, index));
    let (query, key, value) = (query?, key?, value?);
    let flat = importer.shape(query).len() == 3;
    let mask = mask(importer, node)?;
    let mut steps = Steps::new(importer, node);
    let query = by_heads(&mut steps, query, attributes.int("q_num_heads"))?;
    let key = by_heads(&mut steps, key, attributes.int("kv_num_heads"))?;
    let value = by_heads(&mut steps, value, attributes.int("kv_num_heads"))?;
    let shape = steps.shape(query);
    let (heads, length, width) = (
        shape[1].per_image(),
        shape[2].per_image(),
        shape[3].per_image(),
    );
    let key = for_each_head(&mut steps, key, heads)?;
    let value = for_each_head(&mut steps, value, heads)?;
    let keys = steps.shape(key)[2].per_image();
    let scale = attributes.float("scale").filter(|&scale| scale != 0.0);
    let scale = scale.unwrap_or_else(|| 1.0 / (width.max(1) as f32).sqrt());
    let turned = steps.transpose(key, &[0, 1, 3, 2])?;
    let scores = steps.product(query, turned)?;
    let mut scores = steps.with_number(Binary::Mul, scores, scale)?;
    if let Some(cap) = attributes.float("softcap").filter(|&cap| cap != 0.0) {
        let within = steps.with_number(Binary::Div, scores, cap)?;
        let within = steps.function(Activation::Tanh, within)?;
        scores = steps.with_number(Binary::Mul, within, cap)?;
    }
    if attributes.int("is_causal").unwrap_or(0) != 0 {
        let ahead = (0..length).flat_map(|at| {
            (0..keys).map(move |key| if key > at { f32::NEG_INFINITY } else { 0.0 })
        });
        let causal = steps.numbers(vec![length, keys], ahead.collect());
        scores = steps.combine(Binary::Add, Input::Value(scores), causal)?;
    }
    if let Some(mask) = mask {
        let mask = steps.numbers(mask.shape, mask.values);
        scores = steps.combine(Binary::Add, Input::Value(scores), mask)?;
    }
    let shape = steps.shape(scores);
    let shares = steps.step(Op::Softmax { axis: 3 }, vec![Input::Value(scores)], shape)?;
    let result = steps.product(shares, value)?;
    if !flat {
        return steps.end(result);
    }
    let shape = steps.shape(result);
    let merged = Dim::Fixed(shape[1].per_image() * shape[3].per_image());
    let result = steps.transpose(result, &[0, 2, 1, 3])?;
    let result = steps.reshape(result, vec![shape[0], shape[2], merged])?;
    steps.end(result)
}

/// `[N, L, heads d]` as `[N, heads, L, d]`.
fn by_heads(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    heads: Option<i64>,
) -> Result<ValueId, Error> {
    let shape = steps.shape(value);
    let refused = |node| Err(fault(node, format!("its input is {}", show(&shape))));
    match shape[..] {
        [_, _, _, _] => Ok(value),
        [batch, length, Dim::Fixed(width)] => {
            let heads = usize::try_from(heads.unwrap_or(0)).unwrap_or(0);
            if heads == 0 || width % heads != 0 {
                return refused(steps.node);
            }
            let apart = vec![batch, length, Dim::Fixed(heads), Dim::Fixed(width / heads)];
            let value = steps.reshape(value, apart)?;
            steps.transpose(value, &[0, 2, 1, 3])
        }
        _ => refused(steps.node),
    }
}

/// Keys or values of fewer heads, each for several of the query's.
fn for_each_head(
    steps: &mut Steps<'_, '_, '_>,
    value: ValueId,
    heads: usize,
) -> Result<ValueId, Error> {
    let shape = steps.shape(value);
    let own = shape[1].per_image();
    if own == heads {
        return Ok(value);
    }
    if own == 0 || !heads.is_multiple_of(own) {
        return Err(fault(
            steps.node,
            format!("{heads} heads do not share {own} of keys and values"),
        ));
    }
    let apart = vec![shape[0], shape[1], Dim::Fixed(1), shape[2], shape[3]];
    let mut spread = apart.clone();
    spread[2] = Dim::Fixed(heads / own);
    let value = steps.reshape(value, apart)?;
    let value = steps.step(Op::Expand, vec![Input::Value(value)], spread)?;
    let merged = vec![shape[0], Dim::Fixed(heads), shape[2], shape[3]];
    steps.reshape(value, merged)
}

/// What is added to the scores.
struct Mask {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// What is added to the scores: numbers as they are; where the file says true and false, nothing and minus infinity.
fn mask(importer: &mut Importer<'_>, node: &NodeProto) -> Result<Option<Mask>, Error> {
    let Some(mask) = importer.constant(node, 3)? else {
        return Ok(None);
    };
    let values = match &mask.data {
        ConstantData::Floats(values) => values.to_vec(),
        ConstantData::Integers(kept) => kept
            .iter()
            .map(|&kept| if kept != 0 { 0.0 } else { f32::NEG_INFINITY })
            .collect(),
    };
    Ok(Some(Mask {
        shape: mask.shape.clone(),
        values,
    }))
}
