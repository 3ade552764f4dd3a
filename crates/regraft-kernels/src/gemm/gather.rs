//! Reads the matrix that a convolution multiplies its weights with out of the image, row by row.
#![allow(unsafe_code)]

use crate::simd::{Simd, every_other};

/// The matrix `[channels * taps, images * grid]` whose element `(c, t), (b, y, x)` is the value of channel `c` of image
/// `b` at `(y, x) * step + taps[t]`, or zero outside of the image.
#[derive(Debug, Clone)]
pub(crate) struct Gather {
    /// Values from image to image.
    pub image: usize,
    /// Height and width of the image.
    pub size: [usize; 2],
    /// Positions of the window.
    pub grid: [usize; 2],
    pub step: [usize; 2],
    pub taps: Vec<[isize; 2]>,
}

impl Gather {
    /// The same matrix where an image is read as it lies: as one long row.
    pub fn flattened(self) -> Self {
        if self.is_plain() {
            let row = [1, self.size[0] * self.size[1]];
            return Self {
                size: row,
                grid: row,
                ..self
            };
        }
        self
    }

    /// Whether an image is read pixel by pixel as it lies.
    fn is_plain(&self) -> bool {
        self.taps == [[0, 0]] && self.step == [1, 1] && self.grid == self.size
    }

    /// Whether it is, in one row.
    pub fn is_one_row(&self) -> bool {
        self.is_plain() && self.grid[0] == 1
    }

    /// Positions of an image.
    pub fn pixels(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Writes the columns `first..first + len` of row `(channel, tap)`. `base` is where channel 0 of image 0 begins.
    ///
    /// # Safety
    /// `len` values and a vector more are writable: whole vectors are copied, the excess is undefined.
    #[inline(always)]
    pub unsafe fn row<S: Simd>(
        &self,
        source: &[f32],
        base: usize,
        row: [usize; 2],
        first: usize,
        len: usize,
        out: *mut f32,
    ) {
        let [height, width] = self.size;
        let [channel, tap] = row;
        let [dy, dx] = self.taps[tap];
        if self.step == [1, 1] && self.grid == self.size {
            let plane = base + channel * height * width;
            // SAFETY: the caller's.
            unsafe { self.shifted::<S>(source, plane, [dy, dx], first, len, out) };
            return;
        }
        let (step, grid_width) = (self.step[1], self.grid[1]);
        // The columns `low..high` of the grid fall inside the image.
        let low = (-dx).max(0).cast_unsigned().div_ceil(step).min(grid_width);
        let high = (width.cast_signed() - dx)
            .max(0)
            .cast_unsigned()
            .div_ceil(step)
            .clamp(low, grid_width);
        let (mut b, pixel) = (first / self.pixels(), first % self.pixels());
        let (mut y, mut x) = (pixel / grid_width, pixel % grid_width);
        let mut done = 0;
        while done < len {
            let end = grid_width.min(x + len - done);
            let from_y = (y * self.step[0]).cast_signed() + dy;
            let (inside, until) = if from_y < 0 || from_y >= height.cast_signed() {
                (end, end)
            } else {
                let inside = low.clamp(x, end);
                (inside, high.clamp(inside, end))
            };
            // SAFETY: `x..end` lands in `done..len`; the copy may exceed it by less than a vector.
            unsafe {
                let to = out.add(done);
                zero(to, inside - x);
                if inside < until {
                    let plane = base + b * self.image + channel * height * width;
                    let at = plane.cast_signed()
                        + from_y * width.cast_signed()
                        + (inside * step).cast_signed()
                        + dx;
                    copy::<S>(
                        source,
                        at.cast_unsigned(),
                        step,
                        until - inside,
                        to.add(inside - x),
                    );
                }
                zero(to.add(until - x), end - until);
            }
            done += end - x;
            x = 0;
            y += 1;
            if y == self.grid[0] {
                y = 0;
                b += 1;
            }
        }
    }
}

impl Gather {
    /// [`Self::row`] where the output has the image's size: the plane `plane` moved by a tap, in long copies over the ends of
    /// its lines, and zeros where these should not have been.
    ///
    /// # Safety
    /// As [`Self::row`].
    #[inline(always)]
    unsafe fn shifted<S: Simd>(
        &self,
        source: &[f32],
        plane: usize,
        [dy, dx]: [isize; 2],
        first: usize,
        len: usize,
        out: *mut f32,
    ) {
        let [height, width] = self.size.map(usize::cast_signed);
        let pixels = height * width;
        let shift = dy * width + dx;
        // Lines whose tap falls inside the image.
        let inside = [
            (-dy).clamp(0, height) * width,
            (height - dy).clamp(0, height) * width,
        ];
        let (mut image, mut begin) = (first / self.pixels(), (first % self.pixels()).cast_signed());
        let mut done = 0;
        while done < len {
            let end = pixels.min(begin + (len - done).cast_signed());
            let from = inside[0].clamp(begin, end);
            let until = inside[1].clamp(from, end);
            // What a tap reads before the first or beyond the last value lies outside of its line, and becomes zero below.
            let at = (plane + image * self.image).cast_signed() + shift;
            let low = from.max(-at).min(until);
            let high = until.min(source.len().cast_signed() - at).max(low);
            // SAFETY: `begin..end` lands in `done..len`; the copy may exceed it by less than a vector, reads end with `source`.
            unsafe {
                let to = out.add(done).offset(-begin);
                zero(to.offset(begin), (low - begin).cast_unsigned());
                if low < high {
                    let at = (at + low).cast_unsigned();
                    copy::<S>(source, at, 1, (high - low).cast_unsigned(), to.offset(low));
                }
                zero(to.offset(high), (end - high).cast_unsigned());
                let columns = if dx < 0 {
                    [0, (-dx).min(width)]
                } else {
                    [(width - dx).max(0), width]
                };
                let mut line = from / width * width;
                while columns[0] < columns[1] && line < until {
                    for x in (line + columns[0]).max(from)..(line + columns[1]).min(until) {
                        *to.offset(x) = 0.0;
                    }
                    line += width;
                }
            }
            done += (end - begin).cast_unsigned();
            begin = 0;
            image += 1;
        }
    }
}

/// # Safety
/// `len` values are writable.
#[inline(always)]
unsafe fn zero(out: *mut f32, len: usize) {
    for i in 0..len {
        // SAFETY: below `len`.
        unsafe { *out.add(i) = 0.0 };
    }
}

/// Copies every `step`-th value from `at` on.
///
/// # Safety
/// `len` values and a vector more are writable.
#[inline(always)]
unsafe fn copy<S: Simd>(source: &[f32], at: usize, step: usize, len: usize, out: *mut f32) {
    let source = &source[at..];
    assert!((len - 1) * step < source.len());
    // SAFETY: reads end before `source.len()`, by the assertion or the condition on the rounded length.
    unsafe {
        match step {
            1 if len.next_multiple_of(S::LANES) <= source.len() => {
                let mut i = 0;
                while i < len {
                    S::store(out.add(i), S::load(source.as_ptr().add(i)));
                    i += S::LANES;
                }
            }
            1 => std::ptr::copy_nonoverlapping(source.as_ptr(), out, len),
            2 if 2 * len.next_multiple_of(S::LANES) <= source.len() => {
                let len = len.next_multiple_of(S::LANES);
                every_other::<S>(source, std::slice::from_raw_parts_mut(out, len));
            }
            2 => every_other::<S>(source, std::slice::from_raw_parts_mut(out, len)),
            _ => {
                for i in 0..len {
                    *out.add(i) = *source.get_unchecked(i * step);
                }
            }
        }
    }
}
