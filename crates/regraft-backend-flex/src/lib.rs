//! Plugin: flex, Burn's CPU backend with SIMD kernels on all cores.

use burn::tensor::Device;

/// What `--device` calls it.
pub const NAME: &str = "flex";
/// One line about it.
pub const SUMMARY: &str = "CPU, SIMD on all cores";

/// One description a device: the CPU is always there.
pub fn devices() -> Vec<String> {
    vec!["CPU".to_owned()]
}

/// The CPU, whatever the index.
///
/// # Errors
/// Never.
pub fn open(_index: usize) -> Result<Device, String> {
    Ok(Device::flex())
}
