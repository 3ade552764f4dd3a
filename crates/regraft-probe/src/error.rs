//! Why features and labels cannot be solved for.

/// What is wrong with the input, and what would work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Features are no matrix with one row an image.
    #[error(
        "{values} feature values for {images} images; expected the same number of values, at least one, for every image"
    )]
    Length {
        /// Values given.
        values: usize,
        /// Images that have a label, or a row of targets.
        images: usize,
    },
    /// Targets are no matrix with a value a class.
    #[error(
        "{values} target values are no rows of {classes} classes; expected a value a class for every image"
    )]
    TargetLength {
        /// Values given.
        values: usize,
        /// Classes promised.
        classes: usize,
    },
    /// What comes with every image comes for another number of them.
    #[error("{given} {what} for {images} images; expected one for every image")]
    PerImage {
        /// What it is.
        what: &'static str,
        /// Values given.
        given: usize,
        /// Number of images.
        images: usize,
    },
    /// Columns of a group beyond the features.
    #[error("group {group} ends at column {end}, but images have {width} features")]
    Group {
        /// Position of the group.
        group: usize,
        /// Column behind its last.
        end: usize,
        /// Features of an image.
        width: usize,
    },
    /// Sums over other images.
    #[error(
        "sums over {width} features and {outputs} outputs cannot be joined with those over {other_width} and {other_outputs}"
    )]
    Join {
        /// Features of an image.
        width: usize,
        /// Outputs of an image.
        outputs: usize,
        /// Features in the other sums.
        other_width: usize,
        /// Outputs in the other sums.
        other_outputs: usize,
    },
    /// A label beyond the classes.
    #[error(
        "label {label} of row {row}: there are {classes} classes, so labels lie below {classes}"
    )]
    Label {
        /// Its row.
        row: usize,
        /// The label.
        label: usize,
        /// Classes promised.
        classes: usize,
    },
    /// A soft target that is no probability.
    #[error(
        "the target of class {class} in row {row} is {value}; probabilities lie between 0 and 1"
    )]
    Probability {
        /// Its row.
        row: usize,
        /// Its class.
        class: usize,
        /// NaN, an infinity, or a number beyond 0 and 1.
        value: f32,
    },
    /// Soft targets of an image that are no distribution.
    #[error("the targets of row {row} sum to {sum}; the probabilities of an image sum to 1")]
    Sum {
        /// Their row.
        row: usize,
        /// What they sum to.
        sum: f64,
    },
    /// A target of a regression that is no number.
    #[error("target {output} of row {row} is {value}; targets must be finite")]
    TargetNotFinite {
        /// Its row.
        row: usize,
        /// Its output.
        output: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// An image that counts less than nothing.
    #[error("the weight of row {row} is {value}; weights are finite and not negative")]
    Weight {
        /// Its row.
        row: usize,
        /// NaN, an infinity, or a negative number.
        value: f32,
    },
    /// Images that do not count at all.
    #[error("the weights of all images are 0; at least one must be more")]
    NoWeight,
    /// Images that cannot be left out.
    #[error(
        "all images are of one object, so that none is left when its images are left out; give at least 2 objects"
    )]
    OneObject,
    /// Several classes an image, of which none tells images apart.
    #[error(
        "each of {classes} classes is true of all images or of none; at least one must be true of some and false of others"
    )]
    NoClassVaries {
        /// Classes promised.
        classes: usize,
    },
    /// Several classes an image, and nothing to find.
    #[error("none of {classes} classes is true of any image; scores need at least one that is")]
    NeverTrue {
        /// Classes promised.
        classes: usize,
    },
    /// Logits are no matrix with a row an image.
    #[error(
        "{logits} logits for {images} images and {classes} classes; expected one for each pair"
    )]
    LogitLength {
        /// Logits given.
        logits: usize,
        /// Number of images.
        images: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A logit that is no number.
    #[error("the logit of class {class} in row {row} is NaN")]
    LogitIsNan {
        /// Its row.
        row: usize,
        /// Its class.
        class: usize,
    },
    /// Nothing to tell apart.
    #[error("{present} of {classes} classes have images; a classifier needs at least 2")]
    TooFewClasses {
        /// Classes with at least one image.
        present: usize,
        /// Classes promised.
        classes: usize,
    },
    /// A feature that is no number.
    #[error("feature {column} of row {row} is {value}; features must be finite")]
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// Nothing that a classifier could go by.
    #[error("no feature differs from image to image; are all images the same?")]
    Constant,
    /// No set of features to choose from.
    #[error("no set of features to choose from; give at least one")]
    NoCandidates,
    /// A strength too small for 64-bit floats on these features.
    #[error(
        "regularisation strength {strength} is too small for features this alike: the ridge system is singular; use 1e-8 or more"
    )]
    Singular {
        /// The strength.
        strength: f64,
    },
}
