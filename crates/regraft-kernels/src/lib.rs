//! CPU kernels on plain `&[f32]` slices.

mod algorithm;
mod backward_weight;
mod conv;
mod depthwise;
mod direct;
mod epilogue;
mod error;
mod gemm;
mod isa;
mod prepared;
mod scratch;
mod shape;
mod shared;
mod simd;
mod sum;
mod winograd;

pub use algorithm::{Algorithm, choose};
pub use conv::Conv2d;
pub use epilogue::{Activation, Epilogue};
pub use error::Error;
pub use isa::Isa;
pub use prepared::PreparedConv;
pub use scratch::release as release_scratch;
pub use shape::{Conv2dShape, Conv2dSpec};
