//! What can go wrong between a graph and a running network.

/// Why a network could not be built or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan was made for another network.
    #[error(
        "the freeze plan speaks of `{name}`, which the network does not have; make the plan from this network's outline"
    )]
    PlanMismatch {
        /// The parameter or layer.
        name: String,
    },
    /// A batch has the wrong shape.
    #[error("the network takes images of shape {expected:?}, got {found:?}")]
    BatchShape {
        /// Channels, height, width.
        expected: [usize; 3],
        /// Channels, height, width of the batch.
        found: [usize; 3],
    },
    /// A node's operands have ranks that its operator cannot take on a device.
    #[error("node `{node}`: {reason}")]
    Node {
        /// Its name.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// A trunk in bf16 where there is none.
    #[error(
        "no trunk in bf16 here: it takes a processor with AVX-512 BF16, and a network without operators unknown to the CPU's kernels; set the trunk's precision to f32"
    )]
    Precision,
    /// Weights to be loaded do not fit.
    #[error("weights for `{name}`: {reason}")]
    Weights {
        /// The parameter.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The device could not hand back its results.
    #[error("reading results from the device: {reason}")]
    Device {
        /// The backend's words.
        reason: String,
    },
}
