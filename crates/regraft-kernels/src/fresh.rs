//! Outputs in memory that nobody has cleared: the kernels write all of it, and clearing it first takes a twentieth of a training
//! step.
#![allow(unsafe_code)]

use rayon::prelude::*;

/// `len` values that `write` gives.
///
/// # Safety
/// `write` gives each of them a value, and reads none that it has not given.
pub(crate) unsafe fn written(len: usize, write: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    // SAFETY: room for `len` values, aligned and nobody else's. They may have none yet: nothing reads one before `write` has
    // given it, by the caller's promise.
    unsafe {
        write(std::slice::from_raw_parts_mut(values.as_mut_ptr(), len));
        values.set_len(len);
    }
    values
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
    let write = |out: &mut [f32]| {
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
                now.copy_from_slice(&from[..count]);
                (out, at, index) = (rest, at + count, index + 1);
            }
        });
    };
    // SAFETY: the chunks cover the output, and each is filled until nothing of it is left.
    unsafe { written(len, write) }
}
