//! A parameter's values: as they lie in the file until somebody looks at them.
//!
//! A network's file is nearly all weights. They are shared with the file's buffer and decoded one parameter at a time, so
//! that importing a network takes hardly more memory than reading it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::element::{self, Encoding};

/// The values of a parameter in row-major order. Clones share them.
///
/// Looking at it as a slice decodes the values and keeps them; [`Weights::to_vec`] decodes without keeping.
#[derive(Clone)]
pub struct Weights(Arc<Inner>);

struct Inner {
    source: Source,
    values: OnceLock<Vec<f32>>,
    count: usize,
}

/// Where values come from that are not there yet.
enum Source {
    /// Bytes of the file.
    Stored(Encoding, Bytes),
    /// One value, as often as there are values.
    Repeated(f32),
}

impl Weights {
    /// Values that lie in `bytes`, whose length fits a whole number of them.
    pub(crate) fn stored(encoding: Encoding, bytes: Bytes) -> Self {
        let count = bytes.len() / encoding.width();
        Self(Arc::new(Inner {
            source: Source::Stored(encoding, bytes),
            values: OnceLock::new(),
            count,
        }))
    }

    /// The same value `count` times.
    pub(crate) fn repeated(value: f32, count: usize) -> Self {
        Self(Arc::new(Inner {
            source: Source::Repeated(value),
            values: OnceLock::new(),
            count,
        }))
    }

    /// Whether they are one value that was repeated.
    pub(crate) fn are_repeated(&self) -> bool {
        matches!(self.0.source, Source::Repeated(_))
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// A copy of the values.
    pub fn to_vec(&self) -> Vec<f32> {
        match self.0.values.get() {
            Some(values) => values.clone(),
            None => self.0.decode(),
        }
    }
}

impl Inner {
    fn decode(&self) -> Vec<f32> {
        match &self.source {
            Source::Stored(encoding, bytes) => element::decode(*encoding, bytes),
            Source::Repeated(value) => vec![*value; self.count],
        }
    }
}

impl Deref for Weights {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.values.get_or_init(|| self.0.decode())
    }
}

impl From<Vec<f32>> for Weights {
    fn from(values: Vec<f32>) -> Self {
        let count = values.len();
        Self(Arc::new(Inner {
            source: Source::Stored(Encoding::Float, Bytes::new()),
            values: OnceLock::from(values),
            count,
        }))
    }
}

impl<'a> IntoIterator for &'a Weights {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_when_looked_at_and_a_copy_keeps_nothing() {
        let weights = Weights::stored(Encoding::Half, Bytes::from_static(&[0, 0x3c, 0, 0xc0]));
        assert_eq!(weights.to_vec(), [1.0, -2.0]);
        assert!(weights.0.values.get().is_none());
        assert_eq!(weights[1], -2.0);
        assert!(weights.0.values.get().is_some());
    }
}
