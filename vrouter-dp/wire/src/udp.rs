//! The UDP header (RFC 768).

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Malformed, checksum, fixed_header, ipv4};

/// Port of MPLS in UDP (RFC 7510).
pub const MPLS: u16 = 6635;
/// Port of MPLS in UDP before it was assigned; older senders still use it.
pub const MPLS_OLD: u16 = 51234;

/// The UDP header: 8 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Udp {
    source: U16,
    destination: U16,
    length: U16,
    checksum: U16,
}

fixed_header!(Udp, 8);

impl Udp {
    /// The header and payload of `datagram`, its length checked and bytes behind its end cut off.
    #[inline]
    pub fn checked(datagram: &[u8]) -> Result<(&Udp, &[u8]), Malformed> {
        let (udp, rest) = Udp::parse(datagram)?;
        let payload = usize::from(udp.length.get()).checked_sub(Udp::LEN);
        let payload = payload.and_then(|n| rest.get(..n)).ok_or(Malformed::Length)?;
        Ok((udp, payload))
    }

    /// A header with checksum 0 (none), for `payload` bytes.
    pub const fn new(source: u16, destination: u16, payload: u16) -> Udp {
        Udp {
            source: U16::new(source),
            destination: U16::new(destination),
            length: U16::new(payload + Udp::LEN as u16),
            checksum: U16::new(0),
        }
    }

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

    /// Bytes of header and payload.
    #[inline]
    pub const fn length(&self) -> u16 {
        self.length.get()
    }

    /// The checksum; 0 means that there is none.
    #[inline]
    pub const fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Sets the source port.
    #[inline]
    pub const fn set_source(&mut self, port: u16) {
        self.source = U16::new(port);
    }

    /// Sets the length of header and payload, in bytes.
    #[inline]
    pub const fn set_length(&mut self, length: u16) {
        self.length = U16::new(length);
    }

    /// Computes the checksum over header, `payload` and pseudo header.
    pub fn fill_checksum(&mut self, payload: &[u8], source: Ipv4Addr, destination: Ipv4Addr) {
        self.checksum = U16::new(0);
        let pseudo = checksum::pseudo_ipv4(
            source.to_bits(),
            destination.to_bits(),
            ipv4::UDP,
            self.length(),
        );
        let sum = pseudo + checksum::sum(self.as_bytes()) + checksum::sum(payload);
        // RFC 768: 0 stands for none, all ones are as good.
        self.checksum = U16::new(match checksum::finish(sum) {
            0 => 0xffff,
            sum => sum,
        });
    }

    /// Whether the checksum over header, `payload` and pseudo header is right, or absent.
    #[inline]
    pub fn verifies(&self, payload: &[u8], source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        if self.checksum() == 0 {
            return true;
        }
        let pseudo = checksum::pseudo_ipv4(
            source.to_bits(),
            destination.to_bits(),
            ipv4::UDP,
            self.length(),
        );
        let sum = pseudo + checksum::sum(self.as_bytes()) + checksum::sum(payload);
        checksum::fold(sum) == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire as oracle;

    #[test]
    fn real_bytes_and_lengths() {
        let bytes = [0xc0, 0x01, 0x19, 0xeb, 0x00, 0x0a, 0x00, 0x00, 0xde, 0xad, 0xff];
        let (udp, payload) = Udp::checked(&bytes).unwrap();
        assert_eq!((udp.source(), udp.destination()), (49153, MPLS));
        assert_eq!(payload, [0xde, 0xad]);
        assert_eq!(Udp::new(49153, 6635, 2).as_bytes(), &bytes[..8]);
        for length in [7u8, 12] {
            let mut bytes = bytes;
            bytes[5] = length;
            assert_eq!(Udp::checked(&bytes).unwrap_err(), Malformed::Length);
        }
    }

    proptest! {
        #[test]
        fn checksum_agrees_with_smoltcp(bytes in prop::collection::vec(any::<u8>(), 8..100), source: u32, destination: u32, right: bool) {
            let mut bytes = bytes;
            let length = (bytes.len() as u16).to_be_bytes();
            bytes[4..6].copy_from_slice(&length);
            bytes[2] |= 1; // smoltcp refuses port 0
            let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
            if right {
                oracle::UdpPacket::new_unchecked(&mut bytes[..]).fill_checksum(&source.into(), &destination.into());
            }
            let theirs = oracle::UdpPacket::new_checked(&bytes[..]).unwrap();
            let (udp, payload) = Udp::checked(&bytes).unwrap();
            prop_assert_eq!(udp.verifies(payload, source, destination), theirs.verify_checksum(&source.into(), &destination.into()));
            let mut ours = *udp;
            ours.fill_checksum(payload, source, destination);
            prop_assert!(ours.checksum() != 0 && ours.verifies(payload, source, destination));
            if right {
                prop_assert_eq!(ours.checksum(), udp.checksum());
            }
        }
    }
}
