//! What nodes make of constants: one evaluator for whatever a file computes from its own numbers.
//!
//! Exporters leave arithmetic in the file that is the same for every image: pads put together from lists, masks, tables of
//! relative positions, weights that are normalised before each use. Names and meanings are those of the ONNX operators.

mod arithmetic;
mod moving;
mod reducing;
mod resize;
mod tensor;

use onnx_ir::NodeProto;

use crate::error::Error;
use crate::proto::nodes::{fault, unsupported};

pub(crate) use self::resize::{Size, axes as resized_axes, operands as resize_operands};
pub(crate) use self::tensor::{Data, Extent, Tensor};

/// A node with what is known of its operands; an operand that is left out is none.
pub(super) struct Call<'a> {
    pub node: &'a NodeProto,
    pub opset: i64,
    pub operands: &'a [Option<Tensor>],
}

impl Call<'_> {
    /// An operand that must be there.
    pub fn operand(&self, index: usize) -> Result<&Tensor, Error> {
        self.optional(index)
            .ok_or_else(|| fault(self.node, format!("input {index} is missing")))
    }

    pub fn optional(&self, index: usize) -> Option<&Tensor> {
        self.operands.get(index).and_then(Option::as_ref)
    }

    pub fn fault(&self, reason: impl Into<String>) -> Error {
        fault(self.node, reason)
    }

    pub fn unsupported(&self, reason: impl Into<String>) -> Error {
        unsupported(self.node, reason)
    }
}

/// Numbers that may still be made of constants: a few nodes could double a list at each step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget(pub u64);

impl Budget {
    /// Takes out so many numbers.
    ///
    /// # Errors
    /// When there are not so many left.
    pub fn spend(&mut self, node: &NodeProto, numbers: usize) -> Result<(), Error> {
        let left = self.0.checked_sub(numbers as u64);
        self.0 = left.ok_or_else(|| {
            unsupported(
                node,
                "the graph's constants multiply far beyond the file's size",
            )
        })?;
        Ok(())
    }

    /// Takes out what a value of this shape holds, before it is made.
    fn spend_shape(&mut self, node: &NodeProto, shape: &[usize]) -> Result<(), Error> {
        let count = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
        match count {
            Some(count) if count as u64 <= self.0 => self.spend(node, count),
            _ => Err(unsupported(node, format!("a constant of shape {shape:?}"))),
        }
    }
}

