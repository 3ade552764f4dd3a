//! A convolution, the largest of windows or a sum of what a batch norm gives, which is not kept: the backward step computes it again
//! from the norm's input, an elementwise pass instead of a tensor; a sum needs only its own output.
// Burn announces that ndarray will go; until then it is one of ours.
#![allow(deprecated)]

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;
use regraft_kernels::{Activation, PoolShape};

use crate::convolution::Convolution;
use crate::normalisation::{NormOptions, Normalisation, register_normalised, together};
use crate::pooling::{Pooled, Pooling};
use crate::residual::Residual;

/// What the backward step of a norm's reader needs of the norm: input, scale and shift as the checkpointer keeps them, statistics
/// as they were.
#[derive(Debug, Clone)]
struct Kept<B: Normalisation> {
    nodes: [NodeId; 3],
    statistics: FloatTensor<B>,
    norm: NormOptions,
}

/// The same with its tensors at hand.
struct Operands<B: Normalisation> {
    tensors: [FloatTensor<B>; 4],
    norm: NormOptions,
}

impl<B: Normalisation> Kept<B> {
    fn retrieve(self, checkpointer: &mut Checkpointer) -> Operands<B> {
        let [input, scale, shift] = self
            .nodes
            .map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        Operands {
            tensors: [input, scale, shift, self.statistics],
            norm: self.norm,
        }
    }
}

impl<B: Normalisation> Operands<B> {
    /// The norm's output, once more.
    fn output(&self) -> FloatTensor<B> {
        let [input, scale, shift, statistics] = self.tensors.clone();
        B::normalise(input, scale, shift, statistics, self.norm)
    }

    /// Registers the gradients of input, scale and shift from that of the output.
    fn register(
        self,
        parents: [Option<NodeId>; 3],
        gradient: FloatTensor<B>,
        gradients: &mut Gradients,
    ) {
        register_normalised::<B>(parents, gradient, self.tensors, self.norm, gradients);
    }
}

/// A tensor cut off from autodiff.
fn plain<B: Backend, C: CheckpointStrategy>(
    tensor: &FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<B> {
    tensor.clone().into_primitive()
}

/// Convolution of a normalised input.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait NormalisedConvolution: Normalisation + Convolution {
    /// The output, `[N, O, H', W']`; operands as those of [`Normalisation::normalise`] and [`Convolution::convolve`].
    fn convolve_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        norm: NormOptions,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let normalised = Self::normalise(input, scale, shift, statistics, norm);
        Self::convolve(normalised, weight, options)
    }
}

/// The largest of windows of a normalised input.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait NormalisedPooling: Normalisation + Pooling {
    /// The output, `[N, C, H', W']`; operands as those of [`Normalisation::normalise`] and [`Pooling::pool_windows`].
    fn pool_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        norm: NormOptions,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let normalised = Self::normalise(input, scale, shift, statistics, norm);
        Self::pool_windows(normalised, Pooled::Largest, shape)
    }
}

/// The backward step of a maximum.
#[derive(Debug)]
struct PoolStep;

impl<B: NormalisedPooling> Backward<B, 3> for PoolStep {
    type State = (Kept<B>, PoolShape);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let parents = ops.parents.map(|node| node.map(|node| node.id));
        let gradient = gradients.consume::<B>(&ops.node);
        let (kept, shape) = ops.state;
        let operands = kept.retrieve(checkpointer);
        let gradient = B::pool_largest_gradient(operands.output(), gradient, shape);
        operands.register(parents, gradient, gradients);
    }
}

