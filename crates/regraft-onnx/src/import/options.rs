//! What a caller may decide that the file leaves open.

/// What the file leaves open.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Height and width of the image where the file does not fix them; 224 x 224, or what its metadata says, otherwise.
    pub image_size: Option<[usize; 2]>,
    /// Most numbers that nodes may make besides two for each byte of the file (ConstantOfShape, Range, shape arithmetic);
    /// real networks need a few hundred.
    pub most_generated: usize,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            image_size: None,
            most_generated: 1 << 19,
        }
    }
}
