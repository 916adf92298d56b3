//! Asks the CPU to load what a later packet of the burst needs: one miss alone costs more than a whole packet, many at once
//! cost little.
#![allow(unsafe_code, reason = "the instruction has no safe form; decision 6")]

/// Asks for the cache line at the start of `value`.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // WHY: as above.
    // SAFETY: a prefetch reads and writes nothing and may name any address; SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
}
