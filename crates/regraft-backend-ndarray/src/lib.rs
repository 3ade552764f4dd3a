//! Plugin: ndarray, Burn's older CPU backend; deprecated upstream in favour of flex, kept because it is asked for.

use burn::tensor::Device;

/// What `--device` calls it.
pub const NAME: &str = "ndarray";
/// One line about it.
pub const SUMMARY: &str = "CPU, portable; slower than flex";

/// One description a device: the CPU is always there.
pub fn devices() -> Vec<String> {
    vec!["CPU".to_owned()]
}

/// The CPU, whatever the index.
///
/// # Errors
/// Never.
pub fn open(_index: usize) -> Result<Device, String> {
    #[allow(deprecated)] // this plugin is the one place that names the deprecated backend
    Ok(Device::ndarray())
}
