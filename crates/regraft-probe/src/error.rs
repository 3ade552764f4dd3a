//! Why features and labels cannot be solved for.

/// What is wrong with the input, and what would work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Features are no matrix with one row a label.
    #[error(
        "{values} feature values for {labels} labels; expected the same number of values, at least one, for every label"
    )]
    Length {
        /// Values given.
        values: usize,
        /// Labels given.
        labels: usize,
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
    /// Weights of classes that are none.
    #[error(
        "{weights} class weights for {classes} classes; expected none, or one above 0 for every class"
    )]
    Weights {
        /// Weights given.
        weights: usize,
        /// Classes promised.
        classes: usize,
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
