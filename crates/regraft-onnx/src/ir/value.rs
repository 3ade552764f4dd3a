//! An activation: its name in the file and its shape for any batch.

use super::dim::Dim;

/// An activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The file's name for it.
    pub name: String,
    /// Its shape for any batch.
    pub shape: Vec<Dim>,
}

impl Value {
    /// Number of f32 values for one image.
    pub fn values_per_image(&self) -> u64 {
        self.shape
            .iter()
            .map(|dim| dim.per_image() as u64)
            .product()
    }

    /// The extents for a batch of `n`.
    pub fn dims(&self, n: usize) -> Vec<usize> {
        self.shape
            .iter()
            .map(|dim| match dim {
                Dim::Batch(each) => n * each,
                Dim::Fixed(extent) => *extent,
            })
            .collect()
    }
}
