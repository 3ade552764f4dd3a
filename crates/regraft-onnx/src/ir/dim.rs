//! One extent of a shape, which may grow with the batch.

/// An extent of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// So many entries for every image: 1 for the batch itself, more where an axis was merged into it (attention heads).
    Batch(usize),
    /// The same for every batch.
    Fixed(usize),
}

impl Dim {
    /// Entries for one image.
    pub fn per_image(self) -> usize {
        match self {
            Dim::Batch(entries) | Dim::Fixed(entries) => entries,
        }
    }
}

/// A shape as people write it: `[N, 64, 7, 7]`.
pub fn show(shape: &[Dim]) -> String {
    let extents: Vec<String> = shape
        .iter()
        .map(|dim| match dim {
            Dim::Batch(1) => "N".to_owned(),
            Dim::Batch(each) => format!("{each} N"),
            Dim::Fixed(extent) => extent.to_string(),
        })
        .collect();
    format!("[{}]", extents.join(", "))
}
