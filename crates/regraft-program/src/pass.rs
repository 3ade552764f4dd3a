//! The passes by name, and what each did with a node or why it left it alone.

use std::fmt;

/// A pass over a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Pass {
    /// Batch norm by running statistics becomes part of the convolution before it. For inference.
    FoldBatchNorm,
    /// Five nodes that spell out a GELU become one function. For inference.
    NameGelu,
    /// `x gate(x)` in two nodes becomes SiLU or hard swish. For inference.
    NameGate,
    /// A bias, scale or function is computed where its operand is written. For inference.
    Epilogue,
    /// A sum is computed where one of its operands is written. For inference.
    ResidualSum,
    /// An activation is computed in one step with the batch norm before it. For training.
    NormThenActivation,
    /// A batch norm is recomputed by the convolution, sum or pooling that alone reads it, and never stored. For training.
    NormInReader,
    /// An activation is computed in one step with the sum before it. For training.
    SumThenActivation,
}

impl Pass {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FoldBatchNorm => "fold-batch-norm",
            Self::NameGelu => "name-gelu",
            Self::NameGate => "name-gate",
            Self::Epilogue => "epilogue",
            Self::ResidualSum => "residual-sum",
            Self::NormThenActivation => "norm-then-activation",
            Self::NormInReader => "norm-in-reader",
            Self::SumThenActivation => "sum-then-activation",
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a pass did with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The pass.
    pub pass: Pass,
    /// The node's name in the file.
    pub node: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a pass at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The node is computed together with another, of this name.
    Into(String),
    /// The node stays by itself, for this reason.
    Left(&'static str),
}

impl Note {
    pub(crate) fn applied(pass: Pass, node: &str, into: &str) -> Self {
        Self {
            pass,
            node: node.to_owned(),
            outcome: Outcome::Into(into.to_owned()),
        }
    }

    pub(crate) fn left(pass: Pass, node: &str, why: &'static str) -> Self {
        Self {
            pass,
            node: node.to_owned(),
            outcome: Outcome::Left(why),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pass,
            node,
            outcome,
        } = self;
        match outcome {
            Outcome::Into(other) => write!(f, "{pass}: `{node}` is computed with `{other}`"),
            Outcome::Left(why) => write!(f, "{pass}: `{node}` stays by itself: {why}"),
        }
    }
}