impl<B: NormalisedPooling, C: CheckpointStrategy> NormalisedPooling for Autodiff<B, C> {
    fn pool_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        norm: NormOptions,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node()];
        let prep = PoolStep.prepare::<C>(nodes).compute_bound().stateful();
        let statistics = statistics.into_primitive();
        let output = B::pool_normalised(
            plain::<B, C>(&input),
            plain::<B, C>(&scale),
            plain::<B, C>(&shift),
            statistics.clone(),
            norm,
            shape.clone(),
        );
        match prep {
            OpsKind::Tracked(mut prep) => {
                let nodes = [&input, &scale, &shift].map(|tensor| prep.checkpoint(tensor));
                let kept = Kept {
                    nodes,
                    statistics,
                    norm,
                };
                prep.finish((kept, shape), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// The backward step of a convolution.
#[derive(Debug)]
struct Step;

impl<B: NormalisedConvolution> Backward<B, 4> for Step {
    /// With the weight as the checkpointer keeps it.
    type State = (Kept<B>, NodeId, ConvOptions<2>);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input_node, scale_node, shift_node, weight_node] =
            ops.parents.map(|node| node.map(|node| node.id));
        let gradient = gradients.consume::<B>(&ops.node);
        let (kept, weight, options) = ops.state;
        let operands = kept.retrieve(checkpointer);
        let weight = checkpointer.retrieve_node_output::<FloatTensor<B>>(weight);
        let normalised = operands.output();
        if let Some(node) = weight_node {
            let of_weight = B::convolve_weight_gradient(
                normalised.clone(),
                weight.clone(),
                gradient.clone(),
                options.clone(),
            );
            gradients.register::<B>(node, of_weight);
        }
        let parents = [input_node, scale_node, shift_node];
        if parents.iter().any(Option::is_some) {
            let gradient = B::convolve_input_gradient(normalised, weight, gradient, options);
            operands.register(parents, gradient, gradients);
        }
    }
}

impl<B: NormalisedConvolution, C: CheckpointStrategy> NormalisedConvolution for Autodiff<B, C> {
    fn convolve_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        norm: NormOptions,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node(), weight.node()];
        let prep = Step.prepare::<C>(nodes).compute_bound().stateful();
        let statistics = statistics.into_primitive();
        let output = B::convolve_normalised(
            plain::<B, C>(&input),
            plain::<B, C>(&scale),
            plain::<B, C>(&shift),
            statistics.clone(),
            plain::<B, C>(&weight),
            norm,
            options.clone(),
        );
        match prep {
            OpsKind::Tracked(mut prep) => {
                let nodes = [&input, &scale, &shift].map(|tensor| prep.checkpoint(tensor));
                let kept = Kept {
                    nodes,
                    statistics,
                    norm,
                };
                let weight = prep.checkpoint(&weight);
                prep.finish((kept, weight, options), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// The sum of a normalised input and another tensor, with an activation behind it.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait NormalisedSum: Normalisation + Residual {
    /// The output, `[N, C, H, W]`; operands as those of [`Normalisation::normalise`] and [`Residual::sum_activated`].
    fn sum_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        other: FloatTensor<Self>,
        norm: NormOptions,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

/// The backward step of a sum, which keeps its output as [`Residual`]'s does.
#[derive(Debug)]
struct SumStep;

impl<B: NormalisedSum> Backward<B, 4> for SumStep {
    type State = (Kept<B>, FloatTensor<B>, Activation);

    fn backward(
        self,
        ops: Ops<Self::State, 4>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input, scale, shift, other] = ops.parents.map(|node| node.map(|node| node.id));
        let gradient = gradients.consume::<B>(&ops.node);
        let (kept, output, activation) = ops.state;
        let gradient = B::sum_gradient(output, gradient, activation);
        if let Some(node) = other {
            gradients.register::<B>(node, gradient.clone());
        }
        let operands = kept.retrieve(checkpointer);
        operands.register([input, scale, shift], gradient, gradients);
    }
}

impl<B: NormalisedSum, C: CheckpointStrategy> NormalisedSum for Autodiff<B, C> {
    fn sum_normalised(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        other: FloatTensor<Self>,
        norm: NormOptions,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node(), other.node()];
        let prep = SumStep.prepare::<C>(nodes).compute_bound().stateful();
        let statistics = statistics.into_primitive();
        let output = B::sum_normalised(
            plain::<B, C>(&input),
            plain::<B, C>(&scale),
            plain::<B, C>(&shift),
            statistics.clone(),
            plain::<B, C>(&other),
            norm,
            activation,
        );
        match prep {
            OpsKind::Tracked(mut prep) => {
                let nodes = [&input, &scale, &shift].map(|tensor| prep.checkpoint(tensor));
                let kept = Kept {
                    nodes,
                    statistics,
                    norm,
                };
                prep.finish((kept, output.clone(), activation), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

/// A batch norm with its operands, not yet computed.
#[derive(Debug, Clone)]
pub struct Norm {
    /// `[N, C, H, W]`.
    pub input: Tensor<4>,
    /// Scale and shift, `[C]`.
    pub learned: [Tensor<1>; 2],
    /// Mean and variance, `[C]`.
    pub statistics: [Tensor<1>; 2],
    /// The rest.
    pub options: NormOptions,
}

impl Norm {
    /// Its output: [`batch_norm`](crate::batch_norm).
    ///
    /// # Panics
    /// As there.
    pub fn output(self) -> Tensor<4> {
        crate::batch_norm(self.input, self.learned, self.statistics, self.options)
    }

    /// [`add`](crate::add) of its output and `other`, without that output between.
    ///
    /// # Panics
    /// As [`batch_norm`](crate::batch_norm) and [`add`](crate::add).
    pub fn add(self, other: Tensor<4>, activation: Activation) -> Tensor<4> {
        let [scale, shift] = self.learned;
        let statistics = together(self.statistics);
        Tensor::from_dispatch(Dispatch::sum_normalised(
            self.input.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
            statistics.into_dispatch(),
            other.into_dispatch(),
            self.options,
            activation,
        ))
    }

    /// The largest of windows of its output, without keeping that output for the gradients; `shape` is that of
    /// [`pool_shape`](crate::pool_shape) for its input.
    ///
    /// # Panics
    /// As [`batch_norm`](crate::batch_norm) and [`pool2d`](crate::pool2d).
    pub fn max_pool2d(self, shape: PoolShape) -> Tensor<4> {
        let [scale, shift] = self.learned;
        let statistics = together(self.statistics);
        Tensor::from_dispatch(Dispatch::pool_normalised(
            self.input.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
            statistics.into_dispatch(),
            self.options,
            shape,
        ))
    }

    /// The convolution of its output with `weight` `[O, C / groups, kernel height, kernel width]`, without keeping that output for
    /// the gradients.
    ///
    /// # Panics
    /// As [`batch_norm`](crate::batch_norm) and [`conv2d`](crate::conv2d).
    pub fn conv2d(self, weight: Tensor<4>, options: ConvOptions<2>) -> Tensor<4> {
        let [scale, shift] = self.learned;
        let statistics = together(self.statistics);
        Tensor::from_dispatch(Dispatch::convolve_normalised(
            self.input.into_dispatch(),
            scale.into_dispatch(),
            shift.into_dispatch(),
            statistics.into_dispatch(),
            weight.into_dispatch(),
            self.options,
            options,
        ))
    }
}
