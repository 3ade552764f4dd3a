//! Buffers that threads keep between calls, so that a steady state allocates nothing.

use std::cell::RefCell;

thread_local! {
    static POOL: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Values to a cache line.
const LINE: usize = 16;

/// Lends a buffer of `len` values, aligned to a cache line; what they are is left from earlier uses. Nested calls get
/// buffers of their own.
pub(crate) fn with<R>(len: usize, job: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = POOL.with_borrow_mut(|pool| {
        // The smallest that is large enough, else the largest, which then grows.
        let fits =
            |buffer: &Vec<f32>| (buffer.len() < len + LINE, buffer.len().abs_diff(len + LINE));
        let best = (0..pool.len()).min_by_key(|&i| fits(&pool[i]));
        best.map(|best| pool.swap_remove(best)).unwrap_or_default()
    });
    if buffer.len() < len + LINE {
        buffer = vec![0.0; len + LINE];
    }
    let skip = buffer.as_ptr().align_offset(64).min(LINE);
    let result = job(&mut buffer[skip..skip + len]);
    POOL.with_borrow_mut(|pool| pool.push(buffer));
    result
}

/// Gives back the memory that this thread keeps.
pub fn release() {
    POOL.with_borrow_mut(Vec::clear);
}
