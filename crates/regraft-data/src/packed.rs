//! Images of one file, held in memory as they are.

use crate::decode::Decoded;

/// Grey images of one size.
#[derive(PartialEq, Eq)]
pub struct IdxImages {
    pub(crate) height: u32,
    pub(crate) width: u32,
    /// Row by row, image by image.
    pub(crate) pixels: Vec<u8>,
}

impl std::fmt::Debug for IdxImages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "IdxImages({} of {} x {})",
            self.len(),
            self.height,
            self.width
        )
    }
}

impl IdxImages {
    /// How many.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.area()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// An image's grey values, row by row; `None` where there is none of this position.
    pub fn bytes(&self, position: usize) -> Option<&[u8]> {
        let start = position.checked_mul(self.area())?;
        self.pixels.get(start..start.checked_add(self.area())?)
    }

    /// An image as RGB; `None` where there is none of this position.
    pub fn image(&self, position: usize) -> Option<Decoded> {
        let grey = self.bytes(position)?;
        Some(Decoded {
            width: self.width,
            height: self.height,
            rgb: grey.iter().flat_map(|&value| [value; 3]).collect(),
        })
    }

    /// Pixels of an image, at least 1: `read_images` refuses others.
    fn area(&self) -> usize {
        self.height as usize * self.width as usize
    }
}