type Evaluate = fn(&Call<'_>, &mut Budget) -> Result<Vec<Tensor>, Error>;

/// Every operator that is computed on constants.
const OPERATORS: &[(&str, Evaluate)] = &[
    ("Abs", arithmetic::unary),
    ("Add", arithmetic::binary),
    ("And", arithmetic::binary),
    ("BatchNormalization", reducing::batch_norm),
    ("Cast", arithmetic::cast),
    ("CastLike", arithmetic::cast),
    ("Ceil", arithmetic::unary),
    ("Clip", arithmetic::clip),
    ("Concat", moving::concat),
    ("ConstantOfShape", moving::constant_of_shape),
    ("Cos", arithmetic::unary),
    ("CumSum", reducing::cumulative),
    ("Div", arithmetic::binary),
    ("Equal", arithmetic::binary),
    ("Erf", arithmetic::unary),
    ("Exp", arithmetic::unary),
    ("Expand", moving::expand),
    ("Flatten", moving::reshape),
    ("Floor", arithmetic::unary),
    ("Gather", moving::gather),
    ("GatherElements", moving::gather_elements),
    ("GatherND", moving::gather_nd),
    ("Greater", arithmetic::binary),
    ("GreaterOrEqual", arithmetic::binary),
    ("Identity", moving::identity),
    ("IsInf", arithmetic::unary),
    ("IsNaN", arithmetic::unary),
    ("Less", arithmetic::binary),
    ("LessOrEqual", arithmetic::binary),
    ("Log", arithmetic::unary),
    ("MatMul", reducing::matmul),
    ("Max", arithmetic::several),
    ("Mean", arithmetic::several),
    ("Min", arithmetic::several),
    ("Mod", arithmetic::binary),
    ("Mul", arithmetic::binary),
    ("Neg", arithmetic::unary),
    ("Not", arithmetic::unary),
    ("OneHot", moving::one_hot),
    ("Or", arithmetic::binary),
    ("Pad", moving::pad),
    ("Pow", arithmetic::binary),
    ("Range", arithmetic::range),
    ("Reciprocal", arithmetic::unary),
    ("ReduceL1", reducing::reduce),
    ("ReduceL2", reducing::reduce),
    ("ReduceLogSum", reducing::reduce),
    ("ReduceLogSumExp", reducing::reduce),
    ("ReduceMax", reducing::reduce),
    ("ReduceMean", reducing::reduce),
    ("ReduceMin", reducing::reduce),
    ("ReduceProd", reducing::reduce),
    ("ReduceSum", reducing::reduce),
    ("ReduceSumSquare", reducing::reduce),
    ("Relu", arithmetic::unary),
    ("Reshape", moving::reshape),
    ("Resize", resize::resize),
    ("Round", arithmetic::unary),
    ("ScatterElements", moving::scatter_elements),
    ("ScatterND", moving::scatter_nd),
    ("Shape", moving::shape),
    ("Sigmoid", arithmetic::unary),
    ("Sign", arithmetic::unary),
    ("Sin", arithmetic::unary),
    ("Size", moving::size),
    ("Slice", moving::slice),
    ("Softplus", arithmetic::unary),
    ("Split", moving::split),
    ("Sqrt", arithmetic::unary),
    ("Squeeze", moving::reshape),
    ("Sub", arithmetic::binary),
    ("Sum", arithmetic::several),
    ("Tanh", arithmetic::unary),
    ("Tile", moving::tile),
    ("Transpose", moving::transpose),
    ("Trilu", moving::trilu),
    ("Unsqueeze", moving::reshape),
    ("Upsample", resize::resize),
    ("Where", arithmetic::choose),
    ("Xor", arithmetic::binary),
];

/// Whether constants are computed with by this operator.
pub(crate) fn knows(node: &NodeProto) -> bool {
    find(&node.op_type).is_some() && matches!(node.domain.as_str(), "" | "ai.onnx")
}

/// What the node makes of constants, one value an output; none where the operator is not known.
pub(crate) fn evaluate(
    node: &NodeProto,
    opset: i64,
    operands: &[Option<Tensor>],
    budget: &mut Budget,
) -> Option<Result<Vec<Tensor>, Error>> {
    let evaluate = find(&node.op_type).filter(|_| knows(node))?;
    let call = Call {
        node,
        opset,
        operands,
    };
    let outputs = evaluate(&call, budget).and_then(|outputs| {
        // A whole number takes four times the memory of a fraction.
        for output in outputs.iter().filter(|output| !output.has_fractions()) {
            budget.spend(node, output.len())?;
        }
        Ok(outputs)
    });
    Some(outputs)
}

fn find(operator: &str) -> Option<Evaluate> {
    OPERATORS
        .binary_search_by(|(name, _)| (*name).cmp(operator))
        .ok()
        .map(|index| OPERATORS[index].1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use onnx_ir::{AttributeProto, AttributeType, NodeProto};
    use serde_json::Value;

    use super::*;
    use crate::proto::nodes::{int, ints};

    const OPSET: i64 = 18;

    #[test]
    fn the_table_is_sorted_so_that_every_line_is_found() {
        for (name, _) in OPERATORS {
            assert!(find(name).is_some(), "{name} is out of order");
        }
    }

    fn tensor(value: &Value) -> Tensor {
        let shape = value["shape"].as_array().unwrap().iter();
        let shape = shape.map(|n| n.as_u64().unwrap() as usize).collect();
        match value["floats"].as_array() {
            Some(floats) => Tensor::floats(
                shape,
                floats
                    .iter()
                    .map(|value| match value {
                        Value::Null => f32::NAN,
                        Value::String(_) => f32::INFINITY,
                        value => value.as_f64().unwrap() as f32,
                    })
                    .collect(),
            ),
            None => {
                let numbers = value["whole"].as_array().unwrap().iter();
                Tensor::whole(shape, numbers.map(|n| n.as_i64().unwrap()).collect())
            }
        }
    }

    fn node(case: &Value) -> NodeProto {
        let mut attribute: Vec<AttributeProto> = Vec::new();
        for (name, value) in case["attributes"].as_object().unwrap() {
            attribute.push(match value {
                Value::Array(list) => {
                    let list: Vec<i64> = list.iter().map(|n| n.as_i64().unwrap()).collect();
                    ints(name, &list)
                }
                Value::String(text) => AttributeProto {
                    name: name.clone(),
                    type_: AttributeType::STRING.into(),
                    s: text.clone().into(),
                    ..AttributeProto::default()
                },
                number => int(name, number.as_i64().unwrap()),
            });
        }
        let outputs = case["outputs"].as_array().unwrap().len();
        NodeProto {
            op_type: case["operator"].as_str().unwrap().to_owned(),
            output: (0..outputs).map(|n| format!("y{n}")).collect(),
            attribute,
            ..NodeProto::default()
        }
    }

    /// The cases and the right values are those of ONNX Runtime: `tests/evaluated.py` writes them.
    #[test]
    fn constants_come_to_what_onnx_runtime_makes_of_them() {
        let cases = include_str!("../../../tests/evaluated.json");
        for line in cases.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let inputs = case["inputs"].as_array().unwrap().iter();
            // One that is left out is null.
            let operands: Vec<Option<Tensor>> = inputs
                .map(|input| input.is_object().then(|| tensor(input)))
                .collect();
            let node = node(&case);
            let found = evaluate(&node, OPSET, &operands, &mut Budget(1 << 20));
            let found = found
                .unwrap()
                .unwrap_or_else(|error| panic!("{line}: {error}"));
            let right = case["outputs"].as_array().unwrap();
            assert_eq!(found.len(), right.len(), "{line}");
            for (found, right) in found.iter().zip(right) {
                let right = tensor(right);
                assert_eq!(found.shape, right.shape, "{line}");
                match (&found.data, &right.data) {
                    (Data::Floats(a), Data::Floats(b)) => {
                        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6 * b.abs().max(1.0);
                        assert!(a.iter().zip(b).all(close), "{line}: {a:?}");
                    }
                    (a, b) => assert_eq!(a, b, "{line}"),
                }
            }
        }
    }

    #[test]
    fn a_constant_beyond_the_budget_is_refused_before_it_is_made() {
        let case = serde_json::json!({ "operator": "Expand", "attributes": {}, "outputs": [1] });
        let operands = [
            Some(Tensor::floats(vec![1], vec![1.0])),
            Some(Tensor::whole(vec![2], vec![1 << 40, 1 << 40])),
        ];
        let refused = evaluate(&node(&case), OPSET, &operands, &mut Budget(1 << 20));
        assert!(refused.unwrap().is_err());
    }
}
