//! The GRE header (RFC 2784) with checksum and key (RFC 2890). Sequence numbers and routing are refused.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Malformed, checksum, fixed_header};

const CHECKSUM: u16 = 0x8000;
const KEY: u16 = 0x2000;

/// The part of the GRE header that is always there: 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Gre {
    flags: U16,
    protocol: U16,
}

fixed_header!(Gre, 4);

impl Gre {
    /// The header and what follows its optional fields.
    ///
    /// `Flags` for a version other than 0 and for flags other than checksum and key; `Checksum` if there is one and it is
    /// wrong. The key is skipped: nothing here is selected by it.
    #[inline]
    pub fn checked(packet: &[u8]) -> Result<(&Gre, &[u8]), Malformed> {
        let (gre, rest) = Gre::parse(packet)?;
        let flags = gre.flags.get();
        if flags & !(CHECKSUM | KEY) != 0 {
            return Err(Malformed::Flags);
        }
        // RFC 2784 2.1: the checksum covers the header and the payload; 2 reserved bytes follow it.
        let mut optional = 0;
        if flags & CHECKSUM != 0 {
            optional += 4;
        }
        if flags & KEY != 0 {
            optional += 4;
        }
        let payload = rest.get(optional..).ok_or(Malformed::Truncated)?;
        if flags & CHECKSUM != 0 && !checksum::verifies(packet) {
            return Err(Malformed::Checksum);
        }
        Ok((gre, payload))
    }

    /// A header without optional fields.
    pub const fn new(protocol: u16) -> Gre {
        Gre { flags: U16::new(0), protocol: U16::new(protocol) }
    }

    /// Ethertype of the payload.
    #[inline]
    pub const fn protocol(&self) -> u16 {
        self.protocol.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eth;

    #[test]
    fn every_form_that_is_accepted() {
        assert_eq!(Gre::new(eth::MPLS).as_bytes(), [0, 0, 0x88, 0x47]);
        let (gre, rest) = Gre::checked(&[0, 0, 0x88, 0x47, 9]).unwrap();
        assert_eq!((gre.protocol(), rest), (eth::MPLS, &[9u8][..]));
        let key = [0x20, 0, 0x88, 0x47, 0, 0, 0, 42, 9];
        assert_eq!(Gre::checked(&key).unwrap().1, [9]);
        // 0x8000 + 0x8847 + 0x0900 = 0x11147 -> 0x1148, inverted 0xeeb7
        let sum = [0x80, 0, 0x88, 0x47, 0xee, 0xb7, 0, 0, 9];
        assert_eq!(Gre::checked(&sum).unwrap().1, [9]);
        // with key 42: 0xa000 + 0x8847 + 0x002a + 0x0900 = 0x13171 -> 0x3172, inverted 0xce8d
        let both = [0xa0, 0, 0x88, 0x47, 0xce, 0x8d, 0, 0, 0, 0, 0, 42, 9];
        assert_eq!(Gre::checked(&both).unwrap().1, [9]);
    }

    #[test]
    fn every_form_that_is_refused() {
        let wrong = [0x80, 0, 0x88, 0x47, 0xee, 0xb8, 0, 0, 9];
        assert_eq!(Gre::checked(&wrong).unwrap_err(), Malformed::Checksum);
        for flags in [[0x10, 0], [0x40, 0], [0x08, 0], [0x00, 1], [0x04, 0]] {
            let packet = [flags[0], flags[1], 0x88, 0x47, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Gre::checked(&packet).unwrap_err(), Malformed::Flags, "{flags:02x?}");
        }
        assert_eq!(Gre::checked(&[0, 0, 0x88]).unwrap_err(), Malformed::Truncated);
        assert_eq!(Gre::checked(&[0x20, 0, 0x88, 0x47, 0]).unwrap_err(), Malformed::Truncated);
    }
}
