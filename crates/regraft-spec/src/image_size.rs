//! Height and width of the image that a network sees: one number where they are the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest side, in pixels.
pub const LONGEST_SIDE: u32 = 4096;

/// Height and width in pixels. Written as one number for a square, as `[height, width]` otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct ImageSize {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

/// How a size stands in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Square(u32),
    Sides([u32; 2]),
}

impl From<Written> for ImageSize {
    fn from(written: Written) -> Self {
        match written {
            Written::Square(side) => Self::square(side),
            Written::Sides([height, width]) => Self { height, width },
        }
    }
}

impl From<ImageSize> for Written {
    fn from(size: ImageSize) -> Self {
        match size.height == size.width {
            true => Self::Square(size.height),
            false => Self::Sides([size.height, size.width]),
        }
    }
}

impl ImageSize {
    /// As high as wide.
    pub fn square(side: u32) -> Self {
        Self {
            height: side,
            width: side,
        }
    }

    /// The shorter side, in pixels.
    pub fn shorter(self) -> u32 {
        self.height.min(self.width)
    }

    /// Height and width.
    pub fn sides(self) -> [usize; 2] {
        [self.height as usize, self.width as usize]
    }

    /// Whether both sides are from 1 to [`LONGEST_SIDE`].
    pub fn is_possible(self) -> bool {
        [self.height, self.width]
            .iter()
            .all(|side| (1..=LONGEST_SIDE).contains(side))
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.height == self.width {
            true => write!(f, "{}", self.height),
            false => write!(f, "{}x{}", self.height, self.width),
        }
    }
}

/// `96` or `32x64`, height first.
impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.trim().parse::<u32>().ok();
        let size = match text.split_once(['x', 'X']) {
            None => side(text).map(Self::square),
            Some((height, width)) => side(height)
                .zip(side(width))
                .map(|(height, width)| Self { height, width }),
        };
        size.filter(|size| size.is_possible()).ok_or_else(|| {
            format!("expected pixels a side, 1 to {LONGEST_SIDE}, or height and width as `32x64`")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_square_is_one_number_in_files_and_on_the_command_line() {
        for (json, text, size) in [
            ("96", "96", ImageSize::square(96)),
            (
                "[32,64]",
                "32x64",
                ImageSize {
                    height: 32,
                    width: 64,
                },
            ),
        ] {
            assert_eq!(serde_json::from_str::<ImageSize>(json).unwrap(), size);
            assert_eq!(serde_json::to_string(&size).unwrap(), json);
            assert_eq!(text.parse::<ImageSize>().unwrap(), size);
            assert_eq!(size.to_string(), text);
        }
        for wrong in ["0", "32x", "32x64x3", "5000", "-1"] {
            assert!(wrong.parse::<ImageSize>().is_err(), "{wrong}");
        }
    }
}
