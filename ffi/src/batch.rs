//! Up to 64 packets in a fixed array: what one burst fills, the pipeline works on, and the next burst sends. Nothing is
//! allocated, and packets are not moved on the way.

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys as sys;

use crate::Mbuf;

/// Capacity of a [`Batch`].
pub const BATCH: usize = 64;

/// What a [`Batch`] holds: an [`Mbuf`], or a type of the caller's around one and nothing else.
pub trait Packet: From<Mbuf> + Into<Mbuf> {}

impl<P: From<Mbuf> + Into<Mbuf>> Packet for P {}

/// An owned array of packets; those left in it when it is dropped are freed.
pub struct Batch<P: Packet = Mbuf> {
    slots: [MaybeUninit<P>; BATCH],
    len: usize, // slots[..len] are initialised
}

impl Batch {
    pub const fn new() -> Self {
        Batch::empty()
    }
}

impl<P: Packet> Batch<P> {
    /// C fills and reads the slots as an array of pointers.
    const LAYOUT: () = assert!(
        size_of::<P>() == size_of::<*mut sys::rte_mbuf>()
            && align_of::<P>() == align_of::<*mut sys::rte_mbuf>()
    );

    /// As [`Batch::new`], of any packets.
    pub const fn empty() -> Self {
        const { Self::LAYOUT };
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
    pub fn push(&mut self, packet: P) -> Result<(), P> {
        let Some(slot) = self.slots.get_mut(self.len) else { return Err(packet) };
        slot.write(packet);
        self.len += 1;
        Ok(())
    }

    /// Takes the last packet.
    #[inline]
    pub fn pop(&mut self) -> Option<P> {
        self.len = self.len.checked_sub(1)?;
        // WHY: moves out of the array.
        // SAFETY: the slot was initialised and is now beyond `len`, so it is never read again before being written.
        Some(unsafe { self.slots[self.len].assume_init_read() })
    }

    #[inline]
    pub fn as_slice(&self) -> &[P] {
        // WHY: the initialised part as plain packets.
        // SAFETY: slots[..len] are initialised and MaybeUninit<P> has the layout of P.
        unsafe { slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [P] {
        // WHY: the initialised part as plain packets.
        // SAFETY: as in `as_slice`; exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn iter(&self) -> slice::Iter<'_, P> {
        self.as_slice().iter()
    }

    #[inline]
    pub fn iter_mut(&mut self) -> slice::IterMut<'_, P> {
        self.as_mut_slice().iter_mut()
    }

    /// Takes all packets out, first to last; those not taken when the iterator is dropped are freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_, P> {
        let end = self.len;
        self.len = 0; // should the iterator be forgotten, packets leak instead of being used twice
        Drain { batch: self, next: 0, end }
    }

    /// Frees all packets at once.
    #[inline]
    pub fn clear(&mut self) {
        let count = self.len;
        if count > 0 {
            let raw = self.give_up();
            // WHY: one call returns them all to their pool.
            // SAFETY: the first `count` slots hold mbufs that `give_up` gave up.
            unsafe { sys::rte_pktmbuf_free_bulk(raw, count as u32) }
        }
    }

    /// Has `fill` put mbufs into at most `max` free slots and say how many it did; how many came.
    ///
    /// # Safety
    /// `fill` gets an array of as many slots as it is told, and leaves mbufs that are ours now in the slots that it says.
    #[inline]
    pub(crate) unsafe fn fill(
        &mut self,
        max: usize,
        fill: impl FnOnce(*mut *mut sys::rte_mbuf, usize) -> usize,
    ) -> usize {
        let max = max.min(BATCH - self.len);
        let base: *mut P = self.slots[self.len..].as_mut_ptr().cast();
        let count = fill(base.cast(), max);
        debug_assert!(count <= max);
        for slot in 0..count {
            // WHY: C left pointers; they become packets in place. For a wrapper of an mbuf that is no work at all.
            // SAFETY: the slot lies in the array, holds a pointer to an mbuf of ours (never null), and P fits it (LAYOUT).
            unsafe {
                let slot = base.add(slot);
                let raw = slot.cast::<NonNull<sys::rte_mbuf>>().read();
                slot.write(P::from(Mbuf::from_raw(raw)));
            }
        }
        self.len += count;
        count
    }

    /// Offers all packets to `send`, which takes some from the front and says how many; those stay gone, the others move to
    /// the front of the batch.
    ///
    /// # Safety
    /// As many mbufs as `send` says have a new owner, the others are still ours.
    #[inline]
    pub(crate) unsafe fn send(
        &mut self,
        send: impl FnOnce(*mut *mut sys::rte_mbuf, usize) -> usize,
    ) -> usize {
        let len = self.len;
        let raw = self.give_up();
        let sent = send(raw, len).min(len);
        if sent < len {
            // SAFETY: the slots from `sent` on hold mbufs that `give_up` gave up and nobody took.
            unsafe { self.take_back(sent, len) }
        }
        sent
    }

    /// Gives all packets up, as C wants them; the batch is empty.
    #[inline]
    fn give_up(&mut self) -> *mut *mut sys::rte_mbuf {
        let len = self.len;
        self.len = 0;
        let base: *mut P = self.slots.as_mut_ptr().cast();
        for slot in 0..len {
            // WHY: packets become pointers in place. For a wrapper of an mbuf that is no work at all.
            // SAFETY: the slot was initialised, `len` has forgotten it, and a pointer fits it (LAYOUT).
            unsafe {
                let slot = base.add(slot);
                let mbuf: Mbuf = slot.read().into();
                slot.cast::<NonNull<sys::rte_mbuf>>().write(mbuf.into_raw());
            }
        }
        base.cast()
    }

    /// Takes back what [`Batch::give_up`] left in the slots `from..to`, to the front.
    ///
    /// # Safety
    /// `to <= BATCH`, and these slots hold mbufs that nobody else owns.
    #[cold]
    unsafe fn take_back(&mut self, from: usize, to: usize) {
        let base: *mut P = self.slots.as_mut_ptr().cast();
        for slot in from..to {
            // WHY: what was not sent stays in the batch.
            // SAFETY: the caller's promise; `self.len <= slot`, so nothing is overwritten before it was read.
            unsafe {
                let raw = base.add(slot).cast::<NonNull<sys::rte_mbuf>>().read();
                base.add(self.len).write(P::from(Mbuf::from_raw(raw)));
            }
            self.len += 1;
        }
    }
}

impl<P: Packet> Default for Batch<P> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<P: Packet> Drop for Batch<P> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<P: Packet + fmt::Debug> fmt::Debug for Batch<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// See [`Batch::drain`].
pub struct Drain<'a, P: Packet> {
    batch: &'a mut Batch<P>,
    next: usize, // slots[next..end] are initialised and ours
    end: usize,
}

impl<P: Packet> Iterator for Drain<'_, P> {
    type Item = P;

    #[inline]
    fn next(&mut self) -> Option<P> {
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

impl<P: Packet> ExactSizeIterator for Drain<'_, P> {}

impl<P: Packet> Drop for Drain<'_, P> {
    fn drop(&mut self) {
        while self.next < self.end {
            drop(self.next());
        }
    }
}
