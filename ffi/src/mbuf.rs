//! One packet in one buffer of a pool: owned, freed on drop, headers added and removed at both ends without copying.
//!
//! Field access is plain arithmetic on offsets taken from the DPDK headers at build time; the only calls into C are
//! allocation and release. Only the first segment is seen: ports are configured so that frames fit one, and
//! [`Mbuf::is_contiguous`] finds what a driver chained nevertheless.

use std::fmt;
use std::mem;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys as sys;

/// An owned packet buffer.
///
/// `Send`: a packet moves between lcores through rings. Not `Sync`: one owner at a time touches it.
#[repr(transparent)]
pub struct Mbuf(NonNull<sys::rte_mbuf>);

// WHY: hand-over between lcores.
// SAFETY: an Mbuf is the only reference to its buffer, and pools accept returns from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes over a raw buffer.
    ///
    /// # Safety
    /// `raw` is an allocated mbuf with refcnt 1, direct (not attached to another's buffer), its fields consistent
    /// (`data_off + data_len <= buf_len`), and nobody else uses it from here on.
    #[inline]
    pub unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Self {
        Mbuf(raw)
    }

    /// Gives up ownership: the caller sees to it that the buffer is freed.
    #[inline]
    pub fn into_raw(self) -> NonNull<sys::rte_mbuf> {
        let raw = self.0;
        mem::forget(self);
        raw
    }

    /// The packet's bytes.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // WHY: the bytes live in the pool's memory.
        // SAFETY: `start` with `len` bytes lies inside the buffer (type invariant); mapped memory is initialised; the borrow
        // of self keeps others from changing it.
        unsafe { slice::from_raw_parts(self.start(), self.len()) }
    }

    /// The packet's bytes, to rewrite in place.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // WHY: as in `data`.
        // SAFETY: as in `data`; the exclusive borrow of self makes the slice unaliased.
        unsafe { slice::from_raw_parts_mut(self.start(), self.len()) }
    }

    /// Bytes of the packet (of its first segment).
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.data_len())
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.data_len() == 0
    }

    /// Whether the whole packet is in this one buffer. Frames that are not must be dropped: [`Mbuf::data`] is their start.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.read::<u16, { sys::VR_MBUF_NB_SEGS as usize }>() == 1
    }

    /// Free bytes before the data.
    #[inline]
    pub fn headroom(&self) -> u16 {
        self.data_off()
    }

    /// Free bytes behind the data.
    #[inline]
    pub fn tailroom(&self) -> u16 {
        self.buf_len() - self.data_off() - self.data_len()
    }

    /// Grows the packet at its front: the new bytes, of undefined content, or `None` and no change if the headroom is short.
    #[inline]
    pub fn prepend(&mut self, count: u16) -> Option<&mut [u8]> {
        let offset = self.data_off().checked_sub(count)?;
        let len = self.data_len().checked_add(count)?;
        self.set_extent(offset, len);
        Some(&mut self.data_mut()[..usize::from(count)])
    }

    /// Grows the packet at its end: the new bytes, of undefined content, or `None` and no change if the tailroom is short.
    #[inline]
    pub fn append(&mut self, count: u16) -> Option<&mut [u8]> {
        if count > self.tailroom() {
            return None;
        }
        let old = self.data_len();
        self.set_extent(self.data_off(), old + count);
        Some(&mut self.data_mut()[usize::from(old)..])
    }

    /// Cuts bytes off the front; false and no change if there are not as many.
    #[inline]
    #[must_use]
    pub fn trim_front(&mut self, count: u16) -> bool {
        let Some(len) = self.data_len().checked_sub(count) else { return false };
        self.set_extent(self.data_off() + count, len);
        true
    }

    /// Cuts bytes off the end; false and no change if there are not as many.
    #[inline]
    #[must_use]
    pub fn trim_back(&mut self, count: u16) -> bool {
        let Some(len) = self.data_len().checked_sub(count) else { return false };
        self.set_extent(self.data_off(), len);
        true
    }

    /// Cuts the packet to its first `len` bytes; no change if it is not longer.
    #[inline]
    pub fn truncate(&mut self, len: u16) {
        if len < self.data_len() {
            self.set_extent(self.data_off(), len);
        }
    }

    /// Keeps the `length` bytes that begin at `start` and grows by `count` bytes of undefined content in front of them: true, or
    /// false and no change if there are not as many or the headroom is short.
    #[inline]
    #[must_use]
    pub fn reframe(&mut self, start: u16, length: u16, count: u16) -> bool {
        if u32::from(start) + u32::from(length) > u32::from(self.data_len()) {
            return false;
        }
        let begin = u32::from(self.data_off()) + u32::from(start);
        let (Some(offset), Some(len)) =
            (begin.checked_sub(count.into()), length.checked_add(count))
        else {
            return false;
        };
        // What begins inside the buffer and is not moved back past its start has an offset of 16 bits.
        self.set_extent(offset as u16, len);
        true
    }

    /// The DPDK number of the port that received it ([`crate::Port::id`]).
    #[inline]
    pub fn port(&self) -> u16 {
        self.read::<u16, { sys::VR_MBUF_PORT as usize }>()
    }

    /// Whether the device took the outer VLAN tag out of the frame and left it in [`Mbuf::vlan_tci`]. This flag alone decides:
    /// some drivers fill the TCI of frames whose tag is still in place.
    #[inline]
    pub fn vlan_stripped(&self) -> bool {
        self.ol_flags() & sys::VR_F_RX_VLAN_STRIPPED != 0
    }

    /// The tag control information: PCP, DEI and VLAN. Meaningful if [`Mbuf::vlan_stripped`].
    #[inline]
    pub fn vlan_tci(&self) -> u16 {
        self.read::<u16, { sys::VR_MBUF_VLAN_TCI as usize }>()
    }

    /// The stripped tag, if there is one.
    #[inline]
    pub fn stripped_tci(&self) -> Option<u16> {
        if self.vlan_stripped() { Some(self.vlan_tci()) } else { None }
    }

    /// Marks the packet as received with this tag stripped (test ports, re-injection).
    #[inline]
    pub fn set_stripped_tci(&mut self, tci: u16) {
        self.set_tci(tci, sys::VR_F_RX_VLAN | sys::VR_F_RX_VLAN_STRIPPED);
    }

    /// Forgets every VLAN mark, received or to be sent.
    #[inline]
    pub fn clear_vlan(&mut self) {
        let flags =
            self.ol_flags() & !(sys::VR_F_RX_VLAN | sys::VR_F_RX_VLAN_STRIPPED | sys::VR_F_TX_VLAN);
        self.write::<u64, { sys::VR_MBUF_OL_FLAGS as usize }>(flags);
    }

    /// Has the device insert this tag when it sends; only for ports with [`crate::PortInfo::vlan_insert`].
    #[inline]
    pub fn set_tx_vlan(&mut self, tci: u16) {
        self.set_tci(tci, sys::VR_F_TX_VLAN);
    }

    /// Whether [`Mbuf::set_tx_vlan`] was asked for.
    #[inline]
    pub fn tx_vlan(&self) -> bool {
        self.ol_flags() & sys::VR_F_TX_VLAN != 0
    }

    /// The flow hash that the device computed, if it did.
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        if self.ol_flags() & sys::VR_F_RX_RSS_HASH == 0 {
            return None;
        }
        Some(self.read::<u32, { sys::VR_MBUF_RSS_HASH as usize }>())
    }

    /// Asks the CPU to load the start of the data.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(self.start());
    }

    /// Asks the CPU to load what describes the packet: for one that another lcore handed over.
    #[inline]
    pub fn prefetch_description(&self) {
        prefetch(self.0.as_ptr().cast());
    }

    #[inline]
    fn set_tci(&mut self, tci: u16, flags: u64) {
        self.clear_vlan();
        self.write::<u16, { sys::VR_MBUF_VLAN_TCI as usize }>(tci);
        let flags = self.ol_flags() | flags;
        self.write::<u64, { sys::VR_MBUF_OL_FLAGS as usize }>(flags);
    }

    #[inline]
    fn ol_flags(&self) -> u64 {
        self.read::<u64, { sys::VR_MBUF_OL_FLAGS as usize }>()
    }

    #[inline]
    fn data_off(&self) -> u16 {
        self.read::<u16, { sys::VR_MBUF_DATA_OFF as usize }>()
    }

    #[inline]
    fn data_len(&self) -> u16 {
        self.read::<u16, { sys::VR_MBUF_DATA_LEN as usize }>()
    }

    #[inline]
    fn buf_len(&self) -> u16 {
        self.read::<u16, { sys::VR_MBUF_BUF_LEN as usize }>()
    }

    /// The one place that moves the data: `offset + len` was checked against the buffer by the caller.
    #[inline]
    fn set_extent(&mut self, offset: u16, len: u16) {
        debug_assert!(u32::from(offset) + u32::from(len) <= u32::from(self.buf_len()));
        let total = self.read::<u32, { sys::VR_MBUF_PKT_LEN as usize }>();
        let total = total.wrapping_sub(u32::from(self.data_len())).wrapping_add(u32::from(len));
        self.write::<u16, { sys::VR_MBUF_DATA_OFF as usize }>(offset);
        self.write::<u16, { sys::VR_MBUF_DATA_LEN as usize }>(len);
        self.write::<u32, { sys::VR_MBUF_PKT_LEN as usize }>(total);
    }

    #[inline]
    fn start(&self) -> *mut u8 {
        let base = self.read::<*mut u8, { sys::VR_MBUF_BUF_ADDR as usize }>();
        // WHY: the data starts `data_off` bytes into the buffer.
        // SAFETY: data_off <= buf_len (type invariant), so the result is inside the buffer or one past its end.
        unsafe { base.add(usize::from(self.data_off())) }
    }

    /// Reads the field at `OFFSET`, whose type is `T`.
    #[inline(always)]
    fn read<T: Copy, const OFFSET: usize>(&self) -> T {
        // WHY: a call into C for each field would cost more than the work on it.
        // SAFETY: every OFFSET used in this file comes from offsetof on struct rte_mbuf for a field of type T, hence in
        // bounds and aligned; the mbuf is ours.
        unsafe { self.0.as_ptr().cast::<u8>().add(OFFSET).cast::<T>().read() }
    }

    /// Writes the field at `OFFSET`, whose type is `T`.
    #[inline(always)]
    fn write<T: Copy, const OFFSET: usize>(&mut self, value: T) {
        // WHY: as in `read`.
        // SAFETY: as in `read`; `&mut self` excludes other readers.
        unsafe { self.0.as_ptr().cast::<u8>().add(OFFSET).cast::<T>().write(value) }
    }
}

#[inline]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // WHY: the loads of one packet are hidden behind the work on the ones before it.
    // SAFETY: a prefetch has no effect on memory and may name any address; SSE is part of x86-64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // WHY: the buffer returns to its pool through the lcore's cache.
        // SAFETY: we own it, and nobody uses it after drop.
        unsafe { sys::vr_mbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf")
            .field("port", &self.port())
            .field("len", &self.len())
            .field("stripped_tci", &self.stripped_tci())
            .finish_non_exhaustive()
    }
}
