//! How a map of features becomes a vector.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What of a map of features `[C, H, W]` becomes a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Pooling {
    /// The mean over positions, `[C]`.
    Mean,
    /// The maximum over positions, `[C]`.
    Max,
    /// The means of n x n windows, `[C n n]`: where something is survives. n is 2 to 4.
    Grid(usize),
}

impl Pooling {
    /// Values of each channel.
    pub fn cells(self) -> usize {
        match self {
            Self::Mean | Self::Max => 1,
            Self::Grid(side) => side * side,
        }
    }

    /// A grid's windows along an axis of `extent` positions: those that are as even as can be, where they have to overlap by
    /// one position. `None` where there are fewer positions than windows, or the pooling is none by windows.
    pub fn windows(self, extent: usize) -> Option<Windows> {
        let Self::Grid(side) = self else {
            return None;
        };
        let (each, over) = (extent / side, extent % side);
        if each == 0 {
            return None;
        }
        Some(match over {
            over if 2 * over <= side => Windows {
                length: each + over,
                stride: each,
                pads: [0, 0],
            },
            over => {
                let pads = side - over + 1;
                Windows {
                    length: each + 2,
                    stride: each + 1,
                    pads: [pads / 2, pads - pads / 2],
                }
            }
        })
    }
}

/// Windows along an axis, as ONNX's AveragePool has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Positions in a window.
    pub length: usize,
    /// Positions from one to the next.
    pub stride: usize,
    /// Positions beyond both ends; they do not count in a mean.
    pub pads: [usize; 2],
}

/// `mean`, `max`, `grid2`.
impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => write!(f, "mean"),
            Self::Max => write!(f, "max"),
            Self::Grid(side) => write!(f, "grid{side}"),
        }
    }
}

/// A word that names no pooling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pooling; expected `mean`, `max`, or `grid2` to `grid4`")]
pub struct UnknownPooling(String);

impl FromStr for Pooling {
    type Err = UnknownPooling;

    fn from_str(word: &str) -> Result<Self, UnknownPooling> {
        let side = word.strip_prefix("grid").and_then(|side| side.parse().ok());
        match (word, side) {
            ("mean", _) => Ok(Self::Mean),
            ("max", _) => Ok(Self::Max),
            (_, Some(side @ 2..=4)) => Ok(Self::Grid(side)),
            _ => Err(UnknownPooling(word.to_owned())),
        }
    }
}

impl TryFrom<String> for Pooling {
    type Error = UnknownPooling;

    fn try_from(word: String) -> Result<Self, UnknownPooling> {
        word.parse()
    }
}

impl From<Pooling> for String {
    fn from(pooling: Pooling) -> String {
        pooling.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn windows_cover_every_position_evenly() {
        for side in 2..=4 {
            assert_eq!(Pooling::Grid(side).windows(side - 1), None);
            for extent in side..40 {
                let windows = Pooling::Grid(side).windows(extent).unwrap();
                let [before, after] = windows.pads;
                let covered = (side - 1) * windows.stride + windows.length;
                assert_eq!(covered, before + extent + after, "{extent} by {side}");
                assert!(before.max(after) < windows.length);
                // The windows that adaptive pooling has.
                for cell in 0..side {
                    let first = (cell * windows.stride).saturating_sub(before);
                    let last = (cell * windows.stride + windows.length - before).min(extent);
                    let exact = (cell * extent / side, ((cell + 1) * extent).div_ceil(side));
                    if side < 4 {
                        assert_eq!((first, last), exact, "{extent} by {side}");
                    }
                    assert!(first.abs_diff(exact.0) <= 1 && last.abs_diff(exact.1) <= 1);
                }
            }
        }
    }

    #[test]
    fn a_pooling_is_read_as_it_is_written() {
        for pooling in [Pooling::Mean, Pooling::Max, Pooling::Grid(3)] {
            assert_eq!(pooling.to_string().parse(), Ok(pooling));
        }
        assert!("grid1".parse::<Pooling>().is_err());
        assert!("middle".parse::<Pooling>().is_err());
    }
}
