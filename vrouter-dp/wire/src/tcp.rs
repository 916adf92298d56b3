//! The part of the TCP header (RFC 9293) that UDP and SCTP share: the ports.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::fixed_header;

/// Source and destination port: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ports {
    source: U16,
    destination: U16,
}

fixed_header!(Ports, 4);

impl Ports {
    /// Source port.
    #[inline]
    pub const fn source(&self) -> u16 {
        self.source.get()
    }

    /// Destination port.
    #[inline]
    pub const fn destination(&self) -> u16 {
        self.destination.get()
    }

    /// Both, source in the upper half.
    #[inline]
    pub const fn both(&self) -> u32 {
        (self.source.get() as u32) << 16 | self.destination.get() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_real_bytes() {
        let (ports, rest) = Ports::parse(&[0xd4, 0x31, 0x00, 0xb3, 1]).unwrap();
        assert_eq!((ports.source(), ports.destination(), ports.both()), (54321, 179, 0xd431_00b3));
        assert_eq!(rest, [1]);
    }
}
