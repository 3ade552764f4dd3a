//! What can be wrong with a wish for a network.

/// Why a network could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No architecture has this name.
    #[error("no architecture is named `{name}`; did you mean `{near}`? There are: {}", .known.join(", "))]
    UnknownArchitecture {
        /// What was asked for.
        name: String,
        /// The name that looks most like it.
        near: String,
        /// Every name.
        known: Vec<&'static str>,
    },
    /// No stem has this name.
    #[error("no stem is named `{name}`; expected `auto`, `imagenet` or `cifar`")]
    UnknownStem {
        /// What was asked for.
        name: String,
    },
    /// A number of classes that no classifier has.
    #[error("{classes} classes, expected at least 2")]
    Classes {
        /// How many were asked for.
        classes: usize,
    },
    /// A label that stands for two classes.
    #[error("the label `{label}` is given twice; each class needs its own")]
    Label {
        /// The label.
        label: String,
    },
    /// A width that makes no network.
    #[error("width {width}, expected above 0 and at most {most}; 1 is the paper's")]
    Width {
        /// What was asked for.
        width: f64,
        /// The largest.
        most: f64,
    },
    /// An image size that no network takes.
    #[error("image size {size}, expected 1 to {most} pixels a side")]
    Size {
        /// What was asked for.
        size: usize,
        /// The largest.
        most: usize,
    },
    /// An image that vanishes before the last layer.
    #[error(
        "images of {size} x {size} are too small for {architecture} with the {stem} stem: its layer `{layer}` has {left} x {left} pixels left; {}",
        remedy(.least, .cifar_fits)
    )]
    ImageTooSmall {
        /// The network.
        architecture: &'static str,
        /// Pixels a side.
        size: usize,
        /// How the network begins.
        stem: &'static str,
        /// Where the image ran out.
        layer: String,
        /// Pixels a side that reach the layer.
        left: usize,
        /// The smallest image that does.
        least: Option<usize>,
        /// Whether the CIFAR stem takes the image.
        cifar_fits: bool,
    },
    /// More weights than an ONNX file holds.
    #[error(
        "the network has {parameters} parameters, {bytes} bytes; an ONNX file holds at most 2 GiB: lower the width, the image size or the number of classes"
    )]
    TooLarge {
        /// Weights, biases and statistics.
        parameters: u64,
        /// What they take as f32.
        bytes: u64,
    },
    /// The model could not be made into a file.
    #[error(transparent)]
    Onnx(#[from] regraft_onnx::Error),
}

fn remedy(least: &Option<usize>, cifar_fits: &bool) -> String {
    let larger = match least {
        Some(least) => format!("use at least {least} x {least}"),
        None => "use larger images".to_owned(),
    };
    if *cifar_fits {
        format!("{larger}, or the `cifar` stem")
    } else {
        larger
    }
}
