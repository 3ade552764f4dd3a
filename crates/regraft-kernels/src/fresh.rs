//! Outputs in memory that nobody has cleared: kernels write all of it, and clearing it first takes a twentieth of a training
//! step.
//!
//! What is written to is `MaybeUninit` until it has a value, so that no reference to a number is one to none.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Values that may not be there yet: a kernel gives each of them one.
pub(crate) type Fresh = [MaybeUninit<f32>];

/// `len` values that `write` gives.
///
/// # Safety
/// `write` gives each of them a value.
pub(crate) unsafe fn written(len: usize, write: impl FnOnce(&mut Fresh)) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    write(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: there is room for `len` values, and each has been given one, by the caller's promise.
    unsafe { values.set_len(len) };
    values
}

/// Values that are there, for a kernel that writes over them.
pub(crate) fn over(values: &mut [f32]) -> &mut Fresh {
    // SAFETY: of the same layout. Kernels write numbers through it and nothing else, so that the slice holds numbers after.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut Fresh) }
}

/// All of the values set to one, so that they can be added to.
#[inline(always)]
pub(crate) fn filled(out: &mut Fresh, value: f32) -> &mut [f32] {
    out.fill(MaybeUninit::new(value));
    // SAFETY: each has just been given one.
    unsafe { out.assume_init_mut() }
}

/// All of the values copied from another slice of their length.
#[inline(always)]
pub(crate) fn copied(out: &mut Fresh, from: &[f32]) {
    out.write_copy_of_slice(from);
}

/// Values of a task that copies.
const PIECE: usize = 32 * 1024;

/// The values of slices one behind the other, copied by all threads.
#[must_use]
pub fn joined(pieces: &[&[f32]]) -> Vec<f32> {
    let mut ends = Vec::with_capacity(pieces.len());
    let mut len = 0;
    for piece in pieces {
        len += piece.len();
        ends.push(len);
    }
    let write = |out: &mut Fresh| {
        let tasks = out.par_chunks_mut(PIECE).enumerate();
        tasks.for_each(|(task, out)| {
            let mut at = task * PIECE;
            let mut out = out;
            // The piece that `at` lies in, then those behind it.
            let mut index = ends.partition_point(|end| *end <= at);
            while !out.is_empty() {
                let piece = pieces[index];
                let from = &piece[piece.len() - (ends[index] - at)..];
                let count = from.len().min(out.len());
                let (now, rest) = out.split_at_mut(count);
                copied(now, &from[..count]);
                (out, at, index) = (rest, at + count, index + 1);
            }
        });
    };
    // SAFETY: the chunks cover the output, and each is filled until nothing of it is left.
    unsafe { written(len, write) }
}
