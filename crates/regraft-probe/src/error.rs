//! Why features and labels cannot be scored.

/// What is wrong with the input of a score, and what would work.
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
    /// Nothing to tell apart.
    #[error("{present} of {classes} classes have images; a score needs at least 2")]
    TooFewClasses {
        /// Classes with at least one image.
        present: usize,
        /// Classes promised.
        classes: usize,
    },
    /// No class can stand in a training part and in a validation part.
    #[error(
        "every class has a single image; at least one needs 2 or more, to train on some and validate on others"
    )]
    NothingToValidate,
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
    /// Too few folds asked for.
    #[error("{folds} folds: cross-validation needs at least 2")]
    Folds {
        /// Folds asked for.
        folds: usize,
    },
    /// No set of features to choose from.
    #[error("no set of features to choose from; give at least one")]
    NoCandidates,
    /// No strength at all.
    #[error("no regularisation strength to try; give at least one")]
    NoStrengths,
    /// A strength that means nothing.
    #[error("regularisation strength {strength}: expected a finite number above 0")]
    Strength {
        /// The strength.
        strength: f64,
    },
    /// A strength too small for 64-bit floats on these features.
    #[error(
        "regularisation strength {strength} is too small for features this alike: the ridge system is singular; use 1e-8 or more"
    )]
    Singular {
        /// The strength.
        strength: f64,
    },
}
