//! An output that several threads write at once, each its own elements.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use crate::fresh::Fresh;

/// A mutable slice whose elements are handed out by index, not by splitting: tiles of an image are not contiguous.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    data: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only followed through `at`, whose caller promises that no two threads share an element.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Of values that may not be there yet.
    pub fn of(data: &'a mut Fresh) -> Self {
        Self {
            data: data.as_mut_ptr().cast(),
            len: data.len(),
            lifetime: PhantomData,
        }
    }

    pub fn new(data: &'a mut [f32]) -> Self {
        Self {
            data: data.as_mut_ptr(),
            len: data.len(),
            lifetime: PhantomData,
        }
    }

    /// # Safety
    /// `offset + len` is within the slice, and no other thread touches these elements meanwhile.
    #[inline(always)]
    pub unsafe fn at(&self, offset: usize, len: usize) -> *mut f32 {
        debug_assert!(offset + len <= self.len, "{offset} + {len} of {}", self.len);
        // SAFETY: within the slice.
        unsafe { self.data.add(offset) }
    }

    /// The elements from `offset` on.
    #[inline(always)]
    pub fn from(self, offset: usize) -> Self {
        assert!(offset <= self.len, "from {offset} of {}", self.len);
        Self {
            data: self.data.wrapping_add(offset),
            len: self.len - offset,
            lifetime: PhantomData,
        }
    }

    /// An address that is not followed.
    #[inline(always)]
    pub fn wrapping_at(&self, offset: usize) -> *const f32 {
        self.data.wrapping_add(offset)
    }

    /// # Safety
    /// As [`Self::at`].
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn slice(&self, offset: usize, len: usize) -> &'a mut [f32] {
        assert!(offset + len <= self.len, "{offset} + {len} of {}", self.len);
        // SAFETY: within the slice and nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(offset), len) }
    }
}
