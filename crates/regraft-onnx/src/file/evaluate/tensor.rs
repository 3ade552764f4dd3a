//! A constant while it is computed with: floats, or whole numbers of which some may be multiples of the batch.

use onnx_ir::NodeProto;

use crate::error::Error;
use crate::proto::nodes::{fault, unsupported};
use crate::proto::tensor::{Constant, ConstantData};

/// A whole number that the graph computes. Shapes of activations hold the batch, which is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Number(i64),
    /// So many times the batch.
    Batch(i64),
}

/// Values in row-major order, with their shape.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// The values. What is true or false is 1 or 0.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Floats(Vec<f32>),
    Whole(Vec<Extent>),
}

impl Tensor {
    pub fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self {
            shape,
            data: Data::Floats(values),
        }
    }

    pub fn whole(shape: Vec<usize>, values: Vec<i64>) -> Self {
        let values = values.into_iter().map(Extent::Number).collect();
        Self {
            shape,
            data: Data::Whole(values),
        }
    }

    pub fn len(&self) -> usize {
        match &self.data {
            Data::Floats(values) => values.len(),
            Data::Whole(values) => values.len(),
        }
    }

    pub fn has_fractions(&self) -> bool {
        matches!(self.data, Data::Floats(_))
    }

    /// The values as floats; the batch is none.
    pub fn to_floats(&self, node: &NodeProto) -> Result<Vec<f32>, Error> {
        match &self.data {
            Data::Floats(values) => Ok(values.clone()),
            Data::Whole(_) => {
                let numbers = self.to_numbers(node)?;
                Ok(numbers.into_iter().map(|number| number as f32).collect())
            }
        }
    }

    /// The values as plain whole numbers.
    pub fn to_numbers(&self, node: &NodeProto) -> Result<Vec<i64>, Error> {
        match &self.data {
            Data::Floats(_) => Err(fault(node, "has fractions where it wants whole numbers")),
            Data::Whole(values) => values
                .iter()
                .map(|value| match value {
                    Extent::Number(number) => Ok(*number),
                    Extent::Batch(_) => Err(unsupported(node, "calculates with the batch size")),
                })
                .collect(),
        }
    }

    /// The one number that it is.
    pub fn to_number(&self, node: &NodeProto) -> Result<i64, Error> {
        match self.to_numbers(node)?[..] {
            [number] => Ok(number),
            _ => Err(fault(node, "takes a list where it wants a single number")),
        }
    }

    /// Of every value of the result the place that it comes from; none: `fill`, or 0.
    pub fn picked(
        &self,
        shape: Vec<usize>,
        places: impl Iterator<Item = Option<usize>>,
        fill: Option<&Tensor>,
    ) -> Self {
        let data = match &self.data {
            Data::Floats(values) => {
                let fill = match fill.map(|fill| &fill.data) {
                    Some(Data::Floats(values)) => values.first().copied().unwrap_or(0.0),
                    _ => 0.0,
                };
                Data::Floats(places.map(|at| at.map_or(fill, |at| values[at])).collect())
            }
            Data::Whole(values) => {
                let none = Extent::Number(0);
                let fill = match fill.map(|fill| &fill.data) {
                    Some(Data::Whole(values)) => values.first().copied().unwrap_or(none),
                    _ => none,
                };
                Data::Whole(places.map(|at| at.map_or(fill, |at| values[at])).collect())
            }
        };
        Self { shape, data }
    }
}

impl From<&Constant> for Tensor {
    fn from(constant: &Constant) -> Self {
        let shape = constant.shape.clone();
        match &constant.data {
            ConstantData::Floats(values) => Self::floats(shape, values.to_vec()),
            ConstantData::Integers(values) => Self::whole(shape, values.clone()),
        }
    }
}

impl Tensor {
    /// As a constant; none where it holds the batch.
    pub fn into_constant(self) -> Result<Constant, Self> {
        let data = match self.data {
            Data::Floats(values) => ConstantData::Floats(values.into()),
            Data::Whole(values) => {
                let numbers = values.iter().map(|value| match value {
                    Extent::Number(number) => Some(*number),
                    Extent::Batch(_) => None,
                });
                match numbers.collect::<Option<Vec<i64>>>() {
                    Some(numbers) => ConstantData::Integers(numbers),
                    None => {
                        return Err(Self {
                            shape: self.shape,
                            data: Data::Whole(values),
                        });
                    }
                }
            }
        };
        Ok(Constant {
            shape: self.shape,
            data,
        })
    }
}

/// How far apart neighbours along each axis lie.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The indices of every value of a shape, in row-major order.
pub(super) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    let count: usize = shape.iter().product();
    let mut index = vec![0; shape.len()];
    (0..count).map(move |_| {
        let now = index.clone();
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
        now
    })
}

/// For every value of `shape` a place: `start`, and so many steps along each axis as its index says.
pub(super) fn walked(shape: &[usize], steps: &[i64], start: i64) -> Vec<usize> {
    let count = shape.iter().product();
    let mut places = Vec::with_capacity(count);
    let mut index = vec![0; shape.len()];
    let mut place = start;
    for _ in 0..count {
        places.push(place as usize);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= steps[axis] * shape[axis] as i64;
            index[axis] = 0;
        }
    }
    places
}

/// The shape of an elementwise result, aligned from the right.
pub(super) fn broadcast(node: &NodeProto, shapes: &[&[usize]]) -> Result<Vec<usize>, Error> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut result = vec![1; rank];
    for shape in shapes {
        for (axis, &extent) in shape.iter().enumerate() {
            let place = &mut result[rank - shape.len() + axis];
            match (*place, extent) {
                (own, other) if own == other || other == 1 => {}
                (1, other) => *place = other,
                _ => {
                    let shown: Vec<String> = shapes.iter().map(|s| format!("{s:?}")).collect();
                    return Err(fault(
                        node,
                        format!("shapes {} do not broadcast", shown.join(" and ")),
                    ));
                }
            }
        }
    }
    Ok(result)
}

/// Of every value of `shape` its place in an operand that is spread over it.
pub(super) fn spread(own: &[usize], shape: &[usize]) -> Vec<usize> {
    if own == shape {
        return (0..own.iter().product()).collect();
    }
    let mut steps = vec![0; shape.len() - own.len()];
    for (stride, &extent) in strides(own).into_iter().zip(own) {
        steps.push(if extent == 1 { 0 } else { stride as i64 });
    }
    walked(shape, &steps, 0)
}
