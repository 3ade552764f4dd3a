//! CPU kernels on plain `&[f32]` slices.

mod backward_weight;
mod conv;
mod direct;
mod epilogue;
mod error;
mod gemm;
mod isa;
mod scratch;
mod shape;
mod shared;
mod simd;
mod sum;

pub use conv::Conv2d;
pub use epilogue::{Activation, Epilogue};
pub use error::Error;
pub use isa::Isa;
pub use scratch::release as release_scratch;
pub use shape::{Conv2dShape, Conv2dSpec};
