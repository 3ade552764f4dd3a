//! Pooling over windows as an extension of Burn's backends that lie in memory, with its derivatives.
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
use burn::tensor::Tensor;
use regraft_kernels::{Divisor, PoolShape, PoolSpec};

use crate::host::is_readable;

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    /// Its largest value.
    Largest,
    /// Its average.
    Average(Divisor),
}

/// Pooling of `[N, C, H, W]` over the windows of a shape, whose planes are the images' channels.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait Pooling: Backend {
    /// The output, `[N, C, H', W']`.
    fn pool_windows(
        input: FloatTensor<Self>,
        pooled: Pooled,
        shape: PoolShape,
    ) -> FloatTensor<Self>;

    /// The gradient of the input of a maximum.
    fn pool_largest_gradient(
        input: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        shape: PoolShape,
    ) -> FloatTensor<Self>;

    /// The gradient of the input of an average.
    fn pool_average_gradient(
        output_gradient: FloatTensor<Self>,
        divisor: Divisor,
        shape: PoolShape,
    ) -> FloatTensor<Self>;
}

/// The backward step of a maximum; which values were the largest is found again.
#[derive(Debug)]
struct LargestStep;

impl<B: Pooling> Backward<B, 1> for LargestStep {
    type State = (NodeId, PoolShape);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, shape) = ops.state;
        let input = checkpointer.retrieve_node_output::<FloatTensor<B>>(input);
        if let [Some(node)] = ops.parents {
            let of_input = B::pool_largest_gradient(input, gradient, shape);
            gradients.register::<B>(node.id, of_input);
        }
    }
}

/// The backward step of an average, which needs nothing of its input.
#[derive(Debug)]
struct AverageStep;

impl<B: Pooling> Backward<B, 1> for AverageStep {
    type State = (Divisor, PoolShape);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (divisor, shape) = ops.state;
        if let [Some(node)] = ops.parents {
            let of_input = B::pool_average_gradient(gradient, divisor, shape);
            gradients.register::<B>(node.id, of_input);
        }
    }
}

impl<B: Pooling, C: CheckpointStrategy> Pooling for Autodiff<B, C> {
    fn pool_windows(
        input: FloatTensor<Self>,
        pooled: Pooled,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        match pooled {
            Pooled::Largest => {
                match LargestStep
                    .prepare::<C>([input.node()])
                    .compute_bound()
                    .stateful()
                {
                    OpsKind::Tracked(mut prep) => {
                        let kept = (prep.checkpoint(&input), shape.clone());
                        prep.finish(kept, B::pool_windows(input.into_primitive(), pooled, shape))
                    }
                    OpsKind::UnTracked(prep) => {
                        prep.finish(B::pool_windows(input.into_primitive(), pooled, shape))
                    }
                }
            }
            Pooled::Average(divisor) => {
                match AverageStep
                    .prepare::<C>([input.node()])
                    .compute_bound()
                    .stateful()
                {
                    OpsKind::Tracked(prep) => {
                        let kept = (divisor, shape.clone());
                        prep.finish(kept, B::pool_windows(input.into_primitive(), pooled, shape))
                    }
                    OpsKind::UnTracked(prep) => {
                        prep.finish(B::pool_windows(input.into_primitive(), pooled, shape))
                    }
                }
            }
        }
    }

    fn pool_largest_gradient(
        input: FloatTensor<Self>,
        output_gradient: FloatTensor<Self>,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let gradient = output_gradient.into_primitive();
        Self::from_inner(B::pool_largest_gradient(
            input.into_primitive(),
            gradient,
            shape,
        ))
    }

    fn pool_average_gradient(
        output_gradient: FloatTensor<Self>,
        divisor: Divisor,
        shape: PoolShape,
    ) -> FloatTensor<Self> {
        let gradient = output_gradient.into_primitive();
        Self::from_inner(B::pool_average_gradient(gradient, divisor, shape))
    }
}

/// The windows of `input` `[N, C, H, W]`, whatever `spec` says of its size; `None` where there is no kernel for them: on other
/// backends, and where windows do not fit the image.
pub fn pool_shape(input: &Tensor<4>, spec: PoolSpec) -> Option<PoolShape> {
    if !is_readable(input) {
        return None;
    }
    let [images, channels, in_height, in_width] = input.dims();
    PoolShape::new(PoolSpec {
        planes: images * channels,
        in_height,
        in_width,
        ..spec
    })
    .ok()
}

/// Pooling of `input` `[N, C, H, W]` over the windows that [`pool_shape`] gave for it.
///
/// # Panics
/// Where the shape is another tensor's.
pub fn pool2d(input: Tensor<4>, pooled: Pooled, shape: PoolShape) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::pool_windows(input.into_dispatch(), pooled, shape))
}

/// Extents of the output of a tensor `[N, C, H, W]`, and of its input.
pub(crate) fn extents<B: Backend>(tensor: &FloatTensor<B>, size: [usize; 2]) -> [usize; 4] {
    let [images, channels, ..] = tensor.shape().dims::<4>();
    [images, channels, size[0], size[1]]
}
