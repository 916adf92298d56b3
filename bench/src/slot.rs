//! A buffer that is filled again and again, as a driver refills its ring: no allocation per packet.

use engine::Buf;

/// Room in front of the frame, as DPDK leaves.
const HEADROOM: usize = 128;

/// Room for a jumbo frame and its headers.
const SIZE: usize = 10_240;

/// One packet buffer.
pub struct Slot {
    bytes: Box<[u8; SIZE]>,
    start: usize,
    end: usize,
}

impl Default for Slot {
    #[inline]
    fn default() -> Slot {
        Slot { bytes: Box::new([0; SIZE]), start: HEADROOM, end: HEADROOM }
    }
}

impl Slot {
    /// A fresh copy of `frame`.
    pub fn refill(&mut self, frame: &[u8]) {
        self.start = HEADROOM;
        self.end = HEADROOM + frame.len();
        self.bytes[HEADROOM..self.end].copy_from_slice(frame);
    }
}

impl Buf for Slot {
    #[inline]
    fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    #[inline]
    fn headroom(&self) -> usize {
        self.start
    }

    #[inline]
    fn prepend(&mut self, count: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(count)?;
        Some(self.data_mut())
    }

    #[inline]
    fn trim_front(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    #[inline]
    fn truncate(&mut self, length: usize) {
        self.end = self.end.min(self.start + length);
    }

    #[inline]
    fn reframe(&mut self, start: usize, length: usize, count: usize) -> Option<&mut [u8]> {
        let start = self.start + start;
        self.end = self.end.min(start + length);
        self.start = start.checked_sub(count)?;
        Some(self.data_mut())
    }

    #[inline]
    fn stripped_tci(&self) -> Option<u16> {
        None
    }

    #[inline]
    fn clear_stripped(&mut self) {}
}
