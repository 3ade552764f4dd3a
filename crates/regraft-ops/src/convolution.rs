//! 2-D convolution as an extension of Burn's backends, with its derivatives.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Shape, Tensor};

/// Convolution of `[N, C, H, W]` with weights `[O, C / groups, kernel height, kernel width]` and biases `[O]`, and the gradients
/// of all; what is not overridden is the backend's own.
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

    /// The output with biases.
    fn convolve_biased(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d(input, weight, Some(bias), options)
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

    /// The gradient of the biases, from that of the output.
    fn convolve_bias_gradient(output_gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let [images, channels, height, width] = output_gradient.shape().dims();
        let rows = Shape::new([images, channels, height * width]);
        let by_row = Self::float_sum_dim(Self::float_reshape(output_gradient, rows), 2);
        let sums = Self::float_sum_dim(by_row, 0);
        Self::float_reshape(sums, Shape::new([channels]))
    }
}

#[cfg(feature = "cuda")]
impl Convolution for burn_cubecl::CubeBackend {}

/// The backward step of a convolution.
#[derive(Debug)]
struct Step;

/// What the backward step needs: input and weights as the checkpointer keeps them.
type Kept = (NodeId, NodeId, ConvOptions<2>);

/// Registers the gradients of input and weights, where their nodes are tracked.
fn register<B: Convolution>(
    [input_node, weight_node]: [Option<NodeId>; 2],
    gradient: FloatTensor<B>,
    (input, weight, options): Kept,
    gradients: &mut Gradients,
    checkpointer: &mut Checkpointer,
) {
    let input = checkpointer.retrieve_node_output::<FloatTensor<B>>(input);
    let weight = checkpointer.retrieve_node_output::<FloatTensor<B>>(weight);
    if let Some(node) = weight_node {
        let of_weight = B::convolve_weight_gradient(
            input.clone(),
            weight.clone(),
            gradient.clone(),
            options.clone(),
        );
        gradients.register::<B>(node, of_weight);
    }
    if let Some(node) = input_node {
        let of_input = B::convolve_input_gradient(input, weight, gradient, options);
        gradients.register::<B>(node, of_input);
    }
}

impl<B: Convolution> Backward<B, 2> for Step {
    type State = Kept;

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        register::<B>(parents, gradient, ops.state, gradients, checkpointer);
    }
}

impl<B: Convolution> Backward<B, 3> for Step {
    type State = Kept;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input, weight, bias] = ops.parents.map(|node| node.map(|node| node.id));
        let gradient = gradients.consume::<B>(&ops.node);
        if let Some(node) = bias {
            let of_bias = B::convolve_bias_gradient(gradient.clone());
            gradients.register::<B>(node, of_bias);
        }
        register::<B>(
            [input, weight],
            gradient,
            ops.state,
            gradients,
            checkpointer,
        );
    }
}

impl<B: Convolution, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        match Backward::<B, 2>::prepare::<C>(Step, [input.node(), weight.node()])
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

    fn convolve_biased(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        match Backward::<B, 3>::prepare::<C>(Step, nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let kept = (
                    prep.checkpoint(&input),
                    prep.checkpoint(&weight),
                    options.clone(),
                );
                let output = B::convolve_biased(
                    input.into_primitive(),
                    weight.into_primitive(),
                    bias.into_primitive(),
                    options,
                );
                prep.finish(kept, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::convolve_biased(
                input.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
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
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        None => Dispatch::convolve(input, weight, options),
        Some(bias) => Dispatch::convolve_biased(input, weight, bias.into_dispatch(), options),
    })
}
