//! Batch norm with the activation behind it, as an extension of Burn's backends that lie in memory, with its derivatives.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::{Slice, Tensor};
use regraft_kernels::Activation;

use crate::host::is_readable;

/// What a normalisation does besides its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormOptions {
    /// Added to the variance.
    pub epsilon: f64,
    /// What follows.
    pub activation: Activation,
    /// Whether the statistics are the input's own, so that gradients go through them.
    pub own: bool,
}

/// Normalisation of `[N, C, H, W]` by scale and shift `[C]` and statistics `[2 C]`, the means first, then the variances.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait Normalisation: Backend {
    /// Means and biased variances of the channels, `[2 C]`.
    fn channel_statistics(input: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The output, `[N, C, H, W]`.
    fn normalise(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self>;

    /// The gradients of the scale, then the shift, `[2 C]`.
    fn normalise_sums(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self>;

    /// The gradient of the input; `sums` are those of [`Self::normalise_sums`], and only read where statistics are the input's own.
    fn normalise_input_gradient(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self>;
}

/// The backward step of a normalisation.
#[derive(Debug)]
struct Step;

/// What the backward step needs: input, scale and shift as the checkpointer keeps them, statistics as they were.
type Kept<B> = (NodeId, NodeId, NodeId, FloatTensor<B>, NormOptions);

impl<B: Normalisation> Backward<B, 3> for Step {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input_node, scale_node, shift_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, scale, shift, statistics, options) = ops.state;
        let [input, scale, shift] = [input, scale, shift]
            .map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let nodes = [input_node, scale_node, shift_node].map(|node| node.map(|node| node.id));
        let operands = [input, scale, shift, statistics];
        register_normalised::<B>(nodes, gradient, operands, options, gradients);
    }
}

/// Registers the gradients of input, scale and shift where their nodes are tracked; `gradient` is that of the output.
pub(crate) fn register_normalised<B: Normalisation>(
    [input_node, scale_node, shift_node]: [Option<NodeId>; 3],
    gradient: FloatTensor<B>,
    [input, scale, shift, statistics]: [FloatTensor<B>; 4],
    options: NormOptions,
    gradients: &mut Gradients,
) {
    let channels = scale.shape().num_elements();
    let learned = scale_node.is_some() || shift_node.is_some();
    let sums = if learned || options.own {
        B::normalise_sums(
            input.clone(),
            scale.clone(),
            shift.clone(),
            statistics.clone(),
            gradient.clone(),
            options,
        )
    } else {
        statistics.clone()
    };
    let half = |from: usize| {
        let range = Slice::from(from * channels..(from + 1) * channels);
        B::float_slice(sums.clone(), &[range])
    };
    if let Some(node) = scale_node {
        gradients.register::<B>(node, half(0));
    }
    if let Some(node) = shift_node {
        gradients.register::<B>(node, half(1));
    }
    if let Some(node) = input_node {
        let of_input =
            B::normalise_input_gradient(input, scale, shift, statistics, gradient, sums, options);
        gradients.register::<B>(node, of_input);
    }
}

impl<B: Normalisation, C: CheckpointStrategy> Normalisation for Autodiff<B, C> {
    fn channel_statistics(input: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::channel_statistics(input.into_primitive()))
    }

    fn normalise(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        match Step
            .prepare::<C>([input.node(), scale.node(), shift.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut prep) => {
                let statistics = statistics.into_primitive();
                let kept = (
                    prep.checkpoint(&input),
                    prep.checkpoint(&scale),
                    prep.checkpoint(&shift),
                    statistics.clone(),
                    options,
                );
                let output = B::normalise(
                    input.into_primitive(),
                    scale.into_primitive(),
                    shift.into_primitive(),
                    statistics,
                    options,
                );
                prep.finish(kept, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::normalise(
                input.into_primitive(),
                scale.into_primitive(),
                shift.into_primitive(),
                statistics.into_primitive(),
                options,
            )),
        }
    }

    fn normalise_sums(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        Self::from_inner(B::normalise_sums(
            input.into_primitive(),
            scale.into_primitive(),
            shift.into_primitive(),
            statistics.into_primitive(),
            output_gradient.into_primitive(),
            options,
        ))
    }

    fn normalise_input_gradient(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        options: NormOptions,
    ) -> FloatTensor<Self> {
        Self::from_inner(B::normalise_input_gradient(
            input.into_primitive(),
            scale.into_primitive(),
            shift.into_primitive(),
            statistics.into_primitive(),
            output_gradient.into_primitive(),
            sums.into_primitive(),
            options,
        ))
    }
}

/// Means and variances `[2 C]`, cut off from autodiff.
pub(crate) fn together(statistics: [Tensor<1>; 2]) -> Tensor<1> {
    Tensor::cat(statistics.map(Tensor::without_autodiff).to_vec(), 0)
}

/// Whether [`batch_norm`] has a kernel for a tensor: one of `f32` in the program's own memory.
pub fn has_batch_norm(input: &Tensor<4>) -> bool {
    is_readable(input)
}

/// Means and biased variances of the channels of `input` `[N, C, H, W]`, each `[C]` and cut off from autodiff.
///
/// # Panics
/// Where [`has_batch_norm`] says no, or the input is empty.
pub fn channel_statistics(input: &Tensor<4>) -> [Tensor<1>; 2] {
    let channels = input.dims()[1];
    let input = input.clone().without_autodiff();
    let both = Tensor::<1>::from_dispatch(Dispatch::channel_statistics(input.into_dispatch()));
    [
        both.clone().narrow(0, 0, channels),
        both.narrow(0, channels, channels),
    ]
}

/// `activation((input - mean) / sqrt(variance + epsilon) * scale + shift)` for `input` `[N, C, H, W]`; the others are `[C]`.
///
/// Keeps nothing for the gradients but its operands. No gradient goes to mean and variance: with `options.own` they are
/// [`channel_statistics`] of the input, and its gradient includes what goes through them.
///
/// # Panics
/// Where [`has_batch_norm`] says no, or shapes do not fit each other.
pub fn batch_norm(
    input: Tensor<4>,
    [scale, shift]: [Tensor<1>; 2],
    statistics: [Tensor<1>; 2],
    options: NormOptions,
) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::normalise(
        input.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        together(statistics).into_dispatch(),
        options,
    ))
}
