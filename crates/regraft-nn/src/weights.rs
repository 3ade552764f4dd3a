//! The rest's parameters as a Burn module, under ids that derive from their names.

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor};

use crate::activation::Activation;
use crate::error::Error;

/// A parameter of any rank.
#[derive(Module, Debug)]
pub enum Weight {
    /// A vector.
    R1(Param<Tensor<1>>),
    /// A matrix.
    R2(Param<Tensor<2>>),
    /// Three dimensions.
    R3(Param<Tensor<3>>),
    /// A convolution's weight.
    R4(Param<Tensor<4>>),
    /// Five dimensions.
    R5(Param<Tensor<5>>),
    /// Six dimensions.
    R6(Param<Tensor<6>>),
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
                    Activation::R6(t) => {
                        Weight::R6(Param::initialized(id, t).set_require_grad(trained))
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
                Weight::R6(param) => (param.id, 6),
            })
            .collect()
    }

    /// The mean of these and as many others of the same network: `(1 - share) self + share other`, cut off from autodiff.
    #[must_use]
    pub fn blend(&self, other: &Self, share: f64) -> Self {
        let shares = [(1.0 - share) as f32, share as f32];
        let list = self
            .list
            .iter()
            .zip(&other.list)
            .map(|pair| match pair {
                (Weight::R1(a), Weight::R1(b)) => Weight::R1(blend(a, b, shares)),
                (Weight::R2(a), Weight::R2(b)) => Weight::R2(blend(a, b, shares)),
                (Weight::R3(a), Weight::R3(b)) => Weight::R3(blend(a, b, shares)),
                (Weight::R4(a), Weight::R4(b)) => Weight::R4(blend(a, b, shares)),
                (Weight::R5(a), Weight::R5(b)) => Weight::R5(blend(a, b, shares)),
                (Weight::R6(a), Weight::R6(b)) => Weight::R6(blend(a, b, shares)),
                (own, _) => own.clone(),
            })
            .collect();
        Self { list }
    }

    pub(crate) fn value(&self, index: usize) -> Activation {
        match &self.list[index] {
            Weight::R1(param) => Activation::R1(param.val()),
            Weight::R2(param) => Activation::R2(param.val()),
            Weight::R3(param) => Activation::R3(param.val()),
            Weight::R4(param) => Activation::R4(param.val()),
            Weight::R5(param) => Activation::R5(param.val()),
            Weight::R6(param) => Activation::R6(param.val()),
        }
    }
}

fn blend<const D: usize>(
    own: &Param<Tensor<D>>,
    other: &Param<Tensor<D>>,
    shares: [f32; 2],
) -> Param<Tensor<D>> {
    let (left, right) = (own.val().without_autodiff(), other.val().without_autodiff());
    let trained = own.val().is_require_grad() || other.val().is_require_grad();
    if !trained {
        return own.clone();
    }
    let mean = regraft_ops::weighted_sum(left, right, shares).autodiff();
    Param::initialized(own.id, mean).set_require_grad(true)
}
