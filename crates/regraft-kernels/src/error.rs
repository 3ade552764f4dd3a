//! What can be wrong with a problem before any kernel runs.

/// A shape that no convolution or pooling has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A size that has to be at least one is zero.
    #[error("`{name}` is zero; it has to be at least 1")]
    Zero {
        /// The field.
        name: &'static str,
    },
    /// Channels that don't divide into the groups.
    #[error("`{name}` is {channels}, which {groups} groups do not divide")]
    Groups {
        /// The field.
        name: &'static str,
        /// Its value.
        channels: usize,
        /// The groups asked for.
        groups: usize,
    },
    /// A window that is larger than the padded image.
    #[error("a window of {window} does not fit the {axis} of {size}, padding included")]
    Window {
        /// `height` or `width`.
        axis: &'static str,
        /// Extent of the dilated kernel.
        window: usize,
        /// Extent of the padded image.
        size: usize,
    },
    /// Sizes whose product does not fit the address space.
    #[error("the tensors of this shape have more elements than memory has addresses")]
    TooLarge,
}
