//! CPU kernels on plain `&[f32]` slices: see the README for what is computed how, and how fast.

mod algorithm;
mod allocator;
mod backward_weight;
mod batch_norm;
mod channels_last;
mod conv;
mod depthwise;
mod direct;
mod elementwise;
mod epilogue;
mod error;
mod fresh;
mod function;
mod gemm;
mod isa;
mod pooling;
mod prepared;
mod scratch;
mod shape;
mod shared;
mod simd;
mod sum;
mod winograd;

pub use algorithm::{Algorithm, choose};
pub use allocator::keep_freed_memory;
pub use batch_norm::{
    BatchStatistics, NormShape, NormSums, Normalisation, batch_statistics, channel_sums,
};
pub use channels_last::{
    ChannelsLastConv, ChannelsLastPool, Columns, Precision, channels_to_first, channels_to_last,
};
pub use conv::Conv2d;
pub use elementwise::{AdaptiveStep, sum, sum_gradient, weighted_squares, weighted_sum};
pub use epilogue::{Activation, Epilogue};
pub use error::Error;
pub use fresh::joined;
pub use function::{exp, sigmoid};
pub use isa::{Isa, has_bf16};
pub use pooling::{
    Divisor, PoolShape, PoolSpec, Rounding, average_pool, average_pool_backward, average_pooled,
    average_pooled_gradient, global_average_pool, global_average_pool_backward, max_pool,
    max_pool_backward, max_pooled, max_pooled_gradient,
};
pub use prepared::PreparedConv;
pub use scratch::release as release_scratch;
pub use shape::{Conv2dShape, Conv2dSpec};

/// The example of the README is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
