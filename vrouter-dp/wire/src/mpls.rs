//! An MPLS label stack entry (RFC 3032).

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Label, fixed_header};

/// A label stack entry: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Mpls {
    entry: U32,
}

fixed_header!(Mpls, 4);

impl Mpls {
    /// The only entry of a stack, EXP 0.
    #[inline]
    pub const fn bottom(label: Label, ttl: u8) -> Mpls {
        Mpls { entry: U32::new(label.value() << 12 | 1 << 8 | ttl as u32) }
    }

    /// An entry by its 32 bits: label (20), traffic class (3), bottom of stack (1), TTL (8).
    #[inline]
    pub const fn from_bits(bits: u32) -> Mpls {
        Mpls { entry: U32::new(bits) }
    }

    /// The label; reserved ones (0-15) too.
    #[inline]
    pub const fn label(&self) -> u32 {
        self.entry.get() >> 12
    }

    /// Traffic class, once named EXP (RFC 5462).
    pub const fn traffic_class(&self) -> u8 {
        (self.entry.get() >> 9) as u8 & 7
    }

    /// Whether it is the last entry.
    #[inline]
    pub const fn is_bottom(&self) -> bool {
        self.entry.get() & 0x100 != 0
    }

    /// Time to live.
    #[inline]
    pub const fn ttl(&self) -> u8 {
        self.entry.get() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_byte_by_byte() {
        let (entry, _) = Mpls::parse(&[0x00, 0x12, 0xcf, 0x40]).unwrap();
        assert_eq!(
            (entry.label(), entry.traffic_class(), entry.is_bottom(), entry.ttl()),
            (300, 7, true, 64)
        );
        assert_eq!(Mpls::bottom(Label::new(300).unwrap(), 64).as_bytes(), [0x00, 0x12, 0xc1, 0x40]);
        assert_eq!(Mpls::from_bits(300 << 12 | 0x140).as_bytes(), [0x00, 0x12, 0xc1, 0x40]);
        assert_eq!(Mpls::bottom(Label::MAX, 255).as_bytes(), [0xff, 0xff, 0xf1, 0xff]);
        let (entry, _) = Mpls::parse(&[0xff, 0xff, 0xf0, 0x01]).unwrap();
        assert_eq!((entry.label(), entry.is_bottom(), entry.ttl()), (0xf_ffff, false, 1));
    }
}
