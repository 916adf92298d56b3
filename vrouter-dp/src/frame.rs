//! An mbuf as the engine's buffer.

use dpdk::Mbuf;
use engine::buffer::Buf;

/// A received frame, or one about to be sent.
pub struct Frame(pub Mbuf);

impl From<Mbuf> for Frame {
    #[inline]
    fn from(mbuf: Mbuf) -> Frame {
        Frame(mbuf)
    }
}

impl From<Frame> for Mbuf {
    #[inline]
    fn from(frame: Frame) -> Mbuf {
        frame.0
    }
}

impl Buf for Frame {
    #[inline]
    fn data(&self) -> &[u8] {
        self.0.data()
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        self.0.data_mut()
    }

    #[inline]
    fn headroom(&self) -> usize {
        usize::from(self.0.headroom())
    }

    #[inline]
    fn prepend(&mut self, count: usize) -> Option<&mut [u8]> {
        u16::try_from(count).ok().and_then(|count| self.0.prepend(count))?;
        Some(self.0.data_mut())
    }

    #[inline]
    fn trim_front(&mut self, count: usize) {
        let count = count.min(self.0.len()) as u16;
        let _ = self.0.trim_front(count);
    }

    #[inline]
    fn truncate(&mut self, length: usize) {
        self.0.truncate(length.min(usize::from(u16::MAX)) as u16);
    }

    #[inline]
    fn reframe(&mut self, start: usize, length: usize, count: usize) -> Option<&mut [u8]> {
        let short = |value: usize| u16::try_from(value).ok();
        self.0.reframe(short(start)?, short(length)?, short(count)?).then(|| self.0.data_mut())
    }

    #[inline]
    fn stripped_tci(&self) -> Option<u16> {
        self.0.stripped_tci()
    }

    #[inline]
    fn clear_stripped(&mut self) {
        self.0.clear_vlan();
    }
}
