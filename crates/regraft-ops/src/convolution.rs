//! 2-D convolution as an extension of Burn's backends, with its derivatives.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

/// Convolution of `[N, C, H, W]` with weights `[O, C / groups, kernel height, kernel width]`, without bias, and the
/// gradients of both; what is not overridden is the backend's own.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cuda"),
    Autodiff
)]
pub trait Convolution: Backend {
    /// The output, `[N, O, H', W']`.
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d(input, weight, None, options)
    }

    /// The gradient of the input, from that of the output.
    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(input, weight, output_gradient, options)
    }

    /// The gradient of the weights, from that of the output.
    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(input, weight, output_gradient, options)
    }
}

#[cfg(feature = "cuda")]
impl Convolution for burn_cubecl::CubeBackend {}

/// The backward step of a convolution.
#[derive(Debug)]
struct Step;

/// What the backward step needs: input and weights as the checkpointer keeps them.
type Kept = (
    burn::backend::autodiff::NodeId,
    burn::backend::autodiff::NodeId,
    ConvOptions<2>,
);

impl<B: Convolution> Backward<B, 2> for Step {
    type State = Kept;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input_node, weight_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, weight, options) = ops.state;
        let input = checkpointer.retrieve_node_output::<FloatTensor<B>>(input);
        let weight = checkpointer.retrieve_node_output::<FloatTensor<B>>(weight);
        if let Some(node) = weight_node {
            let of_weight = B::convolve_weight_gradient(
                input.clone(),
                weight.clone(),
                gradient.clone(),
                options.clone(),
            );
            gradients.register::<B>(node.id, of_weight);
        }
        if let Some(node) = input_node {
            let of_input = B::convolve_input_gradient(input, weight, gradient, options);
            gradients.register::<B>(node.id, of_input);
        }
    }
}

impl<B: Convolution, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        match Step
            .prepare::<C>([input.node(), weight.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let kept = (
                    prep.checkpoint(&input),
                    prep.checkpoint(&weight),
                    options.clone(),
                );
                let output = B::convolve(input.into_primitive(), weight.into_primitive(), options);
                prep.finish(kept, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::convolve(
                input.into_primitive(),
                weight.into_primitive(),
                options,
            )),
        }
    }
}

/// Convolution of `input` `[N, C, H, W]` with `weight` `[O, C / groups, kernel height, kernel width]` and `bias` `[O]`.
///
/// # Panics
/// Where the shapes do not fit each other, as Burn's own.
pub fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions<2>,
) -> Tensor<4> {
    let output = Dispatch::convolve(input.into_dispatch(), weight.into_dispatch(), options);
    let output = Tensor::<4>::from_dispatch(output);
    match bias {
        None => output,
        Some(bias) => {
            let channels = bias.dims()[0];
            output + bias.reshape([1, channels, 1, 1])
        }
    }
}
