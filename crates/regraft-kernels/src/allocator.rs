//! What the system's allocator does with memory that was freed.
#![allow(unsafe_code)]

/// Lets the process keep freed memory for what comes next. A training step frees all its activations at its end; memory that was
/// given back comes again page by page in the next step, which takes a tenth of it.
///
/// For a program that trains, once and early: it changes the allocator of the whole process. Nothing happens where the C library
/// is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // The largest that glibc allows: larger pieces come from the system and go back to it.
        const PIECE: libc::c_int = 32 << 20;
        // SAFETY: sets numbers of the allocator, under its own lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, PIECE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
