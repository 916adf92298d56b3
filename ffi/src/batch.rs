//! Up to 64 packets in a fixed array: what one burst fills and the pipeline works on. Nothing is allocated.

use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;
use std::slice;

use crate::Mbuf;

/// Capacity of a [`Batch`].
pub const BATCH: usize = 64;

/// An owned array of packets; those left in it when it is dropped are freed.
pub struct Batch {
    slots: [MaybeUninit<Mbuf>; BATCH],
    len: usize, // slots[..len] are initialised
}

impl Batch {
    pub const fn new() -> Self {
        Batch { slots: [const { MaybeUninit::uninit() }; BATCH], len: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == BATCH
    }

    /// Adds a packet at the end; gives it back if the batch is full.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        let Some(slot) = self.slots.get_mut(self.len) else { return Err(mbuf) };
        slot.write(mbuf);
        self.len += 1;
        Ok(())
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<Mbuf> {
        self.len = self.len.checked_sub(1)?;
        // WHY: moves out of the array.
        // SAFETY: the slot was initialised and is now beyond `len`, so it is never read again before being written.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    #[inline]
    pub fn as_slice(&self) -> &[Mbuf] {
        // WHY: the initialised part as plain packets.
        // SAFETY: slots[..len] are initialised and MaybeUninit<Mbuf> has the layout of Mbuf.
        unsafe { slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // WHY: the initialised part as plain packets.
        // SAFETY: as in `as_slice`; exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn iter(&self) -> slice::Iter<'_, Mbuf> {
        self.as_slice().iter()
    }

    #[inline]
    pub fn iter_mut(&mut self) -> slice::IterMut<'_, Mbuf> {
        self.as_mut_slice().iter_mut()
    }

    /// Takes all packets out, first to last; those not taken when the iterator is dropped are freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_> {
        let end = self.len;
        self.len = 0; // should the iterator be forgotten, packets leak instead of being used twice
        Drain { batch: self, next: 0, end }
    }

    /// Frees all packets at once.
    #[inline]
    pub fn clear(&mut self) {
        let count = self.len;
        self.len = 0;
        if count > 0 {
            // WHY: one call returns them all to their pool.
            // SAFETY: the first `count` slots hold owned mbufs, Mbuf is a transparent pointer, and `len` forgot them.
            unsafe { dpdk_sys::rte_pktmbuf_free_bulk(self.slots.as_mut_ptr().cast(), count as u32) }
        }
    }

    /// The uninitialised rest, for C to fill.
    #[inline]
    pub(crate) fn spare(&mut self) -> (*mut *mut dpdk_sys::rte_mbuf, usize) {
        (self.slots[self.len..].as_mut_ptr().cast(), BATCH - self.len)
    }

    /// Counts in what C filled.
    ///
    /// # Safety
    /// The first `count` slots of [`Batch::spare`] hold mbufs that are ours now.
    #[inline]
    pub(crate) unsafe fn filled(&mut self, count: usize) {
        debug_assert!(self.len + count <= BATCH);
        self.len += count;
    }

    /// All packets as C wants them.
    #[inline]
    pub(crate) fn pointers(&mut self) -> *mut *mut dpdk_sys::rte_mbuf {
        self.slots.as_mut_ptr().cast()
    }

    /// Forgets the first `count` packets, which C took over; the others move to the front.
    ///
    /// # Safety
    /// `count <= len`, and the first `count` packets have a new owner.
    #[inline]
    pub(crate) unsafe fn taken(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        if self.len > 0 && count > 0 {
            let base = self.slots.as_mut_ptr();
            // WHY: what was not sent stays in the batch.
            // SAFETY: both ranges lie in the array; the slots overwritten or left behind have another owner.
            unsafe { ptr::copy(base.add(count), base, self.len) }
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// See [`Batch::drain`].
pub struct Drain<'a> {
    batch: &'a mut Batch,
    next: usize, // slots[next..end] are initialised and ours
    end: usize,
}

impl Iterator for Drain<'_> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next == self.end {
            return None;
        }
        let slot = &self.batch.slots[self.next];
        self.next += 1;
        // WHY: moves out of the array.
        // SAFETY: the slot is initialised and `next` has passed it, so it is read once.
        Some(unsafe { slot.assume_init_read() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Drain<'_> {}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        while self.next < self.end {
            drop(self.next());
        }
    }
}

// A packet array that C fills must be an array of pointers.
const _: () = assert!(size_of::<ManuallyDrop<Mbuf>>() == size_of::<*mut dpdk_sys::rte_mbuf>());
