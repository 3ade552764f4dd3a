//! A tensor whose rank is known at run time only, since a file decides it.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::Error;

/// An activation or parameter of rank 1 to 6.
#[derive(Debug, Clone)]
pub enum Activation {
    /// A vector.
    R1(Tensor<1>),
    /// `[N, F]` or a matrix.
    R2(Tensor<2>),
    /// Three dimensions.
    R3(Tensor<3>),
    /// `[N, C, H, W]`.
    R4(Tensor<4>),
    /// Five dimensions: channel groups being shuffled, attention heads.
    R5(Tensor<5>),
    /// Six dimensions: windows being cut out of maps.
    R6(Tensor<6>),
}

/// Applies a rank-preserving expression to the tensor inside; a function cannot, for it cannot be generic in its argument.
macro_rules! each_rank {
    ($activation:expr, $tensor:ident => $body:expr) => {
        match $activation {
            $crate::activation::Activation::R1($tensor) => {
                $crate::activation::Activation::R1($body)
            }
            $crate::activation::Activation::R2($tensor) => {
                $crate::activation::Activation::R2($body)
            }
            $crate::activation::Activation::R3($tensor) => {
                $crate::activation::Activation::R3($body)
            }
            $crate::activation::Activation::R4($tensor) => {
                $crate::activation::Activation::R4($body)
            }
            $crate::activation::Activation::R5($tensor) => {
                $crate::activation::Activation::R5($body)
            }
            $crate::activation::Activation::R6($tensor) => {
                $crate::activation::Activation::R6($body)
            }
        }
    };
}
pub(crate) use each_rank;

impl Activation {
    /// A tensor of the given shape; a shape without dimensions becomes `[1]`.
    ///
    /// # Errors
    /// When the shape has more than six dimensions.
    pub fn from_values(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Self, Error> {
        let shape = if shape.is_empty() { &[1][..] } else { shape };
        let data = TensorData::new(values, shape.to_vec());
        Ok(match shape.len() {
            1 => Self::R1(Tensor::from_data(data, device)),
            2 => Self::R2(Tensor::from_data(data, device)),
            3 => Self::R3(Tensor::from_data(data, device)),
            4 => Self::R4(Tensor::from_data(data, device)),
            5 => Self::R5(Tensor::from_data(data, device)),
            6 => Self::R6(Tensor::from_data(data, device)),
            rank => {
                return Err(Error::Device {
                    reason: format!("tensors of {rank} dimensions are not supported"),
                });
            }
        })
    }

    /// The extents.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::R1(tensor) => tensor.dims().to_vec(),
            Self::R2(tensor) => tensor.dims().to_vec(),
            Self::R3(tensor) => tensor.dims().to_vec(),
            Self::R4(tensor) => tensor.dims().to_vec(),
            Self::R5(tensor) => tensor.dims().to_vec(),
            Self::R6(tensor) => tensor.dims().to_vec(),
        }
    }

    /// The values in row-major order.
    ///
    /// # Errors
    /// When the device fails to hand them back.
    pub fn into_values(self) -> Result<Vec<f32>, Error> {
        let data = match self {
            Self::R1(tensor) => tensor.into_data(),
            Self::R2(tensor) => tensor.into_data(),
            Self::R3(tensor) => tensor.into_data(),
            Self::R4(tensor) => tensor.into_data(),
            Self::R5(tensor) => tensor.into_data(),
            Self::R6(tensor) => tensor.into_data(),
        };
        data.try_into_vec::<f32>().map_err(|error| Error::Device {
            reason: format!("{error:?}"),
        })
    }

    /// The same values in another shape.
    pub(crate) fn reshape(self, shape: &[usize]) -> Option<Self> {
        match self {
            Self::R1(tensor) => reshape(tensor, shape),
            Self::R2(tensor) => reshape(tensor, shape),
            Self::R3(tensor) => reshape(tensor, shape),
            Self::R4(tensor) => reshape(tensor, shape),
            Self::R5(tensor) => reshape(tensor, shape),
            Self::R6(tensor) => reshape(tensor, shape),
        }
    }

    /// Joined to the autodiff graph, as a constant.
    pub(crate) fn autodiff(self) -> Self {
        each_rank!(self, tensor => tensor.autodiff())
    }

    /// Cut off from autodiff.
    pub(crate) fn without_autodiff(self) -> Self {
        each_rank!(self, tensor => tensor.without_autodiff())
    }
}

fn reshape<const D: usize>(tensor: Tensor<D>, shape: &[usize]) -> Option<Activation> {
    Some(match *shape {
        [a] => Activation::R1(tensor.reshape([a])),
        [a, b] => Activation::R2(tensor.reshape([a, b])),
        [a, b, c] => Activation::R3(tensor.reshape([a, b, c])),
        [a, b, c, d] => Activation::R4(tensor.reshape([a, b, c, d])),
        [a, b, c, d, e] => Activation::R5(tensor.reshape([a, b, c, d, e])),
        [a, b, c, d, e, f] => Activation::R6(tensor.reshape([a, b, c, d, e, f])),
        _ => return None,
    })
}
