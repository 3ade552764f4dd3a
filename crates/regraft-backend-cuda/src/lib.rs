//! Plugin: CUDA, for NVIDIA GPUs.

use std::panic::catch_unwind;

use burn::tensor::{Device, DeviceType};

/// What `--device` calls it.
pub const NAME: &str = "cuda";
/// One line about it.
pub const SUMMARY: &str = "NVIDIA GPU";

/// One description a device; none where there is no driver or no GPU.
pub fn devices() -> Vec<String> {
    // A missing driver makes the runtime panic while it loads; here that only means that there is no device.
    let found = catch_unwind(|| Device::enumerate(DeviceType::Cuda).into_vec().len()).unwrap_or(0);
    (0..found).map(|index| format!("GPU {index}")).collect()
}

/// The GPU with the given index.
///
/// # Errors
/// When there is no such GPU, or no driver.
pub fn open(index: usize) -> Result<Device, String> {
    match devices().len() {
        0 => Err("no NVIDIA GPU with a working driver was found".to_owned()),
        found if index >= found => Err(format!(
            "there are {found} GPUs; use cuda:0 to cuda:{}",
            found - 1
        )),
        _ => Ok(Device::cuda(index)),
    }
}
