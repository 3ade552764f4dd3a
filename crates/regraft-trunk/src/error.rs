//! What can be wrong with a run: slices of another length than the plan's tensors.

/// A call that does not fit its plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input of no or of half an image.
    #[error("an input of {found} values is not a whole number of images of {image} values")]
    Input {
        /// Values of one image.
        image: usize,
        /// Values given.
        found: usize,
    },
    /// A place for the result that is too small or too large.
    #[error("the output has {expected} values, there is room for {found}")]
    Output {
        /// Values of the result.
        expected: usize,
        /// Values there is room for.
        found: usize,
    },
    /// More images than memory has addresses for.
    #[error("{images} images at once do not fit the address space")]
    TooLarge {
        /// The images.
        images: usize,
    },
    /// A step whose kernel refuses the batch.
    #[error("node `{node}`: {source}")]
    Kernel {
        /// The node's name in the file.
        node: String,
        /// Why.
        source: regraft_kernels::Error,
    },
}
