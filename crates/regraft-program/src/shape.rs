//! Extents of a tensor for a given number of images, on the stack.

use std::ops::Deref;

use regraft_onnx::{Dim, Value};

/// Highest rank of a tensor: attention splits an image's axis in two and adds one for the heads.
pub const MAX_RANK: usize = 6;

/// Up to [`MAX_RANK`] extents, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extents {
    at: [usize; MAX_RANK],
    rank: usize,
}

impl Deref for Extents {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.at[..self.rank]
    }
}

impl Extents {
    /// `None` where the rank is too high.
    pub fn new(extents: &[usize]) -> Option<Self> {
        let mut at = [1; MAX_RANK];
        at.get_mut(..extents.len())?.copy_from_slice(extents);
        Some(Self {
            at,
            rank: extents.len(),
        })
    }

    /// The same aligned to the right of `rank` extents, 1 in front.
    pub fn aligned(&self, rank: usize) -> Self {
        let mut at = [1; MAX_RANK];
        let skip = rank.saturating_sub(self.rank);
        at[skip..skip + self.rank].copy_from_slice(self);
        Self {
            at,
            rank: skip + self.rank,
        }
    }

    /// How many values.
    pub fn count(&self) -> usize {
        self.iter().product()
    }

    /// Distance from one index to the next along each axis.
    pub fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank).rev() {
            strides[axis] = step;
            step *= self.at[axis];
        }
        strides
    }
}

/// A value's extents as they grow with the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    one: Extents,
    /// The axis that counts images, alone or times something.
    batch: usize,
}

impl Shape {
    /// `None` where the rank is too high or not exactly one axis counts images.
    pub fn of(value: &Value) -> Option<Self> {
        let mut counting =
            (0..value.shape.len()).filter(|&i| matches!(value.shape[i], Dim::Batch(_)));
        let batch = counting.next()?;
        let one = Extents::new(&value.dims(1))?;
        let sized = one.iter().try_fold(4usize, |all, &extent| {
            (extent > 0).then_some(())?;
            all.checked_mul(extent)
        });
        (counting.next().is_none() && sized.is_some()).then_some(Self { one, batch })
    }

    /// The extents for one image.
    pub fn one(&self) -> &Extents {
        &self.one
    }

    /// The extents for `images`.
    pub fn times(&self, images: usize) -> Extents {
        let mut all = self.one;
        all.at[self.batch] *= images;
        all
    }

    /// The axis that counts images.
    pub fn batch_axis(&self) -> usize {
        self.batch
    }

    /// Whether the values of an image lie together.
    pub fn image_by_image(&self) -> bool {
        self.one[..self.batch].iter().all(|&extent| extent == 1)
    }

    /// `[N, C, H, W]` with its channels last.
    pub fn channels_last(&self) -> Option<Self> {
        let [c, h, w] = self.image()?;
        Some(Self {
            one: Extents::new(&[1, h, w, c])?,
            batch: 0,
        })
    }

    /// Channels, rows and columns of `[N, C, H, W]`.
    pub fn image(&self) -> Option<[usize; 3]> {
        match (self.batch, &self.one[..]) {
            (0, &[1, c, h, w]) => Some([c, h, w]),
            _ => None,
        }
    }
}
