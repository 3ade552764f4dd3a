//! Which devices are the processor itself.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Whether tensors of the device lie in the program's own memory, so that kernels on slices serve it.
pub fn is_host(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    match device.as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}

/// Whether the kernels can read a tensor: `f32` in the program's own memory.
pub(crate) fn is_readable<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_host(&tensor.device())
}
