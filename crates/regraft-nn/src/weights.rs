//! The rest's parameters as a Burn module, under ids that derive from their names.

use burn::module::{Module, Param, ParamId};
use burn::tensor::Device;

use crate::activation::Activation;
use crate::error::Error;

/// A parameter of any rank.
#[derive(Module, Debug)]
pub enum Weight {
    /// A vector.
    R1(Param<burn::tensor::Tensor<1>>),
    /// A matrix.
    R2(Param<burn::tensor::Tensor<2>>),
    /// Three dimensions.
    R3(Param<burn::tensor::Tensor<3>>),
    /// A convolution's weight.
    R4(Param<burn::tensor::Tensor<4>>),
    /// Five dimensions.
    R5(Param<burn::tensor::Tensor<5>>),
}

/// The trainable rest's parameters, in the order given when it was made.
#[derive(Module, Debug)]
pub struct Weights {
    pub(crate) list: Vec<Weight>,
}

/// The id of the parameter called `name`: FNV-1a of the name, so that it is the same in every run.
pub fn parameter_id(name: &str) -> ParamId {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    ParamId::from(hash)
}

impl Weights {
    /// One `Param` a parameter: name, values, shape, and whether it trains.
    pub(crate) fn new<'a>(
        parameters: impl Iterator<Item = (&'a str, Vec<f32>, &'a [usize], bool)>,
        device: &Device,
    ) -> Result<Self, Error> {
        let list = parameters
            .map(|(name, values, shape, trained)| {
                let id = parameter_id(name);
                let value = Activation::from_values(values, shape, device)?;
                Ok(match value {
                    Activation::R1(t) => {
                        Weight::R1(Param::initialized(id, t).set_require_grad(trained))
                    }
                    Activation::R2(t) => {
                        Weight::R2(Param::initialized(id, t).set_require_grad(trained))
                    }
                    Activation::R3(t) => {
                        Weight::R3(Param::initialized(id, t).set_require_grad(trained))
                    }
                    Activation::R4(t) => {
                        Weight::R4(Param::initialized(id, t).set_require_grad(trained))
                    }
                    Activation::R5(t) => {
                        Weight::R5(Param::initialized(id, t).set_require_grad(trained))
                    }
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { list })
    }

    /// Every parameter's id and rank, for going through gradients.
    pub fn ids_and_ranks(&self) -> Vec<(ParamId, usize)> {
        self.list
            .iter()
            .map(|weight| match weight {
                Weight::R1(param) => (param.id, 1),
                Weight::R2(param) => (param.id, 2),
                Weight::R3(param) => (param.id, 3),
                Weight::R4(param) => (param.id, 4),
                Weight::R5(param) => (param.id, 5),
            })
            .collect()
    }

    pub(crate) fn value(&self, index: usize) -> Activation {
        match &self.list[index] {
            Weight::R1(param) => Activation::R1(param.val()),
            Weight::R2(param) => Activation::R2(param.val()),
            Weight::R3(param) => Activation::R3(param.val()),
            Weight::R4(param) => Activation::R4(param.val()),
            Weight::R5(param) => Activation::R5(param.val()),
        }
    }
}
