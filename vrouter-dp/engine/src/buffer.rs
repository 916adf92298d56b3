//! The one buffer interface of the data plane, and its heap form for tests, fuzzers and injected packets.

/// One packet in one contiguous segment, with room in front of it for headers.
///
/// A NIC may have taken the outer 802.1Q tag out of the frame: then [`Buf::stripped_tci`] has it and the data start without it.
pub trait Buf {
    /// The packet.
    fn data(&self) -> &[u8];

    /// The packet, for writing.
    fn data_mut(&mut self) -> &mut [u8];

    /// Bytes that [`Buf::prepend`] can add.
    fn headroom(&self) -> usize;

    /// Adds `count` bytes of any content in front and returns the whole packet; `None`, and no change, without the room.
    fn prepend(&mut self, count: usize) -> Option<&mut [u8]>;

    /// Removes `count` bytes in front, all of them if there are fewer.
    fn trim_front(&mut self, count: usize);

    /// Cuts the packet to `length` bytes; no change if it is not longer.
    fn truncate(&mut self, length: usize);

    /// Takes the `length` bytes that begin at `start` and adds `count` bytes of any content in front of them; returns the whole
    /// packet. `None` without the room; the packet is then of no use.
    #[inline]
    fn reframe(&mut self, start: usize, length: usize, count: usize) -> Option<&mut [u8]> {
        self.trim_front(start);
        self.truncate(length);
        self.prepend(count)
    }

    /// Tag control information that the NIC took out of the frame, if it did (mbuf: `RTE_MBUF_F_RX_VLAN_STRIPPED`).
    fn stripped_tci(&self) -> Option<u16>;

    /// Forgets the tag in the metadata, so that it is not sent with the packet.
    fn clear_stripped(&mut self);
}

/// Room in front of a fresh [`HeapBuf`], as much as DPDK leaves by default (`RTE_PKTMBUF_HEADROOM`).
pub const HEADROOM: usize = 256;

/// A buffer on the heap.
#[derive(Clone, Debug)]
pub struct HeapBuf {
    bytes: Vec<u8>,
    start: usize,
    stripped: Option<u16>,
}

impl HeapBuf {
    /// A packet with [`HEADROOM`] bytes in front.
    pub fn new(packet: &[u8]) -> HeapBuf {
        HeapBuf::with_headroom(packet, HEADROOM)
    }

    /// A packet with `headroom` bytes in front.
    pub fn with_headroom(packet: &[u8], headroom: usize) -> HeapBuf {
        let mut bytes = vec![0; headroom];
        bytes.extend_from_slice(packet);
        HeapBuf { bytes, start: headroom, stripped: None }
    }

    /// A packet out of which the NIC took a tag.
    pub fn stripped(packet: &[u8], tci: u16) -> HeapBuf {
        HeapBuf { stripped: Some(tci), ..HeapBuf::new(packet) }
    }
}

impl Buf for HeapBuf {
    #[inline]
    fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
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
        self.start = (self.start + count).min(self.bytes.len());
    }

    #[inline]
    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.start + length);
    }

    #[inline]
    fn stripped_tci(&self) -> Option<u16> {
        self.stripped
    }

    #[inline]
    fn clear_stripped(&mut self) {
        self.stripped = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_move_and_the_room_is_respected() {
        let mut buf = HeapBuf::with_headroom(b"abcdef", 4);
        assert_eq!(buf.prepend(5), None);
        assert_eq!((buf.data(), buf.headroom()), (&b"abcdef"[..], 4));
        buf.prepend(4).unwrap()[..4].copy_from_slice(b"wxyz");
        assert_eq!((buf.data(), buf.headroom()), (&b"wxyzabcdef"[..], 0));
        buf.trim_front(5);
        buf.truncate(3);
        assert_eq!(buf.data(), b"bcd");
        buf.truncate(9);
        assert_eq!(buf.data(), b"bcd");
        buf.trim_front(9);
        assert_eq!(buf.data(), b"");
    }
}
