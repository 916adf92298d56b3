//! The process's heap.

/// Gives the heap's free pages back to the system: what was freed in small pieces, such as the maps of a full table, stays with
/// the process otherwise. Takes milliseconds; threads that allocate meanwhile wait, others do not.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // WHY: the standard library has no word for it.
    // SAFETY: touches free memory of the allocator alone, under its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
