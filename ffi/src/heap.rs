//! Memory of the process that goes back to the system.

use std::sync::atomic::AtomicU32;

/// Makes the threads that start from now on allocate from the one heap of the process. The allocator gives most threads a heap of
/// their own otherwise, and [`trim`] cannot give back the free end of such a heap: after a full table, most of it.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // WHY: the standard library has no word for it.
    // SAFETY: changes a number that the allocator reads under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

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

/// Gives the memory of whole pages of `words`, of the heap, back to the system: they read as zero then, and take memory again once
/// they are written. Nothing happens where the system does not take them.
pub fn discard(words: &mut [u32]) {
    let pages = whole_pages(words.as_mut_ptr().cast(), size_of_val(words));
    // WHY: the standard library has no word for it.
    // SAFETY: the range lies within `words`, which nobody else can reach, and any value is a u32.
    unsafe { dont_need(pages) };
}

/// As [`discard`], for words that other threads may read meanwhile: each reads as it was or as zero.
pub fn discard_shared(words: &[AtomicU32]) {
    let pages = whole_pages(words.as_ptr().cast_mut().cast(), size_of_val(words));
    // WHY: as above.
    // SAFETY: the range lies within `words`, which may be changed through a shared reference; the kernel replaces a page as a whole,
    // so that a load finds the old word or zero, and any value is a u32.
    unsafe { dont_need(pages) };
}

/// The pages that lie in these bytes from their first to their last.
fn whole_pages(start: *mut u8, bytes: usize) -> (*mut u8, usize) {
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16);
    let before = start.align_offset(page).min(bytes);
    (start.wrapping_add(before), (bytes - before) / page * page)
}

/// # Safety
/// Zeros may be stored in all of these bytes.
unsafe fn dont_need((start, bytes): (*mut u8, usize)) {
    if bytes > 0 {
        // SAFETY: as the caller says. Private anonymous memory reads as zero afterwards; any other kind keeps what it has.
        unsafe { libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarded_words_are_zero_or_as_they_were_and_their_neighbours_stay() {
        let mut words = vec![7u32; 1 << 20];
        discard(&mut words[1000..900_000]);
        assert!(words[..1000].iter().chain(&words[900_000..]).all(|word| *word == 7));
        assert!(words[1000..900_000].iter().all(|word| [0, 7].contains(word)));
        assert!(words.iter().filter(|word| **word == 0).count() > 800_000);
        words[500_000] = 9;
        assert_eq!(words[500_000], 9);
        discard(&mut words[10..12]);
        assert_eq!(words[10], 7);
    }
}
