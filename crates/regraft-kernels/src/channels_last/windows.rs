//! Where the values lie that an output is made of: rows of channels, one for each tap of a window.
#![allow(unsafe_code)]

/// The place of an output's window in its image.
#[derive(Clone, Copy, Default)]
pub(super) struct Corner {
    /// Where the image begins, or the row itself where there are no windows.
    pub base: usize,
    /// The first tap, negative in the padding.
    pub y: isize,
    pub x: isize,
}

/// The left side of a product: for each output, a row of values under each tap.
pub(super) trait Rows: Copy + Sync {
    /// The corners of `R` outputs from `first` on; those from `end` on repeat the last.
    fn corners<const R: usize>(&self, first: usize, end: usize) -> [Corner; R];

    /// The values of an output under a tap.
    ///
    /// # Safety
    /// The corner is one of this source's, the tap one of its window's.
    unsafe fn at(&self, corner: &Corner, tap: usize) -> *const f32;
}

/// Rows one behind the other, one tap.
#[derive(Clone, Copy)]
pub(super) struct Dense<'a> {
    pub values: &'a [f32],
    /// From row to row.
    pub pitch: usize,
}

impl Rows for Dense<'_> {
    #[inline(always)]
    fn corners<const R: usize>(&self, first: usize, end: usize) -> [Corner; R] {
        let mut corners = [Corner::default(); R];
        for (i, corner) in corners.iter_mut().enumerate() {
            corner.base = (first + i).min(end - 1) * self.pitch;
        }
        corners
    }

    #[inline(always)]
    unsafe fn at(&self, corner: &Corner, _: usize) -> *const f32 {
        debug_assert!(corner.base < self.values.len());
        // SAFETY: a row of the slice.
        unsafe { self.values.as_ptr().add(corner.base) }
    }
}

/// Windows over images `[N, H, W, C]`.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a> {
    pub values: &'a [f32],
    /// What lies outside of an image: `C` values.
    pub outside: &'a [f32],
    /// Height and width of an image.
    pub size: [usize; 2],
    /// Height and width of the output.
    pub grid: [usize; 2],
    /// `C`.
    pub channels: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Above and left.
    pub pads: [usize; 2],
}

impl Windows<'_> {
    /// Taps of a window.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

impl Rows for Windows<'_> {
    #[inline(always)]
    fn corners<const R: usize>(&self, first: usize, end: usize) -> [Corner; R] {
        let [height, width] = self.grid;
        let pixels = height * width;
        let image = self.size[0] * self.size[1] * self.channels;
        let (mut at, pixel) = (first / pixels * image, first % pixels);
        let (mut y, mut x) = (pixel / width, pixel % width);
        let mut corners = [Corner::default(); R];
        for (i, corner) in corners.iter_mut().enumerate() {
            *corner = Corner {
                base: at,
                y: (y * self.stride[0]).cast_signed() - self.pads[0].cast_signed(),
                x: (x * self.stride[1]).cast_signed() - self.pads[1].cast_signed(),
            };
            if first + i + 1 < end {
                x += 1;
                if x == width {
                    x = 0;
                    y += 1;
                }
                if y == height {
                    y = 0;
                    at += image;
                }
            }
        }
        corners
    }

    #[inline(always)]
    unsafe fn at(&self, corner: &Corner, tap: usize) -> *const f32 {
        let tap = [tap / self.kernel[1], tap % self.kernel[1]];
        let y = corner.y.wrapping_add_unsigned(tap[0] * self.dilation[0]);
        let x = corner.x.wrapping_add_unsigned(tap[1] * self.dilation[1]);
        let (y, x) = (y.cast_unsigned(), x.cast_unsigned());
        if y < self.size[0] && x < self.size[1] {
            let at = corner.base + (y * self.size[1] + x) * self.channels;
            debug_assert!(at + self.channels <= self.values.len());
            // SAFETY: a pixel of the image.
            unsafe { self.values.as_ptr().add(at) }
        } else {
            self.outside.as_ptr()
        }
    }
}
