//! What a network says of an image.

use std::fmt;

/// What a network's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutputKind {
    /// A value a class, of which one is true: the softmax of the logits gives probabilities.
    Classes,
    /// One value: its sigmoid is the probability of the second of two classes.
    TwoClasses,
    /// A value a class, each with a sigmoid of its own: any number of classes may be true.
    SeveralClasses,
    /// A vector that no classifier made: what a head would take.
    Features,
    /// Several rows of values, such as tokens or boxes.
    Rows,
    /// Values at every place of a map.
    Maps,
}

impl OutputKind {
    /// Whether it tells classes.
    pub fn tells_classes(self) -> bool {
        match self {
            Self::Classes | Self::TwoClasses | Self::SeveralClasses => true,
            Self::Features | Self::Rows | Self::Maps => false,
        }
    }
}

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classes => "classes",
            Self::TwoClasses => "one probability, of the second of two classes",
            Self::SeveralClasses => "a probability for each class by itself",
            Self::Features => "features",
            Self::Rows => "rows of values, such as tokens or boxes,",
            Self::Maps => "maps",
        })
    }
}
